"""A checked batch into the books: each row once, however often and however rudely the submit was interrupted.

Storage learns which job each row becomes before there is any of them, so a submit that is run again finds its way:
what the books have is there, what storage alone has is recovered, the rest is entered under the id it was given.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from farm import submission
from farm.batch import decided, kept
from farm.batch.check import AT_ONCE, CheckedRow, Right, local_file
from farm.batch.jobless import Jobless, keep_jobless
from farm.batch.kept import Asked, Place
from farm.errors import InputRefusedError, NotAllowedError, StorageError
from farm.jobs.batches import batch_named, batch_numbers, batch_row, note_batch
from farm.jobs.hooks import batch_is_entered
from farm.jobs.request import InBatch, row_token
from farm.recover import recover
from farm.storage import keys
from farm.storage.s3 import FRESH_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.jobs.batches import BatchState
    from farm.jobs.request import JobRequest
    from farm.service import Farm
    from farm.storage.s3 import ObjectInfo

ENTER_AT_ONCE = 8
"""Jobs on their way to storage and books together."""
Wanted = dict[str, tuple[int, Right]]
"""Rows that are right, by token, each with its line in the manifest."""
OnStep = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is asked of a batch as a whole. max_failures: as a number or "5%", None for any number or what was said
    before. limit: most slots at once, None for what was said before. webhook: a URL that is told how it ends. held:
    nothing begins until it is released.
    """

    name: str
    owner: str
    manifest: str
    max_failures: str | None = None
    limit: int | None = None
    webhook: str = ""
    held: bool = False

    def __post_init__(self) -> None:
        problems = submission.label_problems(name=self.name, owner=self.owner)
        if problems:
            raise InputRefusedError(problems)


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What a submit did. created: jobs that are new; known: rows that were jobs of the batch already. twins: rows that
    are the same as another. refused: rows that were wrong. gone: jobs of the batch that the manifest no longer names.
    state: of the batch. pilot: the batch that has the clips, if there is one.
    """

    id: str
    name: str
    created: int
    known: int
    gone: int
    twins: tuple[Jobless, ...]
    refused: tuple[CheckedRow, ...]
    state: BatchState
    pilot: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(replace(self, refused=())),
            "twins": [{"row": twin.row, "same_as": twin.same_as} for twin in self.twins],
            "refused": [row.to_dict() for row in self.refused],
        }


def submit_rows(farm: Farm, rows: Sequence[CheckedRow], terms: Terms, on_step: OnStep) -> Submitted:
    """Make jobs of the rows that are right. Raises NotAllowedError for a batch that was cancelled, also meanwhile."""
    asked = _begun(farm, terms)
    wanted, doubled = _by_token(farm, asked.id, rows)
    before = kept.places_of(farm.storage, asked.id)
    there = _there(farm, asked.id, before)
    before = _entered(farm, before, there)
    places = _placed(farm, asked, wanted, before, lines=max(row.row.number for row in rows))
    refused = tuple(row for row in rows if row.right is None)
    twins = tuple(replace(twin, same_as=places[token].row) for twin, token in doubled)
    wrong = (Jobless(row.row.number, row.row.name, row.problems) for row in refused)
    keep_jobless(farm.storage, asked.id, (*wrong, *twins))
    note_batch(farm.books, asked.id, refused=len(refused))
    pending = {token: right for token, (_, right) in wanted.items() if places[token].job not in there}
    _store(farm, pending.values(), on_step)
    entering = [(right, token, places[token]) for token, right in pending.items()]
    batch_is_entered(farm.books, asked.id, over=False, webhook=asked.webhook)
    try:
        created = _enter(farm, entering, asked.id, terms.held, on_step)
    except NotAllowedError as error:
        batch_is_entered(farm.books, asked.id, over=True)
        raise NotAllowedError(f"batch {asked.id} ({asked.name}) was cancelled while it was submitted") from error
    batch_is_entered(farm.books, asked.id, over=True)
    return Submitted(
        id=asked.id,
        name=asked.name,
        created=created,
        known=len(wanted) - created,
        gone=len(set(before) - set(wanted)),
        twins=twins,
        refused=refused,
        state=batch_row(farm.books, asked.id).state,
    )


def new_rights(farm: Farm, rights: Sequence[Right], *, owner: str, name: str) -> list[Right]:
    """Lessons that a submit would make jobs of: those that the batch of that name does not have, each once."""
    batch = batch_named(farm.books, owner, name)
    there = batch_numbers(farm.books, batch) if batch else {}
    places = _entered(farm, kept.places_of(farm.storage, batch), there) if batch else {}
    seen = {token for token, place in places.items() if place.job in there}
    new = []
    for right in rights:
        token = row_token(batch or "", _request(farm, right, "").token)
        if token not in seen:
            new.append(right)
        seen.add(token)
    return new


def jobs_of(farm: Farm, batch: str, rights: Sequence[Right]) -> dict[str, list[Right]]:
    """Lessons that were submitted, by the job that each became: those that are the same are one."""
    found: dict[str, list[Right]] = {}
    for right, job in zip(rights, job_of_each(farm, batch, rights), strict=True):
        found.setdefault(job, []).append(right)
    return found


def job_of_each(farm: Farm, batch: str, rights: Iterable[Right]) -> list[str]:
    """The job that each of these lessons became when it was submitted."""
    places = _entered(farm, kept.places_of(farm.storage, batch), batch_numbers(farm.books, batch))
    return [places[row_token(batch, _request(farm, right, "").token)].job for right in rights]


def _begun(farm: Farm, terms: Terms) -> Asked:
    """The batch of that name, begun if there is none, in storage and in the books."""
    known = batch_named(farm.books, terms.owner, terms.name)
    before = kept.asked_of(farm.storage, known) if known else kept.asked_before(farm.storage, terms.owner, terms.name)
    if before is None:
        asked = Asked(
            id=submission.new_id(),
            name=terms.name,
            owner=terms.owner,
            submitted=time.time(),
            manifest=terms.manifest,
            max_failures=terms.max_failures or "",
            limit=terms.limit,
            webhook=terms.webhook,
        )
    else:
        _reopened(farm, before)
        asked = replace(
            before,
            manifest=terms.manifest,
            max_failures=before.max_failures if terms.max_failures is None else terms.max_failures,
            limit=terms.limit or batch_row(farm.books, before.id).limit,
            webhook=terms.webhook or before.webhook,
        )
    kept.keep(farm.storage, asked)
    found = asked.enter(farm.books)
    if found != asked.id:
        kept.give_way(farm.storage, asked, to=found)
        asked = replace(asked, id=found)
    return asked


def _reopened(farm: Farm, asked: Asked) -> None:
    """The books know the batch and what was decided about it, also where they were emptied since."""
    if batch_named(farm.books, asked.owner, asked.name) is None:
        asked.enter(farm.books)
        decided.restore_decisions(farm.books, farm.storage, asked.id)
    if batch_row(farm.books, asked.id).state == "cancelled":
        back = f"or open it again with `farm batch retry {asked.id} --cancelled`"
        raise NotAllowedError(f"batch {asked.id} ({asked.name}) was cancelled, give the new one another --name, {back}")


def _by_token(farm: Farm, batch: str, rows: Iterable[CheckedRow]) -> tuple[Wanted, list[tuple[Jobless, str]]]:
    """Rows by what they are known by in the batch; and those that are the same as an earlier one, with its token."""
    wanted: Wanted = {}
    doubled = []
    for row in rows:
        if row.right is None:
            continue
        token = row_token(batch, _request(farm, row.right, "").token)
        _, known = wanted.setdefault(token, (row.row.number, row.right))
        if known is not row.right:
            doubled.append((Jobless(row.row.number, row.row.name), token))
    return wanted, doubled


def _placed(farm: Farm, asked: Asked, wanted: Wanted, before: dict[str, Place], *, lines: int) -> dict[str, Place]:
    """Every row's job, those that are new with an id of their own, which storage knows from now on. lines: that the
    manifest has.
    """
    new = [token for token in wanted if token not in before]
    submit = submission.new_id()
    ids: set[str] = set()
    while len(ids) < len(new):
        ids.add(submission.new_id(like=submit))
    numbers = _numbers([wanted[token][0] for token in new], {place.row for place in before.values()}, lines)
    places = map(Place, sorted(ids), numbers)
    fresh = dict(zip(new, places, strict=True))
    if fresh:
        kept.keep_places(farm.storage, asked.id, submit, fresh)
    rows = len(before) + len(fresh)
    if rows != asked.rows:
        asked = replace(asked, rows=rows)
        kept.keep(farm.storage, asked)
        asked.enter(farm.books)
    return {**before, **fresh}


def _numbers(wanted: Iterable[int], taken: Iterable[int], lines: int) -> list[int]:
    """A number for each new row: its line in the manifest, or the next behind all where an earlier row has that."""
    taken, behind = set(taken), count(max({lines, *taken}) + 1)
    numbers = []
    for line in wanted:
        numbers.append(next(behind) if line in taken else line)
        taken.add(line)
    return numbers


def _there(farm: Farm, batch: str, before: dict[str, Place]) -> dict[str, int]:
    """Jobs of the batch that the books have, with the numbers of their rows, after those came back that storage alone
    has: they may have been emptied.
    """
    there, jobs = batch_numbers(farm.books, batch), {place.job for place in before.values()}
    lost = {keys.jobs_since(job) for job in jobs - set(there)}
    for prefix in sorted(lost):
        found = recover(farm.books, farm.storage, who=farm.settings.owner, on_step=lambda _: None, prefix=prefix)
        if ours := {job: why for job, why in found.problems.items() if job in jobs}:
            raise StorageError("\n".join(f"job {job} cannot come back: {why}" for job, why in ours.items()))
    if lost:
        decided.restore_releases(farm.books, farm.storage)
        there = batch_numbers(farm.books, batch)
    return there


def _entered(farm: Farm, places: dict[str, Place], there: Mapping[str, int]) -> dict[str, Place]:
    """The places of rows, by token: of two submits at once each wrote down a job and a number for a row, and the books
    have one of them. there: jobs of the batch that the books have, with their numbers.
    """
    missing = [token for token, place in places.items() if place.job not in there]
    owners = zip(missing, farm.books.token_owners(missing), strict=True)
    jobs = {token: place.job for token, place in places.items()}
    jobs |= {token: job for token, job in owners if job is not None and job in there}
    return {token: Place(jobs[token], there.get(jobs[token], place.row)) for token, place in places.items()}


def _store(farm: Farm, rows: Iterable[Right], on_step: OnStep) -> None:
    """Put every file of the rows into storage that is not there yet, each once."""
    wanted: dict[str, str] = {}
    for right in rows:
        lesson, stored = right.lesson, right.stored
        wanted |= {stored.portrait: str(lesson.portrait), stored.speech: str(lesson.speech)}
        if lesson.subtitles is not None:
            wanted[stored.subtitles] = str(lesson.subtitles)
    _all(AT_ONCE, [partial(_store_file, farm, sha256, where) for sha256, where in wanted.items()], "storing", on_step)


def _store_file(farm: Farm, sha256: str, where: str) -> None:
    if where.startswith("s3://") and _is_fresh(farm.storage.head(keys.asset(sha256))):
        return  # who wants it uploaded again would have to fetch it first
    with local_file(where, farm.storage) as file:
        if farm.storage.put_asset(file) != sha256:
            raise InputRefusedError([f"{where} was changed while it was submitted, run it again"])


def _is_fresh(asset: ObjectInfo | None) -> bool:
    return asset is not None and asset.modified > time.time() - FRESH_SECONDS


def _enter(farm: Farm, rows: list[tuple[Right, str, Place]], batch: str, held: bool, on_step: OnStep) -> int:
    """Write job.json and enter, row by row; answers how many are new. The sweeper rings for their plans."""

    def one(right: Right, token: str, place: Place) -> bool:
        request = replace(_request(farm, right, place.job, InBatch(batch, place.row, held)), token=token)
        farm.storage.put_json(keys.job_json(request.id), request.to_dict())
        try:
            known = farm.books.enter(request.id, request.token, request.book_fields()).job
        except NotAllowedError:
            farm.storage.delete(keys.job_json(request.id))
            raise
        if known != request.id:  # the same manifest is being submitted twice at this moment
            farm.storage.delete(keys.job_json(request.id))
        return known == request.id

    return sum(_all(ENTER_AT_ONCE, [partial(one, *row) for row in rows], "submitting", on_step))


def _request(farm: Farm, right: Right, id: str, batch: InBatch | None = None) -> JobRequest:
    return submission.request_for(right.lesson, right.checked, right.stored, farm.settings, id=id, batch=batch)


def _all(at_once: int, calls: Sequence[Callable[[], Any]], what: str, on_step: OnStep) -> list[Any]:
    """What all calls answer, made in threads; the first error ends it, as Ctrl-C does, once what is in hand is done."""
    pool = ThreadPoolExecutor(at_once, thread_name_prefix=what)
    answers: list[Any] = []
    on_step(what, 0, len(calls))
    try:
        for done in as_completed([pool.submit(call) for call in calls]):
            answers.append(done.result())
            on_step(what, len(answers), len(calls))
    finally:
        pool.shutdown(cancel_futures=True)
    return answers
