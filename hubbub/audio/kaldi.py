"""Kaldi's mel filters, as torchaudio's `compliance.kaldi` has them, for networks that were trained behind them."""

from torch import Tensor

from hubbub.audio.logmel import mel_filters

__all__ = ["kaldi_mel_filters"]


def kaldi_mel_filters(rate_hz: int, n_fft: int, n_mels: int, f_min_hz: float, f_max_hz: float) -> Tensor:
    """Triangular filters `[n_fft // 2 + 1, n_mels]` that are straight in HTK mels, with a peak of 1 and without the
    bins at 0 Hz and at half of the sample rate."""
    filters = mel_filters(
        rate_hz, n_fft, n_mels, f_min_hz, f_max_hz, convention="tensorflow", mel_scale="htk", norm=None
    )
    filters[-1] = 0
    return filters
