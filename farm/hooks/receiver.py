"""Where a webhook goes: a URL taken apart, and the addresses behind it that it may be sent to."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from farm.errors import DeliveryError, InputRefusedError

LONGEST_URL = 2000
PORTS = {"http": 80, "https": 443}
METADATA = frozenset(
    map(ip_address, ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
"""Where clouds tell a machine about itself, keys included; some of them look like public addresses."""
NAT64 = IPv6Network("64:ff9b::/96")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?|[0-9a-f:.]*:[0-9a-f:.]*")
_SHOWN = re.compile(r"([a-z][a-z0-9+.-]*://)?[a-z0-9._-]{1,30}(?=/|\Z)", re.IGNORECASE)
"""What may be repeated of something that is no URL: a scheme and a host, or one short word."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Receiver:
    """A webhook's URL. host: lower case, an IPv6 address without its brackets. target: path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """All of it that may be shown: paths and queries of webhooks hold tokens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")


def receiver_of(url: str) -> Receiver:
    """A URL taken apart. Raises InputRefusedError, which repeats no more of it than a host: it may hold a token."""
    if len(url) > LONGEST_URL:
        raise _refused(f"has {len(url)} characters, wanted {LONGEST_URL} at most")
    if not re.fullmatch(r"https?://[!-~]+", url) or "\\" in url:
        raise _refused(f"{_shown(url)}is no URL, wanted http:// or https:// and a host, without spaces, in ASCII")
    parts = _split(url)
    host = parts.hostname or ""
    if "@" in parts.netloc:
        raise _refused("has a user or password in it; the signature says who sends")
    if not _HOST.fullmatch(host):
        raise _refused("has no host that can be looked up, wanted a name or an address")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Receiver(parts.scheme, host, parts.port or PORTS[parts.scheme], target)


def _shown(wrong: str) -> str:
    """'ftp://example.com/...' and a space, nothing where it cannot be told what of it is secret."""
    begin = _SHOWN.match(wrong) if "@" not in wrong else None
    return f"{begin[0] + '/...' * (begin[0] != wrong)!r} " if begin else ""


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise _refused("has no port or address that there is")
    return parts


def url_problems(url: str, *, private: bool) -> list[str]:
    """What can be said against a webhook's URL without looking anything up."""
    try:
        receiver = receiver_of(url)
    except InputRefusedError as refusal:
        return refusal.problems
    try:
        address = ip_address(receiver.host)
    except ValueError:  # a name: who sends looks it up
        return []
    return address_problems(address, private=private)


def addresses_of(receiver: Receiver, *, private: bool) -> list[Address]:
    """The addresses of its host, looked up once. private: private ones are allowed too.

    Raises InputRefusedError when any of them is not allowed, DeliveryError when there are none.
    """
    try:
        found = socket.getaddrinfo(receiver.host, receiver.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeliveryError(f"{receiver.host} is not found: {error}") from error
    addresses = list(dict.fromkeys(ip_address(str(where[0]).partition("%")[0]) for *_, where in found))
    if problems := [problem for address in addresses for problem in address_problems(address, private=private)]:
        raise InputRefusedError(problems)
    return addresses


def address_problems(address: Address, *, private: bool) -> list[str]:
    """Why nothing is sent to this address; an IPv6 address stands for every IPv4 address that is packed into it."""
    packed = _packed(address)
    if packed is not None and (problems := address_problems(packed, private=private)):
        return problems
    if isinstance(address, IPv6Address) and packed is not None and (address.ipv4_mapped or address in NAT64):
        return []  # these are another way to write the IPv4 address
    never = address.is_link_local or address.is_multicast or address.is_unspecified or address in METADATA
    if never:
        return [f"webhook leads to {address}, where none is ever sent (link-local, multicast or a cloud's metadata)"]
    public = address.is_global and not address.is_reserved and not getattr(address, "is_site_local", False)
    if public or private:
        return []
    return [f"webhook leads to {address}, a private address, wanted a public one (or setting webhook_private)"]


def _packed(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _refused(why: str) -> InputRefusedError:
    return InputRefusedError([f"webhook {why}"])
