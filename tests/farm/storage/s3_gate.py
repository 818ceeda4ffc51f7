"""A real HTTP proxy in front of an S3 server that counts requests and spoils some of them on purpose."""

from __future__ import annotations

import http.client
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

Fault = Literal["503", "slow down", "cut", "flip answer", "flip request", "ignore range"]
HOP = {"connection", "transfer-encoding", "proxy-connection", "keep-alive", "expect"}


@dataclass
class Gate:
    """What the proxy saw, and what it is to do to the next requests of this `method` that ask for `what`."""

    url: str
    seen: list[str] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    method: str = "GET"
    what: str = ""

    def count(self, method: str) -> int:
        return sum(line.startswith(method + " ") for line in self.seen)

    def take(self, method: str, path: str) -> Fault | None:
        return self.faults.popleft() if self.faults and method == self.method and self.what in path else None


@contextmanager
def gate_before(upstream: str, *, tls: ssl.SSLContext | None = None) -> Iterator[Gate]:
    """A proxy on a free loopback port, for as long as the `with` lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "https" if tls else "http"
    gate = Gate(f"{scheme}://localhost:{server.server_address[1]}")
    server.gate = gate  # type: ignore[attr-defined]
    server.upstream = urlsplit(upstream).netloc  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is no news here
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield gate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def _forward(self) -> None:
        gate: Gate = self.server.gate
        gate.seen.append(f"{self.command} {self.path}")
        fault = gate.take(self.command, self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault in {"503", "slow down"}:
            self._refuse(fault)
            return
        if fault == "flip request":
            body = _flipped(body)
        status, headers, answer = self._ask(body)
        if fault == "ignore range":
            status, headers = 200, [(name, value) for name, value in headers if name.lower() != "content-range"]
        if fault == "flip answer":
            answer = _flipped(answer)
        self._answer(status, headers, answer, cut=fault == "cut")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=30)
        parts = urlsplit(self.path)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.putrequest(self.command, target, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP:
                connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        found = answer.status, answer.getheaders(), answer.read()
        connection.close()
        return found

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool) -> None:
        self.send_response_only(status)
        named = {name.lower(): value for name, value in headers if name.lower() not in HOP}
        named.setdefault("content-length", str(len(body)))
        for name, value in named.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def _refuse(self, fault: Fault) -> None:
        code = "ServiceUnavailable" if fault == "503" else "SlowDown"
        body = f"<Error><Code>{code}</Code><Message>not now</Message></Error>".encode()
        self._answer(503, [("Content-Type", "application/xml")], body, cut=False)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _flipped(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
