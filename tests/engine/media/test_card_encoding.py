"""A video that is encoded in one place takes a card's own encoder, but only one that was seen to work."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import av
import pytest

from engine.media.video import FRAME_TIME, CardEncoding, Encoding, encoding_of_one

if TYPE_CHECKING:
    from pathlib import Path

    from av.video.codeccontext import VideoCodecContext

NVENC = CardEncoding()


class Working(CardEncoding):
    """An encoder with options of its own that works on every machine."""

    codec = "libx264"

    @property
    def options(self) -> dict[str, str]:
        return {"preset": "ultrafast", "bf": "0"}


class NotInPyAV(CardEncoding):
    codec = "h264_of_nobody"


class Choosy(Working):
    """One that refuses what it is asked for when it is opened, as a card does with too large a picture."""

    @property
    def options(self) -> dict[str, str]:
        return {"preset": "none of x264's"}


def opened(options: dict[str, str]) -> None:
    context = cast("VideoCodecContext", av.CodecContext.create(NVENC.codec, "w"))
    context.width, context.height, context.pix_fmt, context.time_base = 640, 480, "yuv420p", FRAME_TIME
    context.options = options
    context.open()


def test_an_encoder_that_works_is_used(tmp_path: Path) -> None:
    assert encoding_of_one((512, 256), tmp_path, card=Working()) == Working()
    assert not list(tmp_path.iterdir()), "the picture that it was tried on is gone"


@pytest.mark.parametrize("card", [NotInPyAV(), Choosy()], ids=["not there", "refuses"])
def test_without_one_that_works_it_is_x264_and_no_error(tmp_path: Path, card: CardEncoding) -> None:
    assert encoding_of_one((512, 256), tmp_path, card=card) == Encoding()
    assert not list(tmp_path.iterdir())


def test_this_machine_gets_an_encoder_that_encodes(tmp_path: Path) -> None:
    try:
        opened(NVENC.options)
    except (av.FFmpegError, ValueError):
        assert encoding_of_one((512, 256), tmp_path) == Encoding()
    else:
        assert encoding_of_one((512, 256), tmp_path) == NVENC


@pytest.mark.parametrize("option", ["preset", "rc", "cq", "b", "bf", "g"])
def test_nvenc_looks_at_each_of_our_options_before_it_looks_for_a_card(option: str) -> None:
    assert NVENC.codec in av.codecs_available
    assert set(NVENC.options) == {"preset", "rc", "cq", "b", "bf", "g"}
    with pytest.raises((ValueError, OverflowError)):
        opened({**NVENC.options, option: "no such value"})
