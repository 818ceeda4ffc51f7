"""A webhook that tells nothing, to see whether its receiver takes it."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING

from farm.errors import InputRefusedError
from farm.hooks.post import Message, Sender

if TYPE_CHECKING:
    from farm.settings import Settings


def try_out(url: str | None, settings: Settings) -> str:
    """Send an event of type "test" from here; its id. Raises InputRefusedError, DeliveryError."""
    where, secret = url if url is not None else settings.webhook_url, settings.webhook_secret
    problems = [] if where else ["there is no URL to send to, wanted one or setting webhook_url"]
    problems += [] if secret else ["webhook_secret is not set, wanted 16 characters or more to sign with"]
    if not (where and secret):
        raise InputRefusedError(problems)
    event = {"version": 1, "id": f"test.{secrets.token_hex(8)}", "type": "test", "at": round(time.time(), 3)}
    message = Message(str(event["id"]), "test", json.dumps(event).encode())
    Sender(secret, settings.webhook_private).post(where, message)
    return message.id
