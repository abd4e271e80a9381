"""Kaldi's log-mel energies, as torchaudio's `compliance.kaldi` has them, for networks that were trained behind them."""

import math

import torch
from torch import Tensor, nn

from hubbub.audio.logmel import hz_to_mel, mel_filters

__all__ = ["Fbank", "kaldi_mel_filters"]

RATE_HZ = 16_000
FRAME, HOP, N_FFT = 400, 160, 512
LOWEST_HZ, HIGHEST_HZ = 20.0, 8_000.0
PRE_EMPHASIS = 0.97
QUIETEST = 2.0**-23


class Fbank(nn.Module):
    """Waves `[B, T]` at 16 kHz in [-1, 1] -> log-mel energies `[B, frames, n_mels]`, less `mean` and divided by `sd`.

    `power` is that of the Hann window, `gain` what waves are multiplied by first. The Fourier transform is a matrix
    product, which exported graphs can have too: beside the Transformers that follow it is little.
    """

    fourier: Tensor
    filters: Tensor

    def __init__(self, n_mels: int, mean: float, sd: float, *, power: float = 1.0, gain: float = 1.0) -> None:
        super().__init__()
        self.n_mels, self.mean, self.sd, self.gain = n_mels, mean, sd, gain
        window = torch.hann_window(FRAME, periodic=False, dtype=torch.float64) ** power
        turns = torch.outer(torch.arange(FRAME), torch.arange(N_FFT // 2 + 1)) % N_FFT
        angles = 2 * math.pi / N_FFT * turns.double()
        fourier = window[:, None] * torch.cat([angles.cos(), angles.sin()], dim=1)
        self.register_buffer("fourier", fourier.float(), persistent=False)
        filters = kaldi_mel_filters(RATE_HZ, N_FFT, n_mels, LOWEST_HZ, HIGHEST_HZ)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        """In single precision, under autocast too."""
        with torch.autocast(waves.device.type, enabled=False):
            frames = waves.float().unfold(-1, FRAME, HOP) * self.gain
            frames = frames - frames.mean(dim=-1, keepdim=True)
            frames = frames - PRE_EMPHASIS * torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
            real, imaginary = (frames @ self.fourier).chunk(2, dim=-1)
            mel = (real.square() + imaginary.square()) @ self.filters
            return (mel.clamp_min(QUIETEST).log() - self.mean) / self.sd

    def columns(self, seconds: Tensor, frames: int) -> Tensor:
        """Positions of times [s] along the frames, from 0 to `frames`; NaN outside every frame's window."""
        reach = FRAME / HOP / 2
        centred = seconds.double() * RATE_HZ / HOP - reach
        within = (centred >= -reach) & (centred <= frames - 1 + reach)
        return torch.where(within, (centred + 0.5).clamp(0, frames), torch.nan)

    def rows(self, hz: Tensor) -> Tensor:
        """Positions of frequencies [Hz] along the bands, from 0 to `n_mels`; NaN outside every band."""
        lowest, highest = hz_to_mel(torch.tensor([LOWEST_HZ, HIGHEST_HZ], dtype=torch.float64), "htk")
        steps = (hz_to_mel(hz.double(), "htk") - lowest) / (highest - lowest) * (self.n_mels + 1)
        inside = (steps >= 0) & (steps <= self.n_mels + 1)
        return torch.where(inside, (steps - 0.5).clamp(0, self.n_mels), torch.nan)


def kaldi_mel_filters(rate_hz: int, n_fft: int, n_mels: int, f_min_hz: float, f_max_hz: float) -> Tensor:
    """Triangular filters `[n_fft // 2 + 1, n_mels]` that are straight in HTK mels, with a peak of 1 and without the
    bins at 0 Hz and at half of the sample rate."""
    filters = mel_filters(
        rate_hz, n_fft, n_mels, f_min_hz, f_max_hz, convention="tensorflow", mel_scale="htk", norm=None
    )
    filters[-1] = 0
    return filters
