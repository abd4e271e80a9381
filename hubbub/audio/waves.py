"""Samples of any kind in, mono float waves out; what is not what it seems is refused, mended or noted.

Integers that were taken for floats, axes in another order and channels that cancel each other would all get a confident
answer about something else. Arrays, files, live blocks and training data go through `Mixer`, so one set of rules holds
for all of them. This module knows neither files nor sample rates of its own.
"""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import numpy.typing as npt

from hubbub.errors import HubbubError

__all__ = [
    "LOUDEST",
    "SHORTEST_S",
    "SILENCE",
    "Mixer",
    "WaveError",
    "as_block",
    "as_wave",
    "is_whole",
    "known",
    "mix_down",
    "padded",
    "refuse_short",
    "shown",
    "silent",
]

Wave = npt.NDArray[np.float32]
Samples = npt.NDArray[np.generic]

#: In full scales: what lies beyond is no float wave; above `LOUD` (12 dB) and below `QUIET` (-48 dB: 24 bits in 32) it
#: was probably scaled wrongly. Of UrbanSound8K's clips .6 % are quieter, of ESC-50's none.
LOUDEST, LOUD, QUIET = 256.0, 4.0, 1 / 256
#: Dithered silence moves by so much from its lowest to its highest sample.
STEPS, STEP = 2, 1 / 2**15
#: A mean as large has its cause in the recorder or in a conversion.
OFFSET = 0.1
SHORTEST_S = 0.01
#: A recording this much shorter than a segment is mostly padding.
MOSTLY_PADDING = 0.25
#: An axis is taken for the channels where it has at most so many entries and the other so many times more.
MOST_CHANNELS, LONGER = 32, 16
#: Samples that are mixed by one decision, and how much of its power a frame passes on to the next.
FRAME, FRAMES_AT_ONCE, PASSED_ON = 4_096, 64, 0.3
#: Channels cancel each other where their mean has less than this share of the power that independent ones would leave.
CANCELLED = 0.1

SILENCE = (
    f"This is digital silence (the samples differ by no more than {STEPS} steps of 16 bits), so the answer is about "
    "nothing. See whether the recorder or the conversion lost the sound."
)
_FULL_SCALE = "Full scale is 1: divide 16-bit numbers by 32768, or give them as 16-bit integers."
#: What an integer of a kind is divided by; bytes without a sign lie around 128.
_SCALES = {"i1": 2.0**7, "i2": 2.0**15, "i4": 2.0**31, "u1": 2.0**7}


class WaveError(HubbubError):
    """Samples that are no sound. The message goes on after a name: 'the wave holds ...'."""


def as_wave(given: npt.ArrayLike) -> Samples:
    """A whole wave `[T]`, `[T, channels]` or, where that is unmistakable, `[channels, T]` -> `[T]` or `[T, channels]`.

    Raises `WaveError` for another shape or kind.
    """
    samples = _array(given)
    if not samples.size:
        raise WaveError("holds no samples. Give at least 10 ms of sound.")
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


def as_block(given: npt.ArrayLike, channels: int) -> Samples:
    """A block `[n, channels]`, `[channels, n]` where n is another number, or `[n]` of one channel -> `[n, channels]`.

    Raises `WaveError` for another shape or kind.
    """
    samples = _array(given)
    if samples.ndim == 1 and channels == 1:
        return samples[:, None]
    if samples.ndim == 2 and channels in samples.shape:
        return samples if samples.shape[1] == channels else samples.T
    shape = "[samples]" if channels == 1 else f"[samples, {channels}]"
    raise WaveError(f"has the shape {list(samples.shape)}: this stream has {channels} channels. Give {shape}.")


def mix_down(wave: Wave) -> Wave:
    """Samples `[T]` or `[T, channels]` -> mono `[T]`, the mean over channels."""
    return wave if wave.ndim == 1 else wave.mean(axis=1, dtype=np.float32)


class Mixer:
    """One recording's samples in blocks -> its mono wave in [-1, 1], and what is odd about it as `warnings`.

    Integers are divided by their own full scale. Where the mean over channels is all but gone, the loudest channel
    stands for them from that frame on. Of several channels whole frames come out, so the cut into blocks changes
    nothing; the rest comes with `end`.
    """

    def __init__(self) -> None:
        self._low, self._high, self._sum, self._count = np.inf, -np.inf, 0.0, 0
        self._whole = True  # no sample yet that is not a whole number
        self._held: Wave | None = None
        self._power = np.zeros(1)  # of each channel, and of their mean
        self._mixed = 0.0
        self._channel: int | None = None

    def feed(self, samples: Samples) -> Wave:
        """The next samples `[n]` or `[n, channels]` -> mono samples. Raises `WaveError`; the block is then left out."""
        if not samples.size:
            return np.zeros(0, np.float32)
        wave = self._scaled(samples)
        if wave.ndim == 2 and wave.shape[1] == 1:
            wave = wave[:, 0]
        if wave.ndim == 2:
            held = wave if self._held is None else np.concatenate([self._held, wave])
            frames = len(held) // FRAME * FRAME
            self._held, wave = held[frames:].copy(), self._mix(held[:frames])
        return self._noted(wave)

    def end(self) -> Wave:
        """The mono samples that are left."""
        held, self._held = self._held, None
        return np.zeros(0, np.float32) if held is None else self._noted(self._frames(held[None]))

    @property
    def warnings(self) -> list[str]:
        """What is odd about the samples so far, in sentences."""
        if not self._count:
            return []
        found, peak, mean = [], max(-self._low, self._high), self._sum / self._count
        if self._channel is not None:
            found.append(
                "The channels cancel each other when they are mixed, as if one were wired the wrong way round: channel "
                f"{self._channel + 1} alone was used."
            )
        reach = (self._high - self._low) / 2
        if reach <= STEPS * STEP / 2:
            found.append(SILENCE)
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

    def _scaled(self, samples: Samples) -> Wave:
        """Numbers in full scales, or a `WaveError`."""
        kind = samples.dtype.str[1:]
        if kind in _SCALES:
            offset = 128 if kind == "u1" else 0
            numbers: npt.NDArray[np.floating] = samples.astype(np.float64 if kind == "i4" else np.float32)
            return ((numbers - offset) / _SCALES[kind]).astype(np.float32)
        values: npt.NDArray[np.floating] = samples  # type: ignore[assignment]
        low, high = float(values.min()), float(values.max())
        peak = max(-low, high)
        if not np.isfinite(peak):
            raise WaveError(
                f"holds {_count(~np.isfinite(values))} that are NaN or infinite. Leave them out, or export it again."
            )
        few = values[:: len(values) // 1000 + 1]  # of floats these tell mostly, without a copy of all
        whole = self._whole and all(bool((part == np.rint(part)).all()) for part in (few, values))
        if whole and 1 < peak <= _SCALES["i4"]:  # larger floats are always whole
            raise WaveError(f"holds whole numbers alone, up to {peak:,.0f}: integers kept as floats. {_FULL_SCALE}")
        if peak > LOUDEST:
            beyond = _count(np.abs(values) > LOUDEST)
            raise WaveError(f"holds {beyond} beyond {LOUDEST:.0f} times full scale, up to {peak:,.0f}. {_FULL_SCALE}")
        self._whole = whole
        return values.astype(np.float32)

    def _mix(self, wave: Wave) -> Wave:
        """Whole frames `[n, channels]` -> `[n]`, a few at a time: their powers are computed in double precision."""
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
        # Variances: offsets neither cancel nor carry sound.
        powers = length * frames.var(axis=1, dtype=np.float64)
        mixed = length * mono.reshape(count, -1).var(axis=1, dtype=np.float64)
        for frame in range(count):
            self._power = PASSED_ON * self._power + powers[frame]
            self._mixed = PASSED_ON * self._mixed + float(mixed[frame])
            if self._mixed < CANCELLED * self._power.sum() / channels**2:
                self._channel = int(self._power.argmax())
                mono[frame * length :] = flat[frame * length :, self._channel]
                break
        return mono

    def _noted(self, wave: Wave) -> Wave:
        if len(wave):
            self._low, self._high = min(self._low, float(wave.min())), max(self._high, float(wave.max()))
            self._sum += float(wave.sum(dtype=np.float64))
            self._count += len(wave)
        return wave


def refuse_short(samples: int, rate_hz: int) -> None:
    """Raises `WaveError` where so few samples are no sound."""
    if samples < SHORTEST_S * rate_hz:
        raise WaveError(
            f"lasts {1000 * samples / rate_hz:.2f} ms ({samples} sample{'s'[: samples > 1]}), and "
            f"{1000 * SHORTEST_S:g} ms are the least that can be classified. Give more of it, and see "
            "whether its rate is right."
        )


def padded(seconds: float, segment_s: float) -> list[str]:
    """What is to be said of a recording that fills little of the one segment it is padded to."""
    if seconds >= MOSTLY_PADDING * segment_s:
        return []
    return [
        f"The recording lasts {seconds:.2f} s, and the classifier takes segments of {segment_s:.2f} s: most of "
        "the one it was given is padding. Give a longer recording."
    ]


def silent(segments: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Segments `[S, ...]` -> whether each is digital silence, `[S]`."""
    return np.ptp(segments.reshape(len(segments), -1), axis=1) <= STEPS * STEP


def known(found: bool | None, warnings: Sequence[str]) -> bool | None:
    """Whether a recording is of the classes, where it has these warnings: silence is of none."""
    return None if found is None else found and SILENCE not in warnings


def is_whole(given: object) -> bool:
    """Whether something is a whole number of a usual size: True and 3.0 are none."""
    return isinstance(given, Integral) and not isinstance(given, bool) and -(2**63) <= int(given) < 2**63


def shown(given: object) -> str:
    """Something wrong as a message shows it: its beginning, or its type where it cannot even be printed."""
    try:
        return repr(given)[:40]
    except Exception:
        return type(given).__name__


def _array(given: npt.ArrayLike) -> Samples:
    """Numbers of a kind whose full scale is known."""
    if isinstance(given, bytes | bytearray) or (isinstance(given, memoryview) and given.format == "B"):
        raise WaveError(
            "is bytes, which may be a file or samples of any kind. Give io.BytesIO(...) of a file's bytes, or "
            "numpy.frombuffer(..., 'int16') of samples."
        )
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise WaveError("has masked samples. Cut them out, or fill them: wave.filled(0).")
    try:
        samples = np.asarray(given)
    except Exception as error:  # other libraries' arrays convert themselves, and raise what they like
        raise WaveError(f"is no array of samples ({error}). Give numbers, [samples] or [samples, channels].") from error
    if samples.dtype.kind != "f" and samples.dtype.str[1:] not in _SCALES:
        raise WaveError(
            f"is of the kind {samples.dtype}, whose full scale is not known. Give floats between -1 and 1, or int16, "
            "int32, int8 or uint8."
        )
    return samples


def _is_channels(short: int, long: int) -> bool:
    return 1 <= short <= MOST_CHANNELS and long >= LONGER * short


def _count(wrong: npt.NDArray[np.bool_]) -> str:
    return f"{int(wrong.sum())} samples"
