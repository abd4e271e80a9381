"""Waveform augmentation: what training segments go through; batched, on the device the waves are on.

Each transform has two methods: `draw` takes one set of parameters a wave from the generator it is given, `apply` is a
pure function of waves and parameters. A wave that is not chosen gets the neutral parameter and stays as it is, bit for
bit. Waves are `[B, N]` float32; nothing here knows the sample rate, so the phase vocoder's window is in samples.

Sources: random speed is EnvNet's scale augmentation (Tokozume, Ushiku & Harada 2018, https://arxiv.org/abs/1711.10282);
the phase vocoder is Flanagan & Golden's (1966), its phases kept together as by Laroche & Dolson (1999); resampling is
by windowed sinc (Smith & Gossett 1984). This room knows nothing of clips, labels or spectrograms.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from hubbub import settings

__all__ = ["Gain", "Invert", "Noise", "Pitch", "Roll", "Scale", "Stretch", "Waveform", "crop_starts"]

# The vocoder's window [samples], 23 ms at 44.1 kHz: of 512, 1024 and 2048 the one whose stretched log-mels come nearest
# to the recording's own (59 clips of ESC-50, rates .6 to 1.6).
_WINDOW = 1024
_OVERLAP = 4
_HOP = _WINDOW // _OVERLAP
# How often the phases of neighbouring bins are drawn together at a jump: after three the level of noise has settled.
_PULLS = 3
# On a CPU the work on so many waves stays in its cache, which halves the time.
_CPU_WAVES = 8
# Far below any sound; gives silent bins a direction.
_SILENCE = 1e-16
# Resampling: zero crossings of the sinc to either side, its cut-off relative to the lower Nyquist frequency, and the
# largest block of samples that share their filters.
_CROSSINGS = 16
_CUTOFF = 0.95
_BLOCK = 128


class Transform(Protocol):
    """What every augmentation here can do."""

    def draw(self, waves: Tensor, generator: Generator) -> Any:
        """Parameters for waves `[B, N]`: a tensor `[B]`, or a tuple of tensors with one row a wave."""

    def apply(self, waves: Tensor, parameters: Any) -> Tensor:
        """Waves `[B, N]` and their parameters -> waves `[B, N]`; the given waves are not written to."""


class Waveform:
    """The transforms of a recipe's `[augment]` in their order, as one function of waves and a generator.

    `augment.crop` is not among them: it decides where segments are cut, see `crop_starts`.
    """

    def __init__(self, augment: settings.Augment) -> None:
        made = (
            augment.invert and Invert(augment.invert),
            augment.scale and Scale(augment.scale),
            augment.stretch and Stretch(augment.stretch),
            augment.pitch and Pitch(augment.pitch),
            augment.roll and Roll(augment.roll),
            augment.gain and Gain(augment.gain),
            augment.noise and Noise(augment.noise),
        )
        self.transforms: list[Transform] = [transform for transform in made if transform]

    @torch.no_grad()
    def __call__(self, waves: Tensor, generator: Generator) -> Tensor:
        """Waves `[B, N]` -> waves `[B, N]`; all chance comes from `generator`, which may live on another device."""
        # In half precision resampling would add audible noise.
        with torch.autocast(waves.device.type, enabled=False):
            for transform in self.transforms:
                waves = transform.apply(waves, transform.draw(waves, generator))
        return waves


class Invert:
    """Played backwards. Parameters: whether, `[B]` bool."""

    def __init__(self, invert: settings.Invert) -> None:
        self.p = invert.p

    def draw(self, waves: Tensor, generator: Generator) -> Tensor:
        return _draw(waves, generator, self.p, 1.0, 1.0, neutral=0.0) == 1

    def apply(self, waves: Tensor, parameters: Tensor) -> Tensor:
        return torch.where(parameters[:, None], waves.flip(1), waves)


class Scale:
    """Played faster or slower, pitch and all: then cropped, or padded with zeros, at random.

    Parameters: speed `[B]`, and where in the room left the crop or the wave lies, `[B]` from 0 (first) to 1 (last).
    The speed is taken as the nearest fraction with a denominator up to 128, at most .4 % away.
    """

    def __init__(self, scale: settings.Scale) -> None:
        self.p, self.factor = scale.p, scale.factor

    def draw(self, waves: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        exponent = _draw(waves, generator, self.p, -1.0, 1.0, neutral=0.0)
        place = torch.rand(len(waves), generator=generator, device=generator.device)
        return self.factor**exponent, place.to(waves.device)

    def apply(self, waves: Tensor, parameters: tuple[Tensor, Tensor]) -> Tensor:
        speed, place = parameters
        samples = waves.shape[1]
        # Read from inside the wave where it is slowed, from before it where it is too short.
        starts = (place * samples * (1 - speed)).round().long()
        return _changed(waves, speed != 1, lambda rows: _resample(waves[rows], speed[rows], starts[rows], samples))


class Stretch:
    """Slower or faster at the same pitch, cropped or zero-padded at its end. Parameters: speed `[B]`."""

    def __init__(self, stretch: settings.Stretch) -> None:
        self.p, self.rate = stretch.p, stretch.rate

    def draw(self, waves: Tensor, generator: Generator) -> Tensor:
        return _draw(waves, generator, self.p, *self.rate, neutral=1.0)

    def apply(self, waves: Tensor, parameters: Tensor) -> Tensor:
        return _changed(
            waves, parameters != 1, lambda rows: _stretch(waves[rows], parameters[rows], samples=waves.shape[1])
        )


class Pitch:
    """Higher or lower, as long as before: stretched, then played faster or slower. Parameters: semitones `[B]`.

    Shifts of less than 7 cents can come out as none, see `Scale` on fractions.
    """

    def __init__(self, pitch: settings.Pitch) -> None:
        self.p, self.semitones = pitch.p, pitch.semitones

    def draw(self, waves: Tensor, generator: Generator) -> Tensor:
        return _draw(waves, generator, self.p, *self.semitones, neutral=0.0)

    def apply(self, waves: Tensor, parameters: Tensor) -> Tensor:
        return _changed(waves, parameters != 0, lambda rows: self._shift(waves[rows], parameters[rows]))

    def _shift(self, waves: Tensor, semitones: Tensor) -> Tensor:
        samples, speeds = waves.shape[1], 2 ** (semitones / 12)
        # A hop more than is read: no wave's end may depend on how long the others are.
        longer = _stretch(waves, 1 / speeds, math.ceil(samples * float(speeds.max())) + _HOP)
        return _resample(longer, speeds, torch.zeros_like(speeds, dtype=torch.long), samples)


class Roll:
    """Shifted in time, what leaves at one end coming back at the other. Parameters: samples to the right `[B]` int."""

    def __init__(self, roll: settings.Roll) -> None:
        self.p, self.fraction = roll.p, roll.fraction

    def draw(self, waves: Tensor, generator: Generator) -> Tensor:
        shift = _draw(waves, generator, self.p, -self.fraction, self.fraction, neutral=0.0)
        return (shift * waves.shape[1]).round().long()

    def apply(self, waves: Tensor, parameters: Tensor) -> Tensor:
        source = torch.arange(waves.shape[1], device=waves.device) - parameters[:, None]
        source %= waves.shape[1]  # in place: half the time
        return waves.gather(1, source)


class Gain:
    """Louder or softer. Parameters: change of level [dB], `[B]`."""

    def __init__(self, gain: settings.Gain) -> None:
        self.p, self.db = gain.p, gain.db

    def draw(self, waves: Tensor, generator: Generator) -> Tensor:
        return _draw(waves, generator, self.p, *self.db, neutral=0.0)

    def apply(self, waves: Tensor, parameters: Tensor) -> Tensor:
        return waves * 10 ** (parameters[:, None] / 20)


class Noise:
    """White Gaussian noise added; an SNR is relative to the wave's RMS, so silence gets none.

    Parameters: its level `[B]`, as sd (full scale 1) or as SNR [dB], and noise of sd 1 `[B, N]`.
    """

    def __init__(self, noise: settings.Noise) -> None:
        self.p, self.sd, self.snr_db = noise.p, noise.sd, noise.snr_db

    def draw(self, waves: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        if self.snr_db is None:
            assert self.sd is not None  # the settings give one of the two
            level = _draw(waves, generator, self.p, *self.sd, neutral=0.0)
        else:
            level = _draw(waves, generator, self.p, *self.snr_db, neutral=math.inf)
        noise = torch.randn(waves.shape, generator=generator, device=generator.device)
        return level, noise.to(waves.device)

    def apply(self, waves: Tensor, parameters: tuple[Tensor, Tensor]) -> Tensor:
        level, noise = parameters
        sd = level if self.snr_db is None else waves.square().mean(1).sqrt() * 10 ** (-level / 20)
        # Not even a zero may change its sign.
        return torch.where(sd[:, None] > 0, torch.addcmul(waves, sd[:, None], noise), waves)


def crop_starts(lengths: Tensor, size: int, generator: Generator) -> Tensor:
    """Where windows of `size` samples start in clips of `lengths` `[B]` int -> `[B]` int, drawn evenly.

    In a longer clip: from 0 to length - size. A shorter clip lies anywhere in zeros: from -(size - length) to 0.
    """
    room = lengths - size
    # Whole numbers: a float has not one for every sample of a long recording. Remainders of so large ones are even.
    chance = torch.randint(2**48, lengths.shape, generator=generator, device=generator.device).to(lengths.device)
    return chance % (room.abs() + 1) * room.sign()


def _draw(waves: Tensor, generator: Generator, p: float, low: float, high: float, *, neutral: float) -> Tensor:
    """One value a wave `[B]`: drawn evenly from `low` to `high` for the share `p`, `neutral` for the others."""
    chance, place = torch.rand(2, len(waves), generator=generator, device=generator.device)
    return torch.where(chance < p, low + (high - low) * place, neutral).to(waves.device)


def _changed(waves: Tensor, chosen: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`waves` with the rows where `chosen` `[B]` replaced by `change(rows)`: work is done for them alone."""
    changed, rows = waves.clone(), chosen.nonzero()[:, 0]
    at_once = _CPU_WAVES if waves.device.type == "cpu" else len(waves)
    for begin in range(0, len(rows), at_once):
        some = rows[begin : begin + at_once]
        changed[some] = change(some)
    return changed


def _stretch(waves: Tensor, rates: Tensor, samples: int) -> Tensor:
    """Waves `[B, N]` played at `rates` `[B]` with their pitch kept -> the first `samples` of them `[B, samples]`.

    A phase vocoder: every output frame is the input frame nearest in time, turned so that its bins go on in phase.

    Where a frame is repeated or left out (a jump), each bin is turned to where the frame that would have followed has
    it; then bins are drawn towards the turn of their louder neighbours, a soft form of Laroche & Dolson's (1999)
    identity phase locking. Between jumps frames keep their turn. At rates near 1 this loses .6 dB of noise, where
    interpolated frames without locking (Flanagan & Golden 1966) lose 3.
    """
    device = waves.device
    window = torch.hann_window(_WINDOW, device=device)
    # Frames are centred on their hop; three frames of silence follow the sound.
    ends = (_WINDOW // 2, _WINDOW // 2 + (-waves.shape[1]) % _HOP + 3 * _HOP)
    spectra = torch.fft.rfft(nn.functional.pad(waves, ends).unfold(1, _WINDOW, _HOP) * window)
    (count, frames, bins), outputs = spectra.shape, -(-samples // _HOP) + _OVERLAP // 2
    spectra = spectra.flatten(0, 1)
    first = torch.arange(count, device=device) * frames
    step = torch.arange(outputs, device=device)[:, None]
    nearest = (step * rates).round().long()
    jumps = nn.functional.pad(nearest.diff(dim=0) != 1, (0, 0, 1, 0))
    nearest.clamp_(max=frames - 2)
    passed = jumps.cumsum(0)  # jumps up to each output frame
    most = int(passed[-1].max())
    # The output frame after each jump; a wave with fewer jumps has unused ones at the end.
    after = torch.ones(most + 1, count, dtype=torch.long, device=device)
    after = after.scatter_(0, passed * jumps, step.expand_as(passed))[1:].clamp(min=1)
    expected = spectra.index_select(0, (nearest.gather(0, after - 1) + 1 + first).flatten())
    found = spectra.index_select(0, (nearest.gather(0, after) + first).flatten())
    change = (expected * found.conj()).view(most, count, bins)
    power = change.abs() + _SILENCE
    turns = spectra.new_ones(most + 1, count, bins)
    for jump in range(most):
        turns[jump + 1] = _locked(turns[jump] * change[jump] + _SILENCE, power[jump])

    turned = spectra.index_select(0, (nearest + first).flatten())
    turned *= turns.flatten(0, 1).index_select(0, (passed * count + torch.arange(count, device=device)).flatten())
    pieces = torch.fft.irfft(turned.view(outputs, count, bins), _WINDOW) * window
    sums = _overlapped(pieces).transpose(0, 1).flatten(1)
    weight = _overlapped(window.square().expand(outputs, 1, _WINDOW)).flatten()
    heard = slice(_WINDOW // 2, _WINDOW // 2 + samples)
    return sums[:, heard] / weight[heard]


def _locked(turn: Tensor, power: Tensor) -> Tensor:
    """Turns `[B, bins]`, weighed by their power -> of length 1, drawn towards those of their louder neighbours."""
    for pull in range(_PULLS):
        around = turn.clone()
        around[:, 1:] += turn[:, :-1]
        around[:, :-1] += turn[:, 1:]
        turn = torch.sgn(around)
        if pull < _PULLS - 1:
            turn *= power
    return turn


def _overlapped(pieces: Tensor) -> Tensor:
    """Windows `[frames, B, window]`, each one hop after the last, added up -> `[hops, B, hop]`."""
    frames, count, _ = pieces.shape
    total = pieces.new_zeros(frames + _OVERLAP - 1, count, _HOP)
    for part, piece in enumerate(pieces.split(_HOP, dim=2)):
        total[part : part + frames] += piece
    return total


def _resample(waves: Tensor, speeds: Tensor, starts: Tensor, samples: int) -> Tensor:
    """Waves `[B, N]` read from `starts` `[B]` on in steps of `speeds` `[B]` -> `[B, samples]`, zero outside the wave.

    Windowed sinc (Smith & Gossett 1984): errors lie 50 dB down up to .8 of the lower Nyquist frequency, where a cubic
    is 40 dB worse and lets sound fold back. With a speed of p / q filters repeat every q samples: one product a wave.
    """
    ratios = [Fraction(speed).limit_denominator(_BLOCK) for speed in speeds.tolist()]
    # Blocks of a few samples would read most of their input again and again.
    repeats = [_BLOCK // ratio.denominator for ratio in ratios]
    steps = [(r.numerator * n, r.denominator * n) for r, n in zip(ratios, repeats, strict=True)]
    filters, half = _filters(torch.tensor([p / q for p, q in steps], device=waves.device), max(q for _, q in steps))
    begins = [start - half + 1 for start in starts.tolist()]
    blocks = [-(-samples // q) for _, q in steps]
    widths = [(q - 1) * p // q + 2 * half for p, q in steps]
    ends = [a + (n - 1) * p + w for a, n, (p, _), w in zip(begins, blocks, steps, widths, strict=True)]
    before = max(0, -min(begins))
    padded = nn.functional.pad(waves, (before, max(0, max(ends) - waves.shape[1])))
    out = waves.new_empty(len(waves), samples)
    for row, ((p, q), begin, end, width) in enumerate(zip(steps, begins, ends, widths, strict=True)):
        heard = padded[row, before + begin : before + end].unfold(0, width, p)
        out[row] = (heard @ filters[row, :q, :width].T).flatten()[:samples]
    return out


def _filters(speeds: Tensor, block: int) -> tuple[Tensor, int]:
    """For speeds `[B]`: the weights `[B, block, width]` of a block's input in its output, and their reach in samples.

    The input begins `reach - 1` samples before the block's first output.
    """
    cutoff = _CUTOFF / speeds.clamp(min=1)
    half = math.ceil(_CROSSINGS / float(cutoff.min()))
    at = torch.arange(block, device=speeds.device) * speeds[:, None]
    whole = at.floor()
    tap = torch.arange(1 - half, half + 1, device=speeds.device)
    crossing = (tap - (at - whole)[..., None]) * cutoff[:, None, None]
    weights = torch.sinc(crossing) * torch.cos((crossing / _CROSSINGS).clamp(-1, 1) * (math.pi / 2)).square()
    weights /= weights.sum(-1, keepdim=True)
    place = whole.long()[..., None] + torch.arange(2 * half, device=speeds.device)
    dense = weights.new_zeros(*at.shape, int(whole.max()) + 2 * half)
    return dense.scatter_(2, place, weights), half
