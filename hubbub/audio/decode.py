"""Sound files in, mono waves at the asked rate out.

Decoding is libsndfile's (wav, flac, ogg, mp3, aiff ...), through soundfile; anything else (m4a, the sound of a video)
goes to FFmpeg through the optional `av`, and so does Opus, of which libsndfile cannot read every good file. Resampling
is soxr's. A file that cannot be trusted (cut off, empty, not finite) is refused with a reason: a wrong wave would only
turn up later as a wrong answer.
This room knows nothing of clips, labels or windows.
"""

import importlib.util
import itertools
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from hubbub.audio import containers, framing
from hubbub.audio.waves import Mixer, WaveError, is_whole, shown
from hubbub.errors import HubbubError

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer

__all__ = ["EXTENSIONS", "AudioError", "FormatError", "Resampler", "Sound", "decode", "load", "opened", "resample"]

Wave = npt.NDArray[np.float32]

#: What a folder is searched for; `decode` itself goes by content, not by name. Of what libsndfile reads `.mat` is left
#: out, which is seldom sound.
EXTENSIONS = (
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aiff", ".aif",
    ".aifc", ".au", ".snd", ".caf", ".nist", ".sph", ".voc", ".sf", ".ircam", ".paf", ".pvf", ".svx", ".8svx", ".avr",
    ".htk", ".sds", ".wve", ".xi",
    # FFmpeg's
    ".m4a", ".m4b", ".mp4", ".m4v", ".f4v", ".aac", ".3gp", ".3g2", ".amr", ".wma", ".asf", ".wmv", ".avi", ".flv",
    ".mkv", ".mka", ".mov", ".webm", ".weba", ".wv", ".ape", ".tta", ".ac3", ".eac3", ".dts", ".mpg", ".mpeg", ".vob",
    ".ts", ".mts", ".m2ts", ".rm", ".mpc", ".ogv", ".ogx", ".spx",
)  # fmt: skip
MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 1_000_000
BLOCK = 2**18  # samples decoded at a time, of all channels together
_KNOWN_FRAMES = 2**62  # libsndfile has more where the header does not say how many
_QUALITY = "HQ"  # soxr's
_MP3_LEAD_IN = 16 * 1_152  # samples; a frame needs what frames before it left over
#: libsndfile's SF_ERR_UNRECOGNISED_FORMAT and SF_ERR_UNSUPPORTED_ENCODING: FFmpeg may know it.
_UNKNOWN_TO_SNDFILE = (1, 4)
#: What FFmpeg may take a file for. It knows others that are lists of other files, and would read these.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mp3,aac,flac,ogg,wav,w64,aiff,au,caf,asf,avi,mpegts,mpeg,flv,amr,ape,wv,tta,"
    "ac3,eac3,dts,rm,mpc,mpc8"
)
#: Those of FFmpeg's containers whose headers say how long each stream is.
_COUNTING = ("mov", "flac", "ape", "wv", "tta")
#: Formats whose files are sound when they are joined, and what tells whether the first one's count is that of all.
_JOINED: dict[str, Callable[[framing.Data], bool]] = {
    "MP3": framing.mp3_counts_its_frames,
    "OGG": lambda data: not framing.ogg_is_joined(data),
    "FLAC": lambda data: not framing.flac_is_joined(data),
}
_RAW = (".raw", ".pcm", ".s16", ".f32")  # as samples without a header are named
_SHORT_SHARE, _SHORT_S = 0.01, 0.5  # less is a coder's lead-in and rounding


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
        else:
            _refuse_odd_stream(source)
        source, warnings = _whole(name, source)
        sound = _by_sndfile(stack, name, source, start_s, end_s) or _by_av(stack, name, source, start_s, end_s)
        sound = replace(sound, warnings=[*warnings, *sound.warnings])
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
    would give what is left of it without a word. An Ogg's pages are known to be whole."""
    stream.seek(0)
    try:
        file = stack.enter_context(soundfile.SoundFile(stream))
    except soundfile.SoundFileError as error:
        stream.seek(0)
        if getattr(error, "code", None) in _UNKNOWN_TO_SNDFILE or stream.read(4) == b"OggS":
            return None
        raise _unreadable(name, error) from error
    if file.subtype.startswith("MPEG") and file.format != "MP3":  # it takes the count beside the frames for exact
        return None
    if file.frames > _KNOWN_FRAMES or (file.format in _JOINED and not _counts_all(stream, file.format)):
        return None
    _refuse_header_rate(name, file.samplerate)
    if file.subtype == "OPUS" and importlib.util.find_spec("av"):
        return _by_av(stack, name, stream, start_s, end_s, file.frames / file.samplerate)
    first, last = _part(file.frames, file.samplerate, start_s, end_s)
    return Sound(file.samplerate, (last - first) / file.samplerate, _read(name, file, first, last))


def _counts_all(stream: BinaryIO, kind: str) -> bool:
    """Whether libsndfile knows how long an MP3, Ogg or FLAC is. It takes an MP3 that does not count its frames for as
    long as the first one's bit rate says, and of files that were joined reads the first alone."""
    at, data = stream.tell(), framing.Data(stream, stream.seek(0, os.SEEK_END))
    known = _JOINED[kind](data)
    stream.seek(at)
    return known


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
        raise _lacking(name, file, f"{max(at - first, 0)} of {last - first} samples", error) from error
    if at < last:
        raise _lacking(name, file, f"{max(at - first, 0)} of {last - first} samples")


def _lacking(name: str, file: soundfile.SoundFile, read: str, error: Exception | None = None) -> AudioError:
    if file.subtype != "OPUS":
        return _broken_off(name, read, error)
    return AudioError(
        f"{name} is Opus of which libsndfile can read {read}, and it cannot read every good file. Copy or download it "
        "again, or read it with FFmpeg: pip install 'hubbub[media]'."
    )


def _by_av(
    stack: ExitStack,
    name: str,
    stream: BinaryIO,
    start_s: float | None,
    end_s: float | None,
    counted_s: float | None = None,
) -> Sound:
    """`counted_s`: how long all of it is, where that is already known."""
    try:
        import av
    except ImportError as error:
        raise FormatError(
            f"{name} is not a sound that libsndfile can read. Check what the file is. M4a, video, files that were "
            "joined, and an MP3 or FLAC that does not say how long it is need FFmpeg: pip install 'hubbub[media]'."
        ) from error
    stream.seek(0)
    try:
        options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"}
        container = stack.enter_context(av.open(stream, "r", options=options, metadata_errors="replace"))
    except (av.FFmpegError, ValueError) as error:
        if Path(name).suffix.lower() in _RAW:
            raise FormatError(
                f"{name} is not a sound with a header. If it holds raw samples: hubbub listen - --rate 44100 "
                "--channels 1 --encoding s16le < FILE, with its own values."
            ) from error
        raise _unreadable(name, error, FormatError) from error
    try:
        if not container.streams.audio:
            raise FormatError(f"{name} has no sound in it. Give a file with an audio stream.")
        planar = av.AudioResampler(format="fltp")
        frames = (out for frame in _alike(name, container.decode(audio=0)) for out in planar.resample(frame))
        opening = next(frames, None)
    except (av.FFmpegError, ValueError) as error:
        raise _unreadable(name, error) from error
    if opening is None:
        raise AudioError(f"{name} holds no samples. Leave it out, or record it again.")
    # The frames' own rate: the container's is half of it for some AAC.
    rate = opening.sample_rate
    _refuse_header_rate(name, rate)
    declared_s = counted_s or _declared_s(container)

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
            raise _broken_off(name, f"{at / rate:.1f} s", error) from error
        if at / rate < declared_s * (1 - _SHORT_SHARE) - _SHORT_S:
            raise _broken_off(name, f"{at / rate:.1f} of {declared_s:.1f} s")

    seconds = None
    if counted_s is None and container.duration and container.format.name != "ogg":  # of joined ones it is the last's
        counted_s = container.duration / av.time_base
    if counted_s:
        first, last = _part(int(counted_s * rate), rate, start_s, end_s)
        seconds = (last - first) / rate
    return Sound(rate, seconds, _gathered(blocks()))


def _alike(name: str, frames: Iterator["AudioFrame"]) -> Iterator["AudioFrame"]:
    """The same frames, which must all have one rate: files that were joined may differ."""
    rate = 0
    for frame in frames:
        if frame.sample_rate != (rate := rate or frame.sample_rate):
            raise AudioError(
                f"{name} has parts of {rate} and of {frame.sample_rate} Hz, as files have that were joined. Give each "
                "part as a file of its own."
            )
        yield frame


def _declared_s(container: "InputContainer") -> float:
    """How long a container's header says that its sound is, 0 where FFmpeg would only guess."""
    stream = container.streams.audio[0]
    if not stream.duration or not stream.time_base or container.format.name.split(",")[0] not in _COUNTING:
        return 0.0
    return float(stream.duration * stream.time_base)


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


def _refuse_odd_stream(stream: BinaryIO) -> None:
    """Streams of text, closed ones, and those in which nothing can be sought."""
    try:
        readable = isinstance(stream.read(0), bytes) and stream.seekable()
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise AudioError(f"the stream cannot be read ({error}). Open the file again, with mode 'rb'.") from error
    if not readable:
        raise AudioError(
            "the stream gives text, or cannot go back and forth. Open the file with mode 'rb', or give io.BytesIO(...) "
            "of its bytes."
        )


def _file(path: Path) -> BinaryIO:
    try:
        # What is neither a file nor leads to one has no end, like /dev/zero, or waits for somebody, like a pipe.
        if not path.is_file():
            raise AudioError(f"{path} is not a file. Give the path of a recording.")
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(name: object, error: Exception, kind: type[AudioError] = AudioError) -> AudioError:
    return kind(f"{name} is not a sound that can be read ({_reason(error)}). Check what the file is.")


def _broken_off(name: str, read: str, error: Exception | None = None) -> AudioError:
    if error is None:
        return AudioError(f"{name} is cut off: {read} could be read. Copy or download it again.")
    return AudioError(
        f"{name} is cut off or damaged: {read} could be read ({_reason(error)}). Copy or download it again."
    )


def _reason(error: Exception) -> str:
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(reason).rstrip(".")


def _whole(name: str, stream: BinaryIO) -> tuple[BinaryIO, list[str]]:
    """A view of a stream, where need be with right counts in its header, and what is to be said of it."""
    size = stream.seek(0, os.SEEK_END)
    if size == 0:
        raise AudioError(f"{name} is empty (0 bytes). Copy or download it again.")
    account = containers.examine(stream, size)
    if account.cut_off:
        raise AudioError(f"{name} is cut off: its end is missing. Copy or download it again.")
    if account.damaged:
        raise AudioError(
            f"{name} is damaged: Ogg pages in it are missing, or have other bytes than were written. Copy or download "
            "it again."
        )
    return account.view or containers.as_it_is(stream, size), [account.warning] if account.warning else []


def _refuse_header_rate(name: str, rate: int) -> None:
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise AudioError(
            f"{name} has a sample rate of {rate} Hz; rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are sound. Correct "
            "its header, or convert it."
        )
