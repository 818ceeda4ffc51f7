"""A receiver of webhooks: a real HTTP server that answers as it is told and remembers what it got."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True)
class Got:
    """One request. headers: with their names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


@dataclass
class Receiver:
    """answer: the status of its answers. open: while it is not set, no answer comes."""

    server: ThreadingHTTPServer
    answer: int = 204
    got: list[Got] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/hook?token=s3cret", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server.server_port}{path}"

    @property
    def types(self) -> list[str]:
        return [got.told["type"] for got in self.got]


def start_receiver(tls: ssl.SSLContext | None = None, *, host: str = "127.0.0.1") -> Receiver:
    """Listens until its server is shut down."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.got.append(Got(self.path, headers, self.rfile.read(int(headers["content-length"]))))
            receiver.open.wait(30)
            self.send_response(receiver.answer)
            if 300 <= receiver.answer < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def setup(self) -> None:
            if tls is not None:
                self.request = tls.wrap_socket(self.request, server_side=True, do_handshake_on_connect=False)
            super().setup()

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # who asked has gone
                self.close_connection = True

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(server)
    receiver.open.set()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return receiver
