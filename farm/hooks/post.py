"""One webhook, posted: signed, to a checked address, within a bounded time, following nothing."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from farm.errors import DeliveryError
from farm.hooks.receiver import Receiver, addresses_of, receiver_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.hooks.receiver import Address

CONNECT_SECONDS = 5.0
MOST_ADDRESSES = 4
"""Addresses of one name that are tried: a name server may give hundreds that do not answer."""
TOTAL_SECONDS = 15.0
"""How long a receiver may take, from the connection on, however slowly it talks."""


@dataclass(frozen=True)
class Message:
    """What is told: an id that stays the same however often it is sent, a type like "job.done", the body."""

    id: str
    type: str
    body: bytes


@dataclass(frozen=True)
class Sender:
    """Signs with `secret` and posts. private: to private addresses too."""

    secret: str
    private: bool

    def post(self, url: str, message: Message) -> None:
        """Deliver once. Raises DeliveryError, and InputRefusedError for where nothing may be sent."""
        receiver = receiver_of(url)
        addresses = addresses_of(receiver, private=self.private)
        began = time.monotonic()
        try:
            with _connected(receiver, addresses) as connection:
                connection.request("POST", receiver.target, message.body, self._headers(receiver, message))
                status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            late = time.monotonic() - began >= TOTAL_SECONDS
            why = f"no answer within {TOTAL_SECONDS:g} s" if late else str(error) or type(error).__name__
            raise DeliveryError(f"{receiver.origin} did not take it: {why}") from error
        if not 200 <= status < 300:
            hint = ", redirects are not followed" if 300 <= status < 400 else ""
            raise DeliveryError(f"{receiver.origin} answered {status}{hint}")

    def _headers(self, receiver: Receiver, message: Message) -> dict[str, str]:
        return {
            "Host": receiver.origin.partition("://")[2],
            "Content-Type": "application/json",
            "User-Agent": f"sonic-farm/{version('sonic-farm')}",
            "Sonic-Farm-Event": message.type,
            "Sonic-Farm-Event-Id": message.id,
            "Sonic-Farm-Signature": signature(self.secret, message.body, at=int(time.time())),
            "Connection": "close",
        }


def signature(secret: str, body: bytes, *, at: int) -> str:
    """The header Sonic-Farm-Signature. at: Unix seconds; signed too, so that an old message cannot be sent again."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


@contextmanager
def _connected(receiver: Receiver, addresses: list[Address]) -> Iterator[http.client.HTTPConnection]:
    """A connection to the first address that answers; nothing is looked up again."""
    sock = _first(addresses, receiver.port)
    sock.settimeout(TOTAL_SECONDS)
    if receiver.scheme == "https":
        sock = _tls().wrap_socket(sock, server_hostname=receiver.host, do_handshake_on_connect=False)
    cut = threading.Timer(TOTAL_SECONDS, _cut, (sock,))  # a timeout of the socket begins anew with every byte
    cut.daemon = True
    cut.start()
    try:
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        connection = http.client.HTTPConnection(receiver.host, receiver.port)
        connection.sock = sock
        yield connection
    finally:
        cut.cancel()
        sock.close()


def _first(addresses: list[Address], port: int) -> socket.socket:
    *others, last = addresses[:MOST_ADDRESSES]
    for address in others:
        with suppress(OSError):  # the next one may answer, and the last one's error is told
            return socket.create_connection((str(address), port), CONNECT_SECONDS)
    return socket.create_connection((str(last), port), CONNECT_SECONDS)


def _cut(sock: socket.socket) -> None:
    with suppress(OSError):  # it is closed already
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS' own: the other thread is in the middle of it


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
