"""Portrait, speech and parameters looked at before anything is queued: every problem at once, in plain words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import InputError, PortraitError, SpecError, SpeechError
from engine.media.audio import SpeechInfo, inspect_speech
from engine.media.face import NO_FACE, detect_faces, face_problems
from engine.media.image import load_portrait, render_size
from engine.media.subtitles import fitted, read_srt
from engine.spec import BLURRY_BELOW_STEPS, FRAME_RATE, OutputSpec, RenderSpec
from farm.errors import InputRefusedError
from farm.jobs.model import no_slot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engine.media.subtitles import Cue

Spec = TypeVar("Spec", RenderSpec, OutputSpec)

SHORTEST_SPEECH_SECONDS = 0.2
SILENT_BELOW_DBFS = -60.0
"""A speech whose loudest 400 ms stay under this is taken for silence."""
CLIPPED_ABOVE = 0.001
"""Share of samples at full scale above which a speech sounds distorted; a track normalised to 0 dBFS has fewer."""
FRAME_SECONDS = 1 / FRAME_RATE

SHARP_AT_1080P = 1024
"""min_resolution of a job that asks for 1080p and does not name one."""

_KINDS: dict[type, str] = {int: "a whole number", float: "a number", str: "a name", bool: "true or false"}
_PARAMETERS: dict[str, type] = {each.name: type(each.default) for each in fields(RenderSpec)}
_OUTPUT: dict[str, type] = {
    each.name: float if each.default is None else type(each.default) for each in fields(OutputSpec)
}
_LEFT_OPEN = {each.name for each in fields(OutputSpec) if each.default is None}
"""Parameters of which None says the same as nothing: the renderer's own."""


@dataclass(frozen=True)
class Checked:
    """Inputs that can be rendered. pixels: of a rendered frame."""

    spec: RenderSpec
    output: OutputSpec
    speech: SpeechInfo
    pixels: int
    warnings: tuple[str, ...]


@dataclass
class _Findings:
    """One sentence each: what stops the job, and what its owner should know."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def take(self, look: PortraitLook | SpeechLook) -> None:
        self.problems += look.problems
        self.warnings += look.warnings


@dataclass(frozen=True)
class PortraitLook:
    """What was seen of a portrait. size: (width, height), None where it cannot be rendered."""

    name: str
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class SpeechLook:
    """What was heard of a speech; info is None where it cannot be read."""

    name: str
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    info: SpeechInfo | None = None


@dataclass(frozen=True)
class SubtitlesLook:
    """What was read of subtitles; cues is None where they cannot be read."""

    name: str
    problems: tuple[str, ...] = ()
    cues: tuple[Cue, ...] | None = None


@dataclass(frozen=True)
class Looks:
    """A job's files, each looked at once; many jobs may share one look."""

    portrait: PortraitLook
    speech: SpeechLook
    subtitles: SubtitlesLook | None = None


def judge(
    looks: Looks,
    parameters: Mapping[str, Any],
    *,
    duration: float | None,
    chunk_seconds: float | None,
    declared: Mapping[str, float] | None,
) -> Checked:
    """Hold what a job is asked for against what its files are.

    parameters: fields of RenderSpec and OutputSpec. duration: seconds that the speech should have. declared:
    renderers that the farm's slots offer now, each with the most pixels of a frame, None where that is not known.

    Raises InputRefusedError with every problem at once, those of the files included.
    """
    found = _Findings()
    spec, output = _check_parameters(parameters, found)
    if chunk_seconds is not None:
        _check_chunk_seconds(chunk_seconds, found)
    picture, sound = looks.portrait, looks.speech
    found.take(picture)
    found.take(sound)
    if duration is not None:
        _check_duration(duration, sound, found)
    if looks.subtitles is not None:
        _check_subtitles(looks.subtitles, sound.info, found)
    pixels = _frame_pixels(picture.size, spec, found) if spec and picture.size else 0
    if spec and declared is not None and (missing := no_slot(spec.renderer, pixels, declared)):
        found.warnings.append(f"{missing}; the job will wait")
    if found.problems or not (spec and output and picture.size and sound.info):
        raise InputRefusedError(found.problems)
    return Checked(spec, output, sound.info, pixels, tuple(found.warnings))


def _check_parameters(parameters: Mapping[str, Any], found: _Findings) -> tuple[RenderSpec | None, OutputSpec | None]:
    """Both specs, None where a parameter is wrong; those of the right type are still held against their ranges."""
    known = _PARAMETERS | _OUTPUT
    problems, usable = [], {}
    for name, value in parameters.items():
        kind = known.get(name)
        if kind is None:
            problems.append(f"there is no parameter {name!r}, wanted one of {', '.join(sorted(known))}")
        elif value is None and name in _LEFT_OPEN:
            continue
        elif not _is(value, kind):
            problems.append(f"{name} is {value!r}, wanted {_KINDS[kind]}")
        else:
            usable[name] = kind(value)  # 1 and 1.0 are one parameter, and one job
    if usable.get("size") == "1080p":
        usable.setdefault("min_resolution", SHARP_AT_1080P)
    spec = _built(RenderSpec, {name: value for name, value in usable.items() if name in _PARAMETERS}, problems)
    output = _built(OutputSpec, {name: value for name, value in usable.items() if name in _OUTPUT}, problems)
    found.problems += problems
    if spec and output and output.paste_back and spec.framing != "face":
        found.problems.append(f"paste_back was asked for with framing {spec.framing!r}, wanted framing 'face'")
    if output and output.fit != OutputSpec.fit and output.size == OutputSpec.size:
        found.problems.append(f"fit {output.fit!r} was asked for without a size to fit, wanted a size as well")
    if spec and spec.steps < BLURRY_BELOW_STEPS:
        found.warnings.append(f"steps is {spec.steps}: the picture will be blurred below {BLURRY_BELOW_STEPS}")
    return spec, output


def _built(kind: type[Spec], values: dict[str, Any], problems: list[str]) -> Spec | None:
    try:
        return kind(**values)
    except SpecError as error:
        problems += error.problems
        return None


def _is(value: object, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is str:
        return isinstance(value, str) and bool(value)
    if isinstance(value, int):
        return kind is int or value.bit_length() < 64
    return kind is float and isinstance(value, float)


def _check_chunk_seconds(chunk_seconds: float, found: _Findings) -> None:
    if not (_is(chunk_seconds, float) and math.isfinite(chunk_seconds) and chunk_seconds > 0):
        found.problems.append(f"chunk_seconds is {chunk_seconds!r}, wanted a number of seconds above 0")


def look_at_portrait(path: Path) -> PortraitLook:
    """Find the face in a photo, which is judged by its content, whatever its name."""
    try:
        image = load_portrait(path)
    except PortraitError as error:
        return PortraitLook(path.name, (str(error),))
    size = (image.shape[1], image.shape[0])
    faces = detect_faces(image)
    if not faces:
        return PortraitLook(path.name, (f"portrait {path.name} {NO_FACE}",))
    x0, y0, x1, y1 = (round(edge) for edge in faces[0].box)
    warnings: tuple[str, ...] = ()
    if len(faces) > 1:
        words = f"shows {len(faces)} faces: the largest is taken, {x1 - x0}x{y1 - y0} pixels at x {x0}, y {y0}"
        warnings = (f"portrait {path.name} {words}",)
    if problems := face_problems(faces[0], size):
        return PortraitLook(path.name, tuple(f"portrait {path.name}: {problem}" for problem in problems), warnings)
    return PortraitLook(path.name, (), warnings, size)


def look_at_speech(path: Path, *, max_speech_seconds: float) -> SpeechLook:
    """Hear a recording from end to end: its length and its level."""
    try:
        info = inspect_speech(path)
    except SpeechError as error:
        return SpeechLook(path.name, (str(error),))
    problems = []
    if info.seconds < SHORTEST_SPEECH_SECONDS:
        wanted = f"{SHORTEST_SPEECH_SECONDS:g} s or more"
        problems.append(f"speech {path.name} lasts {info.seconds:.3f} s, wanted {wanted}")
    if info.seconds > max_speech_seconds:
        problems.append(f"speech {path.name} lasts {_clock(info.seconds)}, wanted {_clock(max_speech_seconds)} at most")
    return SpeechLook(path.name, tuple(problems), _level_warnings(path.name, info), info)


def look_at_subtitles(path: Path) -> SubtitlesLook:
    """Read an SRT file."""
    try:
        return SubtitlesLook(path.name, cues=tuple(read_srt(path)))
    except InputError as error:
        return SubtitlesLook(path.name, (str(error),))
    except OSError as error:
        return SubtitlesLook(path.name, (f"subtitles {path} cannot be read: {error.strerror}",))


def _frame_pixels(size: tuple[int, int], spec: RenderSpec, found: _Findings) -> int:
    """Pixels of a rendered frame, 0 where there can be none; a crop to the face is a square."""
    if spec.framing == "face":
        return spec.min_resolution**2
    width, height = size
    try:
        width, height = render_size(height, width, spec.min_resolution)
    except PortraitError as error:
        found.problems.append(f"{error}: take a smaller min_resolution than {spec.min_resolution}, or framing 'face'")
        return 0
    return width * height


def _check_subtitles(text: SubtitlesLook, sound: SpeechInfo | None, found: _Findings) -> None:
    found.problems += text.problems
    if sound is None or text.cues is None:
        return
    try:
        fitted(text.cues, sound.frames25)
    except InputError as error:
        found.problems.append(f"subtitles {text.name}: {error}")


def _level_warnings(name: str, info: SpeechInfo) -> tuple[str, ...]:
    warnings = []
    if info.loudness_dbfs < SILENT_BELOW_DBFS:
        level = "digital silence" if math.isinf(info.loudness_dbfs) else f"{info.loudness_dbfs:.0f} dBFS at its loudest"
        wanted = f"wanted {SILENT_BELOW_DBFS:g} dBFS or more"
        warnings.append(f"speech {name} is silent throughout: {level}, {wanted}; the mouth will rest")
    if info.clipped > CLIPPED_ABOVE:
        warnings.append(
            f"speech {name} is clipped: {info.clipped:.1%} of its samples are at full scale, "
            f"wanted {CLIPPED_ABOVE:.1%} at most"
        )
    return tuple(warnings)


def _check_duration(duration: float, speech: SpeechLook, found: _Findings) -> None:
    if not (_is(duration, float) and math.isfinite(duration) and duration > 0):
        found.problems.append(f"duration is {duration!r}, wanted a number of seconds above 0")
    elif speech.info and abs(duration - speech.info.seconds) > FRAME_SECONDS + 1e-9:
        found.problems.append(
            f"duration is {duration:g} s but speech {speech.name} lasts {speech.info.seconds:.3f} s, "
            f"wanted the same within a frame ({FRAME_SECONDS:g} s)"
        )


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds: 4:00:01.500."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60}:{minutes % 60:02}:{milliseconds / 1000:06.3f}"
