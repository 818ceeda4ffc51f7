"""`python -m farm.folder.watch`: looks at inboxes, takes what is settled, and follows it to its end.

Any number may watch one inbox: the books give each claim once, and each step of it to one watcher at a time.
"""

from __future__ import annotations

import logging
import shlex
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import FarmError, SettingsError, UnreachableError
from farm.folder.claims import Claim, token_of
from farm.folder.defaults import Defaults, read_defaults, refuse_long
from farm.folder.find import Eyes, Found, Note, Seen, Wanted, find, seen_in
from farm.folder.inbox import Inbox, inboxes
from farm.folder.kept import entry_of, make_known
from farm.folder.look import Listing, list_inbox
from farm.folder.names import stem_of
from farm.folder.steps import Steps, ended_by
from farm.jobs import inboxes as books_of
from farm.logs import log_to_stderr
from farm.service import Farm
from farm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.folder.find import Why
    from farm.storage.s3 import ObjectInfo

log = logging.getLogger("farm.folder.watch")  # __name__ is __main__ in a process of its own

STEPS_AT_ONCE = 8
BEAT_SECONDS = books_of.LEASE_SECONDS / 4
IDLE_SECONDS = 0.5
PASSING_SECONDS, TROUBLE_SECONDS = 5.0, 60.0
"""When a claim is tried again whose step met a server that did not answer, or one that refused."""
MOST_PROBLEMS = 50
MAY_BE_TAKEN: tuple[Why, ...] = ("settling", "unpaired", "held", "stopped")
"""Why what is not taken waits: the others stay where they are unless they are uploaded anew."""
MOST_STARTS = 5
"""How often a claim is begun whose watchers die of it."""


class Watcher:
    """Watches one inbox."""

    def __init__(self, farm: Farm, inbox: Inbox) -> None:
        self.inbox = inbox
        self._farm = farm
        self._books = farm.books
        self._storage = farm.storage.beside(inbox.bucket)
        self._steps = Steps(farm, inbox, self._storage)
        self._seen: Seen = {}
        self._defaults: dict[tuple[str, str], Defaults] = {}
        self._in_hand: set[str] = set()
        self._told: set[str] = set()
        self._bumps = 0
        self._looked = float("-inf")

    def look_is_due(self) -> bool:
        """Whether it is time, or somebody asked for it."""
        due = time.monotonic() - self._looked >= self._farm.settings.inbox_seconds
        return due or books_of.bumps(self._books, self.inbox.id) != self._bumps

    def look(self) -> Found:
        """List the inbox and claim what is settled; what is left has a note each."""
        make_known(self._farm, self.inbox)
        self._follow_retried()
        self._looked, self._bumps = time.monotonic(), books_of.bumps(self._books, self.inbox.id)
        listing = list_inbox(self._storage, self.inbox)
        found = self._judged(listing)
        self._seen = seen_in(listing)
        self._claim(found)
        self._tell(listing, found)
        return found

    def examine(self) -> Found:
        """List the inbox and judge it as if everything had been seen before; nothing is claimed."""
        listing = list_inbox(self._storage, self.inbox)
        self._seen = seen_in(listing)
        return self._judged(listing)

    def eyes(self) -> Eyes:
        return Eyes(self.inbox, self._seen, self._farm.settings.inbox_settle_seconds, self._read_defaults)

    def work(self) -> int:
        """Make the steps of claims whose time has come; how many claims got further."""
        due = books_of.due(self._books, self.inbox.id, few=2 * STEPS_AT_ONCE)
        claims = [_unless_it_kills(Claim.from_json(record), starts) for record, starts in due]
        tokens = {claim.token for claim in claims}
        self._in_hand |= tokens
        try:
            going = self._follow(claims)
            with ThreadPoolExecutor(STEPS_AT_ONCE) as pool:
                list(pool.map(self._advance, going))
            return len(going)
        finally:
            self._in_hand -= tokens

    def beat(self) -> None:
        """Keep the claims that are worked on from other watchers."""
        if tokens := list(self._in_hand):
            books_of.later(self._books, self.inbox.id, tokens, seconds=books_of.LEASE_SECONDS)

    def _follow_retried(self) -> None:
        """Open claims again that failed by jobs which go on: wherever people asked for that, they want the videos."""
        failed = map(Claim.from_json, books_of.retried(self._books, self.inbox.id))
        claims = [replace(claim, stage="retried") for claim in failed]
        words = books_of.claim(self._books, self.inbox.id, [entry_of(claim, again="failed") for claim in claims])
        for claim, (word, _) in zip(claims, words, strict=True):
            if word == "new":
                log.info("%s: %s is followed once more: its job was retried", self.inbox.url, claim.main.path)

    def _judged(self, listing: Listing) -> Found:
        """What is found in a listing, with where the other half lies of what was uploaded again alone."""
        found = find(listing, self.eyes())
        stems = {note.path: stem_of(note.path) for note in found.notes if note.why == "unpaired"}
        failed = books_of.last_failures(self._books, self.inbox.id, set(stems.values()))
        for place, note in enumerate(found.notes):
            record = failed.get(stems.get(note.path, ""))
            if record and (words := self._left_behind(note, Claim.from_json(record), listing)):
                found.notes[place] = replace(note, words=f"{note.words}; {words}")
        return found

    def _left_behind(self, note: Note, claim: Claim, listing: Listing) -> str | None:
        """What of a failed claim was not uploaded again with this file of it, and what to do."""
        paths = [file.path for file in claim.moving]
        gone = [path for path in paths if listing.file(path) is None]
        if claim.stage != "failed" or note.path not in paths or not gone:
            return None
        command = f"`farm folder redrive {self.inbox.url} {shlex.quote(claim.main.path)}`"
        return f"{', '.join(gone)} went to failed/ with an earlier upload of it: upload that again too, or {command}"

    def _claim(self, found: Found) -> None:
        made = [self._made(wanted) for wanted in found.wanted]
        words = books_of.claim(self._books, self.inbox.id, [entry_of(claim) for claim in made])
        again = []
        for claim, (word, record) in zip(made, words, strict=True):
            if word == "released" and record is not None:
                again.append(replace(claim, tries=Claim.from_json(record).tries + 1))
            elif word != "new":
                found.notes += [_known(file.path, word) for file in claim.moving]
        books_of.claim(self._books, self.inbox.id, [entry_of(claim, again="released") for claim in again])
        if new := sum(word == "new" for word, _ in words) + len(again):
            log.info("%s: %d claimed", self.inbox.url, new)

    def _made(self, wanted: Wanted) -> Claim:
        token = token_of(self.inbox, wanted.files)
        return Claim(token=token, files=wanted.files, values=wanted.values, taken=time.time())

    def _follow(self, claims: Sequence[Claim]) -> list[Claim]:
        """Those with something to do; the others, whose jobs go on, are asked about later, all in one go."""
        running = [claim for claim in claims if claim.stage == "running" and not claim.batch]
        with self._books.reaching(), self._books.client.pipeline() as pipe:  # all of one moment
            for claim in running:
                pipe.hmget(f"farm:job:{claim.job}", *_OF_A_JOB)
            pipe.hexists(books_of.INBOXES, self.inbox.id)
            *found, known = pipe.execute()
        if not known:  # the books were emptied since these were due: the next look brings them back, and their jobs
            return []
        fields = [dict(zip(_OF_A_JOB, values, strict=True)) for values in found]
        over = {
            claim.token: ended_by(claim, of_job)
            for claim, of_job in zip(running, fields, strict=True)
            if of_job["state"] in _OVER
        }
        for claim in claims:
            if claim.stage == "running" and claim.batch and self._steps.courses.has_ended(claim):
                over[claim.token] = replace(claim, stage="ending")
        waiting = [claim.token for claim in claims if claim.stage == "running" and claim.token not in over]
        books_of.later(self._books, self.inbox.id, waiting, seconds=self._farm.settings.inbox_seconds)
        return [over.get(claim.token, claim) for claim in claims if claim.token not in set(waiting)]

    def _advance(self, claim: Claim) -> None:
        """As many steps as can be made now."""
        try:
            while not claim.ended and (claim.stage != "running"):
                before, claim = claim.stage, self._steps.step(claim)
                waits = claim.stage in {before, "running"}
                pause = self._farm.settings.inbox_seconds if waits else books_of.LEASE_SECONDS
                books_of.keep(self._books, self.inbox.id, entry_of(claim), seconds=pause)
                if claim.stage == before:
                    return
            log.info("%s: %s is %s", self.inbox.url, claim.main.path, claim.stage)
        except UnreachableError as error:
            log.warning("%s: %s waits: %s", self.inbox.url, claim.main.path, error)
            books_of.keep(self._books, self.inbox.id, entry_of(claim), seconds=PASSING_SECONDS)
        except Exception as error:  # one file must not stop the others; it is logged, shown and tried again
            log.exception("%s: %s is in trouble", self.inbox.url, claim.main.path)
            troubled = replace(claim, trouble=str(error))
            books_of.keep(self._books, self.inbox.id, entry_of(troubled), seconds=TROUBLE_SECONDS)

    def _read_defaults(self, path: str, item: ObjectInfo) -> Defaults:
        known = path, item.etag
        if known not in self._defaults:
            refuse_long(item.size)
            self._defaults[known] = read_defaults(self._storage.get_bytes(item.key), path)
        return self._defaults[known]

    def _tell(self, listing: Listing, found: Found) -> None:
        """Leave word of a look in the books, and in the log of what begins to lack its other half for too long."""
        waiting = Counter[str](note.why for note in found.notes)
        found_wrong = problems(found, listing.at - self._farm.settings.inbox_unpaired_seconds)
        unpaired = [note for note in found_wrong if note.why == "unpaired"]
        look = books_of.LookNote(
            at=listing.at,
            files=listing.files,
            folders=len(listing.folders),
            seconds=listing.seconds,
            waiting=dict(waiting),
            backlog=sum(waiting[why] for why in MAY_BE_TAKEN),
            unpaired=len(unpaired),
            problems=tuple(in_words(found_wrong)),
        )
        books_of.note_look(self._books, self.inbox.id, look)
        for words in in_words([note for note in unpaired if note.path not in self._told]):
            log.warning("%s: %s", self.inbox.url, words)
        self._told = {note.path for note in unpaired}


_OF_A_JOB = ("state", "error_code", "error_message")
_OVER = {"done", "failed", "cancelled", None}


def problems(found: Found, oldest: float) -> list[Note]:
    """What a person should know of, by name: refused, stopped, or without its other half since before `oldest`."""
    meant = (
        note
        for note in found.notes
        if note.why in {"refused", "stopped"} or (note.why == "unpaired" and note.since <= oldest)
    )
    return sorted(meant, key=lambda note: note.path)


def in_words(notes: Sequence[Note]) -> list[str]:
    """A sentence about each of the first MOST_PROBLEMS, and how many more there are."""
    more = len(notes) - MOST_PROBLEMS
    rest = [f"and {more} more, `farm folder report` has every one"] if more > 0 else []
    return [f"{note.path}: {note.words}" for note in notes[:MOST_PROBLEMS]] + rest


def _unless_it_kills(claim: Claim, starts: int) -> Claim:
    """The claim, failed where too many watchers began it and were not heard of again: a decoder may crash."""
    if claim.stage != "claimed" or starts < MOST_STARTS:
        return claim
    words = f"{starts} watchers died while they looked at it, or were killed for want of memory: mend the file"
    return claim.failed("check", "watcher_died", [words])


def _known(path: str, word: books_of.Word) -> Note:
    if word == "known":
        words = "this very content was taken before under this name: upload another, or `farm folder redrive`"
        return Note(path, "taken before", words, 0.0)
    words = "an earlier upload of this name is not finished yet" if word == "busy" else "it is being taken"
    return Note(path, "in hand", words, 0.0)


def watch(farm: Farm, urls: Sequence[str], over: threading.Event) -> None:
    """Watch inboxes until `over` is set. Raises SettingsError where they cannot be watched."""
    watchers = [Watcher(farm, inbox) for inbox in inboxes(urls, farm.settings)]
    if not watchers:
        raise SettingsError("inboxes is empty, wanted s3://bucket/folder")
    for watcher in watchers:
        log.info("watching %s", watcher.inbox.url)
    with _beating(watchers):
        while not over.wait(IDLE_SECONDS):
            for watcher in watchers:
                try:
                    _round(watcher, over)
                except FarmError as error:
                    log.warning("%s: no look: %s", watcher.inbox.url, error)
                    over.wait(PASSING_SECONDS)


def _round(watcher: Watcher, over: threading.Event) -> None:
    if watcher.look_is_due():
        watcher.look()
    while not over.is_set() and watcher.work() and not watcher.look_is_due():
        pass


@contextmanager
def _beating(watchers: Sequence[Watcher]) -> Iterator[None]:
    """Keep what is worked on, from a thread of its own: a large file may take minutes."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            for watcher in watchers:
                try:
                    watcher.beat()
                except FarmError as error:
                    log.warning("%s: claims in hand could not be kept: %s", watcher.inbox.url, error)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main() -> int:
    """Run until SIGTERM or Ctrl-C."""
    try:
        settings = Settings.load()
        log_to_stderr(settings)
        over = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: over.set())
        with Farm(settings) as farm:
            watch(farm, settings.inboxes, over)
    except FarmError as error:
        log.error("%s", error)  # noqa: TRY400 - an error of ours is its sentence
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
