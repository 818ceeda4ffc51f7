"""Speech of any format: what it holds, what is refused, and what renderers and the result get of it."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from lessons import clicks_of, decoded_sound, lag_seconds, write_sound

from engine.errors import SpeechError
from engine.media.audio import PcmSpeech, SpeechInfo, decode_speech, inspect_speech

FORMATS = [
    pytest.param("wav", "pcm_u8", 8_000, 1, None, id="wav 8 bit 8 kHz"),
    pytest.param("wav", "pcm_s16le", 11_025, 1, None, id="wav 16 bit 11.025 kHz"),
    pytest.param("wav", "pcm_s16le", 44_100, 2, None, id="wav 16 bit 44.1 kHz stereo"),
    pytest.param("wav", "pcm_s16le", 37_811, 1, None, id="wav at a rate nobody uses"),
    pytest.param("wav", "pcm_s24le", 96_000, 2, None, id="wav 24 bit 96 kHz"),
    pytest.param("wav", "pcm_s32le", 48_000, 1, None, id="wav 32 bit"),
    pytest.param("wav", "pcm_f32le", 22_050, 1, None, id="wav float"),
    pytest.param("wav", "pcm_f64le", 16_000, 1, None, id="wav double"),
    pytest.param("wav", "pcm_s16le", 48_000, 6, None, id="wav 5.1"),
    pytest.param("aiff", "pcm_s16be", 44_100, 1, None, id="aiff"),
    pytest.param("flac", "flac", 48_000, 2, "s16", id="flac"),
    pytest.param("flac", "flac", 96_000, 1, "s32", id="flac 24 bit"),
    pytest.param("mp3", "libmp3lame", 44_100, 2, "s16p", id="mp3"),
    pytest.param("mp3", "libmp3lame", 22_050, 1, "s16p", id="mp3 22.05 kHz"),
    pytest.param("m4a", "alac", 44_100, 2, None, id="m4a lossless"),
    pytest.param("ogg", "libopus", 48_000, 1, None, id="opus in ogg"),
    pytest.param("opus", "libopus", 48_000, 6, None, id="opus 5.1"),
    pytest.param("webm", "libopus", 48_000, 2, None, id="opus in webm"),
    pytest.param("mka", "flac", 32_000, 1, "s16", id="flac in matroska"),
]


def decoded(source: Path) -> tuple[SpeechInfo, Path, Path]:
    pcm, m4a = source.with_suffix(".out.pcm"), source.with_suffix(".out.m4a")
    return decode_speech(source, pcm=pcm, m4a=m4a, on_progress=lambda _: None), pcm, m4a


@pytest.mark.parametrize(("suffix", "codec", "rate", "channels", "sample_format"), FORMATS)
def test_every_format_gives_its_exact_sample_count_and_aligned_speech(
    tmp_path: Path, suffix: str, codec: str, rate: int, channels: int, sample_format: str | None
) -> None:
    samples = rate + 217
    sound = clicks_of(samples, rate)
    source = write_sound(
        tmp_path / f"speech.{suffix}", sound, rate=rate, codec=codec, channels=channels, sample_format=sample_format
    )

    info, pcm, m4a = decoded(source)

    assert (info.samples, info.rate, info.channels) == (samples, rate, channels)
    assert suffix in info.container.split(",") or suffix in ("opus", "mka")
    speech = PcmSpeech(pcm)
    assert speech.samples == math.floor(samples * 16_000 / rate + 0.5)
    carried = inspect_speech(m4a)
    assert carried.channels == min(channels, 2)
    wanted = math.floor(samples * carried.rate / rate + 0.5)
    assert wanted <= carried.samples < wanted + 1024
    for heard, heard_rate in ((speech.read(0, speech.samples), 16_000), (decoded_sound(m4a), carried.rate)):
        times = np.arange(samples * heard_rate // rate) / heard_rate
        reference = np.interp(times, np.arange(samples) / rate, sound)
        for at in (heard_rate // 10, len(reference) // 2, len(reference) - heard_rate // 10):
            assert abs(lag_seconds(heard, reference, at, heard_rate)) < 0.002


@pytest.mark.parametrize(
    ("rate", "carried"),
    [(6_000, 7_350), (7_350, 7_350), (11_025, 11_025), (37_800, 44_100), (88_200, 48_000), (192_000, 48_000)],
)
def test_the_result_carries_the_speech_at_its_own_rate_or_the_next_that_aac_has(
    tmp_path: Path, rate: int, carried: int
) -> None:
    source = write_sound(tmp_path / "speech.wav", clicks_of(rate // 2, rate), rate=rate, codec="pcm_s16le")
    _, _, m4a = decoded(source)
    assert inspect_speech(m4a).rate == carried


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8_000, 37_800, 44_100, 96_000])
@pytest.mark.parametrize("samples", [1, 2, 257, 1024, 2049])
def test_the_shortest_speeches_keep_all_their_samples(tmp_path: Path, samples: int, rate: int, channels: int) -> None:
    sound = np.full(samples, 0.25, np.float32)
    source = write_sound(tmp_path / "speech.wav", sound, rate=rate, codec="pcm_s16le", channels=channels)
    info, pcm, m4a = decoded(source)
    assert info.samples == samples
    assert PcmSpeech(pcm).samples == math.floor(samples * 16_000 / rate + 0.5)
    carried = inspect_speech(m4a)
    wanted = math.floor(samples * carried.rate / rate + 0.5)
    assert wanted <= carried.samples < wanted + 1024


def test_an_mp3_with_tags_counts_neither_tags_nor_priming(tmp_path: Path) -> None:
    tags = {"title": "Lesson one", "artist": "A teacher", "comment": "x" * 5000}
    sound = clicks_of(50_000, 44_100)
    source = write_sound(
        tmp_path / "a.mp3", sound, rate=44_100, codec="libmp3lame", sample_format="s16p", metadata=tags
    )
    assert source.read_bytes().startswith(b"ID3")
    info = inspect_speech(source)
    assert (info.codec, info.samples) == ("mp3", 50_000)


def test_the_audio_of_a_video_is_taken(tmp_path: Path) -> None:
    speech = write_sound(tmp_path / "a.m4a", clicks_of(48_000, 48_000), rate=48_000, codec="aac")
    source = tmp_path / "talk.mp4"
    with av.open(str(speech)) as sound, av.open(str(source), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        copy = out.add_stream_from_template(sound.streams.audio[0])
        for _ in range(25):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        out.mux(video.encode(None))
        for packet in sound.demux(audio=0):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    info = inspect_speech(source)
    assert (info.codec, info.rate) == ("aac", 48_000)
    assert 48_000 <= info.samples < 48_000 + 1024


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    source = write_sound(
        tmp_path / "speech.mp3", clicks_of(9_000, 8_000), rate=8_000, codec="pcm_s16le", container="wav"
    )
    assert inspect_speech(source).container == "wav"


@pytest.mark.parametrize("name", ["concat:a|b.wav", "http:x%d.wav", "pipe:0", "-", " ä 'n\"ame.wav"])
def test_a_file_name_is_never_taken_for_an_address(tmp_path: Path, name: str) -> None:
    sound = clicks_of(9_000, 8_000)
    source = write_sound(tmp_path / "plain.wav", sound, rate=8_000, codec="pcm_s16le").rename(tmp_path / name)
    assert inspect_speech(source).samples == 9_000


def test_levels_are_those_of_the_signal(tmp_path: Path) -> None:
    rate = 16_000
    sound = np.zeros(4 * rate, np.float32)
    sound[rate : 2 * rate] = 0.5 * np.sin(np.arange(rate) / rate * 2 * np.pi * 440)
    info = inspect_speech(write_sound(tmp_path / "a.wav", sound, rate=rate, codec="pcm_s16le"))
    assert info.peak_dbfs == pytest.approx(-6.02, abs=0.02)
    assert info.loudness_dbfs == pytest.approx(-9.03, abs=0.05), "the loudest 400 ms, not the whole"
    assert info.clipped == 0
    assert (info.seconds, info.frames25) == (4.0, 100)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le"])
def test_the_share_of_clipped_samples_is_counted(tmp_path: Path, codec: str) -> None:
    sound = np.tile(np.array([1, -1, 0.5, 0], np.float32), 4_000)
    info = inspect_speech(write_sound(tmp_path / "a.wav", sound, rate=8_000, codec=codec))
    assert info.clipped == pytest.approx(0.5)


def test_digital_silence_has_no_level(tmp_path: Path) -> None:
    info = inspect_speech(write_sound(tmp_path / "a.wav", np.zeros(8_000, np.float32), rate=8_000, codec="pcm_s16le"))
    assert (info.peak_dbfs, info.loudness_dbfs, info.clipped) == (-math.inf, -math.inf, 0)


def test_a_mix_down_of_six_full_channels_does_not_clip(tmp_path: Path) -> None:
    sound = 0.98 * np.sin(np.arange(48_000) / 48_000 * 2 * np.pi * 200).astype(np.float32)
    _, pcm, m4a = decoded(write_sound(tmp_path / "a.wav", sound, rate=48_000, codec="pcm_s16le", channels=6))
    speech = PcmSpeech(pcm)
    assert np.abs(speech.read(0, speech.samples).astype(int)).max() < 32_500
    assert inspect_speech(m4a).clipped == 0


def test_a_float_speech_beyond_full_scale_is_taken(tmp_path: Path) -> None:
    sound = np.full(9_000, 1e30, np.float32)
    info, _, _ = decoded(write_sound(tmp_path / "a.wav", sound, rate=8_000, codec="pcm_f32le"))
    assert info.clipped == 1


def test_progress_rises_to_one(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "a.wav", clicks_of(8_000 * 5, 8_000), rate=8_000, codec="pcm_s16le")
    seen: list[float] = []
    decode_speech(source, pcm=tmp_path / "a.pcm", m4a=tmp_path / "a.m4a", on_progress=seen.append)
    assert len(seen) >= 4
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def refused(path: Path) -> str:
    """What inspecting says against a file; decoding must say the same."""
    with pytest.raises(SpeechError) as error:
        inspect_speech(path)
    with pytest.raises(SpeechError) as again:
        decoded(path)
    assert str(error.value) == str(again.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"Dear teacher,\nhere is my lesson.\n" * 50, "text", id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG picture", id="png"),
        pytest.param(b"%PDF-1.7\n" + bytes(100), "a PDF document", id="pdf"),
        pytest.param(b"PK\x03\x04" + bytes(100), "a zip archive", id="zip"),
        pytest.param(bytes(np.random.default_rng(0).bytes(50_000)), "damaged or of an unknown format", id="noise"),
    ],
)
def test_a_file_that_is_no_sound_is_refused_with_what_it_is(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "lesson.wav"
    path.write_bytes(content)
    assert refused(path) == f"lesson.wav cannot be read as sound: it is {says}"


@pytest.mark.parametrize(
    "playlist",
    [
        pytest.param("ffconcat version 1.0\nfile '{}'\n", id="concat"),
        pytest.param("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n", id="hls"),
        pytest.param(
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
            '<Representation id="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>',
            id="dash",
        ),
        pytest.param("v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nt=0 0\nm=audio 5004 RTP/AVP 0\n", id="sdp"),
    ],
)
def test_a_playlist_that_names_another_file_is_refused(tmp_path: Path, playlist: str) -> None:
    other = write_sound(tmp_path / "other.wav", clicks_of(9_000, 8_000), rate=8_000, codec="pcm_s16le")
    path = tmp_path / "lesson.m4a"
    path.write_text(playlist.format(other))
    assert "cannot be read as sound" in refused(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere.wav") == f"{tmp_path / 'nowhere.wav'} is no file, wanted a recording"


def test_a_video_without_sound_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        out.mux(video.encode(None))
    assert refused(path) == "mute.mp4 holds video (h264) and no sound"


def test_a_header_without_samples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
    assert "holds no sound" in refused(path)


@pytest.mark.parametrize(
    ("suffix", "codec", "sample_format"),
    [("wav", "pcm_s16le", None), ("aiff", "pcm_s16be", None), ("flac", "flac", "s16"), ("mp3", "libmp3lame", "s16p")],
)
def test_a_file_cut_short_is_refused_with_both_lengths(
    tmp_path: Path, suffix: str, codec: str, sample_format: str | None
) -> None:
    sound = clicks_of(4 * 48_000, 48_000)
    path = write_sound(tmp_path / f"a.{suffix}", sound, rate=48_000, codec=codec, sample_format=sample_format)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "is cut short: it holds" in (message := refused(path))
    assert message.endswith("of the 4.0 s that its header names")


@pytest.mark.parametrize("share", [0.5, 0.98, 0.9999])
def test_an_opus_file_cut_short_is_refused_though_it_states_no_length(tmp_path: Path, share: float) -> None:
    content = (Path(__file__).parents[3] / "samples" / "lesson.opus").read_bytes()
    path = tmp_path / "lesson.opus"
    path.write_bytes(content[: int(len(content) * share)])
    assert re.match(r"lesson\.opus is cut short: it holds \d+\.\d s and ends in the middle of a page", refused(path))


def test_an_m4a_cut_before_its_index_is_refused(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.m4a", clicks_of(48_000, 48_000), rate=48_000, codec="aac")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "damaged" in refused(path)


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF])
def test_a_wav_written_to_a_pipe_is_read_to_its_end(tmp_path: Path, stated: int) -> None:
    path = write_sound(tmp_path / "a.wav", clicks_of(8_000, 8_000), rate=8_000, codec="pcm_s16le")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = stated.to_bytes(4, "little")
    path.write_bytes(content)
    assert inspect_speech(path).samples == 8_000


def test_a_damaged_file_is_refused_but_one_bad_packet_is_not(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.m4a", clicks_of(5 * 48_000, 48_000), rate=48_000, codec="aac")
    whole = inspect_speech(path).samples
    content = bytearray(path.read_bytes())
    start, stop = content.index(b"mdat") + 4, content.rindex(b"moov") - 4
    noise = np.random.default_rng(1)
    middle = (start + stop) // 2
    content[middle : middle + 60] = noise.bytes(60)
    path.write_bytes(content)
    assert whole - 3 * 1024 <= inspect_speech(path).samples <= whole
    content[start:stop] = noise.bytes(stop - start)
    path.write_bytes(content)
    assert "is damaged" in refused(path)


def test_an_encrypted_mp4_is_refused(tmp_path: Path) -> None:
    plain = write_sound(tmp_path / "plain.m4a", clicks_of(48_000, 48_000), rate=48_000, codec="aac")
    key = "00112233445566778899aabbccddeeff"
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    path = tmp_path / "locked.m4a"
    with av.open(str(plain)) as source, av.open(str(path), "w", format="mp4", options=options) as out:
        copy = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    assert b"enca" in path.read_bytes()
    assert "locked.m4a is encrypted" in refused(path)


@pytest.mark.parametrize("entry", [b"enca", b"drms"])
def test_a_protected_sample_entry_without_its_key_is_refused(tmp_path: Path, entry: bytes) -> None:
    path = write_sound(tmp_path / "a.m4a", clicks_of(48_000, 48_000), rate=48_000, codec="aac")
    path.write_bytes(path.read_bytes().replace(b"mp4a", entry, 1))
    assert "is encrypted" in refused(path)


def test_a_speech_that_changes_its_rate_midway_is_refused(tmp_path: Path) -> None:
    parts = [
        write_sound(
            tmp_path / f"{rate}.mp3", clicks_of(rate, rate), rate=rate, codec="libmp3lame", sample_format="s16p"
        )
        for rate in (48_000, 44_100)
    ]
    path = tmp_path / "joined.mp3"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert re.search(r"changes from \d+ Hz mono to \d+ Hz mono at .* wanted one format", refused(path))


def test_samples_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    sound = clicks_of(9_000, 8_000)
    sound[5_000] = np.nan
    assert "no numbers" in refused(write_sound(tmp_path / "a.wav", sound, rate=8_000, codec="pcm_f32le"))


def test_a_rate_beyond_reason_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "slow.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(1_000)
        file.writeframes(bytes(4_000))
    assert "has 1000 samples a second, wanted 2000 to 768000" in refused(path)


def test_speech_is_read_by_range_with_silence_around_it(tmp_path: Path) -> None:
    path = tmp_path / "speech.pcm"
    path.write_bytes(np.arange(1, 101, dtype="<i2").tobytes())
    speech = PcmSpeech(path)
    assert speech.samples == 100
    assert speech.read(10, 13).tolist() == [11, 12, 13]
    assert speech.read(-2, 2).tolist() == [0, 0, 1, 2]
    assert speech.read(98, 102).tolist() == [99, 100, 0, 0]
    assert speech.read(200, 203).tolist() == [0, 0, 0]
    assert speech.read(-9, -7).tolist() == [0, 0]
    assert speech.read(5, 5).tolist() == []
    assert speech.read(0, 2).dtype == np.int16


def test_half_a_sample_at_the_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "speech.pcm"
    path.write_bytes(b"abc")
    with pytest.raises(SpeechError, match="has 3 bytes"):
        PcmSpeech(path)


_DECODE = """
import resource, sys
from pathlib import Path
from engine.media.audio import decode_speech
decode_speech(Path(sys.argv[1]), pcm=Path(sys.argv[2]), m4a=Path(sys.argv[3]), on_progress=lambda _: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_length_of_the_speech(tmp_path: Path) -> None:
    def peak_kib(minutes: int) -> int:
        source = tmp_path / f"{minutes}.wav"
        with wave.open(str(source), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(1)
            file.setframerate(8_000)
            file.writeframes(np.random.default_rng(0).bytes(8_000 * 60 * minutes))
        arguments: list[Any] = [sys.executable, "-c", _DECODE, source, tmp_path / "a.pcm", tmp_path / "a.m4a"]
        root = Path(__file__).parents[3]
        return int(subprocess.run(arguments, cwd=root, check=True, capture_output=True, text=True).stdout)

    assert peak_kib(10) - peak_kib(1) < 20_000
