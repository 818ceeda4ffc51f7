"""An XMP packet as text: what programs that know nothing of the farm read out of its videos.

Written, never parsed: what the farm reads back is its own record, and a packet is compared with the one it would write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.sax.saxutils import escape

XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""The type of an mp4's uuid box that holds XMP (XMP specification, part 3)."""
_NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
}
# what XML 1.0 has no way to write
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Texts:
    """A property with texts inside. kind: Alt for one in several languages, Bag for several."""

    kind: str
    texts: tuple[str, ...]


def printable(text: str) -> str:
    """The text with what neither XML nor a tag of a file can hold replaced."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def xmp_packet(properties: dict[str, str | Texts]) -> bytes:
    """A packet of properties, each `prefix:Name` of a namespace known here; those without a text are left out."""
    spaces = "".join(f'\n    xmlns:{prefix}="{name}"' for prefix, name in _NAMESPACES.items())
    lines = "".join(_element(name, value) for name, value in properties.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        f'  <rdf:Description rdf:about=""{spaces}>\n{lines}'
        '  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="r"?>'
    ).encode()


def _element(name: str, value: str | Texts) -> str:
    if isinstance(value, str):
        return f"   <{name}>{_escaped(value)}</{name}>\n" if value else ""
    language = ' xml:lang="x-default"' if value.kind == "Alt" else ""
    items = "".join(f"<rdf:li{language}>{_escaped(text)}</rdf:li>" for text in value.texts if text)
    return f"   <{name}><rdf:{value.kind}>{items}</rdf:{value.kind}></{name}>\n" if items else ""


def _escaped(text: str) -> str:
    return escape(printable(text))
