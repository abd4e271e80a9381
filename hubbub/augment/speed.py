"""Changes the speed of waves: with their pitch kept (phase vocoder), or with their pitch changed (resampling).

Each wave of a batch has its own speed. The vocoder's window is in samples, since the sample rate is not known here.

Sources: phase vocoder (Flanagan & Golden 1966) with phase locking (Laroche & Dolson 1999); windowed-sinc resampling
(Smith & Gossett 1984).
"""

import math
from fractions import Fraction

import torch
from torch import Tensor, nn

__all__ = ["HOP", "resample", "stretch"]

# The vocoder's window [samples], 23 ms at 44.1 kHz: of 512, 1024 and 2048 the one whose stretched log-mels are nearest
# to the recording's (59 clips of ESC-50, rates .6 to 1.6).
_WINDOW = 1024
_OVERLAP = 4
#: Samples from one frame of the vocoder to the next.
HOP = _WINDOW // _OVERLAP
# Iterations of phase locking between neighbouring bins at a jump; after three the level of noise is stable.
_LOCKING_STEPS = 3
# Far below any sound; gives silent bins a phase.
_SILENCE = 1e-16
# Resampling: zero crossings of the sinc on either side, its cut-off relative to the lower Nyquist frequency, and the
# largest block of samples that share their filters.
_CROSSINGS = 16
_CUTOFF = 0.95
_BLOCK = 128


def stretch(waves: Tensor, rates: Tensor, samples: int) -> Tensor:
    """Waves `[B, N]` played at `rates` `[B]` with their pitch kept -> the first `samples` of them `[B, samples]`.

    A phase vocoder: every output frame is the input frame nearest in time, rotated so that its bins continue in phase.

    Where a frame is repeated or skipped (a jump), each bin is rotated to the phase of the frame that would have
    followed; then the rotations are pulled towards those of louder neighbours, a soft form of Laroche & Dolson's (1999)
    identity phase locking. Between jumps the rotation stays. At rates near 1 this loses .6 dB of noise, while
    interpolated frames without locking (Flanagan & Golden 1966) lose 3.
    """
    device = waves.device
    window = torch.hann_window(_WINDOW, device=device)
    # Frames are centred on their hop; three silent frames follow the sound.
    ends = (_WINDOW // 2, _WINDOW // 2 + (-waves.shape[1]) % HOP + 3 * HOP)
    spectra = torch.fft.rfft(nn.functional.pad(waves, ends).unfold(1, _WINDOW, HOP) * window)
    (count, frames, bins), outputs = spectra.shape, -(-samples // HOP) + _OVERLAP // 2
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
    rotations = spectra.new_ones(most + 1, count, bins)
    for jump in range(most):
        rotations[jump + 1] = _phase_locked(rotations[jump] * change[jump] + _SILENCE, power[jump])

    rotated = spectra.index_select(0, (nearest + first).flatten())
    rotated *= rotations.flatten(0, 1).index_select(0, (passed * count + torch.arange(count, device=device)).flatten())
    pieces = torch.fft.irfft(rotated.view(outputs, count, bins), _WINDOW) * window
    sums = _overlap_add(pieces).transpose(0, 1).flatten(1)
    weight = _overlap_add(window.square().expand(outputs, 1, _WINDOW)).flatten()
    output = slice(_WINDOW // 2, _WINDOW // 2 + samples)
    return sums[:, output] / weight[output]


def _phase_locked(rotation: Tensor, power: Tensor) -> Tensor:
    """Rotations `[B, bins]`, weighted by power -> unit rotations, pulled towards those of louder neighbours."""
    for step in range(_LOCKING_STEPS):
        around = rotation.clone()
        around[:, 1:] += rotation[:, :-1]
        around[:, :-1] += rotation[:, 1:]
        rotation = torch.sgn(around)
        if step < _LOCKING_STEPS - 1:
            rotation *= power
    return rotation


def _overlap_add(pieces: Tensor) -> Tensor:
    """Sums windows `[frames, B, window]`, each one hop after the one before -> `[hops, B, hop]`."""
    frames, count, _ = pieces.shape
    total = pieces.new_zeros(frames + _OVERLAP - 1, count, HOP)
    for part, piece in enumerate(pieces.split(HOP, dim=2)):
        total[part : part + frames] += piece
    return total


def resample(waves: Tensor, speeds: Tensor, starts: Tensor, samples: int) -> Tensor:
    """Waves `[B, N]` read from `starts` `[B]` on in steps of `speeds` `[B]` -> `[B, samples]`, zero outside the wave.

    Windowed sinc (Smith & Gossett 1984): errors are below -50 dB up to .8 of the lower Nyquist frequency; a cubic is 40
    dB worse and aliases. With a speed of p / q the filters repeat every q samples: one matrix product per wave.
    """
    ratios = [Fraction(speed).limit_denominator(_BLOCK) for speed in speeds.tolist()]
    # Blocks of a few samples would read most of their input many times.
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
        inputs = padded[row, before + begin : before + end].unfold(0, width, p)
        out[row] = (inputs @ filters[row, :q, :width].T).flatten()[:samples]
    return out


def _filters(speeds: Tensor, block: int) -> tuple[Tensor, int]:
    """For speeds `[B]`: the weights `[B, block, width]` from a block's input to its output, and their reach in samples.

    The input begins `reach - 1` samples before the block's first output.
    """
    cutoff = _CUTOFF / speeds.clamp(min=1)
    half = math.ceil(_CROSSINGS / float(cutoff.min()))
    at = torch.arange(block, device=speeds.device) * speeds[:, None]
    floor = at.floor()
    tap = torch.arange(1 - half, half + 1, device=speeds.device)
    crossing = (tap - (at - floor)[..., None]) * cutoff[:, None, None]
    weights = torch.sinc(crossing) * torch.cos((crossing / _CROSSINGS).clamp(-1, 1) * (math.pi / 2)).square()
    weights /= weights.sum(-1, keepdim=True)
    index = floor.long()[..., None] + torch.arange(2 * half, device=speeds.device)
    dense = weights.new_zeros(*at.shape, int(floor.max()) + 2 * half)
    return dense.scatter_(2, index, weights), half
