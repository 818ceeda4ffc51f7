"""The config: the spec's numbers as defaults, and nothing that cannot be rendered."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.errors import SpecError
from engine.sonic.config import SonicConfig
from engine.spec import RenderSpec


def test_defaults_are_the_released_models() -> None:
    config = SonicConfig()
    assert (config.steps, config.window, config.shift, config.overlap) == (25, 25, 7, 0)
    assert (config.appearance_guidance, config.audio_guidance) == (2.0, 7.5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        pytest.param({"steps": 0}, "steps is 0, wanted 1 to 100", id="steps"),
        pytest.param({"seed": -1}, "seed is -1", id="seed"),
        pytest.param({"seed": 2**63}, "seed is 9223372036854775808", id="seed too large"),
        pytest.param({"min_resolution": 500}, "in steps of 64", id="resolution"),
        pytest.param({"framing": "feet"}, "framing is 'feet', wanted one of full, face", id="framing"),
        pytest.param({"dtype": "int8"}, "dtype is 'int8', wanted one of float16", id="dtype"),
        pytest.param({"memory": "huge"}, "memory is 'huge', wanted one of auto, fast, lean", id="memory"),
        pytest.param({"overlap": 25}, "overlap is 25, wanted less than the window of 25", id="overlap"),
        pytest.param({"decode_batch": 0}, "decode_batch is 0", id="decode batch"),
    ],
)
def test_what_cannot_be_rendered_is_refused_by_name(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        SonicConfig(**wrong)  # type: ignore[arg-type]


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        SonicConfig(steps=0, framing="feet", overlap=30)
    assert len(caught.value.problems) == 3


def test_a_spec_brings_its_parameters_and_the_slot_the_rest() -> None:
    spec = RenderSpec(renderer="sonic", seed=2**63 - 1, steps=7, motion_scale=1.5, framing="face", min_resolution=1024)
    config = SonicConfig.from_spec(spec, device="cuda", dtype="float16")
    assert (config.seed, config.steps, config.motion_scale) == (2**63 - 1, 7, 1.5)
    assert (config.framing, config.min_resolution, config.device, config.dtype) == ("face", 1024, "cuda", "float16")


def test_the_config_needs_no_torch() -> None:
    asked = "import sys, engine.sonic.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
