"""Names, shapes and types of what a file holds, read without its numbers; and where they are not what is wanted."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from engine.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.sonic.weights.layout import WeightFile

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

PREFIXES = {"flow": "module.", "whisper": "model."}
"""Put before every key by how the file was saved; no part of the name."""
NOT_READ = {
    "image_encoder": ("vision_model.embeddings.position_ids",),  # counted up anew by current transformers
    "whisper": ("proj_out.weight",),  # the head that writes text
}
FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
SHOWN_AT_MOST = 4


@dataclass(frozen=True)
class Tensor:
    """What is known of a tensor before it is read: its shape, and its type by torch's name."""

    shape: Shape
    dtype: str


def header(file: WeightFile, folder: Path) -> dict[str, Tensor]:
    """Key -> tensor of a weights file, keys without their prefix. Raises WeightsError where it cannot be read."""
    path = file.found_in(folder)
    if path.suffix == ".safetensors":
        with _readable(file, path), safe_open(path, framework="pt") as opened:
            slices = {key: opened.get_slice(key) for key in opened.keys()}  # noqa: SIM118  # it is no dict
            found = {
                key: Tensor(tuple(part.get_shape()), FLOATS.get(part.get_dtype(), part.get_dtype()))
                for key, part in slices.items()
            }
    else:
        state = unpickled(file, path)
        found = {key: Tensor(tuple(value.shape), _dtype_name(value)) for key, value in state.items()}
    return renamed(file, found)


def unpickled(file: WeightFile, path: Path) -> dict[str, torch.Tensor]:
    """A torch file's state dict as it was saved, on the CPU; mapped rather than read where its format allows."""
    with _readable(file, path):
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(
            [f"{path} holds a {type(state).__name__}, wanted a state dict of tensors; it is {file.source}"]
        )
    return dict(state)


def renamed(file: WeightFile, found: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the prefix that saving put before the keys, and without what nothing reads."""
    prefix, not_read = PREFIXES.get(file.part, ""), NOT_READ.get(file.part, ())
    return {name: value for key, value in found.items() if (name := key.removeprefix(prefix)) not in not_read}


def differences(wanted: Shapes, found: Mapping[str, Tensor], *, dtypes: tuple[str, ...]) -> list[str]:
    """What is not as wanted: keys that lack, keys too many, shapes, types; a sentence each, the first few of a kind."""
    lacking = [f"key {key} {list(wanted[key])} is missing" for key in wanted if key not in found]
    unknown = [f"key {key} {list(found[key].shape)} is unknown" for key in found if key not in wanted]
    both = [key for key in wanted if key in found]
    misshapen = [
        f"key {key} has shape {list(found[key].shape)}, wanted {list(wanted[key])}"
        for key in both
        if found[key].shape != tuple(wanted[key])
    ]
    mistyped = [
        f"key {key} is {found[key].dtype}, wanted {' or '.join(dtypes)}"
        for key in both
        if found[key].dtype not in dtypes
    ]
    return [line for kind in (lacking, unknown, misshapen, mistyped) for line in _first_few(kind)]


def _first_few(lines: list[str]) -> list[str]:
    more = len(lines) - SHOWN_AT_MOST
    return lines if more <= 0 else [*lines[:SHOWN_AT_MOST], f"and {more} more keys of that kind"]


def _dtype_name(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


@contextmanager
def _readable(file: WeightFile, path: Path) -> Iterator[None]:
    """Turns what readers raise over a bad file into a WeightsError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise WeightsError([f"{path} is missing; it is {file.source}"]) from error
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        said = str(error).strip().partition("\n")[0]
        raise WeightsError(
            [f"{path} cannot be read, it is cut short or damaged ({said}); it should be {file.source}"]
        ) from error
