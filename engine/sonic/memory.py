"""What to do with the memory there is: which mode, and what to try when it runs out (docs/sonic.md#memory)."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.errors import RenderError
from engine.sonic.config import LATENT_PIXELS
from engine.sonic.denoise import NonFiniteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import nn

    from engine.sonic.config import SonicConfig
    from engine.sonic.unet import SonicUNet

FAST_BYTES_PER_POSITION = 1_600_000
"""Free memory that `fast` wants for each position of a latent, in half precision (docs/sonic.md#memory)."""

LEAN_BYTES_PER_POSITION = 600_000
"""The same for `lean`: one branch at a time (docs/sonic.md#memory)."""

_log = logging.getLogger(__name__)


@contextmanager
def on_device(config: SonicConfig, *models: nn.Module) -> Iterator[None]:
    """`models` on the device; in `lean` mode back on the host after use."""
    try:
        for model in models:
            model.to(config.device)
        yield
    finally:
        if config.memory == "lean":
            for model in models:
                model.to("cpu")


def chosen_mode(config: SonicConfig, image_size: tuple[int, ...], conditioning: Sequence[nn.Module]) -> str:
    """`fast` or `lean`: as the config says, or for "auto" by what is free on the device now.

    `fast` keeps the models of `conditioning` on the device, so room is wanted for those that are not there.
    """
    if config.memory != "auto":
        return config.memory
    if not config.device.startswith("cuda"):
        return "fast"
    free = _free_bytes(config.device)
    away = sum(p.nbytes for model in conditioning for p in model.parameters() if p.device.type == "cpu")
    needed = image_size[0] * image_size[1] // LATENT_PIXELS**2 * FAST_BYTES_PER_POSITION + away
    mode = "fast" if free >= needed else "lean"
    _log.info("memory mode %s: %.1f GB free, fast wants %.1f GB", mode, free / 1e9, needed / 1e9)
    return mode


def most_pixels(device: str) -> int:
    """Pixels of the largest frame that `lean` can render in what is free on the device now."""
    return _free_bytes(device) // LEAN_BYTES_PER_POSITION * LATENT_PIXELS**2


def denoise_in_what_fits(
    denoise: Callable[..., Tensor], unet: SonicUNet, *inputs: Any, config: SonicConfig, **named: Any
) -> Tensor:
    """`denoise`, again in lean mode when memory runs out, and once in float32 when a number overflows.

    Raises RenderError with what was needed and what is free; NonFiniteError where float32 overflows too.
    """
    try:
        return _denoise_leaner(denoise, unet, *inputs, config=config, **named)
    except NonFiniteError as error:
        if unet.dtype == torch.float32:
            raise
        _log.warning("%s; once more in float32", error)
    narrow = unet.dtype
    try:
        unet.to(torch.float32)
        return _denoise_leaner(denoise, unet, *inputs, config=replace(config, memory="lean"), **named)
    except torch.OutOfMemoryError as error:
        raise RenderError(_shortage("denoising in float32", error)) from error
    finally:
        unet.to(narrow)  # halves come back as they were


def _denoise_leaner(
    denoise: Callable[..., Tensor], unet: SonicUNet, *inputs: Any, config: SonicConfig, **named: Any
) -> Tensor:
    if config.memory != "lean":
        try:
            return denoise(unet, *inputs, config=config, **named)
        except torch.OutOfMemoryError as error:
            _log.warning("%s; once more in lean mode", _shortage("denoising", error))
        torch.cuda.empty_cache()
    try:
        return denoise(unet, *inputs, config=replace(config, memory="lean"), **named)
    except torch.OutOfMemoryError as error:
        raise RenderError(_shortage("denoising in lean mode", error)) from error


def smaller_when_full(rest: Callable[[int], Iterator[Tensor]], batch: int, what: str) -> Iterator[Tensor]:
    """What `rest(batch)` yields; when memory runs out, what `rest` of half the batch yields from there on.

    Raises RenderError, with what was needed and what is free, where a batch of one is too much.
    """
    while True:
        try:
            yield from rest(batch)
            return
        except torch.OutOfMemoryError as error:
            if batch == 1:
                raise RenderError(_shortage(what, error)) from error
            _log.warning("%s; batches of %d now", _shortage(what, error), batch // 2)
        torch.cuda.empty_cache()
        batch //= 2


def _free_bytes(device: str) -> int:
    """What the device has free; what torch holds for later counts as free."""
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


def _shortage(what: str, error: torch.OutOfMemoryError) -> str:
    """Torch's message says what was asked for and what is free."""
    return f"{what} ran out of memory: {str(error).splitlines()[0] if str(error) else 'no details'}"
