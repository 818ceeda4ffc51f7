"""The known-good render: the same everywhere, and different from what a sick machine draws."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.errors import RenderError
from engine.preview.renderer import PreviewRenderer
from engine.probe.expected import expected_look
from engine.probe.look import Look
from engine.probe.render import made_by, render_probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def rendered() -> Look:
    renderer = PreviewRenderer()
    renderer.load("cpu")
    return render_probe(renderer, "preview")


def test_the_preview_draws_the_frames_that_come_with_the_farm(rendered: Look) -> None:
    expected = expected_look(made_by(PreviewRenderer()))
    assert expected is not None, "PreviewRenderer.version has changed: run `python -m engine.probe`"
    assert rendered.differs(expected) is None


def test_another_version_has_other_expected_frames() -> None:
    assert expected_look({**made_by(PreviewRenderer()), "version": "0"}) is None


def test_a_look_outlives_being_kept(rendered: Look) -> None:
    assert Look.from_dict(rendered.to_dict()).differs(rendered) is None


ILL: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "black": lambda cells: np.zeros_like(cells),
    "channels swapped": lambda cells: cells[..., ::-1],
    "the mouth still": lambda cells: np.repeat(cells[:1], len(cells), axis=0),
    "one frame lost in noise": lambda cells: np.concatenate([cells[:9], 255 - cells[9:10], cells[10:]]),
    "one corner gone": lambda cells: np.where(np.indices(cells.shape)[1:3].max(axis=0) > 13, 0, cells).astype(np.uint8),
    "a frame too few": lambda cells: cells[:-1],
}


@pytest.mark.parametrize("ill", ILL.values(), ids=ILL.keys())
def test_what_a_sick_machine_draws_is_told(
    rendered: Look, ill: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> None:
    assert replace(rendered, cells=ill(rendered.cells)).differs(rendered)


def test_frames_of_another_size_are_told(rendered: Look) -> None:
    said = replace(rendered, size=(512, 512)).differs(rendered)
    assert said == "25 frames of 512x512 came, expected were 25 frames of 256x256"


def test_rounding_of_another_machine_is_no_illness(rendered: Look) -> None:
    chance = np.random.default_rng(1).integers(-4, 5, rendered.cells.shape)
    noisy = np.clip(rendered.cells.astype(int) + chance, 0, 255).astype(np.uint8)
    assert replace(rendered, cells=noisy).differs(rendered) is None


def test_no_frames_at_all_are_an_error() -> None:
    with pytest.raises(RenderError, match="no frames"):
        Look.of([])
