"""audio.sniff and pipes: other content than raw samples is recognised, and sound of every encoding is not refused."""

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from hubbub.audio import pcm
from hubbub.audio.capture import Pipe, SourceError
from hubbub.audio.sniff import HEAD_BYTES, identify, roughness

RATE = 44_100
Wave = npt.NDArray[np.float64]
RNG = np.random.default_rng(0)
TIME = np.arange(2 * RATE) / RATE
NOISE: Wave = 0.2 * RNG.standard_normal(2 * RATE)
TONE: Wave = 0.3 * np.sin(2 * np.pi * 440 * TIME) * (np.sin(2 * np.pi * 2 * TIME) > 0)


def sndfile(kind: str, subtype: str, rate: int = RATE) -> Callable[[Wave], bytes]:
    def write(wave: Wave) -> bytes:
        file = io.BytesIO()
        soundfile.write(file, wave, rate, format=kind, subtype=subtype)
        return file.getvalue()

    return write


def ffmpeg(container: str, codec: str, rate: int = RATE) -> Callable[[Wave], bytes]:
    def write(wave: Wave) -> bytes:
        av = pytest.importorskip("av")
        file = io.BytesIO()
        with av.open(file, "w", format=container) as box:
            stream = box.add_stream(codec, rate=rate)
            stream.layout = "mono"
            frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            resampler = av.AudioResampler(stream.codec_context.format, "mono", rate, stream.codec_context.frame_size)
            for part in [*resampler.resample(frame), *resampler.resample(None), None]:
                box.mux(stream.encode(part))
        return file.getvalue()

    return write


def unpacked(wave: Wave) -> bytes:
    return (wave * 32_767).astype("<i2").tobytes()


def zipped(wave: Wave) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as box:
        box.writestr("a.raw", unpacked(wave))
    return file.getvalue()


PACKED: dict[str, tuple[str, Callable[[Wave], bytes]]] = {
    "mp3": ("MP3", sndfile("MP3", "MPEG_LAYER_III")),
    "mp3, tagged": ("MP3", lambda wave: b"ID3\4\0\0\0\0\0\0" + sndfile("MP3", "MPEG_LAYER_III")(wave)),
    "mp3, joined in its course": ("MP3", lambda wave: sndfile("MP3", "MPEG_LAYER_III")(NOISE)[1234:]),
    "mp2": ("MP3", ffmpeg("mp2", "mp2")),
    "aac": ("AAC", ffmpeg("adts", "aac")),
    "ac3": ("AC-3", ffmpeg("ac3", "ac3", 48_000)),
    "eac3": ("AC-3", ffmpeg("eac3", "eac3", 48_000)),
    "m4a": ("MP4", ffmpeg("ipod", "aac")),
    "mkv": ("Matroska", ffmpeg("matroska", "aac")),
    "webm": ("Matroska", ffmpeg("webm", "libopus", 48_000)),
    "mpegts": ("MPEG transport stream", ffmpeg("mpegts", "aac")),
    "flv": ("FLV", ffmpeg("flv", "aac")),
    "asf": ("ASF", ffmpeg("asf", "mp2")),
    "avi": ("AVI", ffmpeg("avi", "mp2")),
    "wv": ("WavPack", ffmpeg("wv", "wavpack")),
    "tta": ("TTA", ffmpeg("tta", "tta")),
    "ogg": ("Ogg", sndfile("OGG", "VORBIS")),
    "opus": ("Ogg", sndfile("OGG", "OPUS", 48_000)),
    "flac": ("FLAC", sndfile("FLAC", "PCM_16")),
    "aiff": ("AIFF", sndfile("AIFF", "PCM_16")),
    "au": ("AU", sndfile("AU", "PCM_16")),
    "caf": ("CAF", sndfile("CAF", "PCM_16")),
    "w64": ("Wave64", sndfile("W64", "PCM_16")),
    "nist": ("NIST", sndfile("NIST", "PCM_16")),
    "voc": ("VOC", sndfile("VOC", "PCM_16")),
    "amr": ("AMR", lambda wave: b"#!AMR\n" + bytes([0x3C]) + RNG.bytes(31) * 20),
    "ape": ("Monkey's Audio", lambda wave: b"MAC \x96\x0f" + RNG.bytes(500)),
    "midi": ("MIDI", lambda wave: b"MThd\0\0\0\6\0\1\0\2\1\xe0MTrk" + bytes(90)),
    "gzip": ("gzip", lambda wave: gzip.compress(unpacked(wave))),
    "zip": ("ZIP", zipped),
    "deflate": ("fill the whole range", lambda wave: zlib.compress(unpacked(NOISE))),
    "encrypted": ("fill the whole range", lambda wave: RNG.bytes(50_000)),
    "text": ("text", lambda wave: "Am Müggelsee: Kraniche, Rufe von Süden.\r\n".encode() * 9),
    "utf-16": ("text", lambda wave: ("street, rain, 07:15\n" * 9).encode("utf-16")),
    "json": ("text", lambda wave: json.dumps({"samples": wave[:200].tolist()}).encode()),
    "base64": ("text", lambda wave: __import__("base64").b64encode(unpacked(wave))),
}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("wave", [NOISE, TONE], ids=["noise", "tone"])
def test_a_pipe_of_anything_but_samples_is_refused_by_name(kind: str, wave: Wave) -> None:
    name, write = PACKED[kind]
    with pytest.raises(SourceError, match=f"the pipe holds .*{name}.*, not samples of s16le.*ffmpeg -i FILE -f wav"):
        Pipe(io.BytesIO(write(wave)), RATE)


SOUNDS: dict[str, Wave] = {
    "quiet noise": 0.001 * RNG.standard_normal(RATE),
    "noise of -6 dB": np.clip(0.5 * RNG.standard_normal(RATE), -1, 1),
    "even noise of -6 dB": RNG.uniform(-0.5, 0.5, RATE),
    "noise, clipped": np.clip(3 * RNG.standard_normal(RATE), -1, 1),
    "silence": np.zeros(RATE),
    "an offset": np.full(RATE, 0.28),
    "a sawtooth at full scale": (TIME * 300) % 2 - 1,
    "bursts": TONE,
    **{f"a tone of {hz} Hz": level * np.sin(2 * np.pi * hz * TIME) for hz in (100, 441, 1000) for level in (0.01, 1)},
}
WRITTEN: dict[str, Callable[[Wave], bytes]] = {
    "u8": lambda wave: np.round(wave * 127 + 128).astype(np.uint8).tobytes(),
    "s16le": unpacked,
    "s24le": lambda wave: (wave * (2**23 - 1)).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes(),
    "s32le": lambda wave: (wave * (2**31 - 1)).astype("<i4").tobytes(),
    "f32le": lambda wave: wave.astype("<f4").tobytes(),
    "f64le": lambda wave: wave.astype("<f8").tobytes(),
}


@pytest.mark.parametrize("encoding", pcm.ENCODINGS)
@pytest.mark.parametrize("sound", SOUNDS)
def test_raw_sound_is_taken(sound: str, encoding: str) -> None:
    content = WRITTEN[encoding](SOUNDS[sound])
    pipe = Pipe(io.BytesIO(content), RATE, encoding=encoding)
    heard = np.concatenate(list(pipe.blocks()))[:, 0]
    np.testing.assert_allclose(heard, SOUNDS[sound], atol=0.02 if encoding == "u8" else 1e-4)


def test_real_recordings_are_taken(home: Callable[[str, str], Path]) -> None:
    """In every encoding, quiet and loud: the bytes of quiet samples look like frames at first sight."""
    for file in sorted((home("data", "esc50") / "audio").glob("*.ogg"))[:60]:
        wave = np.clip(soundfile.read(file)[0][:20_000], -1, 1)
        for gain in (0.01, 1.0, 1 / max(float(np.abs(wave).max()), 1e-9)):
            for encoding, write in WRITTEN.items():
                content = write(wave * gain)[:HEAD_BYTES]
                assert pcm.content_name(content, encoding) == "", (file.name, gain, encoding)


def test_a_pipe_without_an_encoding_that_has_another_is_said(home: Callable[[str, str], Path]) -> None:
    """On real recordings: nearly all smooth ones, and none that is what it was taken for, joined channels or not."""
    found = dict.fromkeys(WRITTEN, 0)
    smooth = 0
    for file in sorted((home("data", "esc50") / "audio").glob("*.ogg"))[:60]:
        wave = np.clip(soundfile.read(file)[0][:20_000], -1, 1)
        stereo = np.stack([wave[:-300], wave[300:]], 1).ravel()
        assert not Pipe(io.BytesIO(unpacked(stereo)), RATE).warnings, file.name
        assert not Pipe(io.BytesIO(unpacked(stereo)), RATE, channels=2).warnings, file.name
        smooth += roughness(wave[:8_000, None]) < 0.1
        for encoding, write in WRITTEN.items():
            given = Pipe(io.BytesIO(write(wave)), RATE, encoding=encoding)
            assert not given.warnings, (file.name, encoding)
            try:
                warnings = Pipe(io.BytesIO(write(wave)), RATE).warnings
            except SourceError:  # at random as s16le
                continue
            found[encoding] += any(f"give --encoding {encoding}." in said for said in warnings)
            assert not warnings or encoding != "s16le", file.name
    assert smooth > 30 and all(found[e] > 0.8 * smooth for e in ("s24le", "s32le", "f32le", "f64le")), (smooth, found)


def test_noise_as_floats_is_told_and_noise_as_integers_is_not() -> None:
    wave = SOUNDS["noise of -6 dB"]
    assert "give --encoding f32le." in Pipe(io.BytesIO(WRITTEN["f32le"](wave)), RATE).warnings[0]
    assert not Pipe(io.BytesIO(unpacked(wave)), RATE).warnings
    assert not Pipe(io.BytesIO(WRITTEN["f32le"](wave)[:6]), RATE).warnings


@pytest.mark.parametrize("encoding", ["s16be", "f32be"])
def test_big_endian_is_not_taken_for_a_slip_of_the_pen(encoding: str) -> None:
    with pytest.raises(SourceError, match=f"{encoding}: big-endian .* ffmpeg -f {encoding} .*-f s16le - "):
        Pipe(io.BytesIO(unpacked(NOISE)), RATE, encoding=encoding)


def test_white_noise_at_full_scale_is_taken_as_a_wav() -> None:
    wave = RNG.uniform(-1, 1, RATE)
    assert Pipe(io.BytesIO(sndfile("WAV", "PCM_16")(wave)), RATE).is_wav
    assert Pipe(io.BytesIO(wave.astype("<f4").tobytes()), RATE, encoding="f32le").rate_hz == RATE


@given(st.binary(max_size=300))
def test_a_few_bytes_of_anything_are_judged_without_an_error(head: bytes) -> None:
    assert isinstance(identify(head), str)
