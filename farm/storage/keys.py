"""Every object key in one place.

    assets/<sha256>                                 inputs, by content
    rendered/<recipe>.json <recipe>.refused         who has a segment made by a recipe; that acceptance refused it
    rendered/<lesson>.plan                          which job's plan the same lesson keeps to
    inboxes/<inbox>/claims/<token>.json             what was taken out of a watched folder, for ever
    jobs/<id>/job.json plan.json                    what was asked, how it was cut
    jobs/<id>/speech.pcm speech.m4a                 16 kHz mono s16, read by range; the AAC that the result carries
    jobs/<id>/cancel.json pause.json priority.json  what people decided, while it holds
    jobs/<id>/cleaned.json forgotten.json           its segments were removed; all of it is being removed
    jobs/<id>/redo/<chunk>/<number>-<suffix>.json   a chunk is to be rendered again
    jobs/<id>/current/<number>-<suffix>.json        an older version was made the current one
    jobs/<id>/segments/<chunk>/<attempt>/           body.mp4, head.mkv, tail.mkv; segment.json last: it is the commit
                                                    seam-<attempt of the chunk before>.mp4; the same .json last
    jobs/<id>/results/<version>/                    video.mp4, poster.jpg, sheet.jpg, provenance.json; report.json last
    jobs/<id>/logs/<unit>/<attempt>.log             unit: "plan", "stitch" or a chunk's number
    probes/<sha256>.json                            what a known-good render looks like, by what decides its frames
    trials/ doctor/                                 what the sweeper and `farm doctor` write and remove
    batches/<id>/batch.json jobless.json            what was asked of a batch; rows that are no jobs of their own
    batches/<id>/rows/<id>.json                     which jobs its rows become, by submit: written before any of them
    batches/names/<sha256>.json                     which batch has a name of an owner
    batches/<id>/pause.json cancel.json             what people decided about a batch, while it holds
    batches/<id>/pilot.json released/<suffix>.json  its clips and what they stand for; rows let go after them

Parts of a key are checked where the key is made, so that no name from outside can lead anywhere else.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from farm.errors import NotFoundError

JOBS = "jobs/"
"""Prefix of everything that belongs to jobs."""
ASSETS = "assets/"
"""Prefix of the inputs."""
CLEANED, FORGOTTEN = "cleaned.json", "forgotten.json"
BATCHES = "batches/"
"""Prefix of everything that belongs to batches."""
RENDERED = "rendered/"
"""Prefix of the index of segments that may be taken."""
INBOXES = "inboxes/"
"""Prefix of what was taken out of watched folders."""

SegmentFile = Literal["body.mp4", "head.mkv", "tail.mkv", "segment.json"]
SeamFile = Literal["mp4", "json"]
ResultFile = Literal["video.mp4", "poster.jpg", "sheet.jpg", "provenance.json", "report.json"]
Decision = Literal["cancel", "pause", "priority"]
BatchDecision = Literal["cancel", "pause"]

_JOB = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-z]{6}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ATTEMPT = re.compile(r"[0-9]{1,9}-[0-9a-z]{1,32}")
_UNIT = re.compile(r"plan|stitch|[0-9]{1,9}")
_RELEASE = re.compile(r"[0-9a-f]{8}")
_IN_JOB = re.compile(
    rf"{JOBS}(?P<job>{_JOB.pattern})/"
    rf"(segments/(?P<chunk>[0-9]{{1,9}})/(?P<attempt>{_ATTEMPT.pattern})/"
    r"|results/(?P<version>[0-9]{1,9})/"
    rf"|redo/(?P<redone>[0-9]{{1,9}})/(?=(?P<redo>{_ATTEMPT.pattern})\.json$)"
    rf"|current/(?=(?P<current>{_ATTEMPT.pattern})\.json$)"
    rf"|logs/(?P<unit>{_UNIT.pattern})/(?=(?P<logged>{_ATTEMPT.pattern})\.log$))?"
    r"(?P<file>[^/]+)"
)


@dataclass(frozen=True)
class JobObject:
    """What a key below jobs/ names. unit, attempt: of a segment or a log; version: of a result; redone: the chunk of a
    redo; rollback: the number of one; file: the last part.
    """

    job: str
    file: str
    unit: str | None = None
    attempt: str | None = None
    version: int | None = None
    redone: int | None = None
    rollback: int | None = None


def job_object(key: str) -> JobObject | None:
    """A key read backwards; None for one that is not made here."""
    found = _IN_JOB.fullmatch(key)
    if found is None:
        return None
    version, redone, rollback = (
        int(found[name].partition("-")[0]) if found[name] is not None else None
        for name in ("version", "redone", "current")
    )
    return JobObject(
        found["job"],
        found["file"],
        found["chunk"] or found["unit"],
        found["attempt"] or found["logged"],
        version,
        redone,
        rollback,
    )


def digest_of(value: Any) -> str:
    """What a value is known by for ever: SHA-256 of its JSON, which therefore stays as it is to the byte."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def asset(sha256: str) -> str:
    return ASSETS + _checked(_SHA256, sha256, what="asset", wanted="64 hexadecimal digits")


def asset_digest(key: str) -> str | None:
    """The SHA-256 that an asset's key promises; None for any other key."""
    found = re.fullmatch(f"{ASSETS}({_SHA256.pattern})", key)
    return found[1] if found else None


def rendered(recipe: str) -> str:
    """Who has a segment that was made by this recipe."""
    return f"{RENDERED}{_recipe(recipe)}.json"


def planned(lesson: str) -> str:
    """Which job's plan a lesson keeps to when it comes again."""
    return f"{RENDERED}{_recipe(lesson)}.plan"


def refused(recipe: str) -> str:
    """The mark that acceptance refused what this recipe gives."""
    return f"{RENDERED}{_recipe(recipe)}.refused"


def job_folder(job: str) -> str:
    """Prefix of everything that a job owns but its inputs."""
    return f"{JOBS}{_checked(_JOB, job, what='job', wanted='an id like 20261122-181530-k3f9ab')}/"


def jobs_since(job: str) -> str:
    """Prefix of all jobs whose ids begin with the same second."""
    return job_folder(job).rpartition("-")[0] + "-"


def is_job(name: str) -> bool:
    """Whether a name is an id of a job."""
    return _JOB.fullmatch(name) is not None


def job_json(job: str) -> str:
    return f"{job_folder(job)}job.json"


def plan_json(job: str) -> str:
    return f"{job_folder(job)}plan.json"


def speech_pcm(job: str) -> str:
    """16 kHz mono s16 without a header, read by range."""
    return f"{job_folder(job)}speech.pcm"


def speech_m4a(job: str) -> str:
    """The AAC that the result will carry."""
    return f"{job_folder(job)}speech.m4a"


def decision(job: str, name: Decision) -> str:
    """The small object that makes a decision outlive the books."""
    return f"{job_folder(job)}{name}.json"


def cleaned(job: str) -> str:
    """The mark that a job's segments were removed: nothing of it can be rendered again."""
    return f"{job_folder(job)}{CLEANED}"


def forgotten(job: str) -> str:
    """The mark that a job is being removed: nothing brings it back."""
    return f"{job_folder(job)}{FORGOTTEN}"


def redo_folder(job: str) -> str:
    """Prefix of all decisions to render chunks of a job again."""
    return f"{job_folder(job)}redo/"


def redo(job: str, chunk: int, decided: str) -> str:
    """decided: the redo's number and a suffix, as an attempt has them: two people may decide at once."""
    return f"{redo_folder(job)}{_number('chunk', chunk)}/{_attempt(decided)}.json"


def rollbacks_folder(job: str) -> str:
    """Prefix of all decisions that an older version is the current one."""
    return f"{job_folder(job)}current/"


def rollback(job: str, decided: str) -> str:
    """One of them. decided: a number above every version's until then and a suffix: two people may decide at once."""
    return f"{rollbacks_folder(job)}{_attempt(decided)}.json"


def batch_folder(batch: str) -> str:
    """Prefix of everything that a batch owns; its jobs have folders of their own."""
    return f"{BATCHES}{_checked(_JOB, batch, what='batch', wanted='an id like 20261122-181530-k3f9ab')}/"


def batch_json(batch: str) -> str:
    return f"{batch_folder(batch)}batch.json"


def batch_of(key: str) -> str | None:
    """The batch whose batch.json a key names; None for any other key."""
    found = re.fullmatch(f"{BATCHES}({_JOB.pattern})/batch\\.json", key)
    return found[1] if found else None


def batch_jobless(batch: str) -> str:
    """The rows of its manifest that were wrong, or the same as another, when it was submitted last."""
    return f"{batch_folder(batch)}jobless.json"


def batch_rows_folder(batch: str) -> str:
    return f"{batch_folder(batch)}rows/"


def batch_rows(batch: str, submit: str) -> str:
    """Which jobs the rows of one submit become. submit: an id that begins with its time."""
    return f"{batch_rows_folder(batch)}{_checked(_JOB, submit, what='submit', wanted='an id like a batch has')}.json"


def batch_name(digest: str) -> str:
    """Which batch has a name, by the digest of owner and name."""
    return f"{BATCHES}names/{_checked(_SHA256, digest, what='name', wanted='64 hexadecimal digits')}.json"


def batch_decision(batch: str, name: BatchDecision) -> str:
    """The small object that makes a decision about a batch outlive the books."""
    return f"{batch_folder(batch)}{name}.json"


def batch_pilot(batch: str) -> str:
    """Which batch has its clips, and what each stands for."""
    return f"{batch_folder(batch)}pilot.json"


def released(batch: str, suffix: str) -> str:
    """One decision to let rows of a batch go: two people may decide at once."""
    name = _checked(_RELEASE, suffix, what="release", wanted="8 hexadecimal digits")
    return f"{batch_folder(batch)}released/{name}.json"


def is_release(key: str) -> bool:
    """Whether a key is one of those."""
    return re.fullmatch(rf"{BATCHES}{_JOB.pattern}/released/{_RELEASE.pattern}\.json", key) is not None


def segments_folder(job: str, chunk: int | None = None) -> str:
    """Prefix of all segments of a job, or of one chunk's."""
    folder = f"{job_folder(job)}segments/"
    return folder if chunk is None else f"{folder}{_number('chunk', chunk)}/"


def segment(job: str, chunk: int, attempt: str, file: SegmentFile) -> str:
    return f"{segments_folder(job, chunk)}{_attempt(attempt)}/{file}"


def seam(job: str, chunk: int, attempt: str, before: str, file: SeamFile) -> str:
    """The seam between a chunk's segment and that of the chunk before. before: the attempt which made that one."""
    return f"{segments_folder(job, chunk)}{_attempt(attempt)}/seam-{_attempt(before)}.{file}"


def results_folder(job: str) -> str:
    return f"{job_folder(job)}results/"


def result(job: str, version: int, file: ResultFile) -> str:
    return f"{results_folder(job)}{_number('version', version)}/{file}"


def logs_folder(job: str, unit: str | int | None = None) -> str:
    """Prefix of all logs of a job, or of one unit's ("plan", "stitch" or a chunk's number)."""
    folder = f"{job_folder(job)}logs/"
    if unit is None:
        return folder
    return f"{folder}{_checked(_UNIT, str(unit), what='unit', wanted='plan, stitch or a chunk number')}/"


def log(job: str, unit: str | int, attempt: str) -> str:
    return f"{logs_folder(job, unit)}{_attempt(attempt)}.log"


def claims_folder(inbox: str) -> str:
    """Prefix of all claims of an inbox."""
    return (
        f"{INBOXES}{_checked(re.compile('[0-9a-f]{16}'), inbox, what='inbox', wanted='16 hexadecimal digits')}/claims/"
    )


def claim(inbox: str, token: str) -> str:
    """The record that files were taken."""
    known = _checked(re.compile("[0-9a-f]{32}"), token, what="claim", wanted="32 hexadecimal digits")
    return f"{claims_folder(inbox)}{known}.json"


def _recipe(recipe: str) -> str:
    return _checked(_SHA256, recipe, what="recipe", wanted="64 hexadecimal digits")


def probe(sha256: str) -> str:
    """What a known-good render should look like. sha256: of what decides its frames."""
    return f"probes/{_checked(_SHA256, sha256, what='probe', wanted='64 hexadecimal digits')}.json"


def _attempt(attempt: str) -> str:
    return _checked(_ATTEMPT, attempt, what="attempt", wanted="a number and a suffix, like 1-k3f9ab")


def _number(what: str, value: int) -> str:
    return _checked(re.compile("[0-9]{1,9}"), str(value), what=what, wanted="a number of 0 or more")


def _checked(pattern: re.Pattern[str], value: str, *, what: str, wanted: str) -> str:
    if not pattern.fullmatch(value):
        raise NotFoundError(f"there is no {what} {value!r}, wanted {wanted}")
    return value
