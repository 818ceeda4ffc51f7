"""The engine against the reference's numbers, and the runner that says so against an engine made wrong on purpose."""

from __future__ import annotations

import ast
import importlib
import json
import runpy
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.numpy import load_file, save_file

from engine.errors import WeightsError
from engine.sonic.config import SonicConfig
from engine.sonic.context import BRANCHES
from engine.sonic.weights import load_models
from tests.conftest import ROOT
from tests.golden.__main__ import main
from tests.golden.cases import Case, Quantity, load_case
from tests.golden.checkpoint import write_checkpoint
from tests.golden.pipeline import PARAMETERS
from tests.golden.runner import COMPUTED, run_case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

GOLDEN = ROOT / "tests" / "golden"
CASES = sorted(path.parent for path in GOLDEN.glob("*/case.json"))

WRONG = [
    ("pipeline_b", "speech.TOKENS_PER_FRAME25", 1),
    ("pipeline_b", "speech.TOKENS_PER_GEN_FRAME", 3),
    # a case's speech is shorter than the 30 s of a window: only shorter ones show
    ("pipeline_b", "speech.WINDOW_SAMPLES", 3200),
    ("pipeline_b", "speech.WINDOW_TOKENS", 10),
    ("pipeline_b", "speech.TOKEN_LOOK", (3, 10)),
    ("pipeline_b", "speech.BUCKET_LOOK", (21, 50)),
    ("pipeline_b", "speech.BUCKET_SCALE", 15.9),
    ("pipeline_b", "speech.BUCKET_OFFSET", 16.1),
    # beside noise of 700 a scale that is off by less than its half drowns
    ("pipeline_b", "denoise.LATENT_SCALE", 1.0),
    ("pipeline_b", "denoise.BRANCHES", BRANCHES[::-1]),
    ("pipeline_b", "denoise.SIGMA_MIN", 0.003),
    ("pipeline_b", "denoise.SIGMA_MAX", 690.0),
    ("pipeline_b", "context.GEN_FPS", 12.0),
    ("pipeline_b", "pixels.LATENT_SCALE", 0.18),
    ("preprocess", "portrait.CLIP_SIZE", (112, 112)),
    ("face_detect", "face.SHORTER_SIDE", 448),
    ("face_detect", "face.SIDE_STEP", 64),
    ("face_detect", "face.STRIDES", (8, 16, 64)),
    ("face_detect", "face.LEAST_SCORE", 0.51),
    ("face_detect", "face.MOST_OVERLAP", 0.0),
    ("rife", "interpolate.SCALES", (4, 2, 2)),
    ("rife", "interpolate.RESIDUAL_PAIRS", 3),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny layers wait for each other: on a busy machine two threads take twenty times as long as one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Iterable[Quantity]]:
    """The quantities of a case by its name, one after another; its weights are written and loaded once."""
    loaded: dict[str, tuple[Case, Any]] = {}

    def compute(name: str) -> Iterable[Quantity]:
        if name not in loaded:
            case, folder = load_case(GOLDEN / name), tmp_path_factory.mktemp(name)
            write_checkpoint(folder, case)
            loaded[name] = case, load_models(folder, device="cpu", dtype="float32")
        case, models = loaded[name]
        return COMPUTED[case.kind](case, models)

    return compute


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_every_quantity_of_every_case_is_the_references(folder: Path) -> None:
    quantities = run_case(load_case(folder))
    assert quantities
    assert [str(quantity) for quantity in quantities if not quantity.ok] == []


@pytest.mark.parametrize(("case", "constant", "value"), WRONG)
def test_a_wrong_constant_is_seen(
    case: str, constant: str, value: Any, computed: Callable[[str], Iterable[Quantity]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = constant.split(".")
    monkeypatch.setattr(importlib.import_module(f"engine.sonic.{module}"), name, value)
    try:
        right = all(quantity.ok for quantity in computed(case))
    except (WeightsError, RuntimeError, ValueError, IndexError):  # which the runner calls a failure as well
        right = False
    assert not right


def test_a_wrong_width_of_the_flow_network_is_refused_by_key_and_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path, load_case(GOLDEN / "rife"))
    monkeypatch.setattr("engine.sonic.interpolate.WIDTH", 80)
    with pytest.raises(WeightsError, match=r"key block0\.conv0\.0\.0\.weight has shape \[45, .*\], wanted \[40, "):
        load_models(tmp_path, device="cpu", dtype="float32")


def test_errors_in_halves_are_told_and_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dtype", "bfloat16", str(GOLDEN / "rife")]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("rife")
    assert line.endswith("not judged")
    assert float(line.split()[2]) > 1e-4


@pytest.mark.parametrize(
    ("parameter", "value"), [("appearance_guidance", 2.01), ("audio_guidance", 7.4), ("decode_batch", 4)]
)
def test_a_wrong_default_is_seen(
    parameter: str, value: float, computed: Callable[[str], Iterable[Quantity]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SonicConfig.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(SonicConfig.__init__.__kwdefaults__, parameter, value)
    assert not all(quantity.ok for quantity in computed("pipeline_b"))


def test_the_defaults_are_the_released_values() -> None:
    config = SonicConfig()
    assert {ours: getattr(config, ours) for ours, _ in PARAMETERS.values()} == dict(PARAMETERS.values())


def test_one_line_for_each_quantity_and_exit_0_when_all_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(GOLDEN / "rife")]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    case, name, error, tolerance, verdict = line.split()
    assert (case, name, tolerance, verdict) == ("rife", "middle", "0.0001", "ok")
    assert 0 <= float(error) <= 1e-4


def test_a_wrong_quantity_exits_1_and_the_other_cases_are_still_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = shutil.copytree(GOLDEN / "rife", tmp_path / "rife_wrong")
    tensors = load_file(wrong / "tensors.safetensors")
    tensors["middle"][0, 0, 0, 0] += 0.01
    save_file(tensors, wrong / "tensors.safetensors")
    assert main([str(wrong), str(GOLDEN / "rife")]) == 1
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["FAIL", "ok"]


def test_weights_that_do_not_fit_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = shutil.copytree(GOLDEN / "rife", tmp_path / "rife_unknown")
    facts = json.loads((wrong / "case.json").read_text())
    facts["keys"]["block3.bias"] = [1]
    (wrong / "case.json").write_text(json.dumps(facts))
    assert main([str(wrong)]) == 1
    captured = capsys.readouterr()
    assert captured.out.split()[-1] == "FAIL"
    assert "block3.bias" in captured.err


@pytest.mark.parametrize("name", ["unet_a", "rifes", "rife_", "golden"])
def test_any_other_folder_exits_2_before_anything_is_computed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(GOLDEN / "rife", tmp_path / name)
    assert main([str(GOLDEN / "rife"), str(other)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert name in captured.err


def test_it_runs_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As `python -m` does, but for importing torch once more."""
    monkeypatch.setattr(sys, "argv", ["tests.golden", str(ROOT / "farm")])
    monkeypatch.delitem(sys.modules, "tests.golden.__main__")
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("tests.golden", run_name="__main__", alter_sys=True)
    assert stopped.value.code == 2
    assert "no golden case" in capsys.readouterr().err


def test_the_runner_has_no_network_of_its_own() -> None:
    for path in GOLDEN.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not names & {"nn", "functional"}, path
        assert not [name for name in modules if name.startswith(("torch.", "diffusers", "transformers"))], path
