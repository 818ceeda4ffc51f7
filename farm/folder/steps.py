"""The steps of a claim, from its files in the inbox to its end; each may be made again from its beginning."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import CorruptObjectError, InputRefusedError, NotAllowedError, NotFoundError, ReplacedError
from farm.folder.courses import Courses
from farm.folder.kept import held_by_others, keep_claim, note_ends
from farm.folder.moves import Moves
from farm.folder.names import ERROR_SUFFIX
from farm.folder.pairs import Desk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from farm.folder.claims import Claim, File
    from farm.folder.inbox import Inbox
    from farm.service import Farm
    from farm.storage.s3 import Storage

log = logging.getLogger(__name__)

FEW_FILES, MOVES_AT_ONCE = 4, 8
"""A manifest has thousands of files, a pair two, and many pairs are in hand at once."""


class Steps:
    """What is done with claims of one inbox: enter, stow, end, and take up once more."""

    def __init__(self, farm: Farm, inbox: Inbox, storage: Storage) -> None:
        self._farm = farm
        self._inbox = inbox
        self._moves = Moves(storage, inbox)
        self._desk = Desk(farm, storage, inbox)
        self.courses = Courses(farm, storage, inbox)

    def step(self, claim: Claim) -> Claim:
        """The next one; a claim that stays at its stage waits for another, which its `trouble` names."""
        if claim.stage == "claimed":
            return self._enter(claim)
        if claim.stage == "entered":
            return self._stow(claim)
        if claim.stage == "retried":
            return self._take_up(claim)
        return self._end(claim)

    def _enter(self, claim: Claim) -> Claim:
        keep_claim(self._farm.storage, self._inbox, claim)
        try:
            if not claim.is_manifest:
                return self._desk.enter(claim)
            found = self.courses.enter(claim)
        except InputRefusedError as refusal:
            found = claim.failed("check", refusal.code, refusal.problems)
        except (NotAllowedError, NotFoundError) as error:  # a batch of its name was cancelled; the file is gone
            found = claim.failed("check", error.code, [str(error)])
        except ReplacedError as error:
            found = replace(claim, stage="released", reason=str(error))
        keep_claim(self._farm.storage, self._inbox, found)  # the reason or the batch, before a file moves
        return found

    def _stow(self, claim: Claim) -> Claim:
        self._each(claim, lambda file: self._moves.out_of_inbox(file, self._inbox.processing))
        return replace(claim, stage="running")

    def _take_up(self, claim: Claim) -> Claim:
        """Take back what lies in failed/, as if nothing had failed: the books have its job go on."""
        keep_claim(self._farm.storage, self._inbox, claim)  # before a file moves
        errors = errors_of(claim)
        ours = {path for path, error in errors.items() if not self._is_anothers(path, error)}

        def take_back(file: File) -> None:
            if (file.path if file.path in errors else claim.main.path) in ours:
                self._take_back(file)

        self._each(claim, take_back)
        for path in ours:  # last: they say whose files lie there
            self._moves.storage.delete(self._inbox.failed + path + ERROR_SUFFIX)
        taken_up = replace(claim, stage="running", outcome="done", at="", code="", reason="", problems=())
        return replace(taken_up, values={**claim.values, "followed": True})

    def _is_anothers(self, path: str, error: Mapping[str, object]) -> bool:
        """Whether the error that lies beside a file in failed/ is of a later upload of its name, so the file is too."""
        try:
            found = self._moves.storage.get_json(self._inbox.failed + path + ERROR_SUFFIX)
        except NotFoundError:
            return False
        except CorruptObjectError:
            return True
        return not isinstance(found, dict) or any(found.get(one) != error[one] for one in ("job", "batch", "reason"))

    def _take_back(self, file: File) -> None:
        try:
            self._moves.on(file, self._inbox.failed, self._inbox.processing)
        except CorruptObjectError as error:  # another file lies there by now, and the video is delivered all the same
            log.warning("%s: %s stays in failed/: %s", self._inbox.url, file.path, error)

    def _end(self, claim: Claim) -> Claim:
        if claim.is_manifest and claim.batch:
            claim = self.courses.over(claim)
        elif claim.outcome == "done":
            result = self._farm.job(claim.job).view().result or ""
            claim = replace(claim, result=self.courses.deliver(claim, result, claim.main.path))
        for path, error in errors_of(claim).items():
            self._moves.storage.put_json(self._inbox.failed + path + ERROR_SUFFIX, error)
        self._each(claim, lambda file: self._put_away(file, claim))
        values = claim.values if claim.outcome == "failed" and claim.batch else {}  # its rows may be retried
        ended = replace(claim, stage=claim.outcome, values=values, trouble="")
        keep_claim(self._farm.storage, self._inbox, ended)
        note_ends(self._farm.books, self._inbox, [ended])
        return ended

    def _put_away(self, file: File, claim: Claim) -> None:
        place = self._inbox.failed if claim.has_failed(file) else self._inbox.done
        if not self._moves.on(file, self._inbox.processing, place):
            self._moves.out_of_inbox(file, place)

    def _each(self, claim: Claim, move: Callable[[File], object]) -> None:
        """Move its files, but none whose name has got to another open claim for another content."""
        paths = [file.path for file in claim.moving]
        held = held_by_others(self._farm.books, self._inbox, claim.token, paths)
        files = [file for file in claim.moving if file.path not in held or held[file.path].etag == file.etag]
        if len(files) <= FEW_FILES:
            for file in files:
                move(file)
            return
        with ThreadPoolExecutor(MOVES_AT_ONCE) as pool:
            list(pool.map(move, files))


def ended_by(claim: Claim, fields: Mapping[str, str | None]) -> Claim:
    """A claim whose job has ended. fields: of the job in the books."""
    if fields["state"] == "done":
        return replace(claim, stage="ending", outcome="done")
    if fields["state"] is None:
        return claim.failed("render", "not_found", [f"job {claim.job} is not in the books any more"])
    return claim.failed("render", fields["error_code"] or "failed", [fields["error_message"] or "the job failed"])


def errors_of(claim: Claim) -> dict[str, dict[str, object]]:
    """What `<name>.error.json` says, by path. stage: "check" before a job was made, "render" after."""
    if claim.outcome != "failed":
        return {}
    of_all: dict[str, object] = {
        "stage": claim.at,
        "code": claim.code,
        "reason": claim.reason,
        "problems": list(claim.problems),
        "job": claim.job or None,
        "batch": claim.batch or None,
        "files": [file.path for file in claim.files],
        "at": time.time(),
    }
    of_each = {path: {**of_all, "reason": why, "problems": [why], "files": [path]} for path, why in claim.wrong.items()}
    return {**of_each, claim.main.path: of_all}
