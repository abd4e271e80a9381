"""Augmentation of what a network is trained on: waves, spectrograms, and both mixed with others of their batch.

Batched, on the device the data are on; every transform draws its parameters from a generator, then applies them
purely (`transform.py`). Waves go through `Waveform` and `Mixing.waves`; where a front end makes spectrograms of them,
those go through `Spectrogram`; `Mixing.spectrograms` comes last. The recipe's `[augment]` says what is done.
"""

from hubbub.augment.mixing import Mixing
from hubbub.augment.spectrogram import Spectrogram
from hubbub.augment.waveform import Waveform, crop_starts

__all__ = ["Mixing", "Spectrogram", "Waveform", "crop_starts"]
