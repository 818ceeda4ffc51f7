"""How the farm talks to S3: the client, made from settings."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from farm.errors import SettingsError
from farm.settings import Settings, masked_url
from farm.storage.download import BLOCK_BYTES

OnCall = Callable[[str, float], None]
"""Called with the name of an operation and the seconds that it took."""
BEGAN = "farm.began"
"""Where a request's own context keeps what it is and when it began."""


@dataclass(frozen=True)
class Patience:
    """How long storage may take. attempts: tries at one request, with growing random pauses between them."""

    attempts: int = 5
    connect_seconds: float = 5
    read_seconds: float = 60


def connect(settings: Settings, patience: Patience) -> Any:
    """A boto3 S3 client, safe to share between threads; nothing is sent yet. Raises SettingsError."""
    import boto3  # takes a fifth of a second: only who moves objects pays
    import botocore.session

    if bool(settings.s3_access_key) != bool(settings.s3_secret_key):
        raise SettingsError("s3_access_key and s3_secret_key belong together, only one of them is set")
    if settings.s3_ca and not settings.s3_ca.is_file():
        raise SettingsError(f"s3_ca is {settings.s3_ca}, wanted a file of certificate authorities")
    core = botocore.session.get_session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    try:
        client = boto3.session.Session(botocore_session=core).client(
            "s3",
            endpoint_url=settings.s3_endpoint,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key,
            aws_secret_access_key=settings.s3_secret_key,
            verify=str(settings.s3_ca) if settings.s3_ca else None,
            config=_config(settings, patience),
        )
    except ValueError as error:
        raise SettingsError(f"s3_endpoint is {masked_url(settings.s3_endpoint or '')!r}: {error}") from error
    for operation in ("PutObject", "UploadPart"):
        client.meta.events.register(f"before-call.s3.{operation}", _add_md5)
    return client


def _moment(value: Any) -> datetime:
    """A time that a server told. botocore tries every format there is: three quarters of what a listing costs."""
    from botocore.utils import parse_timestamp

    if isinstance(value, str) and value[10:11] == "T":
        return datetime.fromisoformat(value)
    found: datetime = parse_timestamp(value)
    return found


def tell_times(client: Any, on_call: OnCall) -> None:
    """Tell `on_call` of every request of the client: its operation and its seconds, retries and pauses included."""

    def begin(model: Any, context: dict[str, Any], **_: Any) -> None:
        context[BEGAN] = model.name, time.perf_counter()

    def end(context: dict[str, Any], **_: Any) -> None:
        operation, began = context[BEGAN]
        on_call(operation, time.perf_counter() - began)

    client.meta.events.register_first("before-call.s3", begin)
    client.meta.events.register("after-call.s3", end)
    client.meta.events.register("after-call-error.s3", end)


def _config(settings: Settings, patience: Patience) -> Any:
    from botocore.config import Config

    return Config(
        user_agent="sonic-farm",  # boto3 puts its own together for every request, a fifth of what one costs
        signature_version="s3v4",
        connect_timeout=patience.connect_seconds,
        read_timeout=patience.read_seconds,
        retries={"mode": "adaptive", "total_max_attempts": patience.attempts},
        tcp_keepalive=True,
        max_pool_connections=16,
        s3={"addressing_style": settings.s3_style},
        # bodies carry a Content-MD5, which every server checks; some refuse the newer headers, others ignore them
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    """Let the server refuse a body that changes on its way."""
    body = params["body"]
    md5 = hashlib.md5(usedforsecurity=False)
    if isinstance(body, bytes):
        md5.update(body)
    else:
        start = body.tell()
        for block in iter(partial(body.read, BLOCK_BYTES), b""):
            md5.update(block)
        body.seek(start)
    params["headers"]["Content-MD5"] = b64encode(md5.digest()).decode()
