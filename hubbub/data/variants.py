"""Named variants of a clip, such as `noisy` or `stretch0.9`; the names are suffixes of file names.

A variant is a recipe's section `[augment]`, applied with a generator that is seeded by the seed, the clip and the
variant, so results do not depend on order, workers or interruptions. The sets of variants are those of published
spectrogram-image data sets: `d` and `emodb` (noise, pitch, stretching; for EmoDB also gain and reverberation), and `b`
(twelve, after SpecAugment, Park et al. 2019, https://arxiv.org/abs/1904.08779, and PatchAugment).
"""

import hashlib
import math
from typing import TYPE_CHECKING

from hubbub.config.augment import (
    SPECTROGRAM,
    Augment,
    FreqMask,
    Gain,
    Noise,
    Patches,
    Pitch,
    Reverb,
    Stretch,
    TimeMask,
)
from hubbub.data.clips import ClipsError
from hubbub.errors import did_you_mean

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = [
    "ORIGINAL",
    "VARIANT_SETS",
    "VARIANTS",
    "changes_spectrograms",
    "generator",
    "parse_variants",
    "apply_variant",
]

#: The unchanged clip.
ORIGINAL = "orig"


def _stretch(low: float, high: float | None = None) -> Augment:
    return Augment(stretch=Stretch(rate=(low, high or low)))


def _pitch(low: float, high: float | None = None) -> Augment:
    return Augment(pitch=Pitch(semitones=(low, high or low)))


def _noise(low_db: float, high_db: float | None = None) -> Augment:
    return Augment(noise=Noise(sd=None, snr_db=(low_db, high_db or low_db)))


_MASKS = Augment(time_mask=TimeMask(count=2, frames=20), freq_mask=FreqMask(count=2, bands=20))
_PATCHES = Augment(patches=Patches(count=5, bands=10, frames=10))
_GAIN_DB = (20 * math.log10(0.8), 20 * math.log10(1.2))

#: Variant -> its settings.
VARIANTS: dict[str, Augment] = {
    ORIGINAL: Augment(),
    "noisy": _noise(25),
    "pitchUp2": _pitch(2),
    "pitchDown2": _pitch(-2),
    "stretch0.8": _stretch(0.8),
    "stretch0.9": _stretch(0.9),
    "stretch1.2": _stretch(1.2),
    "noise5dB": _noise(5),
    "noise15dB": _noise(15),
    **{f"specAugment{k}": _MASKS for k in (1, 2, 3)},
    **{f"patchAugment{k}": _PATCHES for k in (1, 2)},
    "noise5-15dB": _noise(5, 15),
    "stretch0.9-1.1": _stretch(0.9, 1.1),
    "pitchUp1-2": _pitch(1, 2),
    "pitchDown1-2": _pitch(-2, -1),
    "gain0.8-1.2": Augment(gain=Gain(db=_GAIN_DB)),
    "reverb": Augment(reverb=Reverb()),
}

#: Set -> its variants.
VARIANT_SETS: dict[str, tuple[str, ...]] = {
    "d": (ORIGINAL, "noisy", "pitchUp2", "stretch0.9"),
    "b": (
        ORIGINAL, "stretch0.8", "stretch1.2", "pitchUp2", "pitchDown2", "specAugment1", "specAugment2", "specAugment3",
        "patchAugment1", "patchAugment2", "noise5dB", "noise15dB",
    ),
    "emodb": (
        ORIGINAL, "noise5-15dB", "stretch0.9-1.1", "pitchUp1-2", "pitchDown1-2", "gain0.8-1.2", "reverb",
    ),
}  # fmt: skip


def parse_variants(text: str) -> tuple[str, ...]:
    """Names of variants and sets, such as `d` or `orig,noisy` -> the variants, each once. Raises `ClipsError`."""
    found: list[str] = []
    for name in (part.strip() for part in text.split(",")):
        if name not in VARIANTS and name not in VARIANT_SETS:
            raise ClipsError(f"there is no variant '{name}'. {did_you_mean(name, [*VARIANTS, *VARIANT_SETS])}")
        found += VARIANT_SETS.get(name, (name,))
    return tuple(dict.fromkeys(found))


def changes_spectrograms(variant: str) -> bool:
    """Whether a variant changes spectrograms, so that it has no sound."""
    return any(getattr(VARIANTS[variant], name) for name in SPECTROGRAM)


def generator(seed: int, what: str, variant: str) -> "Generator":
    """The random generator for one variant of one clip or segment, `what`."""
    import torch

    digest = hashlib.sha256(f"{seed}\n{what}\n{variant}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def apply_variant(wave: "Tensor", rate_hz: int, variant: str, chance: "Generator") -> "Tensor":
    """A wave `[T]` at `rate_hz` -> its variant `[T]`, or `[round(T / rate)]` if stretched by `rate`."""
    import torch
    from torch.nn.functional import pad

    from hubbub.augment.waveform import Stretch as Stretching
    from hubbub.augment.waveform import Waveform

    rows = wave[None]
    with torch.no_grad():
        for transform in Waveform(VARIANTS[variant], rate_hz).transforms:
            parameters, samples = transform.draw(rows, chance), rows.shape[1]
            if isinstance(transform, Stretching):  # it keeps the length of its input
                samples = max(1, round(samples / float(parameters)))
                rows = pad(rows, (0, max(0, samples - rows.shape[1])))
            rows = transform.apply(rows, parameters)[:, :samples]
    return rows[0]
