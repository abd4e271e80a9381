"""audio.decode and audio.ffmpeg: tones survive every format and rate; damaged files are refused by name."""

import io
import sys
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from hubbub.audio import decode
from hubbub.audio.decode import AudioError
from hubbub.audio.waves import FRAME, Downmixer, mix_down

Wave = npt.NDArray[np.float32]
RATE_HZ = 48_000
LOUDNESS = 0.5 / np.sqrt(2)  # of the tone below


def tone(hz: float = 1000.0, rate_hz: int = RATE_HZ, seconds: float = 1.0) -> Wave:
    """A sine of amplitude .5."""
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(rate_hz * seconds)) / rate_hz)).astype(np.float32)


def rms(wave: Wave) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def loudest_hz(wave: Wave, rate_hz: int) -> float:
    """Where the spectrum peaks, [Hz]; a second of sound tells to 1 Hz."""
    return float(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax()) * rate_hz / len(wave)


def is_the_tone(wave: Wave, rate_hz: int, level: float = 0.02) -> bool:
    """1 kHz at the level it was written at, away from the ends, and nothing else."""
    inside = wave[rate_hz // 10 : -rate_hz // 10]
    return abs(loudest_hz(inside, rate_hz) - 1000) < 2 and abs(rms(inside) / LOUDNESS - 1) < level


FORMATS = [
    ("wav", "WAV", "PCM_U8", 1 / 127),
    ("wav", "WAV", "PCM_16", 2**-15),
    ("wav", "WAV", "PCM_24", 2**-23),
    ("wav", "WAV", "PCM_32", 2**-23),
    ("wav", "WAV", "FLOAT", 0.0),
    ("wav", "WAV", "DOUBLE", 0.0),
    ("flac", "FLAC", "PCM_16", 2**-15),
    ("flac", "FLAC", "PCM_24", 2**-23),
    ("aiff", "AIFF", "PCM_16", 2**-15),
    ("aif", "AIFF", "FLOAT", 0.0),
    ("ogg", "OGG", "VORBIS", None),
    ("ogg", "OGG", "OPUS", None),
    ("opus", "OGG", "OPUS", None),
    ("mp3", "MP3", "MPEG_LAYER_III", None),
]


def sound_file(
    folder: Path, extension: str, container: str, coding: str, wave: Wave | None = None, rate_hz: int = RATE_HZ
) -> Path:
    path = folder / f"{coding}.{extension}"
    soundfile.write(path, tone() if wave is None else wave, rate_hz, format=container, subtype=coding)
    return path


# Formats


@pytest.mark.parametrize("extension, container, coding, error", FORMATS)
def test_every_format_of_libsndfile_holds_the_tone(
    tmp_path: Path, extension: str, container: str, coding: str, error: float | None
) -> None:
    path = sound_file(tmp_path, extension, container, coding)
    wave, rate_hz = decode.decode(path)
    assert rate_hz == RATE_HZ and wave.dtype == np.float32 and wave.shape == (RATE_HZ,)
    assert is_the_tone(wave, rate_hz)
    if error is not None:
        assert np.abs(wave - tone()).max() <= error
    assert path.suffix in decode.EXTENSIONS


@pytest.mark.parametrize("coding, dtype", [("PCM_16", np.int16), ("PCM_32", np.int32)])
def test_integers_at_full_scale_become_one(tmp_path: Path, coding: str, dtype: type) -> None:
    limits = np.iinfo(dtype)
    soundfile.write(tmp_path / "a.wav", np.array([limits.min, 0, limits.max], dtype), 8000, subtype=coding)
    wave, _ = decode.decode(tmp_path / "a.wav")
    np.testing.assert_allclose(wave, [-1, 0, 1], atol=2**-15)
    assert np.abs(wave).max() <= 1


def write_media(path: Path, codec: str, options: dict[str, str] | None = None, *, video: bool = False) -> Path:
    """A second of the tone, in stereo, as FFmpeg encodes it; with a second of black pictures where `video`. `options`
    are the codec's and the container's."""
    av = pytest.importorskip("av")
    xing = {"write_xing": "0"} if path.suffix == ".mp3" else {}
    with av.open(str(path), "w", options=xing | (options or {})) as container:
        pictures = container.add_stream("mpeg4", rate=10) if video else None
        sound = container.add_stream(codec, rate=RATE_HZ, options=options or {})
        sound.layout = "stereo"
        if pictures:
            pictures.width = pictures.height = 32
            pictures.pix_fmt = "yuv420p"
            black = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            for frame in [*[black] * 10, None]:
                container.mux(pictures.encode(frame))
        block = av.AudioFrame.from_ndarray(np.stack([tone()] * 2), format="fltp", layout="stereo")
        block.rate, block.pts, block.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
        context = sound.codec_context
        framer = av.AudioResampler(context.format.name, "stereo", RATE_HZ, frame_size=context.frame_size)
        for frame in [*framer.resample(block), *framer.resample(None), None]:
            container.mux(sound.encode(frame))
    return path


@pytest.mark.parametrize("name, codec", [("a.m4a", "aac"), ("a.mp4", "aac"), ("a.mkv", "aac"), ("a.webm", "libopus")])
def test_m4a_and_the_sound_of_a_video(tmp_path: Path, name: str, codec: str) -> None:
    path = write_media(tmp_path / name, codec, video=name in ("a.mp4", "a.mkv"))
    wave, rate_hz = decode.decode(path)
    assert rate_hz == RATE_HZ and len(wave) == pytest.approx(RATE_HZ, abs=2048)  # whole frames of the codec
    assert is_the_tone(wave, rate_hz)
    part, _ = decode.decode(path, 0.25, 0.5)
    np.testing.assert_array_equal(part, wave[RATE_HZ // 4 : RATE_HZ // 2])
    with path.open("rb") as stream:
        np.testing.assert_array_equal(decode.decode(stream)[0], wave)


@pytest.mark.parametrize("options", [{}, {"flags": "+qscale", "global_quality": str(118 * 4)}], ids=["cbr", "vbr"])
def test_an_mp3_that_does_not_say_its_length_is_read_to_its_end(tmp_path: Path, options: dict[str, str]) -> None:
    path = write_media(tmp_path / "a.mp3", "libmp3lame", options)
    wave, rate_hz = decode.decode(path)
    assert abs(soundfile.info(path).frames - len(wave)) > 100  # libsndfile's guess
    assert len(wave) == pytest.approx(RATE_HZ, abs=3 * 1152) and is_the_tone(wave[: RATE_HZ * 9 // 10], rate_hz, 0.1)


def test_a_damaged_sample_dump_is_refused_before_libsndfile_prints_of_it(tmp_path: Path) -> None:
    """It prints to the standard output, which holds answers, and blocks where nobody reads that."""
    path = tmp_path / "a.sds"
    soundfile.write(path, tone(), RATE_HZ, subtype="PCM_16", format="SDS")
    assert is_the_tone(*decode.decode(path))
    content = bytearray(path.read_bytes())
    content[21 + 5 * 127] ^= 1
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"a\.sds is damaged: pages or packets are missing"):
        decode.decode(path)


@pytest.mark.parametrize("layout, channels", [("7.1", 8), ("hexadecagonal", 16)])
def test_many_channels_are_read(tmp_path: Path, layout: str, channels: int) -> None:
    """Beyond eight channels PyAV's own planes end in memory of others, and in a crash."""
    av = pytest.importorskip("av")
    path, values = tmp_path / "a.mkv", np.arange(1, channels + 1, dtype=np.int16) * 1000
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE_HZ, layout=layout)
        block = av.AudioFrame.from_ndarray(np.tile(values, RATE_HZ)[None], format="s16", layout=layout)
        block.sample_rate = RATE_HZ
        container.mux([*stream.encode(block), *stream.encode(None)])
    with decode.open_sound(path) as sound:
        assert sound.channels == channels
        mono = np.concatenate(list(sound.blocks))
    np.testing.assert_allclose(mono, np.full(RATE_HZ, values.mean() / 2**15), atol=1e-6)


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for frame in [av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24"), None]:
            container.mux(stream.encode(frame))
    with pytest.raises(AudioError, match=r"silent\.mp4 has no audio stream\. Give a file"):
        decode.decode(path)


def test_raw_samples_are_sent_to_listen(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "a.raw"
    path.write_bytes((tone() * 32_767).astype("<i2").tobytes())
    with pytest.raises(
        decode.FormatError,
        match=r"a\.raw has no audio header\. .*hubbub listen - --rate 44100 .*--encoding s16le <",
    ):
        decode.decode(path)


def test_without_av_the_message_names_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write_media(tmp_path / "a.m4a", "aac"), write_media(tmp_path / "a.mp3", "libmp3lame")]
    monkeypatch.setitem(sys.modules, "av", None)
    for path in paths:
        with pytest.raises(AudioError, match=rf"{path.name} .*pip install 'hubbub\[media\]'"):
            decode.decode(path)


# Rates and channels


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000, 384_000])
def test_a_tone_stays_the_same_tone_at_16_khz(tmp_path: Path, rate_hz: int) -> None:
    path = sound_file(tmp_path, "wav", "WAV", "FLOAT", tone(rate_hz=rate_hz), rate_hz)
    wave = decode.load(path, 16_000)
    assert wave.dtype == np.float32 and len(wave) == 16_000
    assert is_the_tone(wave, 16_000, level=1e-3)
    # Its phase too: nothing is delayed.
    assert np.abs(wave - tone(rate_hz=16_000))[1600:-1600].max() < 1e-3


@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 48_000, 96_000, 384_000])
def test_what_16_khz_cannot_hold_does_not_fold_back(rate_hz: int) -> None:
    wave = decode.resample(tone(9000.0, rate_hz), rate_hz, 16_000)
    assert rms(wave[1600:-1600]) < 1e-4 * LOUDNESS  # 80 dB down


@given(samples=st.integers(1, 300), pair=st.sampled_from([(48_000, 16_000), (384_000, 1_000), (8_000, 44_100)]))
def test_resampling_never_leaves_nothing(samples: int, pair: tuple[int, int]) -> None:
    from_hz, to_hz = pair
    resampled = decode.resample(np.ones(samples, np.float32), from_hz, to_hz)
    assert len(resampled) >= 1 and abs(len(resampled) - samples * to_hz / from_hz) <= 1


@pytest.mark.parametrize("rate_hz", [0, 1, 999, 1_000_001])
def test_resampling_refuses_rates_that_are_not_sound(rate_hz: int) -> None:
    for pair in ((rate_hz, 16_000), (16_000, rate_hz)):
        with pytest.raises(AudioError, match=f"sample rate of {rate_hz} Hz: rates from 1000 to 1000000"):
            decode.resample(tone(), *pair)


@pytest.mark.parametrize("channels", [1, 2, 12])
def test_channels_mix_down_to_their_mean(tmp_path: Path, channels: int) -> None:
    rng = np.random.default_rng(channels)
    samples = rng.uniform(-1, 1, (1000, channels)).astype(np.float32)
    wave, _ = decode.decode(sound_file(tmp_path, "wav", "WAV", "FLOAT", samples))
    np.testing.assert_allclose(wave, samples.mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(mix_down(samples), wave)


# Parts and streams


@pytest.mark.parametrize("extension, container, coding, error", FORMATS)
def test_a_part_is_cut_out_to_the_sample(
    tmp_path: Path, extension: str, container: str, coding: str, error: float | None
) -> None:
    path = sound_file(tmp_path, extension, container, coding)
    whole, _ = decode.decode(path)
    for start, end in ((0.3, 0.7), (0.0, 0.5), (0.5, None), (None, 0.1), (float("nan"), float("nan")), (-1, 9)):
        first = round(max(start, 0) * RATE_HZ) if start is not None and start == start else 0
        last = round(end * RATE_HZ) if end is not None and end == end else RATE_HZ
        part, _ = decode.decode(path, start, end)
        np.testing.assert_allclose(part, whole[first:last], atol=1e-6)


@pytest.mark.parametrize("start, end", [(1.5, None), (0.5, 0.5), (0.7, 0.3), (2.0, 3.0)])
def test_a_part_without_samples_is_refused(tmp_path: Path, start: float, end: float | None) -> None:
    path = sound_file(tmp_path, "wav", "WAV", "PCM_16")
    with pytest.raises(AudioError, match=r"PCM_16\.wav holds no samples"):
        decode.decode(path, start, end)


@pytest.mark.parametrize("extension, container, coding, error", FORMATS)
def test_a_stream_is_read_as_the_file_is(
    tmp_path: Path, extension: str, container: str, coding: str, error: float | None
) -> None:
    path = sound_file(tmp_path, extension, container, coding)
    wave, rate_hz = decode.decode(io.BytesIO(path.read_bytes()))
    assert rate_hz == RATE_HZ
    np.testing.assert_array_equal(wave, decode.decode(str(path))[0])


# Blocks


@pytest.mark.parametrize("block", [1000, 4096, 50_001])
@pytest.mark.parametrize("extension, container, coding, error", FORMATS)
def test_blocks_are_the_whole_at_every_join(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    extension: str,
    container: str,
    coding: str,
    error: float | None,
    block: int,
) -> None:
    rng = np.random.default_rng(0)
    path = sound_file(tmp_path, extension, container, coding, rng.uniform(-0.3, 0.3, (RATE_HZ, 2)))
    whole = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    monkeypatch.setattr(decode, "BLOCK", block)
    with decode.open_sound(path) as sound:
        assert (sound.rate_hz, sound.seconds) == (RATE_HZ, 1.0)
        blocks = list(sound.blocks)
    most = block + 1_000 if coding == "OPUS" else block // 2  # FFmpeg's are counted in frames, and it decodes Opus
    assert max(map(len, blocks)) < most + FRAME
    rounding = 1e-6 if coding == "OPUS" else 1e-7  # FFmpeg's decoder and libsndfile's
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=rounding)  # MP3 rounds otherwise after a seek
    part, _ = decode.decode(path, 0.3, 0.7)
    np.testing.assert_allclose(part, whole[round(0.3 * RATE_HZ) : round(0.7 * RATE_HZ)], atol=1e-6)


def test_blocks_of_media_are_the_whole_and_not_tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_media(tmp_path / "a.m4a", "aac")
    whole, _ = decode.decode(path)
    monkeypatch.setattr(decode, "BLOCK", 10_000)
    with decode.open_sound(path) as sound:
        assert sound.seconds == pytest.approx(1.0, abs=0.1)
        blocks = list(sound.blocks)
    assert all(10_000 - FRAME < len(block) < 20_000 + FRAME for block in blocks[:-2]) and len(blocks) > 4
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize("pair", [(44_100, 16_000), (8_000, 44_100), (16_000, 16_000), (384_000, 1_000)])
@pytest.mark.parametrize("block", [1, 100, 4096])
def test_resampling_in_blocks_gives_the_same_bits(pair: tuple[int, int], block: int) -> None:
    wave = np.random.default_rng(0).normal(0, 0.2, 3000 if block == 1 else 50_001).astype(np.float32)
    for part in (wave, wave[:1]):
        resampler = decode.Resampler(*pair)
        ready = [resampler.feed(part[at : at + block]) for at in range(0, len(part), block)]
        np.testing.assert_array_equal(np.concatenate([*ready, resampler.end()]), decode.resample(part, *pair))


def ogg_that_declares(hours: float) -> bytes:
    """Five seconds of noise whose last page says that it ends hours later, checksum and all."""
    stream = io.BytesIO()
    soundfile.write(
        stream, np.random.default_rng(0).normal(0, 0.1, 5 * RATE_HZ), RATE_HZ, format="OGG", subtype="VORBIS"
    )
    content = bytearray(stream.getvalue())
    last = content.rindex(b"OggS")
    content[last:] = page_that_ends_at(content[last:], round(hours * 3600 * RATE_HZ))
    return bytes(content)


def page_that_ends_at(page: bytes, samples: int) -> bytes:
    """An Ogg page with another place in the sound, checksum and all."""
    content = bytearray(page)
    content[6:14] = samples.to_bytes(8, "little")
    content[22:26] = bytes(4)
    checksum = 0
    for byte in content:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = ((checksum << 1) ^ (0x04C11DB7 if checksum & 0x80000000 else 0)) & 0xFFFFFFFF
    content[22:26] = checksum.to_bytes(4, "little")
    return bytes(content)


def pages(content: bytes) -> list[bytes]:
    """The pages of an Ogg file."""
    found = []
    while content:
        size = 27 + content[26] + sum(content[27 : 27 + content[26]])
        found.append(content[:size])
        content = content[size:]
    return found


def test_a_tiny_ogg_that_declares_hours_is_refused_and_takes_no_memory() -> None:
    content = ogg_that_declares(1000)
    assert soundfile.info(io.BytesIO(content)).duration > 3_500_000
    tracemalloc.start()  # numpy tells it of its arrays
    try:
        with pytest.raises(AudioError, match=r"^the stream (is cut off|cannot be read as audio)"):
            decode.decode(io.BytesIO(content))
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_a_flac_that_does_not_say_its_length_is_read_to_its_end(tmp_path: Path) -> None:
    """As recorders write that cannot go back to the header."""
    pytest.importorskip("av")
    path = sound_file(tmp_path, "flac", "FLAC", "PCM_16")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # 36 bits of STREAMINFO
    content[22:26] = bytes(4)
    whole, _ = decode.decode(path)
    path.write_bytes(content)
    np.testing.assert_allclose(decode.decode(path)[0], whole, atol=1e-6)


# What must not be trusted


def broken(folder: Path, kind: str) -> Path:
    """A file of that name with what it says in it."""
    path = folder / kind
    match kind.split("."):
        case ["text", _]:
            path.write_text("This is not a sound. " * 100)
        case ["empty", _]:
            path.touch()
        case ["nothing", _]:
            soundfile.write(path, np.zeros(0, np.float32), RATE_HZ)
        case ["nan" | "inf" as value, _]:
            wave = tone()
            wave[[10, 20]] = float(value)
            soundfile.write(path, wave, RATE_HZ, subtype="FLOAT")
        case ["slow", _]:
            soundfile.write(path, tone(), 1)
        case ["folder", _]:
            path.mkdir()
    return path


@pytest.mark.parametrize(
    "kind, said",
    [
        ("text.wav", r"cannot be read as audio.*Check what the file is"),
        ("text.mp3", r"cannot be read as audio.*Check what the file is"),
        ("text.raw", r"cannot be read as audio|has no audio header"),
        ("text.m4a", r"cannot be read as audio.*Check what the file is"),
        ("empty.wav", r"is empty \(0 bytes\)\. Copy or download it again"),
        ("empty.mp3", r"is empty \(0 bytes\)\. Copy or download it again"),
        ("nothing.wav", r"holds no samples\. Leave it out"),
        ("nan.wav", r"holds 2 samples that are NaN or infinite\. Leave them out, or export it again"),
        ("inf.wav", r"holds 2 samples that are NaN or infinite\. Leave them out, or export it again"),
        ("slow.wav", r"has a sample rate of 1 Hz.*Correct its header, or convert it"),
        ("folder.wav", r"is not a file\. Give the path of a recording"),
        ("absent.wav", r"is not a file\. Give the path of a recording"),
    ],
)
@pytest.mark.parametrize("with_av", [True, False], ids=["av", "without-av"])
def test_bad_input_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, said: str, with_av: bool
) -> None:
    path = broken(tmp_path, kind)
    if not with_av:
        monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=said) as caught:
        decode.decode(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("extension, container, coding, error", FORMATS)
@pytest.mark.parametrize("share", [0.03, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_refused(
    tmp_path: Path, extension: str, container: str, coding: str, error: float | None, share: float
) -> None:
    whole = sound_file(tmp_path, extension, container, coding).read_bytes()
    path = tmp_path / f"cut.{extension}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(AudioError, match=r"Copy or download it again|Check what the file is") as caught:
        decode.decode(path)
    assert str(caught.value).startswith(str(path))
    with pytest.raises(AudioError, match=r"^the stream "):
        decode.decode(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize("coding", ["VORBIS", "OPUS"])
def test_an_ogg_that_lacks_whole_pages_is_refused(tmp_path: Path, coding: str) -> None:
    path = sound_file(tmp_path, "ogg", "OGG", coding, tone(seconds=5.0))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"OggS")])
    with pytest.raises(AudioError, match=rf"{coding}\.ogg is cut off: its end is missing"):
        decode.decode(path)


@pytest.fixture
def uneven_opus(tmp_path: Path) -> Path:
    """Opus whose pages do not end where their packets do, as FFmpeg writes it: 279 samples less and then more."""
    whole = pages(sound_file(tmp_path, "opus", "OGG", "OPUS", tone(seconds=8.0)).read_bytes())
    places = [int.from_bytes(page[6:14], "little") for page in whole]
    assert len(whole) >= 7
    path = tmp_path / "uneven.opus"
    whole[3:-2] = [page_that_ends_at(page, at - 279) for page, at in zip(whole[3:-2], places[3:-2], strict=True)]
    path.write_bytes(b"".join(whole))
    return path


def test_opus_that_libsndfile_cannot_read_is_ffmpegs(uneven_opus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    with pytest.raises(soundfile.SoundFileError):
        soundfile.read(uneven_opus)
    with decode.open_sound(uneven_opus) as sound:
        assert (sound.rate_hz, sound.seconds, sound.warnings) == (RATE_HZ, 8.0, [])
        wave = np.concatenate(list(sound.blocks))
    assert len(wave) == pytest.approx(8 * RATE_HZ, abs=300) and is_the_tone(wave, RATE_HZ)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"uneven\.opus is Opus, of which libsndfile .*pip install 'hubbub\[media\]'"):
        decode.decode(uneven_opus)


@pytest.mark.parametrize("coding", ["VORBIS", "OPUS", "FLAC"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_ogg_with_a_hole_or_with_other_bytes_in_it_is_refused(tmp_path: Path, coding: str, share: float) -> None:
    path = tmp_path / f"{coding}.ogg"
    if coding == "FLAC":
        write_media(path, "flac", {"page_duration": "100000"})
    else:
        sound_file(tmp_path, "ogg", "OGG", coding, np.random.default_rng(0).normal(0, 0.1, 5 * RATE_HZ))
    whole = path.read_bytes()
    assert len(decode.decode(path)[0])
    at, parts = round(share * len(whole)), pages(whole)
    page = min(max(round(share * len(parts)), 2), len(parts) - 2)
    for broken in (
        whole[:at] + whole[at + 8_000 :] if at + 8_000 < len(whole) else whole[: at - 8_000] + whole[at:],
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        whole[:at] + bytes(100) + whole[at + 100 :],
        b"".join(parts[:page] + parts[page + 1 :]),
        b"".join([*parts[:page], parts[page], *parts[page:]]),
    ):
        path.write_bytes(broken)
        with pytest.raises(
            AudioError, match=rf"{coding}\.ogg is (damaged: pages or packets|cut off|cannot be read as audio)"
        ):
            decode.decode(path)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_an_m4a_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    whole = write_media(tmp_path / "a.m4a", "aac").read_bytes()
    (tmp_path / "cut.m4a").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(AudioError, match=r"cut\.m4a is cut off: its end is missing"):
        decode.decode(tmp_path / "cut.m4a")


@pytest.mark.parametrize("declared", [0, 0xFFFFFFFF])
def test_a_recorder_that_never_wrote_the_length_is_believed(tmp_path: Path, declared: int) -> None:
    path = sound_file(tmp_path, "wav", "WAV", "PCM_16")
    content = bytearray(path.read_bytes())
    content[4:8] = declared.to_bytes(4, "little")
    path.write_bytes(content)
    assert is_the_tone(*decode.decode(path))


@pytest.mark.parametrize("make", [lambda: np.zeros(1000, np.float32), lambda: np.ones(1, np.float32)])
def test_silence_and_one_sample_are_sounds(tmp_path: Path, make: Callable[[], Wave]) -> None:
    path = sound_file(tmp_path, "wav", "WAV", "FLOAT", make())
    np.testing.assert_array_equal(decode.decode(path)[0], make())
    assert len(decode.load(path, 16_000)) >= 1


def test_lossy_files_may_exceed_full_scale(home: Any) -> None:
    """Vorbis of loud recordings does; clipping them would change what the network hears."""
    folder = home("data", "esc50")
    peaks = [np.abs(decode.decode(path)[0]).max() for path in sorted(folder.glob("audio/1-*.ogg"))[:40]]
    assert 1.0 < max(peaks) < 1.6


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile other.wav\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.wav\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_list_of_other_files_is_no_sound(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg would read what the list names: a server's own files, for whoever asks."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("other.wav", np.zeros(RATE_HZ), RATE_HZ)
    with pytest.raises(decode.FormatError, match="cannot be read as audio"):
        decode.decode(io.BytesIO(text.encode()))
    (tmp_path / "list.m3u8").write_text(text)
    with pytest.raises(decode.FormatError, match="cannot be read as audio"):
        decode.decode(tmp_path / "list.m3u8")


def test_streams_that_cannot_be_a_file_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(1_000), 8_000)
    with (tmp_path / "x.wav").open("rb") as stream:
        assert decode.decode(stream)[1] == 8_000
    with pytest.raises(AudioError, match=r"closed file\)\. Open the file again, with mode 'rb'"):
        decode.decode(stream)
    for text in (io.StringIO("hello"), (tmp_path / "x.wav").open(errors="replace")):
        with text, pytest.raises(AudioError, match=r"gives text.*mode 'rb'"):
            decode.decode(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\n<!DOCTYPE html><html><body>404 Not found</body></html>", "a web page, as a failed download leaves it"),
        (
            b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
            "a web page, as a failed download leaves it",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "a pointer of Git LFS; git lfs pull",
        ),
        (b'{"error": "denied"} ' * 10, "text"),
    ],
)
@pytest.mark.parametrize("with_av", [True, False], ids=["av", "without-av"])
def test_what_is_no_sound_is_called_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, kind: str, with_av: bool
) -> None:
    if not with_av:
        monkeypatch.setitem(sys.modules, "av", None)
    for ending in ("wav", "mp3", "ogg"):
        (tmp_path / f"x.{ending}").write_bytes(content)
        with pytest.raises(AudioError, match=f"cannot be read as audio: it holds {kind}"):
            decode.decode(tmp_path / f"x.{ending}")


@pytest.mark.parametrize("rates", [(44_100, 16_000), (16_000, 44_100), (48_000, 32_000)])
@pytest.mark.parametrize("samples", [1, 1_000, 2**15, 100_001])
def test_resampling_in_chunks_is_soxrs_of_the_whole(rates: tuple[int, int], samples: int) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    expected = soxr.resample(wave, *rates, quality="HQ")
    np.testing.assert_array_equal(decode.resample(wave, *rates), expected if len(expected) else wave[:1])


def test_a_file_decodes_alike_from_memory_and_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, (50_000, 2)).astype(np.float32)
    for name in ("a.wav", "a.flac", "a.ogg"):
        soundfile.write(tmp_path / name, wave, 44_100)
    from_memory = [decode.decode(tmp_path / name)[0] for name in ("a.wav", "a.flac", "a.ogg")]
    monkeypatch.setattr(decode, "_SMALL_BYTES", 0)
    for name, expected in zip(("a.wav", "a.flac", "a.ogg"), from_memory, strict=True):
        np.testing.assert_array_equal(decode.decode(tmp_path / name)[0], expected)


def test_the_samples_that_are_given_are_not_shared_with_a_mixer_that_copies() -> None:
    block = np.full(100, 0.1, np.float32)
    mono = Downmixer().feed(block)
    assert not np.shares_memory(mono, block)
    assert np.shares_memory(Downmixer(copies=False).feed(block), block)
