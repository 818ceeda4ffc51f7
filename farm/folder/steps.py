"""The steps of a claim, from its files in the inbox to its end; each may be made again from its beginning."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import InputRefusedError, NotFoundError, ReplacedError
from farm.folder.kept import keep_claim
from farm.folder.names import ERROR_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.folder.claims import Claim
    from farm.folder.inbox import Inbox
    from farm.folder.moves import Moves
    from farm.folder.pairs import Desk
    from farm.service import Farm


class Steps:
    """What is done with claims of one inbox: enter, stow, end."""

    def __init__(self, farm: Farm, inbox: Inbox, moves: Moves, desk: Desk) -> None:
        self._farm = farm
        self._inbox = inbox
        self._moves = moves
        self._desk = desk

    def step(self, claim: Claim) -> Claim:
        """The next one."""
        if claim.stage == "claimed":
            return self._enter(claim)
        if claim.stage == "entered":
            return self._stow(claim)
        return self._end(claim)

    def _enter(self, claim: Claim) -> Claim:
        keep_claim(self._farm.storage, self._inbox, claim)
        try:
            return self._desk.enter(claim)
        except InputRefusedError as refusal:
            found = claim.failed("check", refusal.code, refusal.problems)
        except NotFoundError as error:
            found = claim.failed("check", error.code, [str(error)])
        except ReplacedError as error:
            found = replace(claim, stage="released", reason=str(error), tries=claim.tries)
        keep_claim(self._farm.storage, self._inbox, found)  # the reason, before a file moves
        return found

    def _stow(self, claim: Claim) -> Claim:
        for file in claim.moving:
            self._moves.out_of_inbox(file, self._inbox.processing)
        return replace(claim, stage="running")

    def _end(self, claim: Claim) -> Claim:
        done = claim.outcome == "done"
        place = self._inbox.done if done else self._inbox.failed
        if done:
            claim = replace(claim, result=self._deliver(claim))
        for file in claim.moving:
            if not self._moves.on(file, self._inbox.processing, place):
                self._moves.out_of_inbox(file, place)
        if not done:
            self._moves.storage.put_json(place + claim.main.path + ERROR_SUFFIX, error_of(claim))
        ended = replace(claim, stage=claim.outcome, values={}, trouble="")
        keep_claim(self._farm.storage, self._inbox, ended)
        return ended

    def _deliver(self, claim: Claim) -> str:
        """Copy the video to where people look for it; its URL."""
        result = self._farm.job(claim.job).view().result or ""
        target, storage = self._inbox.result(claim.main.path), self._farm.storage
        storage.beside(target.bucket).copy_from(storage.address(result), target.key, size=storage.size(result))
        return str(target)


def ended_by(claim: Claim, fields: Mapping[str, str | None]) -> Claim:
    """A claim whose job has ended. fields: of the job in the books."""
    if fields["state"] == "done":
        return replace(claim, stage="ending", outcome="done")
    if fields["state"] is None:
        return claim.failed("render", "not_found", [f"job {claim.job} is not in the books any more"])
    return claim.failed("render", fields["error_code"] or "failed", [fields["error_message"] or "the job failed"])


def error_of(claim: Claim) -> dict[str, object]:
    """What `<name>.error.json` says. stage: "check" before a job was made, "render" after."""
    return {
        "stage": claim.at,
        "code": claim.code,
        "reason": claim.reason,
        "problems": list(claim.problems),
        "job": claim.job or None,
        "batch": claim.batch or None,
        "files": [file.path for file in claim.files],
        "at": time.time(),
    }
