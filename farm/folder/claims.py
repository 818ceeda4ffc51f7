"""Claims: the record that files of an inbox were taken, what became of them, and where it has got to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from farm.errors import NotFoundError
from farm.folder.names import stem_of
from farm.storage.s3 import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.folder.inbox import Inbox

Stage = Literal["claimed", "entered", "running", "ending", "done", "failed", "released", "retried"]
ENDED: frozenset[Stage] = frozenset({"done", "failed", "released"})
Role = Literal["portrait", "speech", "subtitles", "manifest"]


@dataclass(frozen=True)
class File:
    """A file of an inbox as it was when it was seen. path: in the inbox. stays: it is the folder's, not taken away."""

    path: str
    size: int
    etag: str
    role: Role
    stays: bool = False

    def info(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, self.size, self.etag, 0.0)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What was taken together: a pair, or a manifest with what it names.

    token: of inbox, keys and ETags, so that the same content under the same names is taken once. stage: a released one
    may be taken again, a retried one had failed, and its job goes on. values: what the folder's defaults said; of a
    manifest that was submitted its speeches by job, what its check found, and the jobs that failed; and whether it is
    followed once more.
    taken: Unix seconds. outcome: what it will end as; at: where in its work it failed, with code, reason and, of a
    refusal, all problems. result: s3:// URL of the video; of a manifest results, by speech, and wrong: speeches without
    one, and why. tries: how often it was taken before. trouble: what went wrong lately and may pass.
    """

    token: str
    files: tuple[File, ...]
    values: dict[str, Any] = field(default_factory=dict)
    taken: float = 0.0
    stage: Stage = "claimed"
    job: str = ""
    batch: str = ""
    outcome: Stage = "done"
    at: str = ""
    code: str = ""
    reason: str = ""
    problems: tuple[str, ...] = ()
    result: str = ""
    results: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    tries: int = 0
    trouble: str = ""

    @property
    def is_manifest(self) -> bool:
        return any(file.role == "manifest" for file in self.files)

    @property
    def main(self) -> File:
        """The file that gives the rest its name: the manifest, or the speech."""
        return self.file("manifest") or self.file("speech") or self.files[0]

    @property
    def name(self) -> str:
        """What uploads share of which the last one counts: of a pair the stem, whose video is its result."""
        return self.main.path if self.is_manifest else stem_of(self.main.path)

    @property
    def moving(self) -> tuple[File, ...]:
        return tuple(file for file in self.files if not file.stays)

    @property
    def ended(self) -> bool:
        return self.stage in ENDED

    @property
    def failed_jobs(self) -> tuple[str, ...]:
        """Jobs of a failed claim that failed: people may have them tried again."""
        return tuple(self.values["failed"]) if self.batch else (self.job,) if self.job else ()

    @property
    def followed(self) -> bool:
        """Whether it had failed, and is followed once more because its job goes on."""
        return bool(self.values.get("followed"))

    @property
    def let_go(self) -> bool:
        """Whether people put back what failed, to be taken again."""
        return self.stage == "released" and self.outcome == "failed"

    @property
    def took_nothing(self) -> bool:
        """Whether what it named was replaced or gone before it was taken."""
        gone = self.stage == "failed" and (self.at, self.code) == ("check", NotFoundError.code)
        return gone or (self.stage == "released" and not self.let_go)

    def file(self, role: Role) -> File | None:
        return next((file for file in self.files if file.role == role), None)

    def has_failed(self, file: File) -> bool:
        """Whether a file of it ends in failed/: of a manifest's files each goes its own way."""
        if self.batch and file.role != "manifest":
            return file.path in self.wrong or not self.results
        return self.outcome == "failed"

    def failed(self, at: str, code: str, problems: Iterable[str]) -> Claim:
        """It will end as failed."""
        found = tuple(problems)
        return replace(
            self, stage="ending", outcome="failed", at=at, code=code, reason="; ".join(found), problems=found
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Claim:
        files = tuple(File(**file) for file in data["files"])
        return cls(**{**data, "files": files, "problems": tuple(data["problems"])})

    @classmethod
    def from_json(cls, text: str) -> Claim:
        return cls.from_dict(json.loads(text))


def token_of(inbox: Inbox, files: Iterable[File]) -> str:
    """What the same files are known by for ever."""
    facts = sorted([file.path, file.etag, file.size] for file in files)
    return hashlib.sha256(json.dumps([inbox.url, facts]).encode()).hexdigest()[:32]
