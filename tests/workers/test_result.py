"""What a finished result says of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.farm.hands import REQUEST
from workers.result import provenance_of

JOB = replace(REQUEST, id="20260101-000000-000001")


def segment(version: str, facts: dict[str, str], redraw: dict[str, int] | None = None) -> dict[str, Any]:
    return {"renderer_version": version, "renderer_facts": facts, "redraw": redraw}


def test_every_weights_that_rendered_a_part_are_named_once() -> None:
    said = provenance_of(JOB, 3, [segment("2", {"weights": name}) for name in ("beef", "cafe", "beef")])
    assert (said.renderer_version, said.weights) == ("2", "beef, cafe")


def test_a_renderer_without_weights_names_none() -> None:
    said = provenance_of(JOB, 1, [segment("1", {})] * 2)
    assert (said.renderer_version, said.weights, said.redrawn) == ("1", "", "")


def test_what_other_seeds_drew_is_named_and_a_long_list_is_cut() -> None:
    drawn = [segment("1", {}, {"seed": 7, "start": 100 * at, "stop": 100 * at + 50}) for at in range(30)]
    said = provenance_of(JOB, 2, [drawn[0], *drawn])
    assert said.redrawn.startswith("00:00.0 to 00:04.0 from seed 7, 00:08.0 to 00:12.0 from seed 7, ")
    assert said.redrawn.endswith(" and 10 more")
