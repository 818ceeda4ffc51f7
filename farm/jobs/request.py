"""What a job was asked for: job.json, written once at submit and read by every worker."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from engine.spec import RenderSpec

REQUEST_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A job's inputs and settings. portrait, speech: SHA-256 of the files; *_name: what they were called.

    submitted: Unix seconds. token: what makes two submits one job. chunk_seconds: as asked, or the farm's default.
    pixels: of a rendered frame, which decides where it fits. licence: of the renderer's weights, if they have one.
    """

    id: str
    name: str
    owner: str
    priority: int
    spec: RenderSpec
    portrait: str
    portrait_name: str
    speech: str
    speech_name: str
    chunk_seconds: float
    max_attempts: int
    token: str
    submitted: float
    pixels: int
    licence: str
    warnings: tuple[str, ...] = ()
    version: int = REQUEST_VERSION

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> JobRequest:
        return cls(**{**data, "spec": RenderSpec.from_dict(data["spec"]), "warnings": tuple(data["warnings"])})

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
            "licence": self.licence,
            "warnings": json.dumps(self.warnings),
        }


def own_token(token: str) -> str:
    """What a submitter's own token is known by: it alone decides whether two submits are one job."""
    return _digest("token", token)


def content_token(owner: str, spec: RenderSpec, *, portrait: str, speech: str, chunk_seconds: float | None) -> str:
    """Without a token, owner, content and settings decide."""
    return _digest("content", owner, spec.to_dict(), portrait, speech, chunk_seconds)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
