"""Sound files in, mono waves at the asked rate out.

Decoding is libsndfile's (wav, flac, ogg, opus, mp3, aiff ...), through soundfile; anything else (m4a, the sound of a
video) goes to FFmpeg through the optional `av`. Resampling is soxr's. A file that cannot be trusted (cut off, empty,
not finite) is refused with a reason: a wrong wave would only turn up later as a wrong answer.
This room knows nothing of clips, labels or windows.
"""

import itertools
import math
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from hubbub.errors import HubbubError
from hubbub.waves import Mixer, WaveError, is_whole, shown

__all__ = ["EXTENSIONS", "AudioError", "FormatError", "Resampler", "Sound", "decode", "load", "opened", "resample"]

Wave = npt.NDArray[np.float32]

#: What a folder is searched for; `decode` itself goes by content, not by name.
EXTENSIONS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".m4a", ".mp4", ".mkv", ".mov", ".webm")
MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 1_000_000
BLOCK = 2**18  # samples decoded at a time, of all channels together
_KNOWN_FRAMES = 2**62  # libsndfile has more where the header does not say how many
_QUALITY = "HQ"  # soxr's
_OGG_PAGE_SEARCH_BYTES = 65_536
_OGG_HEADER_BYTES = 27
_OGG_LAST_PAGE_FLAG = 4
_MP3_FRAME_BYTES = 2_881  # the longest there is
_MP3_LEAD_IN = 16 * 1_152  # samples; a frame needs what frames before it left over
_UNKNOWN_TO_SNDFILE = 1  # libsndfile's SF_ERR_UNRECOGNISED_FORMAT
#: What FFmpeg may take a file for. It knows others that are lists of other files, and would read these.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mp3,aac,flac,ogg,wav,w64,aiff,au,caf,asf,avi,mpegts,mpeg,flv,amr,ape,wv,tta,"
    "ac3,eac3,dts,rm,mpc,mpc8"
)


class AudioError(HubbubError):
    """A sound that cannot be read or must not be trusted."""


class FormatError(AudioError):
    """What is no sound of a known format at all."""


@dataclass(frozen=True)
class Sound:
    """A sound that is being decoded: its own rate [Hz], how long its header says it is (None where it does not
    say), and its mono blocks `[n]`, to be taken once.

    `warnings` are sentences to put beside every answer about it. They are complete when the blocks have ended.
    """

    rate_hz: int
    seconds: float | None
    blocks: Iterator[Wave]
    warnings: list[str] = field(default_factory=list)


def decode(source: str | Path | BinaryIO, start_s: float | None = None, end_s: float | None = None) -> tuple[Wave, int]:
    """A file or an open binary stream -> (mono wave `[T]`, its own rate [Hz]); integers become [-1, 1].

    `start_s` and `end_s` [s] cut a part out, None and NaN standing for the recording's own start and end. Lossy files
    may exceed full scale a little; they are left as they are. Raises `AudioError`.
    """
    with opened(source, start_s, end_s) as sound:
        return np.concatenate(list(sound.blocks)), sound.rate_hz


@contextmanager
def opened(source: str | Path | BinaryIO, start_s: float | None = None, end_s: float | None = None) -> Iterator[Sound]:
    """What `decode` reads, a block at a time and in bounded memory, whatever the header promises.

    Raises `AudioError`: here for what the header tells, from the blocks for what only decoding does. The blocks are all
    there only when they end without one.
    """
    with ExitStack() as stack:
        name = "the stream"
        if isinstance(source, str | Path):
            name = str(source)
            source = stack.enter_context(_file(Path(source)))
        _refuse_cut_off(name, source)
        sound = _by_sndfile(stack, name, source, start_s, end_s) or _by_av(stack, name, source, start_s, end_s)
        if not MIN_RATE_HZ <= sound.rate_hz <= MAX_RATE_HZ:
            raise AudioError(
                f"{name} has a sample rate of {sound.rate_hz} Hz; rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are "
                "sound. Correct its header, or convert it."
            )
        yield replace(sound, blocks=_trusted(name, sound.blocks, sound.warnings))


def load(source: str | Path | BinaryIO, rate_hz: int, start_s: float | None = None, end_s: float | None = None) -> Wave:
    """A file or stream -> mono wave `[T]` at `rate_hz`."""
    wave, own_rate = decode(source, start_s, end_s)
    return resample(wave, own_rate, rate_hz)


def resample(wave: Wave, from_hz: int, to_hz: int) -> Wave:
    """Wave `[T]` at `from_hz` -> `[ceil(T * to_hz / from_hz)]` or so at `to_hz` (soxr, high quality)."""
    _refuse_rates(from_hz, to_hz)
    if from_hz == to_hz:
        return wave
    resampled: Wave = soxr.resample(wave, from_hz, to_hz, quality=_QUALITY)
    # Fewer samples than one output period would leave nothing; a clip is never dropped.
    return resampled if len(resampled) else wave[:1]


class Resampler:
    """`resample` of a wave that comes in blocks: the same samples, to the last bit."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Raises `AudioError` where a rate is no sound's."""
        _refuse_rates(from_hz, to_hz)
        same = from_hz == to_hz
        self._stream = None if same else soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality=_QUALITY)
        self._first = np.zeros(0, np.float32)
        self._given = False

    def feed(self, block: Wave) -> Wave:
        """The next samples `[n]` -> what is ready of the resampled wave."""
        if not len(self._first):
            self._first = block[:1].copy()
        return self._passed(block)

    def end(self) -> Wave:
        """What is left of it."""
        left = self._passed(np.zeros(0, np.float32), last=True)
        return left if self._given else self._first

    def _passed(self, block: Wave, last: bool = False) -> Wave:
        ready: Wave = block if self._stream is None else self._stream.resample_chunk(block, last=last)
        self._given = self._given or len(ready) > 0
        return ready


def _by_sndfile(
    stack: ExitStack, name: str, stream: BinaryIO, start_s: float | None, end_s: float | None
) -> Sound | None:
    """None where FFmpeg must decode it. What libsndfile knows but finds broken is refused, not handed on: FFmpeg
    would give what is left of it without a word."""
    length_is_known = _mp3_says_its_length(stream)
    stream.seek(0)
    try:
        file = stack.enter_context(soundfile.SoundFile(stream))
    except TypeError:  # soundfile takes a name that ends in .raw for samples without a header
        return None
    except soundfile.SoundFileError as error:
        if getattr(error, "code", None) == _UNKNOWN_TO_SNDFILE:
            return None
        raise _unreadable(name, error) from error
    if file.frames > _KNOWN_FRAMES or (file.format == "MP3" and not length_is_known):
        return None
    first, last = _part(file.frames, file.samplerate, start_s, end_s)
    return Sound(file.samplerate, (last - first) / file.samplerate, _read(name, file, first, last))


def _read(name: str, file: soundfile.SoundFile, first: int, last: int) -> Iterator[Wave]:
    """A part of a file in blocks, all of it or an `AudioError`."""
    size = max(BLOCK // file.channels, 1)
    early = min(first, _MP3_LEAD_IN if file.format == "MP3" else 0)
    at, wanted = first - early, True
    try:
        if first:
            file.seek(at)
        while wanted and at < last:
            block = file.read(min(size, last - at), dtype="float32")
            wanted, skipped = len(block) > 0, max(first - at, 0)
            at += len(block)
            yield block[skipped:]
    except soundfile.SoundFileError as error:
        raise _unreadable(name, error) from error
    if at < last:
        raise AudioError(
            f"{name} is cut off: {at - first} of {last - first} samples could be read. Copy or download it again."
        )


def _by_av(stack: ExitStack, name: str, stream: BinaryIO, start_s: float | None, end_s: float | None) -> Sound:
    try:
        import av
    except ImportError as error:
        raise FormatError(
            f"{name} is not a sound that libsndfile can read. Check what the file is. M4a, video, and an MP3 or FLAC "
            "that does not say how long it is need FFmpeg: pip install 'hubbub[media]'."
        ) from error
    stream.seek(0)
    try:
        options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"}
        container = stack.enter_context(av.open(stream, "r", options=options))
    except (av.FFmpegError, ValueError) as error:
        raise _unreadable(name, error, FormatError) from error
    try:
        if not container.streams.audio:
            raise FormatError(f"{name} has no sound in it. Give a file with an audio stream.")
        planar = av.AudioResampler(format="fltp")
        frames = (out for frame in container.decode(audio=0) for out in planar.resample(frame))
        opening = next(frames, None)
    except (av.FFmpegError, ValueError) as error:
        raise _unreadable(name, error) from error
    if opening is None:
        raise AudioError(f"{name} holds no samples. Leave it out, or record it again.")
    # The frames' own rate: the container's is half of it for some AAC.
    rate = opening.sample_rate

    def blocks() -> Iterator[Wave]:
        first, last = _part(sys.maxsize, rate, start_s, end_s)
        at = 0
        try:
            for frame in itertools.chain([opening], frames):
                wave = frame.to_ndarray().T.astype(np.float32)
                yield wave[max(first - at, 0) : max(last - at, 0)]
                at += len(wave)
                if at >= last:
                    return
        except (av.FFmpegError, ValueError) as error:
            raise _unreadable(name, error) from error

    seconds = None
    if container.duration:
        first, last = _part(container.duration * rate // av.time_base, rate, start_s, end_s)
        seconds = (last - first) / rate
    return Sound(rate, seconds, _gathered(blocks()))


def _gathered(blocks: Iterator[Wave]) -> Iterator[Wave]:
    """Small blocks as larger ones."""
    held: list[Wave] = []
    for block in blocks:
        held.append(block)
        if sum(map(len, held)) >= BLOCK:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _trusted(name: str, blocks: Iterator[Wave], warnings: list[str]) -> Iterator[Wave]:
    """Blocks `[n]` or `[n, channels]` -> mono blocks that can be sound; at their end `warnings` are complete."""
    mixer, empty = Mixer(), True

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


def _part(samples: int, rate: int, start_s: float | None, end_s: float | None) -> tuple[int, int]:
    """The first sample of a part and the one behind its last, held to the recording."""
    ends = [
        none if s is None or math.isnan(s) else round(min(max(s * rate, 0), samples))
        for s, none in ((start_s, 0), (end_s, samples))
    ]
    return ends[0], max(ends)


def _refuse_rates(*rates_hz: int) -> None:
    for rate in rates_hz:
        if not is_whole(rate):
            raise AudioError(f"a sample rate of {shown(rate)}: give a whole number of samples a second, such as 44100.")
        if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
            raise AudioError(
                f"a sample rate of {rate} Hz: rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are sound. "
                "Check the file's header, or give the rate the recording was made at."
            )


def _file(path: Path) -> BinaryIO:
    if not path.is_file():
        raise AudioError(f"{path} is not a file. Give the path of a recording.")
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(name: object, error: Exception, kind: type[AudioError] = AudioError) -> AudioError:
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return kind(f"{name} is not a sound that can be read ({reason.rstrip('.')}). Check what the file is.")


def _refuse_cut_off(name: str, stream: BinaryIO) -> None:
    size = stream.seek(0, os.SEEK_END)
    if size == 0:
        raise AudioError(f"{name} is empty (0 bytes). Copy or download it again.")
    if _is_cut_off(stream, size):
        raise AudioError(f"{name} is cut off: its end is missing. Copy or download it again.")


def _is_cut_off(stream: BinaryIO, size: int) -> bool:
    """Whether the container's own bookkeeping says that bytes are missing at the end.

    libsndfile reads such files without a word: an Ogg stream without the whole of its last page, a WAV or AIFF file
    shorter than it says.
    """
    stream.seek(0)
    head = stream.read(8)
    if head[:4] in (b"RIFF", b"FORM"):
        declared = int.from_bytes(head[4:], "little" if head[:4] == b"RIFF" else "big") + 8
        # Recorders that stream write 0 or the largest size and never come back to it.
        return size + 1 < declared < 0xFFFFFF00
    if head[:4] == b"OggS":
        stream.seek(max(size - _OGG_PAGE_SEARCH_BYTES, 0))
        tail = stream.read()
        page = tail[max(tail.rfind(b"OggS"), 0) :]
        if len(page) < _OGG_HEADER_BYTES:
            return True
        pieces = page[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + page[26]]
        whole = _OGG_HEADER_BYTES + page[26] + sum(pieces)
        return not page[5] & _OGG_LAST_PAGE_FLAG or len(page) < whole
    return False


def _mp3_says_its_length(stream: BinaryIO) -> bool:
    """Whether an MP3 stream's first frame counts the frames (Xing, Info, VBRI). libsndfile otherwise guesses from that
    frame's bit rate, and reads no further than its guess."""
    stream.seek(0)
    head = stream.read(10)
    tag = 0
    if head[:3] == b"ID3":
        tag = 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    stream.seek(tag)
    frame = stream.read(_MP3_FRAME_BYTES)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))
