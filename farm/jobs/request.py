"""What a job was asked for: job.json, written once at submit and read by every worker."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from engine.spec import OutputSpec, RenderSpec
from farm.storage import keys

REQUEST_VERSION = 1


@dataclass(frozen=True)
class InBatch:
    """A job's place in a batch. row: its number there, from 1. held: it waits until its batch is released."""

    id: str
    row: int
    held: bool = False


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A job's inputs and settings. portrait, speech: SHA-256 of the files; *_name: what they were called.

    submitted: Unix seconds. token: what makes two submits one job. chunk_seconds: as asked, None for what suits the
    farm. pixels: of a rendered frame, which decides where it fits. licence: of the renderer's weights, if they have
    one. consent: where the agreement of the person shown is kept. subtitles: SHA-256 of an SRT file, or nothing.
    batch, row: the batch it belongs to and its row's number there, from 1. edit_of: the job whose cuts its plan keeps.
    webhook: who is told how it ends. held: it waits until its batch is released.
    """

    id: str
    name: str
    owner: str
    priority: int
    spec: RenderSpec
    output: OutputSpec
    portrait: str
    portrait_name: str
    speech: str
    speech_name: str
    chunk_seconds: float | None
    max_attempts: int
    token: str
    submitted: float
    pixels: int
    licence: str
    consent: str = ""
    subtitles: str = ""
    batch: str = ""
    row: int = 0
    edit_of: str = ""
    webhook: str = ""
    held: bool = False
    warnings: tuple[str, ...] = ()
    version: int = REQUEST_VERSION

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> JobRequest:
        specs = {"spec": RenderSpec.from_dict(data["spec"]), "output": OutputSpec(**data["output"])}
        return cls(**{**data, **specs, "warnings": tuple(data["warnings"])})

    def book_fields(self) -> dict[str, str | int | float]:
        """What the books hold of it."""
        return {
            "name": self.name,
            "owner": self.owner,
            "priority": self.priority,
            "renderer": self.spec.renderer,
            "max_attempts": self.max_attempts,
            "token": self.token,
            "pixels": self.pixels,
            "warnings": json.dumps(self.warnings),
            **({"batch": self.batch, "row": self.row} if self.batch else {}),
            **({"held": 1} if self.held else {}),
            **({"edit_of": self.edit_of} if self.edit_of else {}),
            **({"webhook": self.webhook} if self.webhook else {}),
        }


def own_token(token: str) -> str:
    """What a submitter's own token is known by: it alone decides whether two submits are one job."""
    return keys.digest_of(["token", token])


def content_token(owner: str, spec: RenderSpec, output: OutputSpec, **content: str | float | None) -> str:
    """Without a token, owner, settings and content decide: what the inputs hold, not how they are called."""
    return keys.digest_of(["content", owner, spec.to_dict(), output.to_dict(), content])


def row_token(batch: str, token: str) -> str:
    """What a batch's row is known by there: the same lesson in another batch is another job."""
    return keys.digest_of(["row", batch, token])
