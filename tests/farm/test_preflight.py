"""Every refusal and every warning of preflight, each with a real file."""

from __future__ import annotations

import math
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from PIL import Image

from farm.errors import InputRefusedError
from farm.preflight import Checked, Looks, judge, look_at_portrait, look_at_speech

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
PORTRAIT = ROOT / "samples" / "portrait.png"
SPEECH = ROOT / "samples" / "lesson.opus"
PROFILE = ROOT / "tests" / "engine" / "media" / "photos" / "profile.jpg"
LANDSCAPE = ROOT / "tests" / "engine" / "media" / "photos" / "landscape.jpg"
RATE = 16_000


def check(
    portrait: Path = PORTRAIT, speech: Path = SPEECH, *, max_speech_seconds: float = 4 * 3600.0, **options: Any
) -> Checked:
    looks = Looks(look_at_portrait(portrait), look_at_speech(speech, max_speech_seconds=max_speech_seconds))
    limits = {"duration": None, "chunk_seconds": 30.0, "declared": None}
    given = {name: options.pop(name) for name in list(options) if name in limits}
    return judge(looks, options, **{**limits, **given})


def problems(portrait: Path = PORTRAIT, speech: Path = SPEECH, **options: Any) -> list[str]:
    with pytest.raises(InputRefusedError) as refused:
        check(portrait, speech, **options)
    return refused.value.problems


@pytest.fixture
def photo() -> Image.Image:
    """The shipped portrait, 288x288, one face about 90 pixels wide."""
    with Image.open(PORTRAIT) as image:
        return image.convert("RGB")


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A second of a tone at -12 dBFS."""
    return write_wav(tmp_path / "tone.wav", sine(1.0))


def sine(seconds: float, level: float = 0.25) -> NDArray[np.float64]:
    return level * np.sin(np.arange(round(seconds * RATE)) * 2 * np.pi * 220 / RATE)


def write_wav(path: Path, sound: NDArray[np.float64]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return path


def write_encoded(path: Path, sound: NDArray[np.float64], codec: str, container: str) -> Path:
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((sound * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for part in (*av.AudioResampler(stream.format, "mono", RATE, 1024).resample(frame), None):
            file.mux(stream.encode(part))
    return path


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def test_the_shipped_lesson_passes_without_a_word() -> None:
    checked = check(declared={"preview": math.inf}, duration=32.2)
    assert checked.warnings == ()
    assert checked.pixels == 512 * 512
    assert checked.speech.seconds == pytest.approx(32.2, abs=0.01)
    assert (checked.spec.renderer, checked.spec.steps, checked.spec.expand_ratio) == ("preview", 25, 0.5)


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    silence = write_wav(tmp_path / "short.wav", sine(0.1))
    found = problems(LANDSCAPE, silence, steps=0, seed="x", colour="red", duration=5, chunk_seconds=0)
    for words in (
        "steps is 0",
        "seed is 'x'",
        "'colour'",
        "no face",
        "wanted 0.2 s",
        "duration is 5 s",
        "chunk_seconds is 0",
    ):
        assert sum(words in problem for problem in found) == 1, words
    assert len(found) == 7


# the portrait


def test_a_photo_without_a_face_is_refused() -> None:
    (problem,) = problems(LANDSCAPE)
    assert problem == "portrait landscape.jpg shows no face, wanted one that looks at the camera"


def test_a_small_face_is_refused_with_its_width(photo: Image.Image, tmp_path: Path) -> None:
    (problem,) = problems(save(photo.resize((130, 130)), tmp_path / "tiny face.png"))
    assert problem.startswith("portrait tiny face.png: the face is ")
    assert problem.endswith(" pixels wide, wanted 48 or more")


def test_a_face_lost_in_a_large_photo_is_refused_with_its_share(photo: Image.Image, tmp_path: Path) -> None:
    wall = Image.new("RGB", (1500, 1500), photo.getpixel((5, 5)))
    wall.paste(photo, (600, 600))
    (problem,) = problems(save(wall, tmp_path / "far.png"))
    assert "as wide as the photo's shorter side, wanted 8% or more: crop the photo closer" in problem


def test_a_face_cut_by_the_border_is_refused(photo: Image.Image, tmp_path: Path) -> None:
    (problem,) = problems(save(photo.crop((115, 0, 288, 288)), tmp_path / "cut.png"))
    assert problem.startswith("portrait cut.png: the face is cut off: ")
    assert problem.endswith("of it lies beyond the left border, wanted 5% or less")


def test_a_face_seen_from_the_side_is_refused() -> None:
    (problem,) = problems(PROFILE)
    assert problem.startswith("portrait profile.jpg: the head is turned about ")
    assert problem.endswith("wanted 35 or less")


def test_a_head_on_the_shoulder_is_refused(photo: Image.Image, tmp_path: Path) -> None:
    tilted = photo.rotate(40, Image.Resampling.BICUBIC, center=(143, 120), fillcolor=photo.getpixel((5, 5)))
    (problem,) = problems(save(tilted, tmp_path / "tilted.png"))
    assert "the head is tilted by" in problem
    assert problem.endswith("degrees, wanted 30 or less")


def test_of_several_faces_the_largest_is_taken_with_a_warning(photo: Image.Image, tmp_path: Path) -> None:
    pair = Image.new("RGB", (520, 288), "grey")
    pair.paste(photo.resize((200, 200)), (0, 60))
    pair.paste(photo, (220, 0))
    (warning,) = check(save(pair, tmp_path / "pair.png")).warnings
    assert warning.startswith("portrait pair.png shows 2 faces: the largest is taken, ")
    assert int(warning.partition("pixels at x ")[2].partition(",")[0]) > 220


@pytest.mark.parametrize("size", [(127, 288), (288, 127)])
def test_a_photo_below_128_pixels_is_refused(size: tuple[int, int], photo: Image.Image, tmp_path: Path) -> None:
    (problem,) = problems(save(photo.resize(size), tmp_path / "small.png"))
    assert problem == f"portrait small.png is {size[0]}x{size[1]} pixels, wanted at least 128 on each side"


def test_a_photo_above_50_megapixels_is_refused_unread(tmp_path: Path) -> None:
    path = save(Image.new("1", (10_000, 6_000)), tmp_path / "huge.png")
    assert path.stat().st_size < 50_000
    (problem,) = problems(path)
    assert problem == "portrait huge.png has 60.0 megapixels (10000x6000), wanted at most 50"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_refused(kind: str, photo: Image.Image, tmp_path: Path) -> None:
    path = save(
        photo, tmp_path / "moving", format=kind, save_all=True, append_images=[photo.rotate(5), photo.rotate(9)]
    )
    (problem,) = problems(path)
    assert problem == "portrait moving is animated (3 pictures), wanted a single still picture"


def test_what_is_no_whole_image_is_refused(tmp_path: Path) -> None:
    whole = PORTRAIT.read_bytes()
    for name, content, words in (
        ("notes.png", b"dear all", "no image that can be read"),
        ("empty.png", b"", "no image that can be read"),
        ("half.png", whole[: len(whole) // 2], "cannot be read, wanted a whole image file"),
    ):
        (tmp_path / name).write_bytes(content)
        (problem,) = problems(tmp_path / name)
        assert problem.startswith(f"portrait {name} ")
        assert words in problem
    (problem,) = problems(tmp_path / "missing.png")
    assert "missing.png" in problem


def test_a_strip_that_no_video_could_carry_is_refused_unless_the_face_is_framed(
    photo: Image.Image, tmp_path: Path
) -> None:
    strip = Image.new("RGB", (288, 2000), photo.getpixel((5, 5)))
    strip.paste(photo, (0, 800))
    path = save(strip, tmp_path / "strip.png")
    (problem,) = problems(path, min_resolution=2048)
    assert "wanted at most 8192 on a side: take a smaller min_resolution than 2048, or framing 'face'" in problem
    assert check(path, min_resolution=2048, framing="face").pixels == 2048 * 2048


def test_a_print_jpeg_and_a_phones_rotation_are_accepted(photo: Image.Image, tmp_path: Path) -> None:
    assert check(save(photo.convert("CMYK"), tmp_path / "print.jpg", quality=95)).warnings == ()
    exif = Image.Exif()
    exif[0x0112] = 6
    tall = photo.crop((40, 0, 248, 288)).transpose(Image.Transpose.ROTATE_90)
    look = look_at_portrait(save(tall, tmp_path / "phone.jpg", exif=exif, quality=95))
    assert (look.problems, look.size) == ((), (208, 288)), "width and height as a person sees them"


def test_a_photo_named_as_another_kind_is_accepted(photo: Image.Image, tmp_path: Path) -> None:
    assert check(save(photo, tmp_path / "photo.wav", format="WEBP", quality=95)).warnings == ()


# the speech


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("dear all")
    (tmp_path / "empty.wav").write_bytes(b"")
    for path, words in (
        (tmp_path / "notes.wav", "text"),
        (tmp_path / "empty.wav", "empty"),
        (PORTRAIT, "a PNG picture"),
    ):
        (problem,) = problems(speech=path)
        assert problem == f"{path.name} cannot be read as sound: it is {words}"
    (problem,) = problems(speech=tmp_path / "missing.wav")
    assert "missing.wav is no file, wanted a recording" in problem


def test_a_recording_cut_short_is_refused(tmp_path: Path) -> None:
    whole = write_encoded(tmp_path / "whole.flac", sine(20), "flac", "flac").read_bytes()
    (tmp_path / "half.flac").write_bytes(whole[: len(whole) // 2])
    (problem,) = problems(speech=tmp_path / "half.flac")
    assert "half.flac is" in problem


def test_encrypted_sound_is_refused(tmp_path: Path) -> None:
    path = write_encoded(tmp_path / "book.m4a", sine(1), "aac", "ipod")
    assert check(speech=path).warnings == ()
    path.write_bytes(path.read_bytes().replace(b"mp4a", b"enca"))
    (problem,) = problems(speech=path)
    assert problem.startswith("book.m4a is encrypted")


def test_a_speech_shorter_than_a_fifth_of_a_second_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(speech=write_wav(tmp_path / "click.wav", sine(0.19)))
    assert problem == "speech click.wav lasts 0.190 s, wanted 0.2 s or more"
    assert check(speech=write_wav(tmp_path / "yes.wav", sine(0.2))).speech.frames25 == 5


def test_a_speech_longer_than_the_limit_is_refused(tone: Path) -> None:
    (problem,) = problems(speech=tone, max_speech_seconds=0.99)
    assert problem == "speech tone.wav lasts 0:00:01.000, wanted 0:00:00.990 at most"
    assert check(speech=tone, max_speech_seconds=1.0).speech.seconds == 1.0


@pytest.mark.parametrize(("level", "words"), [(0.0, "digital silence"), (0.0005, "-69 dBFS at its loudest")])
def test_silence_throughout_is_warned_of_with_its_level(level: float, words: str, tmp_path: Path) -> None:
    (warning,) = check(speech=write_wav(tmp_path / "muted.wav", sine(2.0, level))).warnings
    assert warning == f"speech muted.wav is silent throughout: {words}, wanted -60 dBFS or more; the mouth will rest"


def test_one_word_in_a_long_silence_is_no_silence(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(RATE * 20), sine(0.5), np.zeros(RATE * 20)])
    assert check(speech=write_wav(tmp_path / "one word.wav", sound)).warnings == ()


def test_clipping_is_warned_of_and_a_normalised_peak_is_not(tmp_path: Path) -> None:
    (warning,) = check(speech=write_wav(tmp_path / "loud.wav", sine(2.0, 3.0))).warnings
    assert warning.startswith("speech loud.wav is clipped: 78.")
    assert warning.endswith("of its samples are at full scale, wanted 0.1% at most")
    voice = sine(2.0, 0.5)
    voice[1000] = 1.0
    assert check(speech=write_wav(tmp_path / "normalised.wav", voice)).warnings == ()


def test_a_recording_named_as_another_kind_is_accepted(tone: Path, tmp_path: Path) -> None:
    renamed = tone.rename(tmp_path / "tone.mp3")
    checked = check(speech=renamed)
    assert (checked.speech.container, checked.warnings) == ("wav", ())


# the parameters


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"steps": 101}, "steps is 101, wanted 1 to 100"),
        ({"steps": 2.5}, "steps is 2.5, wanted a whole number"),
        ({"steps": True}, "steps is True, wanted a whole number"),
        ({"dynamic_scale": 0.49}, "dynamic_scale is 0.49, wanted 0.5 to 2"),
        ({"dynamic_scale": "loud"}, "dynamic_scale is 'loud', wanted a number"),
        ({"dynamic_scale": float("nan")}, "dynamic_scale is nan, wanted 0.5 to 2"),
        ({"dynamic_scale": 10**400}, f"dynamic_scale is {10**400}, wanted a number"),
        ({"motion_scale": 2.01}, "motion_scale is 2.01, wanted 0.5 to 2"),
        ({"expand_ratio": -0.1}, "expand_ratio is -0.1, wanted 0 to 1"),
        ({"min_resolution": 100}, "min_resolution is 100, wanted 128 to 2048 in steps of 64"),
        ({"min_resolution": 500}, "min_resolution is 500, wanted 128 to 2048 in steps of 64"),
        ({"seed": -1}, "seed is -1, wanted 0 to 9223372036854775807"),
        ({"seed": None}, "seed is None, wanted a whole number"),
        ({"framing": "side"}, "framing is 'side', wanted one of full, face"),
        ({"renderer": ""}, "renderer is '', wanted a name"),
        ({"step": 3}, "there is no parameter 'step', wanted one of calibrate, check, dynamic_scale, expand_ratio"),
        ({"chunk_seconds": 0}, "chunk_seconds is 0, wanted a number of seconds above 0"),
        ({"chunk_seconds": float("inf")}, "chunk_seconds is inf, wanted a number of seconds above 0"),
        ({"duration": -1.0}, "duration is -1.0, wanted a number of seconds above 0"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(parameters: dict[str, Any], words: str, tone: Path) -> None:
    (problem,) = problems(speech=tone, **parameters)
    assert problem.startswith(words)


def test_the_ends_of_every_range_are_allowed(tone: Path) -> None:
    low = check(speech=tone, seed=0, steps=10, dynamic_scale=0.5, expand_ratio=0, min_resolution=128)
    high = check(speech=tone, seed=2**63 - 1, steps=100, motion_scale=2, expand_ratio=1, min_resolution=2048)
    assert low.warnings == high.warnings == ()
    assert repr(high.spec.motion_scale) == "2.0", "2 and 2.0 are one parameter"


@pytest.mark.parametrize(
    ("parameters", "pixels"),
    [({"size": "1080p"}, 1024), ({"size": "1080p", "min_resolution": 512}, 512), ({"size": "1920x1080"}, 512)],
)
def test_1080p_is_rendered_sharp_unless_the_resolution_is_given(
    parameters: dict[str, Any], pixels: int, tone: Path
) -> None:
    assert check(speech=tone, **parameters).spec.min_resolution == pixels


def test_few_steps_warn_of_blur(tone: Path) -> None:
    assert check(speech=tone, steps=9).warnings == ("steps is 9: the picture will be blurred below 10",)


@pytest.mark.parametrize("duration", [1.0, 0.96, 1.04])
def test_a_duration_within_a_frame_of_the_speech_is_accepted(duration: float, tone: Path) -> None:
    assert check(speech=tone, duration=duration).warnings == ()


@pytest.mark.parametrize(("duration", "said"), [(0.95, "0.95"), (1.05, "1.05"), (60, "60")])
def test_a_duration_unlike_the_speech_names_both(duration: float, said: str, tone: Path) -> None:
    (problem,) = problems(speech=tone, duration=duration)
    assert problem == (
        f"duration is {said} s but speech tone.wav lasts 1.000 s, wanted the same within a frame (0.04 s)"
    )


def test_a_renderer_that_no_slot_offers_makes_the_job_wait(tone: Path) -> None:
    assert check(speech=tone, renderer="sonic", declared=None).warnings == (), "not known, so nothing is said"
    (warning,) = check(speech=tone, renderer="sonic", declared=dict.fromkeys(("preview", "draft"), math.inf)).warnings
    assert warning == "no slot offers renderer 'sonic': they offer draft, preview; the job will wait"
    (warning,) = check(speech=tone, declared={}).warnings
    assert warning == "no slot offers renderer 'preview': no slot is at work; the job will wait"


@pytest.mark.parametrize("asked", [{"size": "1080p"}, {"framing": "face", "min_resolution": 1024}])
def test_frames_that_no_slot_has_memory_for_make_the_job_wait(asked: dict[str, Any], tone: Path) -> None:
    found = check(speech=tone, declared={"preview": 1_000_000, "sonic": math.inf}, **asked)
    said = "no slot has memory for frames of 1,048,576 pixels: the largest takes 1,000,000; the job will wait"
    assert (found.pixels, found.warnings) == (1024 * 1024, (said,))
    assert check(speech=tone, declared={"preview": 1024 * 1024}, **asked).warnings == ()
