"""Model files: right ones pass and load; wrong ones are named, with what is wrong and where a right one comes from."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from engine.errors import InputError, WeightsError
from engine.sonic.face import detect_faces
from engine.sonic.weights import identity, load_models
from engine.sonic.weights.check import check, model_name
from engine.sonic.weights.detector import load_detector
from engine.sonic.weights.layout import FILES, SVD_FOLDER
from engine.sonic.weights.parts import RELEASED_UNET, released_shapes, skeleton
from engine.sonic.weights.tiny import write_tiny

if TYPE_CHECKING:
    from collections.abc import Callable

PORTRAIT = Path(__file__).parents[3] / "samples" / "portrait.png"
UNET, TOKENS, FLOW = "Sonic/unet.pth", "Sonic/audio2token.pth", "RIFE/flownet.pkl"
VAE = f"{SVD_FOLDER}/vae/diffusion_pytorch_model.fp16.safetensors"
UNET_CONFIG, SCHEDULER = f"{SVD_FOLDER}/unet/config.json", f"{SVD_FOLDER}/scheduler/scheduler_config.json"


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint again, sharing its files until one is replaced."""
    return Path(shutil.copytree(tiny, tmp_path / "copy", copy_function=os.link))


def replaced(path: Path, write: Callable[[Path], None]) -> None:
    path.unlink()
    write(path)


def edit_state(path: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = torch.load(path, weights_only=True)
    edit(state)
    replaced(path, lambda place: torch.save(state, place))


def edit_config(path: Path, **changes: Any) -> None:
    config = json.loads(path.read_text()) | changes
    replaced(path, lambda place: place.write_text(json.dumps(config)))


def wrong_findings(folder: Path) -> dict[str, str]:
    """Path -> problems of every file that is missing or wrong."""
    return {one.file.path: " | ".join(one.problems) for one in check(folder) if one.state in ("missing", "wrong")}


def test_a_tiny_checkpoint_is_complete_and_right(tiny: Path) -> None:
    findings = list(check(tiny))
    assert {finding.file.path for finding in findings} == {file.path for file in FILES}
    assert [finding.state for finding in findings] == ["ok"] * len(FILES)
    assert model_name(tiny) == "another size"
    assert sum((tiny / file.path).stat().st_size for file in FILES) < 20e6


def test_a_missing_file_is_named_with_where_it_comes_from(copy: Path) -> None:
    (copy / FLOW).unlink()
    problem = wrong_findings(copy)
    assert list(problem) == [FLOW]
    assert f"{FLOW} is missing" in problem[FLOW]
    assert "LeonJoe13/Sonic" in problem[FLOW]


def test_the_stock_unet_is_not_needed(copy: Path) -> None:
    stock = f"{SVD_FOLDER}/unet/diffusion_pytorch_model.fp16.safetensors"
    (copy / stock).unlink()
    assert not wrong_findings(copy)
    assert {one.file.path for one in check(copy) if one.state == "not needed"} == {stock}


KEY = "mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_k_ip.0.weight"


@pytest.mark.parametrize(
    ("path", "edit", "said"),
    [
        pytest.param(UNET, lambda state: state.pop(KEY), f"key {KEY} [32, 48] is missing", id="a key lacks"),
        pytest.param(
            FLOW,
            lambda state: state.update({"module.more": torch.zeros(3)}),
            "key more [3] is unknown",
            id="one too many",
        ),
        pytest.param(
            TOKENS,
            lambda state: state.update({"norm.weight": torch.ones(32)}),
            "key norm.weight has shape [32], wanted [48]",
            id="a shape",
        ),
        pytest.param(
            TOKENS,
            lambda state: state.pop("proj3.weight"),
            "key proj3.weight is missing",
            id="what sizes are read from",
        ),
        pytest.param(
            TOKENS,
            lambda state: state.update({"norm.bias": torch.ones(48, dtype=torch.int8)}),
            "key norm.bias is int8, wanted float16 or bfloat16 or float32",
            id="a type",
        ),
    ],
)
def test_a_wrong_state_dict_is_named_by_key_and_refused_by_the_loader(
    copy: Path, path: str, edit: Callable[[dict[str, torch.Tensor]], object], said: str
) -> None:
    edit_state(copy / path, edit)
    problem = wrong_findings(copy)
    assert list(problem) == [path]
    assert said in problem[path]
    with pytest.raises(WeightsError) as caught:
        load_models(copy, device="cpu", dtype="float32")
    assert said in str(caught.value)
    assert path in str(caught.value)


def test_a_file_cut_short_cannot_be_read(copy: Path) -> None:
    for path in (VAE, UNET):
        half = (copy / path).read_bytes()[:10_000]
        replaced(copy / path, lambda place, half=half: place.write_bytes(half))  # type: ignore[misc]
    problem = wrong_findings(copy)
    assert set(problem) == {VAE, UNET}
    assert all("cannot be read" in line for line in problem.values())


def test_a_file_that_would_run_code_is_not_unpickled(copy: Path) -> None:
    replaced(copy / UNET, lambda place: torch.save({"conv_in.weight": Path("/tmp")}, place))  # noqa: S108
    assert "cannot be read" in wrong_findings(copy)[UNET]


def test_a_half_precision_variant_must_be_half_precision(copy: Path) -> None:
    state = {key: value.float() for key, value in load_file(copy / VAE).items()}
    replaced(copy / VAE, lambda place: save_file(state, place))
    assert "is float32, wanted float16" in wrong_findings(copy)[VAE]


def test_another_architecture_is_named_at_its_configuration_alone(copy: Path) -> None:
    edit_config(copy / UNET_CONFIG, _class_name="UNet2DConditionModel")
    edit_config(copy / SCHEDULER, prediction_type="epsilon")
    problem = wrong_findings(copy)
    assert set(problem) == {UNET_CONFIG, SCHEDULER}
    assert "_class_name is 'UNet2DConditionModel', wanted 'UNetSpatioTemporalConditionModel'" in problem[UNET_CONFIG]
    assert "prediction_type is 'epsilon', wanted 'v_prediction'" in problem[SCHEDULER]
    assert {one.file.path for one in check(copy) if one.state == "not judged"} >= {UNET, TOKENS}


def test_a_configuration_that_cannot_be_built_is_wrong(copy: Path) -> None:
    edit_config(copy / UNET_CONFIG, num_attention_heads=[1, 2])
    assert "no model that can be built" in wrong_findings(copy)[UNET_CONFIG]


def test_a_detector_with_another_answer_is_wrong(copy: Path) -> None:
    class Other(torch.nn.Module):
        def forward(self, image: torch.Tensor, grids: list[torch.Tensor]) -> torch.Tensor:
            return image[:, :, :, 0]

    def write(place: Path) -> None:
        with pytest.deprecated_call():
            torch.jit.script(Other()).save(str(place))

    replaced(copy / "yoloface_v5m.pt", write)
    assert "answers [1, 3, 416], wanted [1, n, 16]" in wrong_findings(copy)["yoloface_v5m.pt"]


def test_small_files_under_the_released_configuration_are_measured_by_the_released_shapes(copy: Path) -> None:
    edit_config(copy / UNET_CONFIG, **RELEASED_UNET, num_attention_heads=[5, 10, 20, 20])
    problem = wrong_findings(copy)
    assert "key conv_in.weight has shape [32, 8, 3, 3], wanted [320, 8, 3, 3]" in problem[UNET]
    assert "key proj1.weight has shape [64, 1600], wanted [1024, 19200]" in problem[TOKENS]
    assert FLOW not in problem
    assert model_name(copy) == "released"


def test_released_files_pass_under_the_released_configuration(copy: Path) -> None:
    """Files of full-size keys and shapes that hold one number each: a view of it is saved as one."""
    edit_config(copy / UNET_CONFIG, **RELEASED_UNET, num_attention_heads=[5, 10, 20, 20],
                addition_time_embed_dim=256, projection_class_embeddings_input_dim=768)  # fmt: skip
    for path, part in ((UNET, "unet"), (TOKENS, "audio2token"), ("Sonic/audio2bucket.pth", "audio2bucket")):
        number = torch.zeros(1, dtype=torch.float16)
        state = {key: number.expand(shape) for key, shape in released_shapes(part).items()}
        replaced(copy / path, lambda place, state=state: torch.save(state, place))  # type: ignore[misc]
    (copy / SVD_FOLDER / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    findings = {one.file.path: one for one in check(copy)}
    assert all(one.right for one in findings.values())
    assert "1492 keys, 1575.7 M weights, float16" in findings[UNET].facts


def test_the_released_shapes_are_those_of_the_released_model() -> None:
    shapes = released_shapes("unet")
    assert len(shapes) == 1492
    assert sum(math.prod(shape) for shape in shapes.values()) == 1_575_741_162
    assert "block0.conv0.0.0.weight" in released_shapes("flow")


def test_a_flow_network_has_the_released_keys(tiny: Path) -> None:
    built = {key: tuple(value.shape) for key, value in skeleton("flow", tiny, {}).state_dict().items()}
    assert built == released_shapes("flow")


def test_loading_takes_device_and_type_and_leaves_nothing_to_train(tiny: Path) -> None:
    models = load_models(tiny, device="cpu", dtype="bfloat16")
    saved = torch.load(tiny / UNET, weights_only=True)
    loaded = models.unet.state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[key], saved[key].bfloat16()) for key in saved)
    for module in (models.unet, models.vae, models.image_encoder, models.whisper, models.audio2token, models.flow):
        assert {value.dtype for value in module.parameters()} == {torch.bfloat16}
        assert not any(value.requires_grad or value.is_meta for value in (*module.parameters(), *module.buffers()))
        assert not module.training
    assert models.scheduler.config.sigma_max == 700


def test_loading_names_every_missing_file_at_once(copy: Path) -> None:
    for path in (UNET, VAE):
        (copy / path).unlink()
    with pytest.raises(WeightsError) as caught:
        load_models(copy, device="cpu", dtype="float32")
    assert len(caught.value.problems) == 2
    assert "stabilityai/stable-video-diffusion-img2vid-xt" in str(caught.value)


def test_safetensors_beside_a_torch_file_are_read_in_its_place(copy: Path) -> None:
    state = {key: value.contiguous() for key, value in torch.load(copy / TOKENS, weights_only=True).items()}
    (copy / TOKENS).unlink()
    save_file(state, (copy / TOKENS).with_suffix(".safetensors"))
    assert not wrong_findings(copy)
    assert load_models(copy, device="cpu", dtype="float16").audio2token.proj1.weight.dtype == torch.float16


def test_the_tiny_detector_finds_the_face_of_the_shipped_portrait_and_none_in_grey(tiny: Path) -> None:
    detector = load_detector(tiny)
    (face,) = detect_faces(detector, np.array(Image.open(PORTRAIT).convert("RGB")))
    x0, y0, x1, y1 = face.box
    eyes_and_mouth = ((119, 100), (165, 103), (142, 148))
    assert all(x0 < x < x1 and y0 < y < y1 for x, y in eyes_and_mouth)
    assert 70 < x1 - x0 < 120
    assert not detect_faces(detector, np.full((300, 200, 3), 128, np.uint8))


def test_two_tiny_checkpoints_are_the_same_weights_and_another_number_is_other_weights(
    tiny: Path, tmp_path: Path, copy: Path
) -> None:
    write_tiny(tmp_path / "again")
    assert identity(tmp_path / "again") == identity(tiny)
    edit_state(copy / UNET, lambda state: state["conv_in.bias"].add_(1))
    assert identity(copy) != identity(tiny)


def test_what_is_unchanged_is_not_hashed_again(copy: Path) -> None:
    first = identity(copy)
    facts = (copy / UNET).stat()
    replaced(copy / UNET, lambda place: place.write_bytes(b"x" * facts.st_size))
    os.utime(copy / UNET, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert identity(copy) == first
    os.utime(copy / UNET)
    assert identity(copy) != first


def test_a_tiny_checkpoint_is_never_written_over_model_files(tiny: Path) -> None:
    before = identity(tiny)
    with pytest.raises(InputError, match="has model files already"):
        write_tiny(tiny)
    assert identity(tiny) == before
