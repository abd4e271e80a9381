"""Sound files in, mono waves at the asked rate out.

Decoding is libsndfile's (wav, flac, ogg, opus, mp3, aiff ...), through soundfile; anything else (m4a, the sound of a
video) goes to FFmpeg through the optional `av`. Resampling is soxr's. A file that cannot be trusted (cut off, empty,
not finite) is refused with a reason: a wrong wave would only turn up later as a wrong answer.
This room knows nothing of clips, labels or windows.
"""

import math
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from hubbub.errors import HubbubError

__all__ = ["EXTENSIONS", "AudioError", "Resampler", "decode", "load", "mix_down", "resample"]

Wave = npt.NDArray[np.float32]

#: What a folder is searched for; `decode` itself goes by content, not by name.
EXTENSIONS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".m4a", ".mp4", ".mkv", ".mov", ".webm")
MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 1_000_000
_QUALITY = "HQ"  # soxr's
_OGG_PAGE_SEARCH_BYTES = 65_536
_OGG_HEADER_BYTES = 27
_OGG_LAST_PAGE_FLAG = 4
_MP3_FRAME_BYTES = 2_881  # the longest there is
_MP3_LEAD_IN = 16 * 1_152  # samples; a frame needs what frames before it left over
_UNKNOWN_TO_SNDFILE = 1  # libsndfile's SF_ERR_UNRECOGNISED_FORMAT


class AudioError(HubbubError):
    """A sound that cannot be read or must not be trusted."""


def decode(source: str | Path | BinaryIO, start_s: float | None = None, end_s: float | None = None) -> tuple[Wave, int]:
    """A file or an open binary stream -> (mono wave `[T]`, its own rate [Hz]); integers become [-1, 1].

    `start_s` and `end_s` [s] cut a part out, None and NaN standing for the recording's own start and end. Lossy files
    may exceed full scale a little; they are left as they are. Raises `AudioError`.
    """
    if not isinstance(source, str | Path):
        return _decode("the stream", source, start_s, end_s)
    _refuse_absent(Path(source))
    with Path(source).open("rb") as stream:
        return _decode(str(source), stream, start_s, end_s)


def load(source: str | Path | BinaryIO, rate_hz: int, start_s: float | None = None, end_s: float | None = None) -> Wave:
    """A file or stream -> mono wave `[T]` at `rate_hz`."""
    wave, own_rate = decode(source, start_s, end_s)
    return resample(wave, own_rate, rate_hz)


def mix_down(wave: npt.NDArray[np.float32]) -> Wave:
    """Samples `[T]` or `[T, channels]` -> mono `[T]`, the mean over channels."""
    return wave if wave.ndim == 1 else wave.mean(axis=1, dtype=np.float32)


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


def _decode(name: str, stream: BinaryIO, start_s: float | None, end_s: float | None) -> tuple[Wave, int]:
    _refuse_cut_off(name, stream)
    wave, rate = _decode_sndfile(name, stream, start_s, end_s) or _decode_av(name, stream, start_s, end_s)
    _refuse_bad_samples(name, wave, rate)
    return mix_down(wave), rate


def _decode_sndfile(name: str, stream: BinaryIO, start_s: float | None, end_s: float | None) -> tuple[Wave, int] | None:
    """None where FFmpeg must decode it. What libsndfile knows but finds broken is refused, not handed on: FFmpeg
    would give what is left of it without a word."""
    length_is_known = _mp3_says_its_length(stream)
    stream.seek(0)
    try:
        with soundfile.SoundFile(stream) as file:
            if file.format == "MP3" and not length_is_known:
                return None
            rate = file.samplerate
            first, last = _part(file.frames, rate, start_s, end_s)
            early = min(first, _MP3_LEAD_IN if file.format == "MP3" else 0)
            if first:
                file.seek(first - early)
            wave = file.read(last - first + early, dtype="float32")[early:]
    except TypeError:  # soundfile takes a name that ends in .raw for samples without a header
        return None
    except soundfile.SoundFileError as error:
        if getattr(error, "code", None) == _UNKNOWN_TO_SNDFILE:
            return None
        raise _unreadable(name, error) from error
    if len(wave) < last - first:
        raise AudioError(
            f"{name} is cut off: {len(wave)} of {last - first} samples could be read. Copy or download it again."
        )
    return wave, rate


def _decode_av(name: str, stream: BinaryIO, start_s: float | None, end_s: float | None) -> tuple[Wave, int]:
    try:
        import av
    except ImportError as error:
        raise AudioError(
            f"{name} is not a sound that libsndfile can read. Check what the file is. M4a, video and an MP3 that does "
            "not say how long it is need FFmpeg: pip install 'hubbub[media]'."
        ) from error
    stream.seek(0)
    try:
        with av.open(stream, "r") as container:
            if not container.streams.audio:
                raise AudioError(f"{name} has no sound in it. Give a file with an audio stream.")
            planar = av.AudioResampler(format="fltp")
            frames = [out for frame in container.decode(audio=0) for out in planar.resample(frame)]
            blocks = [frame.to_ndarray().T for frame in frames]
    except (av.FFmpegError, ValueError) as error:
        raise _unreadable(name, error) from error
    if not blocks:
        raise AudioError(f"{name} holds no samples. Leave it out, or record it again.")
    wave = np.concatenate(blocks).astype(np.float32)
    # The frames' own rate: the container's is half of it for some AAC.
    rate = frames[0].sample_rate
    return wave[slice(*_part(len(wave), rate, start_s, end_s))], rate


def _part(samples: int, rate: int, start_s: float | None, end_s: float | None) -> tuple[int, int]:
    """The first sample of a part and the one behind its last, held to the recording."""
    ends = [
        none if s is None or math.isnan(s) else round(min(max(s * rate, 0), samples))
        for s, none in ((start_s, 0), (end_s, samples))
    ]
    return ends[0], max(ends)


def _refuse_rates(*rates_hz: int) -> None:
    for rate in rates_hz:
        if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
            raise AudioError(
                f"a sample rate of {rate} Hz: rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are sound. "
                "Check the file's header, or give the rate the recording was made at."
            )


def _refuse_absent(path: Path) -> None:
    if not path.is_file():
        raise AudioError(f"{path} is not a file. Give the path of a recording.")


def _unreadable(name: object, error: Exception) -> AudioError:
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return AudioError(f"{name} is not a sound that can be read ({reason.rstrip('.')}). Check what the file is.")


def _refuse_bad_samples(name: str, wave: Wave, rate: int) -> None:
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise AudioError(
            f"{name} has a sample rate of {rate} Hz; rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are sound. "
            "Correct its header, or convert it."
        )
    if wave.size == 0:
        raise AudioError(f"{name} holds no samples. Leave it out, or record it again.")
    if not np.isfinite(wave).all():
        bad = int((~np.isfinite(wave)).sum())
        raise AudioError(f"{name} holds {bad} samples that are NaN or infinite. Export it again without them.")


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
