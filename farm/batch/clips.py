"""A pilot's clips made and submitted: rows of a batch of their own, named after the one that they are of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from farm.batch.check import check_rows, local_file
from farm.batch.pilot import Candidate, keep_samples, pilot_samples
from farm.batch.rows import Row
from farm.batch.submit import Terms, submit_rows
from farm.errors import InputRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.batch.check import CheckedRow
    from farm.batch.pilot import Pilot
    from farm.batch.submit import OnStep, Submitted
    from farm.service import Farm
    from farm.settings import Settings

PILOT = " pilot"
"""What the name of the batch with the clips ends with."""


def submit_with_pilot(
    farm: Farm, rows: Sequence[CheckedRow], terms: Terms, pilot: Pilot, *, settings: Settings, on_step: OnStep
) -> Submitted:
    """Make jobs of the rows that are right, all of them held, and of their pilot's clips, which are rendered.

    Clips are cut and checked first: where one cannot be made nothing is queued. Interrupted and run again, it goes on.
    Raises as submit_rows does, and InputRefusedError for a clip that cannot be rendered.
    """
    candidates = [
        Candidate(row.row.number, row.row.presenter, row.right.lesson) for row in rows if row.right is not None
    ]
    of_clips = Terms(name=terms.name + PILOT, owner=terms.owner, manifest=terms.manifest)
    with TemporaryDirectory(prefix="sonic-farm-pilot-") as folder:
        on_step("cutting the pilot", 0, 1)
        samples = pilot_samples(
            candidates, pilot, folder=Path(folder), local=lambda where: local_file(where, farm.storage)
        )
        on_step("cutting the pilot", 1, 1)
        clips = check_rows(
            [Row(one.row, one.lesson.name or "", lesson=one.lesson) for one in samples],
            storage=farm.storage,
            settings=settings,
            declared=farm.declared(),
            on_file=lambda done, of: on_step("checking the pilot", done, of),
        )
        if problems := [f"pilot of row {clip.row.number}: {one}" for clip in clips for one in clip.problems]:
            raise InputRefusedError(problems)
        submitted = submit_rows(farm, rows, replace(terms, held=True), on_step)
        shown = submit_rows(farm, clips, of_clips, on_step)
        keep_samples(farm.storage, submitted.id, shown.id, samples)
    return replace(submitted, pilot=shown.id)
