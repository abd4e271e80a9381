"""The `[augment]` section of a recipe: the augmentations of training segments and their settings.

The transforms themselves are in `augment/`.
"""

from typing import Annotated, Self

from pydantic import Field, PositiveFloat, model_validator

from hubbub.config.sections import Section

__all__ = [
    "SPECTROGRAM",
    "Augment",
    "BandGain",
    "Between",
    "CutMix",
    "FreqMask",
    "FreqShift",
    "Gain",
    "Invert",
    "Magnitude",
    "Mixup",
    "Noise",
    "Outliers",
    "Patches",
    "Pitch",
    "Reverb",
    "Roll",
    "Scale",
    "Stretch",
    "TimeMask",
    "TimeShift",
]

Probability = Annotated[float, Field(ge=0, le=1)]
Range = tuple[float, float]


class _Augmentation(Section):
    p: Probability = Field(1.0, description="probability that a segment is augmented")

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name, value in self:
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(
                    f"{name} from {value[0]:g} to {value[1]:g}: the first value must not be larger than the second"
                )
        return self


class Gain(_Augmentation):
    """Change the level."""

    db: Range = Field((-6.0, 6.0), description="range of the change of level [dB]; drawn uniformly")


class Noise(_Augmentation):
    """Add Gaussian noise; give `sd` or `snr_db`."""

    sd: Range | None = Field(
        None, description="range of the noise's standard deviation (full scale is 1); drawn uniformly"
    )
    snr_db: Range | None = Field(None, description="range of the signal-to-noise ratio [dB]; drawn uniformly")

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.sd is None) == (self.snr_db is None):
            raise ValueError("noise takes either sd or snr_db")
        if self.sd is not None and self.sd[0] < 0:
            raise ValueError(f"sd from {self.sd[0]:g}: a standard deviation is not negative")
        return self


class Roll(_Augmentation):
    """Shift in time; samples that leave at one end come back at the other."""

    fraction: float = Field(0.1, gt=0, le=1, description="largest shift in either direction, as a share of the segment")


class Invert(_Augmentation):
    """Reverse in time."""


class Scale(_Augmentation):
    """Change the speed, and the pitch with it, then crop or pad at random to the segment's length."""

    factor: float = Field(
        1.5, gt=1, le=4, description="largest change: the speed is factor ** u, with u drawn uniformly from -1..1"
    )


class Pitch(_Augmentation):
    """Shift the pitch; the length stays."""

    semitones: tuple[Annotated[float, Field(ge=-24)], Annotated[float, Field(le=24)]] = Field(
        (-2.0, 2.0), description="range of the shift [semitones]; drawn uniformly"
    )


class Stretch(_Augmentation):
    """Change the speed at the same pitch, then crop or pad to the segment's length."""

    rate: tuple[Annotated[float, Field(ge=0.25)], Annotated[float, Field(le=4)]] = Field(
        (0.9, 1.1), description="range of the speed; drawn uniformly"
    )


class Reverb(_Augmentation):
    """Add reverberation: convolve with decaying noise and restore the level."""

    decay_s: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.1, 0.8), description="range of the reverberation time RT60 [s]; drawn uniformly"
    )
    wet: tuple[Probability, Probability] = Field(
        (0.1, 0.5), description="range of the reverberation's share of the energy; drawn uniformly"
    )


class Between(_Augmentation):
    """Between-class learning: mix the waveforms of two segments of different classes.

    Both are brought to the same level; their shares are drawn uniformly, and the label gets the same shares.
    """


class Mixup(_Augmentation):
    """Average the spectrograms of two segments (waveforms if the network has its own front end) and their labels."""

    alpha: float = Field(
        0.4, gt=0, description="the shares are drawn from Beta(alpha, alpha); 1: uniform; below 1: mostly near 0 or 1"
    )


class CutMix(_Augmentation):
    """Join the beginning of one segment's spectrogram and the end of another's; the label gets their shares.

    Such a segment is not averaged by mixup.
    """

    p: Probability = Field(0.5, description="probability that a segment is joined")
    alpha: float = Field(
        0.4, gt=0, description="the shares are drawn from Beta(alpha, alpha); 1: uniform; below 1: mostly near 0 or 1"
    )


class Outliers(_Augmentation):
    """Replace segments by synthetic sounds that are of no class; the target is all classes alike.

    Noise, tones, hums, sweeps, clicks, melodies and babble: a network so trained is less sure of sounds it does not
    know.
    """

    p: Probability = Field(0.05, description="probability that a segment is replaced")


class TimeMask(_Augmentation):
    """Replace stretches of time by the segment's mean (SpecAugment)."""

    count: int = Field(1, ge=1, le=1000, description="number of masks; they may overlap")
    frames: int = Field(20, ge=1, le=2**20, description="largest length of a mask [frames]; drawn uniformly from 0")


class FreqMask(_Augmentation):
    """Replace bands by the segment's mean (SpecAugment)."""

    count: int = Field(1, ge=1, le=1000, description="number of masks; they may overlap")
    bands: int = Field(20, ge=1, le=2**20, description="largest height of a mask [bands]; drawn uniformly from 0")


class Patches(_Augmentation):
    """Replace rectangles by the segment's mean (PatchAugment)."""

    count: int = Field(5, ge=1, le=1000, description="number of masks; they may overlap")
    bands: int = Field(10, ge=1, le=2**20, description="height [bands]")
    frames: int = Field(10, ge=1, le=2**20, description="width [frames]")


class TimeShift(_Augmentation):
    """Shift the spectrogram in time; frames that leave at one end come back at the other."""

    fraction: float = Field(0.1, gt=0, le=1, description="largest shift in either direction, as a share of the frames")


class FreqShift(_Augmentation):
    """Shift the spectrogram up or down; bands that become free get its lowest value."""

    bands: int = Field(4, ge=1, le=2**20, description="largest shift in either direction [bands]")


class Magnitude(_Augmentation):
    """Change the contrast: multiply the distance of each value from the largest value, in decibels."""

    factor: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.8, 1.2), description="range of the multiplier; drawn uniformly"
    )


class BandGain(_Augmentation):
    """Raise and lower bands of the spectrogram, as another microphone or room would (FilterAugment)."""

    db: Range = Field((-4.0, 4.0), description="range of the gain at each point [dB]; drawn uniformly")
    points: int = Field(
        6, ge=2, le=1000, description="points at equal distances over the bands; the gain is linear between them"
    )


class Augment(Section):
    """Augmentations of training segments, in this order; validation and test are never augmented."""

    crop: bool = Field(
        False,
        description="segments start at a random place of their clip; a shorter clip is placed at random between zeros",
    )
    outliers: Outliers | None = Field(None, description="synthetic sounds of no class in place of segments")
    invert: Invert | None = Field(None, description="reverse in time")
    scale: Scale | None = Field(None, description="change speed and pitch")
    stretch: Stretch | None = Field(None, description="change speed, not pitch")
    pitch: Pitch | None = Field(None, description="shift the pitch")
    roll: Roll | None = Field(None, description="shift in time, circular")
    reverb: Reverb | None = Field(None, description="add reverberation")
    gain: Gain | None = Field(None, description="change the level")
    noise: Noise | None = Field(None, description="add noise")
    between: Between | None = Field(None, description="mix waveforms of different classes (between-class learning)")
    time_shift: TimeShift | None = Field(None, description="shift the spectrogram in time, circular")
    freq_shift: FreqShift | None = Field(None, description="shift the spectrogram in frequency")
    magnitude: Magnitude | None = Field(None, description="change the contrast of the spectrogram")
    band_gain: BandGain | None = Field(None, description="raise and lower bands of the spectrogram")
    time_mask: TimeMask | None = Field(None, description="mask stretches of time")
    freq_mask: FreqMask | None = Field(None, description="mask bands")
    patches: Patches | None = Field(None, description="mask rectangles")
    mixup: Mixup | None = Field(None, description="mix spectrograms and their labels")
    cutmix: CutMix | None = Field(None, description="join parts of two spectrograms and mix their labels")

    @property
    def changes_waves(self) -> bool:
        """Whether a segment's wave differs from epoch to epoch; if not, its spectrogram does not either."""
        return any(value for name, value in self if name not in (*SPECTROGRAM, "mixup", "outliers"))


#: The augmentations that move sound within a segment, so that its frames hold other classes.
MOVES = ("crop", "invert", "scale", "stretch", "roll", "time_shift", "cutmix")
#: The augmentations of spectrograms, which need a front end.
SPECTROGRAM = ("time_shift", "freq_shift", "magnitude", "band_gain", "time_mask", "freq_mask", "patches", "cutmix")
