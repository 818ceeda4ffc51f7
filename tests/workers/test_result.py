"""What a finished result says of itself."""

from __future__ import annotations

from dataclasses import replace

from tests.farm.hands import REQUEST
from workers.result import provenance_of

JOB = replace(REQUEST, id="20260101-000000-000001")


def test_every_weights_that_rendered_a_part_are_named_once() -> None:
    rendered = [("2", "beef"), ("2", "cafe"), ("2", "beef")]
    segments = [{"renderer_version": version, "renderer_facts": {"weights": name}} for version, name in rendered]
    said = provenance_of(JOB, 3, segments)
    assert (said.renderer_version, said.weights) == ("2", "beef, cafe")


def test_a_renderer_without_weights_names_none() -> None:
    said = provenance_of(JOB, 1, [{"renderer_version": "1", "renderer_facts": {}}] * 2)
    assert (said.renderer_version, said.weights) == ("1", "")
