"""Augmentation of training batches, as set in the recipe's `[augment]`, on the device of the batch.

Waves go through `Waveform` and `Mixing.waves`; if a front end makes spectrograms of them, these go through
`Spectrogram`; `Mixing.spectrograms` comes last. Each transform draws random parameters, then applies them
(`transform.py`).
"""

from hubbub.augment.mixing import Mixing
from hubbub.augment.outliers import Outliers
from hubbub.augment.spectrogram import Spectrogram
from hubbub.augment.waveform import Waveform, crop_starts

__all__ = ["Mixing", "Outliers", "Spectrogram", "Waveform", "crop_starts"]
