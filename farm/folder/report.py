"""What became of every file of an inbox, and another try for those that failed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from farm.errors import NotFoundError, StorageError
from farm.folder.claims import Claim, token_of
from farm.folder.kept import keep_claim, note_ends
from farm.folder.moves import Moves
from farm.folder.names import ERROR_SUFFIX
from farm.folder.watch import Watcher
from farm.jobs import inboxes as books_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from farm.folder.claims import File
    from farm.folder.inbox import Inbox
    from farm.jobs.inboxes import LookNote
    from farm.service import Farm

STATES = {
    "claimed": "taken", "entered": "taken", "running": "rendering", "retried": "rendering", "ending": "ending"
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class InboxView:
    """An inbox as the books know it. claims: how many are at each stage; look: what was found last, if anybody looked.

    troubles: claims whose last step went wrong, or waits for another claim, and is tried again.
    """

    url: str
    claims: dict[str, int]
    look: LookNote | None
    troubles: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """A file of an inbox. state: waiting, unpaired, held ...; taken, rendering, ending; done, failed, released.

    words: why it is not taken, or why it failed. result: s3:// URL of the video.
    """

    path: str
    state: str
    words: str = ""
    job: str = ""
    batch: str = ""
    result: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Redriven:
    """Claims that are tried again, by their files' names, and those that cannot be: name -> why."""

    again: tuple[str, ...]
    refused: dict[str, str]


def inbox_view(farm: Farm, inbox: Inbox) -> InboxView:
    """How an inbox stands, without looking at it: only the books are asked."""
    open_ones = [Claim.from_json(record) for record in books_of.open_records(farm.books, inbox.id)]
    return InboxView(
        url=inbox.url,
        claims=books_of.claim_counts(farm.books, inbox.id),
        look=books_of.last_look(farm.books, inbox.id),
        troubles=tuple(f"{claim.main.path}: {claim.trouble}" for claim in open_ones if claim.trouble),
    )


def file_rows(farm: Farm, inbox: Inbox) -> Iterator[FileRow]:
    """A row for every file that was taken, the oldest first, then for every file that lies in the inbox now."""
    claims = {claim.token: claim for claim in sorted(_claims(farm, inbox), key=lambda claim: claim.taken)}
    for claim in claims.values():
        yield from (_row(claim, file) for file in claim.moving)
    found = Watcher(farm, inbox).examine()
    for note in sorted(found.notes, key=lambda note: note.path):
        yield FileRow(path=note.path, state=note.why, words=note.words)
    for wanted in found.wanted:
        before = claims.get(token_of(inbox, wanted.files))
        if before is not None and not before.ended:
            continue  # it is being taken at this moment, and has its rows
        again = before is not None and before.stage != "released"
        words = "this very content was taken before under this name" if again else ""
        for file in wanted.files:
            if not file.stays:
                yield FileRow(path=file.path, state="taken before" if again else "waiting", words=words)


def _row(claim: Claim, file: File) -> FileRow:
    state, words = STATES.get(claim.stage, claim.stage), claim.trouble or claim.reason
    if claim.batch and claim.ended and file.role != "manifest":  # of a manifest's files each went its own way
        state = "failed" if claim.has_failed(file) else "done"
        words = claim.wrong.get(file.path, "no row gave a video" if state == "failed" else "")
    result = claim.results.get(file.path, claim.result)
    return FileRow(path=file.path, state=state, words=words, job=claim.job, batch=claim.batch, result=result)


def redrive(farm: Farm, inbox: Inbox, names: Collection[str], *, everything: bool = False) -> Redriven:
    """Put files of failed claims back into the inbox, to be taken once more under the defaults as they are now.

    names: paths in the inbox, or folders with a slash at their end. Raises NotFoundError for a name of which nothing
    failed.
    """
    claims = sorted(_claims(farm, inbox), key=lambda claim: claim.taken)
    failed = [claim for claim in claims if claim.stage == "failed"]
    meant = {claim.main.path for claim in failed if everything or any(_is_meant(claim, name) for name in names)}
    if missing := [name for name in names if not any(_is_meant(claim, name) for claim in failed)]:
        raise NotFoundError(f"nothing of {', '.join(map(repr, missing))} failed in {inbox.url}")
    moves = Moves(farm.storage.beside(inbox.bucket), inbox)
    claims.sort(key=lambda claim: not claim.took_nothing)  # such a one counts only where there is no other
    last = {claim.main.path: claim for claim in claims if claim.main.path in meant}
    refused = {}
    for path, claim in last.items():
        try:
            why = _put_back(farm, inbox, moves, claim)
        except StorageError as error:  # of this one: others may go on
            why = str(error)
        if why:
            refused[path] = why
    books_of.bump(farm.books, inbox.id)
    return Redriven(tuple(path for path in last if path not in refused), refused)


def _put_back(farm: Farm, inbox: Inbox, moves: Moves, claim: Claim) -> str | None:
    """Why it cannot be; None when it is done. May be made again from its beginning.

    claim: the last of its name; files of earlier ones were written over.
    """
    if claim.stage != "failed":
        now = "waiting" if claim.stage == "released" else STATES.get(claim.stage, claim.stage)
        return f"it failed, but its name was uploaded again since, and that is {now}"
    if going_on := books_of.going_on(farm.books, claim.failed_jobs):
        return f"its job {going_on[0]} was retried, and its video will be delivered when that is done"
    for file in claim.moving:
        moves.back_into_inbox(file, inbox.failed)
        moves.storage.delete(inbox.failed + file.path + ERROR_SUFFIX)
    needed = [claim.main] if claim.is_manifest else claim.moving  # what else a manifest names is found where it lies
    if gone := [file.path for file in needed if moves.storage.head(inbox.prefix + file.path) is None]:
        return f"{', '.join(gone)} is neither in {inbox.failed} nor in the inbox, upload it again"
    released = replace(claim, stage="released")
    keep_claim(farm.storage, inbox, released)
    books_of.release(farm.books, inbox.id, claim.token, released.to_json())
    note_ends(farm.books, inbox, [released])
    return None


def _is_meant(claim: Claim, name: str) -> bool:
    return any(file.path == name or (name.endswith("/") and file.path.startswith(name)) for file in claim.moving)


def _claims(farm: Farm, inbox: Inbox) -> Iterator[Claim]:
    return (Claim.from_json(record) for record in books_of.claim_records(farm.books, inbox.id))
