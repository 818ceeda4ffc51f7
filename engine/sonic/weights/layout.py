"""What lies where in a folder of weights, and where each file comes from; the released layout, kept as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Part = Literal[
    "unet",
    "stock unet",
    "audio2token",
    "audio2bucket",
    "vae",
    "image_encoder",
    "scheduler",
    "feature_extractor",
    "whisper",
    "flow",
    "detector",
]
Kind = Literal["config", "state dict", "safetensors", "torchscript"]


@dataclass(frozen=True)
class Origin:
    """A repository of the hub and the terms under which its files may be used."""

    repo: str
    licence: str
    terms: str
    """Where the licence's text is: an address, or a file of the repository."""
    must_be_accepted: bool


SONIC = Origin("LeonJoe13/Sonic", "CC BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/", True)
SVD = Origin(
    "stabilityai/stable-video-diffusion-img2vid-xt", "Stability AI Community License", "LICENSE.md in it", True
)
WHISPER = Origin("openai/whisper-tiny", "Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0", False)
ORIGINS = (SONIC, SVD, WHISPER)

SVD_FOLDER, WHISPER_FOLDER = "stable-video-diffusion-img2vid-xt", "whisper-tiny"


@dataclass(frozen=True)
class WeightFile:
    """One file of the layout. `path` is below the folder of weights, `remote` below its repository."""

    path: str
    part: Part
    kind: Kind
    origin: Origin
    remote: str
    needed: bool = True

    def found_in(self, folder: Path) -> Path:
        """The file as it lies in `folder`: a state dict saved as safetensors beside its torch file is read first."""
        path = folder / self.path
        converted = path.with_suffix(".safetensors")
        return converted if self.kind == "state dict" and converted.is_file() else path

    @property
    def source(self) -> str:
        """Where to get it, in words."""
        return f"{self.remote} of {self.origin.repo} on the Hugging Face hub"


def _sonic(path: str, part: Part, kind: Kind = "state dict") -> WeightFile:
    return WeightFile(path, part, kind, SONIC, path)


def _svd(remote: str, part: Part, *, needed: bool = True) -> WeightFile:
    kind: Kind = "safetensors" if remote.endswith(".safetensors") else "config"
    return WeightFile(f"{SVD_FOLDER}/{remote}", part, kind, SVD, remote, needed)


def _whisper(remote: str, kind: Kind) -> WeightFile:
    return WeightFile(f"{WHISPER_FOLDER}/{remote}", "whisper", kind, WHISPER, remote)


FILES = (
    _sonic("Sonic/unet.pth", "unet"),
    _sonic("Sonic/audio2token.pth", "audio2token"),
    _sonic("Sonic/audio2bucket.pth", "audio2bucket"),
    _svd("unet/config.json", "unet"),
    # unet.pth holds every one of these weights, trained on: nothing reads the stock ones
    _svd("unet/diffusion_pytorch_model.fp16.safetensors", "stock unet", needed=False),
    _svd("vae/config.json", "vae"),
    _svd("vae/diffusion_pytorch_model.fp16.safetensors", "vae"),
    _svd("image_encoder/config.json", "image_encoder"),
    _svd("image_encoder/model.fp16.safetensors", "image_encoder"),
    _svd("scheduler/scheduler_config.json", "scheduler"),
    _svd("feature_extractor/preprocessor_config.json", "feature_extractor"),
    _whisper("config.json", "config"),
    _whisper("preprocessor_config.json", "config"),
    _whisper("model.safetensors", "safetensors"),
    _sonic("RIFE/flownet.pkl", "flow"),
    _sonic("yoloface_v5m.pt", "detector", "torchscript"),
)
NEEDED = tuple(file for file in FILES if file.needed)


def file_of(part: Part, *, config: bool = False) -> WeightFile:
    """The file that holds a part's weights, or its configuration."""
    return next(file for file in FILES if file.part == part and (file.kind == "config") == config)


def size_text(size: float) -> str:
    """Bytes as one reads them: 777 B, 6.30 GB."""
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
