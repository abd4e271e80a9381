"""A sound that is being decoded, and the errors of its decoders: what `decode` and `ffmpeg` share."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hubbub.errors import HubbubError

__all__ = [
    "MAX_RATE_HZ",
    "MIN_RATE_HZ",
    "AudioError",
    "FormatError",
    "Sound",
    "Wave",
    "refuse_header_rate",
    "sample_range",
    "truncated",
    "unreadable",
]

Wave = npt.NDArray[np.float32]

MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 1_000_000


class AudioError(HubbubError):
    """Audio that cannot be read, or whose samples are not valid."""


class FormatError(AudioError):
    """Data in no known audio format."""


@dataclass(frozen=True)
class Sound:
    """A sound that is being decoded: its own rate [Hz], its duration by its header (None where the header gives
    none), and its mono blocks `[n]`, which can be read once.

    `warnings` are sentences for the user. They are complete when the blocks have ended. `channels` is the file's number
    of channels, `coding` its format (`WAV PCM_16`, `OGG VORBIS`, or FFmpeg's name of the codec). Each of `watchers` is
    called with every block `[n]` or `[n, channels]` before its channels are mixed.
    """

    rate_hz: int
    seconds: float | None
    blocks: Iterator[Wave]
    warnings: list[str] = field(default_factory=list)
    channels: int = 1
    coding: str = ""
    watchers: list[Callable[[Wave], None]] = field(default_factory=list)


def sample_range(samples: int, rate_hz: int, start_s: float | None, end_s: float | None) -> tuple[int, int]:
    """First sample of a part and the one after its last, limited to the recording; None and NaN mean its ends."""
    first, last = (
        default if s is None or math.isnan(s) else round(min(max(s * rate_hz, 0), samples))
        for s, default in ((start_s, 0), (end_s, samples))
    )
    return first, max(first, last)


def refuse_header_rate(name: str, rate_hz: int) -> None:
    """Raises `AudioError` where a header gives an impossible sample rate."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"{name} has a sample rate of {rate_hz} Hz; rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are accepted. "
            "Correct its header, or convert it."
        )


def unreadable(name: object, error: Exception, kind: type[AudioError] = AudioError) -> AudioError:
    """The error for a file that cannot be opened or decoded at all."""
    return kind(f"{name} cannot be read as audio ({_reason(error)}). Check what the file is.")


def truncated(name: str, read: str, error: Exception | None = None) -> AudioError:
    """The error for a file of which only a part, `read`, can be decoded."""
    if error is None:
        return AudioError(f"{name} is cut off: {read} could be read. Copy or download it again.")
    return AudioError(
        f"{name} is cut off or damaged: {read} could be read ({_reason(error)}). Copy or download it again."
    )


def _reason(error: Exception) -> str:
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(reason).rstrip(".")
