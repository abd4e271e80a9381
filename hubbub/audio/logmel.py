"""Log-mel spectrograms in torch, in batches, on the device of the waves.

Two conventions give different numbers for the same settings; both are supported:

- `librosa`: frames of `n_fft` samples with the window centred inside, triangles that are straight in Hz
  (librosa.feature.melspectrogram, McFee et al. 2015);
- `tensorflow`: frames of `win_length` samples, HTK mels, triangles that are straight in mel, no DC bin
  (tf.signal.linear_to_mel_weight_matrix; YAMNet's patches are one setting of it).
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hubbub.errors import HubbubError

__all__ = ["FrontEndError", "LogMel", "log_mel", "mel_filters"]

# Slaney's Auditory Toolbox scale: linear below 1 kHz, logarithmic above.
_SLANEY_HZ_PER_MEL = 200.0 / 3.0
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_BREAK_MEL = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = math.log(6.4) / 27.0
# Below any sound; keeps the gradient of the square root finite in silence.
_SILENCE = 1e-30
# The samples of a row of `_mel_by_products`.
_SHORTEST_ROW, _LONGEST_ROW = 8, 32
# Samples of the frames that a CPU transforms at once: few enough for its cache, but many, since threads wait for each
# other after each step. Bands whose filters are multiplied at once: each needs only its own bins.
_CPU_SAMPLES, _CPU_BANDS = 2**19, 32
# All bands at once, of all bins.
_ALL = ((slice(None), slice(None)),)


class FrontEndError(HubbubError):
    """Invalid front end settings, unsupported input, or a front end that has not been fitted."""


def hz_to_mel(hz: Tensor, scale: str) -> Tensor:
    """Frequencies [Hz] -> mels, on the `htk` or `slaney` scale."""
    if scale == "htk":
        return 1127.0 * torch.log1p(hz / 700.0)
    linear = hz / _SLANEY_HZ_PER_MEL
    curved = _SLANEY_BREAK_MEL + torch.log(hz.clamp_min(1e-9) / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP
    return torch.where(hz >= _SLANEY_BREAK_HZ, curved, linear)


def mel_to_hz(mel: Tensor, scale: str) -> Tensor:
    """Mels -> frequencies [Hz], the inverse of `hz_to_mel`."""
    if scale == "htk":
        return 700.0 * torch.expm1(mel / 1127.0)
    curved = _SLANEY_BREAK_HZ * torch.exp(_SLANEY_LOG_STEP * (mel - _SLANEY_BREAK_MEL))
    return torch.where(mel >= _SLANEY_BREAK_MEL, curved, mel * _SLANEY_HZ_PER_MEL)


def mel_filters(
    rate_hz: int,
    n_fft: int,
    n_mels: int,
    f_min_hz: float,
    f_max_hz: float,
    *,
    convention: str = "librosa",
    mel_scale: str = "slaney",
    norm: str | None = "slaney",
) -> Tensor:
    """Triangular filters `[n_fft // 2 + 1, n_mels]`, computed in double and returned in single precision."""
    bins_hz = torch.linspace(0, rate_hz / 2, n_fft // 2 + 1, dtype=torch.float64)
    limits = torch.tensor([f_min_hz, f_max_hz], dtype=torch.float64)
    lowest, highest = hz_to_mel(limits, mel_scale)
    edges = torch.linspace(float(lowest), float(highest), n_mels + 2, dtype=torch.float64)
    if convention == "tensorflow":
        axis = hz_to_mel(bins_hz, mel_scale)
    else:
        axis, edges = bins_hz, mel_to_hz(edges, mel_scale)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (axis[:, None] - left) / (centre - left)
    falling = (right - axis[:, None]) / (right - centre)
    filters = torch.minimum(rising, falling).clamp_min(0)
    if convention == "tensorflow":
        filters[0] = 0
    if norm == "slaney":
        filters = filters * (2.0 / (right - left))
    return filters.float()


class LogMel(nn.Module):
    """Waves `[B, T]` in [-1, 1] at `rate_hz` -> log-mel `[B, n_mels, frames]`.

    `log="db"` gives decibels (10 log10 of power, 20 log10 of magnitude) relative to `ref` (`one`, or `max`: the clip's
    loudest cell), limited below at a power of `amin` and, unless `top_db` is 0, at `top_db` below the loudest cell.
    `log="offset"` gives ln(mel + `offset`). `power` is 1 for magnitude, 2 for power. With `centre`, frames are centred
    on their hop by reflection (`pad_mode="reflect"`) or zeros (`"constant"`); a wave too short to reflect is
    zero-padded first. `periodic` is for the window. `filters` `[n_fft // 2 + 1, n_mels]` replace those of `convention`
    and `norm`. Raises `FrontEndError` for invalid bands or windows.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        rate_hz: int,
        n_fft: int = 1024,
        win_length: int | None = None,
        hop: int = 320,
        n_mels: int = 64,
        f_min_hz: float = 0.0,
        f_max_hz: float | None = None,
        *,
        convention: Literal["librosa", "tensorflow"] = "librosa",
        mel_scale: Literal["htk", "slaney"] = "slaney",
        norm: Literal["slaney"] | None = "slaney",
        power: float = 2.0,
        centre: bool = True,
        pad_mode: Literal["constant", "reflect"] = "constant",
        log: Literal["db", "offset"] = "db",
        offset: float = 1e-3,
        ref: Literal["one", "max"] = "one",
        amin: float = 1e-10,
        top_db: float = 80.0,
        periodic: bool = True,
        filters: Tensor | None = None,
    ) -> None:
        super().__init__()
        win_length = win_length or n_fft
        f_max_hz = f_max_hz or rate_hz / 2
        if not 0 <= f_min_hz < f_max_hz <= rate_hz / 2:
            raise FrontEndError(
                f"bands from {f_min_hz:g} to {f_max_hz:g} Hz: they must rise, and end by {rate_hz / 2:g} Hz."
            )
        if win_length > n_fft:
            raise FrontEndError(f"a window of {win_length} samples is longer than the FFT of {n_fft}. Shorten it.")
        self.n_fft, self.hop, self.n_mels, self.rate_hz = n_fft, hop, n_mels, rate_hz
        self.power, self.pad_mode = power, pad_mode
        self.mel_scale, self.limits_hz = mel_scale, (f_min_hz, f_max_hz)
        # Samples of padding at either end.
        self.margin = n_fft // 2 if centre else 0
        self.log, self.offset, self.ref, self.amin, self.top_db = log, offset, ref, amin, top_db
        window = torch.hann_window(win_length, periodic=periodic, dtype=torch.float64).float()
        if convention == "librosa":
            before = (n_fft - win_length) // 2
            window = nn.functional.pad(window, (before, n_fft - win_length - before))
        if filters is None:
            filters = mel_filters(
                rate_hz, n_fft, n_mels, f_min_hz, f_max_hz, convention=convention, mel_scale=mel_scale, norm=norm
            )
        self.shortest = (1 if pad_mode == "constant" else self.margin + 1) if centre else window.numel()
        nonzero_bins = filters.any(dim=1).nonzero()
        if not len(nonzero_bins):
            raise FrontEndError(
                f"bands from {f_min_hz:g} to {f_max_hz:g} Hz hold no bin of an FFT of {n_fft}. Widen the bands."
            )
        # The bins with a nonzero weight; others are not computed.
        self.bins = slice(int(nonzero_bins[0]), int(nonzero_bins[-1]) + 1)
        self._bands = []  # the bands of a CPU's products, and the bins of each
        for first in range(0, n_mels, _CPU_BANDS):
            used = filters[self.bins, first : first + _CPU_BANDS].any(dim=1).nonzero()
            bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
            self._bands.append((slice(first, first + _CPU_BANDS), bins))
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def frames(self, samples: int) -> int:
        """The number of frames of a wave of so many samples."""
        return self._count(max(samples, self.shortest) + 2 * self.margin)

    def _count(self, padded: int) -> int:
        return 1 + (padded - self.window.numel()) // self.hop

    def columns(self, seconds: Tensor, frames: int) -> Tensor:
        """Positions of times [s] along the frames, from 0 (start of the first) to `frames` (end of the last one); NaN
        outside every frame's window."""
        reach = self.window.numel() / self.hop / 2
        centred = (seconds.double() * self.rate_hz + self.margin) / self.hop - reach
        inside = (centred >= -reach) & (centred <= frames - 1 + reach)
        return torch.where(inside, (centred + 0.5).clamp(0, frames), torch.nan)

    def rows(self, hz: Tensor) -> Tensor:
        """Positions of frequencies [Hz] along the bands, from 0 to `n_mels`; NaN outside every band."""
        lowest, highest = hz_to_mel(torch.tensor(self.limits_hz, dtype=torch.float64), self.mel_scale)
        # The outer bands' centres lie one step inside the limits.
        steps = (hz_to_mel(hz.double(), self.mel_scale) - lowest) / (highest - lowest) * (self.n_mels + 1)
        inside = (steps >= 0) & (steps <= self.n_mels + 1)
        return torch.where(inside, (steps - 0.5).clamp(0, self.n_mels), torch.nan)

    def mel(self, wave: Tensor) -> Tensor:
        """Waves `[B, T]` -> mel magnitude or power `[B, frames, n_mels]`, before the logarithm."""
        if wave.shape[-1] < self.shortest:
            wave = nn.functional.pad(wave, (0, self.shortest - wave.shape[-1]))
        if self.margin:
            wave = nn.functional.pad(wave, (self.margin, self.margin), mode=self.pad_mode)
        if torch.compiler.is_exporting():
            return self._mel_by_products(wave)
        frames = wave.unfold(-1, self.window.numel(), self.hop)
        # A compiled program accepts batches of any size, so it cannot count parts.
        if wave.device.type != "cpu" or torch.compiler.is_compiling():
            return self._mel(frames)
        at_once = max(1, _CPU_SAMPLES // self.n_fft)
        if frames.shape[1] <= at_once:
            return torch.cat([self._mel(part, self._bands) for part in frames.split(at_once // frames.shape[1])])
        parts = [self._mel(part, self._bands) for clip in frames for part in clip.split(at_once)]
        return torch.cat(parts).unflatten(0, frames.shape[:2])

    def _mel(self, frames: Tensor, bands: Sequence[tuple[slice, slice]] = _ALL) -> Tensor:
        spectrum = torch.fft.rfft(frames * self.window, n=self.n_fft)[..., self.bins]
        # Squares of neighbours in memory: twice as fast as those of real and imaginary parts, which lie apart.
        squares = torch.view_as_real(spectrum).square_()
        return self._to_mel(squares[..., 0] + squares[..., 1], bands)

    def _mel_by_products(self, wave: Tensor) -> Tensor:
        """The same for exported graphs, whose runtimes have slow FFTs or none: the Fourier transform as two matrix
        products (Cooley and Tukey 1965), a sixth of the work of sines and cosines of whole frames for an FFT of 512.

        A frame is a matrix of `rows` x `columns` samples. The first product transforms its columns; only half of the
        result is needed, since samples are real. The second transforms the rows, with the phases between the two.
        """
        n, columns = self.n_fft, math.gcd(self.hop, _LONGEST_ROW, self.n_fft)
        if columns < _SHORTEST_ROW:
            return self._mel_by_convolution(wave)
        rows, kept = n // columns, n // columns // 2 + 1
        used = -(-self.window.numel() // columns)  # the rest of a frame is zeros
        count = self._count(wave.shape[-1])
        blocks = nn.functional.pad(wave, (0, (-wave.shape[-1]) % columns + columns * used)).unflatten(-1, (-1, columns))
        first = torch.arange(count) * (self.hop // columns)
        frames = blocks[:, first[:, None] + torch.arange(used)]  # [B, frames, used, columns]
        frames = frames * nn.functional.pad(self.window, (0, used * columns - self.window.numel())).view(used, columns)
        k1, k2 = np.arange(kept), np.arange(columns)
        angles = 2 * np.pi / rows * np.outer(k1, np.arange(used))
        of_columns = np.stack([np.cos(angles), -np.sin(angles)], axis=1).reshape(-1, used)
        halves = _constant(of_columns) @ frames  # [B, frames, kept x 2, columns]
        halves = halves.flatten(0, 1).unflatten(1, (kept, 2)).flatten(2).transpose(0, 1)
        angles = 2 * np.pi / n * (k2[:, None] * (k1[:, None, None] + rows * k2) % n)
        real, imaginary = np.cos(angles), -np.sin(angles)  # [kept, columns, columns]
        of_rows = np.block([[real, imaginary], [-imaginary, real]])
        spectrum = halves @ _constant(of_rows)  # [kept, B x frames, 2 x columns]
        real, imaginary = spectrum.split(columns, dim=-1)
        power = (real * real + imaginary * imaginary).transpose(0, 1).flatten(1)
        bins = (k1[:, None] + rows * k2).ravel()
        bins = np.minimum(bins, n - bins)  # a bin above the middle is the same as one below; each is counted once
        once = np.zeros((len(bins), 1))
        once[np.unique(bins, return_index=True)[1]] = 1
        mel = self._magnitude(power) @ (self.filters[torch.from_numpy(bins)] * _constant(once))
        return mel.unflatten(0, (wave.shape[0], count))

    def _mel_by_convolution(self, wave: Tensor) -> Tensor:
        """The same for any hop: sines and cosines of whole frames as kernels."""
        bins = np.arange(self.n_fft // 2 + 1)[self.bins]
        angles = 2 * np.pi / self.n_fft * (np.outer(bins, np.arange(self.window.numel())) % self.n_fft)
        kernels = torch.from_numpy(np.concatenate([np.cos(angles), np.sin(angles)]).astype(np.float32))
        spectrum = nn.functional.conv1d(wave[:, None], (kernels * self.window)[:, None], stride=self.hop)
        real, imaginary = spectrum.transpose(1, 2).chunk(2, dim=2)
        return self._to_mel(real.square() + imaginary.square())

    def _to_mel(self, power: Tensor, bands: Sequence[tuple[slice, slice]] = _ALL) -> Tensor:
        """Power of the bins `[..., bins]` -> mel magnitude or power `[..., n_mels]`; `bands` as products that are
        computed one by one, each with its bins."""
        values, filters = self._magnitude(power), self.filters[self.bins]
        parts = [values[..., bins] @ filters[bins, band] for band, bins in bands]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    def _magnitude(self, power: Tensor) -> Tensor:
        """The power of magnitudes that `power` asks for."""
        if self.power == 2.0:
            return power
        power = power.clamp_min(_SILENCE)
        return power.sqrt() if self.power == 1.0 else power.pow(self.power / 2)

    def forward(self, wave: Tensor) -> Tensor:
        mel = self.mel(wave).transpose(1, 2)
        if self.log == "offset":
            return torch.log(mel + self.offset)
        decibels = 20.0 / self.power * torch.log10(mel.clamp_min(self.amin ** (self.power / 2)))
        loudest = decibels.amax(dim=(1, 2), keepdim=True)
        if self.ref == "max":
            decibels, loudest = decibels - loudest, torch.zeros_like(loudest)
        if self.top_db:
            decibels = torch.maximum(decibels, loudest - self.top_db)
        return decibels


def log_mel(frontend: LogMel, waves: Tensor) -> Tensor:
    """Waves `[B, T]` -> spectrograms `[B, n_mels, frames]` in a network: in single precision, under autocast too."""
    with torch.autocast(waves.device.type, enabled=False):
        spectrograms: Tensor = frontend(waves)
    return spectrograms


def _constant(values: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
