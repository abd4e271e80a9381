"""Checks samples of any kind and makes mono float waves of them: the one entry of arrays, files, streams and training.

Integers stored as floats, swapped axes and channels that cancel each other would get a confident prediction of
something else. They are refused, corrected, or reported as warnings, by the same rules for every source.
"""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import numpy.typing as npt

from hubbub.errors import HubbubError

__all__ = [
    "LOUDEST",
    "NARROW",
    "SHORTEST_S",
    "SILENCE",
    "Downmixer",
    "WaveError",
    "as_block",
    "as_wave",
    "is_integer",
    "known_unless_silent",
    "mix_down",
    "padding_warnings",
    "refuse_short",
    "scale_integers",
    "short_repr",
    "is_silent",
]

Wave = npt.NDArray[np.float32]
Samples = npt.NDArray[np.generic]

#: In full scales. Samples beyond `LOUDEST` are refused; peaks above `LOUD` (12 dB) and below `QUIET` (-48 dB: 24 bits
#: in 32) suggest wrong scaling. Of UrbanSound8K's clips .6 % are quieter, of ESC-50's none.
LOUDEST, LOUD, QUIET = 256.0, 4.0, 1 / 256
#: The peak-to-peak range of dithered silence, in steps of 16 bits.
STEPS, STEP = 2, 1 / 2**15
#: A larger mean comes from the recorder or a conversion.
OFFSET = 0.1
SHORTEST_S = 0.01
#: A recording shorter than this share of a segment is mostly padding.
MOSTLY_PADDING = 0.25
#: An axis counts as channels where it has at most so many entries, and the other axis so many times more.
MOST_CHANNELS, LONGER = 32, 16
#: Samples of a frame, in which channels are mixed alike; frames at a time; the decay of power from frame to frame.
FRAME, FRAMES_AT_ONCE, DECAY = 4_096, 64, 0.3
#: Channels cancel each other where their mean has less than this share of the power that independent ones have.
CANCELLED = 0.1

SILENCE = (
    f"This is digital silence (the samples differ by no more than {STEPS} steps of 16 bits), so the prediction means "
    "nothing. Check whether the recorder or the conversion lost the sound."
)
NARROW = (
    "The 32-bit integers all lie in the range of 16 bits, where they are as quiet as digital silence: they seem to be "
    "16-bit numbers. Give them as 16-bit integers (int16)."
)
_FULL_SCALE = "Full scale is 1: divide 16-bit numbers by 32768, or give them as 16-bit integers."
#: Full scale of each integer type; unsigned bytes lie around 128.
_FULL_SCALES = {"i1": 2.0**7, "i2": 2.0**15, "i4": 2.0**31, "u1": 2.0**7}


class WaveError(HubbubError):
    """Samples that are not valid audio. The message continues a name: 'the wave holds ...'."""


def as_wave(samples: npt.ArrayLike) -> Samples:
    """A whole wave `[T]`, `[T, channels]` or, where it is unambiguous, `[channels, T]` -> `[T]` or `[T, channels]`.

    16-bit numbers in an array of 32-bit integers become 16-bit integers. Raises `WaveError` for another shape or type.
    """
    samples = _array(samples)
    if not samples.size:
        raise WaveError("holds no samples. Give at least 10 ms of sound.")
    if _is_narrow(samples):
        samples = samples.astype(np.int16)
    if samples.ndim == 1:
        return samples
    if samples.ndim == 2:
        if _is_channels(*samples.shape[::-1]):
            return samples
        if _is_channels(*samples.shape):
            return samples.T
    raise WaveError(
        f"has the shape {list(samples.shape)}, in which time and channels cannot be told apart. Give [samples] or "
        f"[samples, channels], at most {MOST_CHANNELS} channels and at least {LONGER} samples to each."
    )


def as_block(samples: npt.ArrayLike, channels: int) -> Samples:
    """A block `[n, channels]`, `[channels, n]` where n is another number, or `[n]` of one channel -> `[n, channels]`.

    Raises `WaveError` for another shape or type.
    """
    samples = _array(samples)
    if samples.ndim == 1 and channels == 1:
        return samples[:, None]
    if samples.ndim == 2 and channels in samples.shape:
        return samples if samples.shape[1] == channels else samples.T
    shape = "[samples]" if channels == 1 else f"[samples, {channels}]"
    raise WaveError(f"has the shape {list(samples.shape)}: this stream has {channels} channels. Give {shape}.")


def mix_down(wave: Wave) -> Wave:
    """Samples `[T]` or `[T, channels]` -> mono `[T]`, the mean over channels."""
    return wave if wave.ndim == 1 else wave.mean(axis=1, dtype=np.float32)


class Downmixer:
    """A recording's samples in blocks -> its mono wave in [-1, 1], with `warnings` about the samples.

    Integers are divided by their full scale. Where the channels cancel each other, the loudest one replaces their mean
    from that frame on. With several channels only whole frames come out, so that the size of the blocks does not
    matter; `end` gives the rest. Mono samples share the memory of those that were given, unless `copies`.
    """

    def __init__(self, copies: bool = True) -> None:
        self._copies = copies
        self._low, self._high, self._sum, self._count = np.inf, -np.inf, 0.0, 0
        self._all_integers = True  # all samples so far are whole numbers
        self._narrow = False  # 16-bit numbers came as 32-bit integers
        self._buffer: Wave | None = None
        self._power = np.zeros(1)  # of each channel
        self._mixed_power = 0.0
        self._channel: int | None = None

    def feed(self, samples: Samples) -> Wave:
        """The next samples `[n]` or `[n, channels]` -> mono samples. Raises `WaveError`, and then skips the block."""
        if not samples.size:
            return np.zeros(0, np.float32)
        wave, limits = self._scaled(samples)
        if wave.ndim == 2 and wave.shape[1] == 1:
            wave = wave[:, 0]
        if wave.ndim == 2:
            limits = None  # of the channels, not of their mean
            buffered = wave if self._buffer is None else np.concatenate([self._buffer, wave])
            frames = len(buffered) // FRAME * FRAME
            self._buffer, wave = buffered[frames:].copy(), self._mix(buffered[:frames])
        return self._tracked(wave, limits)

    def end(self) -> Wave:
        """The last mono samples."""
        buffered, self._buffer = self._buffer, None
        return np.zeros(0, np.float32) if buffered is None else self._tracked(self._frames(buffered[None]))

    @property
    def warnings(self) -> list[str]:
        """Sentences about suspicious samples so far."""
        if not self._count:
            return []
        found, peak, mean = [], max(-self._low, self._high), self._sum / self._count
        if self._channel is not None:
            found.append(
                "The channels cancel each other when they are mixed, as if one had its polarity inverted: only channel "
                f"{self._channel + 1} was used."
            )
        reach = (self._high - self._low) / 2
        if reach <= STEPS * STEP / 2:
            found += [NARROW, SILENCE] if self._narrow else [SILENCE]
        elif reach <= QUIET:
            found.append(
                f"The samples reach {reach:.2g} of full scale: they are very quiet, or were scaled wrongly, as 24-bit "
                "numbers in 32 bits are. Check the export."
            )
        if peak > LOUD:
            found.append(
                f"The samples reach {peak:.0f} times full scale: they were probably scaled wrongly. Check the export."
            )
        if abs(mean) > OFFSET:
            found.append(
                f"The samples lie around {mean:.2f} of full scale and not around 0 (a DC offset). Check the recorder "
                "or the conversion."
            )
        return found

    def _scaled(self, samples: Samples) -> tuple[Wave, tuple[float, float] | None]:
        """Samples in full scales, and their limits where they are known by then; or a `WaveError`."""
        if _is_integer_pcm(samples):
            self._narrow = self._narrow or _is_narrow(samples)
            return scale_integers(samples), None
        values: npt.NDArray[np.floating] = samples  # type: ignore[assignment]
        low, high = float(values.min()), float(values.max())
        peak = max(-low, high)
        if not np.isfinite(peak):
            raise WaveError(
                f"holds {_count(~np.isfinite(values))} that are NaN or infinite. Leave them out, or export it again."
            )
        few = values[:: len(values) // 1000 + 1]  # these mostly decide it, without a copy of all
        all_integers = self._all_integers and all(bool((part == np.rint(part)).all()) for part in (few, values))
        if all_integers and 1 < peak <= _FULL_SCALES["i4"]:  # larger floats are always whole numbers
            raise WaveError(f"holds only whole numbers, up to {peak:,.0f}: integers kept as floats. {_FULL_SCALE}")
        if peak > LOUDEST:
            beyond = _count(np.abs(values) > LOUDEST)
            raise WaveError(f"holds {beyond} beyond {LOUDEST:.0f} times full scale, up to {peak:,.0f}. {_FULL_SCALE}")
        self._all_integers = all_integers
        return values.astype(np.float32, copy=self._copies), (float(np.float32(low)), float(np.float32(high)))

    def _mix(self, wave: Wave) -> Wave:
        """Whole frames `[n, channels]` -> `[n]`, a few at a time, since their powers are in double precision."""
        frames = wave.reshape(-1, FRAME, wave.shape[1])
        parts = [self._frames(frames[at : at + FRAMES_AT_ONCE]) for at in range(0, len(frames), FRAMES_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _frames(self, frames: Wave) -> Wave:
        """Frames `[k, n, channels]` -> `[k * n]`."""
        count, length, channels = frames.shape
        if not frames.size:
            return np.zeros(0, np.float32)
        flat = frames.reshape(-1, channels)
        if self._channel is not None:
            return flat[:, self._channel].copy()
        mono = mix_down(flat)
        # Variances, since a DC offset is no sound.
        powers = length * frames.var(axis=1, dtype=np.float64)
        mixed = length * mono.reshape(count, -1).var(axis=1, dtype=np.float64)
        for frame in range(count):
            self._power = DECAY * self._power + powers[frame]
            self._mixed_power = DECAY * self._mixed_power + float(mixed[frame])
            if self._mixed_power < CANCELLED * self._power.sum() / channels**2:
                self._channel = int(self._power.argmax())
                mono[frame * length :] = flat[frame * length :, self._channel]
                break
        return mono

    def _tracked(self, wave: Wave, limits: tuple[float, float] | None = None) -> Wave:
        if len(wave):
            low, high = limits or (float(wave.min()), float(wave.max()))
            self._low, self._high = min(self._low, low), max(self._high, high)
            self._sum += float(wave.sum(dtype=np.float64))
            self._count += len(wave)
        return wave


def scale_integers(samples: Samples) -> Wave:
    """8-, 16- or 32-bit integers -> float32 in [-1, 1]."""
    kind = samples.dtype.str[1:]
    numbers: npt.NDArray[np.floating] = samples.astype(np.float64 if kind == "i4" else np.float32)
    return ((numbers - (128 if kind == "u1" else 0)) / _FULL_SCALES[kind]).astype(np.float32)


def refuse_short(samples: int, rate_hz: int) -> None:
    """Raises `WaveError` for less than 10 ms."""
    if samples < SHORTEST_S * rate_hz:
        raise WaveError(
            f"lasts {1000 * samples / rate_hz:.2f} ms ({samples} sample{'s'[: samples > 1]}); "
            f"at least {1000 * SHORTEST_S:g} ms are needed. Give a longer recording, and check its rate."
        )


def padding_warnings(seconds: float, segment_s: float) -> list[str]:
    """A warning for a recording that fills little of the one segment it is padded to."""
    if seconds >= MOSTLY_PADDING * segment_s:
        return []
    return [
        f"The recording lasts {seconds:.2f} s, and the classifier takes segments of {segment_s:.2f} s: most of "
        "its segment is padding. Give a longer recording."
    ]


def is_silent(segments: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Segments `[S, ...]` -> whether each is digital silence, `[S]`."""
    return np.ptp(segments.reshape(len(segments), -1), axis=1) <= STEPS * STEP


def known_unless_silent(known: bool | None, warnings: Sequence[str]) -> bool | None:
    """Open-set decision of a recording with these warnings: digital silence is unknown."""
    return None if known is None else known and SILENCE not in warnings


def is_integer(value: object) -> bool:
    """Whether a value is an integer of at most 64 bits; True and 3.0 are not."""
    return isinstance(value, Integral) and not isinstance(value, bool) and -(2**63) <= int(value) < 2**63


def short_repr(value: object) -> str:
    """The beginning of a value's `repr` for an error message, or its type where `repr` fails."""
    try:
        return repr(value)[:40]
    except Exception:
        return type(value).__name__


def _array(values: npt.ArrayLike) -> Samples:
    """An array of floats, or of integers whose full scale is known."""
    if isinstance(values, bytes | bytearray) or (isinstance(values, memoryview) and values.format == "B"):
        raise WaveError(
            "is bytes, which may be a file or samples of any type. Give io.BytesIO(...) of a file's bytes, or "
            "numpy.frombuffer(..., 'int16') of samples."
        )
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise WaveError("has masked samples. Cut them out, or fill them: wave.filled(0).")
    try:
        samples = np.asarray(values)
    except Exception as error:  # arrays of other libraries may raise anything when converted
        raise WaveError(
            f"is not an array of samples ({error}). Give numbers, [samples] or [samples, channels]."
        ) from error
    if samples.dtype.kind != "f" and not _is_integer_pcm(samples):
        raise WaveError(
            f"is of type {samples.dtype}, whose full scale is not known. Give floats between -1 and 1, or int16, "
            "int32, int8 or uint8."
        )
    return samples


def _is_integer_pcm(samples: Samples) -> bool:
    return samples.dtype.str[1:] in _FULL_SCALES


def _is_narrow(samples: Samples) -> bool:
    """Whether 32-bit integers are 16-bit numbers: they use the range of 16 bits at most, but more of it than its noise,
    and are no 24-bit numbers, which are multiples of 256."""
    if samples.dtype.str[1:] != "i4":
        return False
    numbers: npt.NDArray[np.integer] = samples  # type: ignore[assignment]
    low, high = int(numbers.min()), int(numbers.max())
    return low >= -(2**15) and high < 2**15 and high - low > STEPS and bool((numbers % 2**8).any())


def _is_channels(short: int, long: int) -> bool:
    return 1 <= short <= MOST_CHANNELS and long >= LONGER * short


def _count(wrong: npt.NDArray[np.bool_]) -> str:
    return f"{int(wrong.sum())} samples"
