"""Playing faster or slower: at the same pitch (a phase vocoder), or pitch and all (resampling).

Each wave of a batch has its own speed. Nothing here knows the sample rate, so the vocoder's window is in samples.

Sources: the phase vocoder is Flanagan & Golden's (1966), its phases kept together as by Laroche & Dolson (1999);
resampling is by windowed sinc (Smith & Gossett 1984).
"""

import math
from fractions import Fraction

import torch
from torch import Tensor, nn

__all__ = ["HOP", "resample", "stretch"]

# The vocoder's window [samples], 23 ms at 44.1 kHz: of 512, 1024 and 2048 the one whose stretched log-mels come nearest
# to the recording's own (59 clips of ESC-50, rates .6 to 1.6).
_WINDOW = 1024
_OVERLAP = 4
#: Samples from one frame of the vocoder to the next.
HOP = _WINDOW // _OVERLAP
# How often the phases of neighbouring bins are drawn together at a jump: after three the level of noise has settled.
_PULLS = 3
# Far below any sound; gives silent bins a direction.
_SILENCE = 1e-16
# Resampling: zero crossings of the sinc to either side, its cut-off relative to the lower Nyquist frequency, and the
# largest block of samples that share their filters.
_CROSSINGS = 16
_CUTOFF = 0.95
_BLOCK = 128


def stretch(waves: Tensor, rates: Tensor, samples: int) -> Tensor:
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
    total = pieces.new_zeros(frames + _OVERLAP - 1, count, HOP)
    for part, piece in enumerate(pieces.split(HOP, dim=2)):
        total[part : part + frames] += piece
    return total


def resample(waves: Tensor, speeds: Tensor, starts: Tensor, samples: int) -> Tensor:
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
