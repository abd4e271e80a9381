"""Decodes a sound file to a mono wave, and resamples waves.

libsndfile (through soundfile) reads wav, flac, ogg, mp3, aiff ...; FFmpeg (`ffmpeg.py`) reads the rest, and Opus,
because libsndfile cannot read every valid Opus file. Resampling is soxr's. A file that is truncated, empty, damaged or
holds NaN is refused with the reason, because a wrong wave would give a wrong prediction without a sign.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from hubbub.audio import containers, ffmpeg, framing
from hubbub.audio.byte_reader import ByteReader, SafeBytes, safe_view
from hubbub.audio.sound import (
    MAX_RATE_HZ,
    MIN_RATE_HZ,
    AudioError,
    FormatError,
    Sound,
    Wave,
    refuse_header_rate,
    sample_range,
    truncated,
    unreadable,
)
from hubbub.audio.waves import Downmixer, WaveError, is_integer, short_repr

__all__ = [
    "EXTENSIONS",
    "AudioError",
    "FormatError",
    "Resampler",
    "Sound",
    "decode",
    "load",
    "open_sound",
    "resample",
]

#: The endings that a search of folders takes; `decode` itself goes by content, not by name. libsndfile also reads
#: `.mat`, which is seldom sound.
EXTENSIONS = (
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aiff", ".aif",
    ".aifc", ".au", ".snd", ".caf", ".nist", ".sph", ".voc", ".sf", ".ircam", ".paf", ".pvf", ".svx", ".8svx", ".avr",
    ".htk", ".sds", ".wve", ".xi",
    # FFmpeg's
    ".m4a", ".m4b", ".mp4", ".m4v", ".f4v", ".aac", ".3gp", ".3g2", ".amr", ".wma", ".asf", ".wmv", ".avi", ".flv",
    ".mkv", ".mka", ".mov", ".webm", ".weba", ".wv", ".ape", ".tta", ".ac3", ".eac3", ".dts", ".mpg", ".mpeg", ".vob",
    ".ts", ".mts", ".m2ts", ".rm", ".mpc", ".ogv", ".ogx", ".spx",
)  # fmt: skip
BLOCK = 2**18  # samples of a decoded block, of all channels together
#: Samples that soxr gets at once. For a whole clip its buffers are so large that the system provides new pages for each
#: clip, which takes about as long as the resampling.
_CHUNK = 2**15
_SMALL_BYTES = 2**21  # files up to this size are read at once
_KNOWN_FRAMES = 2**62  # libsndfile reports more where the header gives no length
_QUALITY = "HQ"  # soxr's
_MP3_LEAD_IN = 16 * 1_152  # samples; a frame needs bits that earlier frames left over
#: libsndfile's SF_ERR_UNRECOGNISED_FORMAT and SF_ERR_UNSUPPORTED_ENCODING: FFmpeg may know it.
_UNKNOWN_TO_SNDFILE = (1, 4)
#: Formats whose files stay valid when joined, and whether the first header's length is that of all of the file.
_LENGTH_IS_EXACT: dict[str, Callable[[ByteReader], bool]] = {
    "MP3": framing.mp3_counts_its_frames,
    "OGG": lambda data: not framing.ogg_is_joined(data),
    "FLAC": lambda data: not framing.flac_is_joined(data),
}


def decode(source: str | Path | BinaryIO, start_s: float | None = None, end_s: float | None = None) -> tuple[Wave, int]:
    """A file or an open binary stream -> (mono wave `[T]`, its own rate [Hz]); integers become [-1, 1].

    `start_s` and `end_s` [s] select a part; None and NaN mean the recording's own start and end. Lossy files may
    exceed full scale a little; they are left as they are. Raises `AudioError`.
    """
    with open_sound(source, start_s, end_s) as sound:
        blocks = list(sound.blocks)
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), sound.rate_hz


@contextmanager
def open_sound(
    source: str | Path | BinaryIO, start_s: float | None = None, end_s: float | None = None
) -> Iterator[Sound]:
    """The same sound as `decode`, in blocks and in bounded memory, whatever the header says.

    Raises `AudioError`: on opening for what the header shows, while iterating for what only decoding shows. The sound
    is complete only where its blocks end without an error.
    """
    with ExitStack() as stack:
        name = "the stream"
        if isinstance(source, str | Path):
            name = str(source)
            source = stack.enter_context(_open_file(Path(source)))
        else:
            _refuse_odd_stream(source)
        source, warnings = _checked(name, source)
        sound = _by_sndfile(stack, name, source, start_s, end_s) or _by_ffmpeg(stack, name, source, start_s, end_s)
        warnings += sound.warnings
        watched = _watched(sound.blocks, sound.watchers)
        yield replace(sound, blocks=_mono(name, watched, warnings), warnings=warnings)


def load(source: str | Path | BinaryIO, rate_hz: int, start_s: float | None = None, end_s: float | None = None) -> Wave:
    """A file or stream -> mono wave `[T]` at `rate_hz`."""
    wave, own_rate = decode(source, start_s, end_s)
    return resample(wave, own_rate, rate_hz)


def resample(wave: Wave, from_hz: int, to_hz: int) -> Wave:
    """Wave `[T]` at `from_hz` -> about `[ceil(T * to_hz / from_hz)]` at `to_hz` (soxr, high quality)."""
    _refuse_rates(from_hz, to_hz)
    if from_hz == to_hz:
        return wave
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate([*resampler.parts(wave), resampler.end()])


class Resampler:
    """`resample` for a wave that comes in blocks; the output is bit-identical."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Raises `AudioError` for an impossible rate."""
        _refuse_rates(from_hz, to_hz)
        same = from_hz == to_hz
        self._stream = None if same else soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality=_QUALITY)
        self._first_sample = np.zeros(0, np.float32)
        self._has_output = False

    def feed(self, block: Wave) -> Wave:
        """The next samples `[n]` -> the resampled samples that are ready."""
        parts = list(self.parts(block))
        return parts[0] if len(parts) == 1 else np.concatenate([*parts, block[:0]])

    def parts(self, block: Wave) -> Iterator[Wave]:
        """As `feed`, in parts."""
        block = np.asarray(block, np.float32)  # soxr takes no subclasses, such as memory maps
        if not len(self._first_sample):
            self._first_sample = block[:1].copy()
        size = _CHUNK if self._stream else max(len(block), 1)
        yield from (self._process(block[at : at + size]) for at in range(0, len(block), size))

    def end(self) -> Wave:
        """The last resampled samples."""
        rest = self._process(np.zeros(0, np.float32), last=True)
        # Less than one output period would give no sample, and no clip is dropped.
        return rest if self._has_output else self._first_sample

    def _process(self, block: Wave, last: bool = False) -> Wave:
        ready: Wave = block if self._stream is None else self._stream.resample_chunk(block, last=last)
        self._has_output = self._has_output or len(ready) > 0
        return ready


def _by_sndfile(
    stack: ExitStack, name: str, stream: BinaryIO, start_s: float | None, end_s: float | None
) -> Sound | None:
    """The sound as libsndfile decodes it; None where FFmpeg must. A file that libsndfile knows but finds damaged is
    refused: FFmpeg would return what is left of it without an error. An Ogg's pages are checked already."""
    stream.seek(0)
    try:
        file = stack.enter_context(soundfile.SoundFile(stream))
    except soundfile.SoundFileError as error:
        stream.seek(0)
        if getattr(error, "code", None) in _UNKNOWN_TO_SNDFILE or stream.read(4) == b"OggS":
            return None
        raise unreadable(name, error) from error
    if file.subtype.startswith("MPEG") and file.format != "MP3":  # libsndfile trusts the container's frame count
        return None
    if file.frames > _KNOWN_FRAMES or (file.format in _LENGTH_IS_EXACT and not _length_is_exact(stream, file.format)):
        return None
    refuse_header_rate(name, file.samplerate)
    if file.subtype == "OPUS" and importlib.util.find_spec("av"):
        return _by_ffmpeg(stack, name, stream, start_s, end_s, file.frames / file.samplerate)
    first, last = sample_range(file.frames, file.samplerate, start_s, end_s)
    return Sound(
        file.samplerate, (last - first) / file.samplerate, _read(name, file, first, last), channels=file.channels,
        coding=f"{file.format} {file.subtype}",
    )  # fmt: skip


def _length_is_exact(stream: BinaryIO, kind: str) -> bool:
    """Whether libsndfile knows the length of an MP3, Ogg or FLAC. It estimates that of an MP3 without a frame count
    from the first bit rate, and of joined files it reads only the first."""
    at, data = stream.tell(), ByteReader(stream, stream.seek(0, os.SEEK_END))
    exact = _LENGTH_IS_EXACT[kind](data)
    stream.seek(at)
    return exact


def _read(name: str, file: soundfile.SoundFile, first: int, last: int) -> Iterator[Wave]:
    """Samples `first` to `last` in blocks `[n]` or `[n, channels]`. Raises `AudioError` where some are missing."""
    size = max(BLOCK // file.channels, 1)
    lead_in = min(first, _MP3_LEAD_IN if file.format == "MP3" else 0)
    at, has_more = first - lead_in, True
    try:
        if first:
            file.seek(at)
        while has_more and at < last:
            block = file.read(min(size, last - at), dtype="float32")
            has_more, skipped = len(block) > 0, max(first - at, 0)
            at += len(block)
            yield block[skipped:]
    except soundfile.SoundFileError as error:
        raise _incomplete(name, file, f"{max(at - first, 0)} of {last - first} samples", error) from error
    if at < last:
        raise _incomplete(name, file, f"{max(at - first, 0)} of {last - first} samples")


def _incomplete(name: str, file: soundfile.SoundFile, read: str, error: Exception | None = None) -> AudioError:
    if file.subtype != "OPUS":
        return truncated(name, read, error)
    return AudioError(
        f"{name} is Opus, of which libsndfile could read {read}; it cannot read every valid Opus file. Read it with "
        "FFmpeg (pip install 'hubbub[media]'), or copy or download it again."
    )


def _by_ffmpeg(
    stack: ExitStack,
    name: str,
    stream: BinaryIO,
    start_s: float | None,
    end_s: float | None,
    exact_s: float | None = None,
) -> Sound:
    sound = ffmpeg.open_stream(stack, name, stream, start_s, end_s, exact_s)
    return replace(sound, blocks=_rechunked(sound.blocks))


def _rechunked(blocks: Iterator[Wave]) -> Iterator[Wave]:
    """Small blocks joined to larger ones."""
    parts: list[Wave] = []
    for block in blocks:
        parts.append(block)
        if sum(map(len, parts)) >= BLOCK:
            yield np.concatenate(parts)
            parts = []
    if parts:
        yield np.concatenate(parts)


def _watched(blocks: Iterator[Wave], watchers: Sequence[Callable[[Wave], None]]) -> Iterator[Wave]:
    for block in blocks:
        for watch in watchers:
            watch(block)
        yield block


def _mono(name: str, blocks: Iterator[Wave], warnings: list[str]) -> Iterator[Wave]:
    """Blocks `[n]` or `[n, channels]` -> mono blocks, checked; `warnings` are added when the blocks have ended."""
    mixer, empty = Downmixer(copies=False), True

    def mono() -> Iterator[Wave]:
        yield from map(mixer.feed, blocks)
        yield mixer.end()

    try:
        for block in mono():
            if len(block):
                empty = False
                yield block
    except WaveError as error:
        raise AudioError(f"{name} {error}") from error
    if empty:
        raise AudioError(f"{name} holds no samples. Leave it out, or record it again.")
    warnings += mixer.warnings


def _refuse_rates(*rates_hz: int) -> None:
    for rate in rates_hz:
        if not is_integer(rate):
            raise AudioError(
                f"a sample rate of {short_repr(rate)}: give a whole number of samples per second, such as 44100."
            )
        if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
            raise AudioError(
                f"a sample rate of {rate} Hz: rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are accepted. Check the "
                "file's header, or give the rate the recording was made at."
            )


def _refuse_odd_stream(stream: BinaryIO) -> None:
    """Raises `AudioError` for text streams, closed streams, and those that cannot seek."""
    try:
        readable = isinstance(stream.read(0), bytes) and stream.seekable()
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise AudioError(f"the stream cannot be read ({error}). Open the file again, with mode 'rb'.") from error
    if not readable:
        raise AudioError(
            "the stream gives text, or cannot seek. Open the file with mode 'rb', or give io.BytesIO(...) of its bytes."
        )


def _open_file(path: Path) -> BinaryIO:
    try:
        # A device such as /dev/zero has no end, and a pipe may wait forever.
        if not path.is_file():
            raise AudioError(f"{path} is not a file. Give the path of a recording.")
        return path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from error


def _in_memory(stream: BinaryIO, size: int) -> BinaryIO:
    """A small stream's bytes, since decoders ask for them in many small pieces; a large stream as it is."""
    if size > _SMALL_BYTES:
        return stream
    stream.seek(0)
    content = stream.read(size)
    return SafeBytes(content) if len(content) == size else stream


def _checked(name: str, stream: BinaryIO) -> tuple[BinaryIO, list[str]]:
    """A view of a stream, with its header's sizes corrected if needed, and warnings about them.

    Raises `AudioError` where the stream is empty, truncated or damaged.
    """
    size = stream.seek(0, os.SEEK_END)
    if size == 0:
        raise AudioError(f"{name} is empty (0 bytes). Copy or download it again.")
    stream = _in_memory(stream, size)
    integrity = containers.check_integrity(stream, size)
    if integrity.truncated:
        raise AudioError(f"{name} is cut off: its end is missing. Copy or download it again.")
    if integrity.damaged:
        raise AudioError(
            f"{name} is damaged: pages or packets are missing, or do not hold what they should. Copy or download it "
            "again."
        )
    return integrity.view or safe_view(stream, size), [integrity.warning] if integrity.warning else []
