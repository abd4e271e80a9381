"""Reads what `Classifier.classify` takes: a file, an open stream, a sound that is being decoded, or an array."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from hubbub.audio import decode, waves
from hubbub.errors import HubbubError

__all__ = ["ClassifierError", "read_sound"]

Array = npt.NDArray[np.float32]


class ClassifierError(HubbubError):
    """A saved classifier that is damaged or incomplete, or input that it cannot take."""


def read_sound(
    source: str | Path | BinaryIO | decode.Sound | npt.ArrayLike, rate_hz: int | None, wanted_hz: int
) -> tuple[Array, float, Sequence[str]]:
    """A sound -> its wave `[T]` at `wanted_hz`, its length [s], and warnings about it; an array needs its `rate_hz`.
    Raises `AudioError` or `ClassifierError`."""
    if isinstance(source, list | tuple) and len(source) and isinstance(source[0], str | Path):
        raise ClassifierError(
            f"got {len(source)} files, and this takes one recording. For a table of many: hubbub.classify(files, model)"
        )
    name = str(source) if isinstance(source, str | Path) else "the wave"
    try:
        if isinstance(source, str | Path | decode.Sound) or hasattr(source, "read"):
            with nullcontext(source) if isinstance(source, decode.Sound) else decode.open_sound(source) as sound:  # type: ignore[arg-type]
                if rate_hz not in (None, sound.rate_hz):
                    raise ClassifierError(
                        f"rate_hz {waves.short_repr(rate_hz)}: {name} says {sound.rate_hz} Hz itself. "
                        "Leave rate_hz out."
                    )
                wave, own_rate = np.concatenate(list(sound.blocks)), sound.rate_hz
            warnings = sound.warnings
        else:
            wave, own_rate, warnings = _as_mono(source, rate_hz)
        resampled = decode.resample(wave, own_rate, wanted_hz)
        waves.refuse_short(len(wave), own_rate)
    except waves.WaveError as error:
        raise ClassifierError(f"{name} {error}") from error
    return resampled, len(wave) / own_rate, warnings


def _as_mono(wave: npt.ArrayLike, rate_hz: int | None) -> tuple[Array, int, list[str]]:
    """An array -> mono `[T]`, its rate, and warnings. Raises `WaveError` and `ClassifierError`."""
    samples, mixer = waves.as_wave(wave), waves.Downmixer(copies=False)
    if rate_hz is None:
        raise ClassifierError("a wave does not say its sample rate. Give rate_hz, e.g. classify(wave, rate_hz=44100).")
    return np.concatenate([mixer.feed(samples), mixer.end()]), rate_hz, mixer.warnings
