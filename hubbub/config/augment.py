"""The `[augment]` section of a recipe: what training segments go through, each transform with its settings.

Frozen pydantic models as in `settings.py`; how they are applied is in `augment/`.
"""

from typing import Annotated, Self

from pydantic import Field, PositiveFloat, model_validator

from hubbub.config.sections import Section

__all__ = [
    "SPECTROGRAM",
    "Augment",
    "Between",
    "FreqMask",
    "FreqShift",
    "Gain",
    "Invert",
    "Magnitude",
    "Mixup",
    "Noise",
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
    p: Probability = Field(1.0, description="share of segments it is applied to")

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name, value in self:
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{name} from {value[0]:g} to {value[1]:g}: the first must not be the larger")
        return self


class Gain(_Augmentation):
    """Louder or softer."""

    db: Range = Field((-6.0, 6.0), description="change of level [dB], drawn evenly")


class Noise(_Augmentation):
    """Gaussian noise; give `sd` or `snr_db`."""

    sd: Range | None = Field(None, description="standard deviation of the noise, full scale 1")
    snr_db: Range | None = Field(None, description="level of the segment above the noise [dB]")

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.sd is None) == (self.snr_db is None):
            raise ValueError("noise takes either sd or snr_db")
        if self.sd is not None and self.sd[0] < 0:
            raise ValueError(f"sd from {self.sd[0]:g}: a standard deviation is not negative")
        return self


class Roll(_Augmentation):
    """Shifted in time, what leaves at one end coming back at the other."""

    fraction: float = Field(0.1, gt=0, le=1, description="at most this share of the segment, to either side")


class Invert(_Augmentation):
    """Played backwards."""


class Scale(_Augmentation):
    """Played faster or slower, pitch and all, then cropped or padded at random to the segment's length."""

    factor: float = Field(1.5, gt=1, le=4, description="speed is factor ** u, u drawn evenly from -1 to 1")


class Pitch(_Augmentation):
    """Higher or lower, as long as before."""

    semitones: tuple[Annotated[float, Field(ge=-24)], Annotated[float, Field(le=24)]] = Field(
        (-2.0, 2.0), description="shift [semitones], drawn evenly"
    )


class Stretch(_Augmentation):
    """Slower or faster at the same pitch, then cropped or padded to the segment's length."""

    rate: tuple[Annotated[float, Field(ge=0.25)], Annotated[float, Field(le=4)]] = Field(
        (0.9, 1.1), description="speed, drawn evenly"
    )


class Reverb(_Augmentation):
    """As in a room: convolved with decaying noise, at the level it had."""

    decay_s: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.1, 0.8), description="reverberation time RT60 [s], drawn evenly"
    )
    wet: tuple[Probability, Probability] = Field((0.1, 0.5), description="the room's share of the energy, drawn evenly")


class Between(_Augmentation):
    """Two segments of different classes mixed as sounds, the shares of the label those of their loudness.

    Between-class learning; shares are drawn evenly.
    """


class Mixup(_Augmentation):
    """Two segments' spectrograms (waves where the network holds its own front end) and their labels averaged."""

    alpha: float = Field(
        0.4, gt=0, description="shares are drawn from Beta(alpha, alpha); 1: evenly, less: nearer 0 or 1"
    )


class TimeMask(_Augmentation):
    """Stretches of time hidden behind the segment's mean."""

    count: int = Field(1, ge=1, le=1000, description="how many; they may overlap")
    frames: int = Field(20, ge=1, le=2**20, description="longest [frames]; each is as long as drawn evenly from 0 on")


class FreqMask(_Augmentation):
    """Bands hidden behind the segment's mean."""

    count: int = Field(1, ge=1, le=1000, description="how many; they may overlap")
    bands: int = Field(20, ge=1, le=2**20, description="broadest [bands]; each is as broad as drawn evenly from 0 on")


class Patches(_Augmentation):
    """Rectangles hidden behind the segment's mean (PatchAugment)."""

    count: int = Field(5, ge=1, le=1000, description="how many; they may overlap")
    bands: int = Field(10, ge=1, le=2**20, description="height [bands]")
    frames: int = Field(10, ge=1, le=2**20, description="width [frames]")


class TimeShift(_Augmentation):
    """The spectrogram shifted in time, what leaves at one end coming back at the other."""

    fraction: float = Field(0.1, gt=0, le=1, description="at most this share of its frames, to either side")


class FreqShift(_Augmentation):
    """The spectrogram shifted up or down, the bands that become free taking its lowest value."""

    bands: int = Field(4, ge=1, le=2**20, description="at most so many bands")


class Magnitude(_Augmentation):
    """More or less contrast: decibels below the loudest cell multiplied."""

    factor: tuple[PositiveFloat, PositiveFloat] = Field((0.8, 1.2), description="multiplier, drawn evenly")


class Augment(Section):
    """What training segments go through, in this order; validation and test are never augmented."""

    crop: bool = Field(
        False, description="segments start anywhere in their clip; a shorter clip lies anywhere in zeros"
    )
    invert: Invert | None = Field(None, description="playing some backwards")
    scale: Scale | None = Field(None, description="playing some faster or slower")
    stretch: Stretch | None = Field(None, description="stretching some in time")
    pitch: Pitch | None = Field(None, description="shifting the pitch of some")
    roll: Roll | None = Field(None, description="rolling some in time")
    reverb: Reverb | None = Field(None, description="putting some into a room")
    gain: Gain | None = Field(None, description="making some louder or softer")
    noise: Noise | None = Field(None, description="adding noise to some")
    between: Between | None = Field(None, description="mixing some with sounds of other classes")
    time_shift: TimeShift | None = Field(None, description="rolling some spectrograms in time")
    freq_shift: FreqShift | None = Field(None, description="moving some spectrograms up or down")
    magnitude: Magnitude | None = Field(None, description="changing the contrast of some spectrograms")
    time_mask: TimeMask | None = Field(None, description="hiding stretches of time")
    freq_mask: FreqMask | None = Field(None, description="hiding bands")
    patches: Patches | None = Field(None, description="hiding rectangles")
    mixup: Mixup | None = Field(None, description="mixing some spectrograms and their labels")


#: Those that change spectrograms, and so need a front end that makes them.
SPECTROGRAM = ("time_shift", "freq_shift", "magnitude", "time_mask", "freq_mask", "patches")
