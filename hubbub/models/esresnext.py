"""ESResNeXt-fbsp and AudioCLIP's audio branch: a learnable spectrogram, a ResNeXt-50 and time-frequency attention.

The ideas are Guzhov, Raue, Hees, Dengel: ESResNe(X)t-fbsp (arXiv 2104.11587) and AudioCLIP (arXiv 2106.13043). The
parameters have the published names, so the published checkpoints load unchanged. The front end is part of the network,
because it is in the checkpoint.
"""

import math
from typing import Any

import numpy as np
import scipy.signal
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import Bottleneck, ResNet

from hubbub.models.network import Network

__all__ = ["FBSP", "RATE_HZ", "AudioCLIP", "ESResNeXt"]

RATE_HZ = 44_100
WINDOW = 1_654
HOP = 561
N_FFT = 2_048
BANDS = 3  # parts of the spectrum, which become the three channels of an image
BAND_BINS = (N_FFT // 2 + 1) // BANDS
BINS = BANDS * BAND_BINS
INT16 = 32_768.0
QUIETEST = 1e-18
EMBEDDING = 1_024  # AudioCLIP's
#: The stages halve the frames three times. With these or fewer, a map may be one frame wide. Of such a map, from a
#: grouped convolution with stride 2 in bfloat16, oneDNN leaves parts unwritten on processors with AMX.
NARROW = 8
_TINY = 1e-8


class _UnitGradient(torch.autograd.Function):
    """The identity, whose gradient is divided by its largest absolute value."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        return gradient / (gradient.abs().max() + _TINY)


class FBSP(nn.Module):
    """Frequency B-spline filters: N_FFT // 2 + 1 complex wavelets with learnable order `m`, bandwidth `fb` and centre
    `fc`, initialised as nearly a centred DFT.

    In training the gradients of the three are divided by their largest absolute value, as published; this removes the
    loss scale of fp16, on which Adam's steps do not depend.
    """

    bias: Tensor
    t: Tensor

    def __init__(self) -> None:
        super().__init__()
        bins = N_FFT // 2 + 1
        self.m = nn.Parameter(torch.zeros(bins))
        self.fb = nn.Parameter(torch.ones(bins))
        self.fc = nn.Parameter(torch.arange(bins, dtype=torch.float32))
        # The published checkpoints contain an empty bias.
        self.register_buffer("bias", torch.zeros(0))
        # Computed on the CPU for all devices: with a last digit that differs, phases of 3,200 radians do too.
        self.register_buffer("t", math.pi * torch.linspace(-1, 1, N_FFT) + _TINY, persistent=False)

    def filters(self) -> Tensor:
        """Real and imaginary parts of the filters, `[2, bins, N_FFT]`."""
        m, fb, fc = (_UnitGradient.apply(p)[:, None] for p in (self.m, self.fb, self.fc))
        t = self.t
        x = fb * t / (m + _TINY)
        spline = torch.sin(x) / x
        # The complex power of a real number: if the spline is negative, its phase pi is multiplied by m.
        size = spline.abs().clamp_min(torch.finfo(torch.float32).tiny).pow(m) * fb.sqrt() / math.sqrt(N_FFT)
        phase = torch.where(spline < 0, math.pi * m, 0.0) - fc * t
        return size * torch.stack([torch.cos(phase), torch.sin(phase)])


class Attention(nn.Module):
    """Weights in (0, 1) for the output of a stage, computed from its input."""

    def __init__(self, channels: int, filters: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv_depth = nn.Conv2d(channels, channels, kernel, padding=padding, groups=channels)
        self.conv_point = nn.Conv2d(channels, filters, 1)
        self.bn = nn.BatchNorm2d(filters)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """Maps `[B, channels, F, W]` -> weights `[B, filters, *size]`."""
        if x.shape[2:] != size:  # the first stage keeps the size of its input
            x = functional.adaptive_max_pool2d(x, list(size))
        return torch.sigmoid(self.bn(self.conv_point(self.conv_depth(x))))


class ESResNeXt(Network):
    """Waves `[B, T]` or `[B, channels, T]` at 44.1 kHz in [-1, 1] -> logits `[B, num_classes]`.

    Channels go through the network one by one and their features are summed. The state dict is the published one.
    """

    window: Tensor
    #: Whether spectra are summed in double precision. In single precision, silence and bins far below the loudest are
    #: rounding errors, which the logarithm amplifies and which differ between libraries and batch sizes.
    exact = False

    def __init__(self, num_classes: int = 527, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        window = scipy.signal.get_window("blackmanharris", WINDOW, fftbins=True)
        self.register_buffer("window", torch.from_numpy(window.astype(np.float32)))
        self.fbsp = FBSP()
        self.bands = nn.Identity()
        body = ResNet(Bottleneck, [3, 4, 6, 3], num_classes, groups=32, width_per_group=4)
        self.conv1, self.bn1, self.relu, self.maxpool = body.conv1, body.bn1, body.relu, body.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = body.layer1, body.layer2, body.layer3, body.layer4
        self.fc = body.fc
        self.att1 = Attention(64, 256, (3, 1))
        self.att2 = Attention(256, 512, (1, 5))
        self.att3 = Attention(512, 1024, (3, 1))
        self.att4 = Attention(1024, 2048, (1, 5))
        self.att5 = Attention(2048, 2048, (3, 5))
        self.to(memory_format=torch.channels_last)
        self._norms: Tensor | None = None
        self._constant: tuple[Tensor, Tensor] | None = None
        self.register_load_state_dict_pre_hook(_fill_in)

    @property
    def blocks(self) -> list[nn.Module]:
        """The stages, each with its attention, which takes the same input."""
        return [nn.ModuleList(stage) for stage in self._stages]

    @property
    def _stages(self) -> list[tuple[nn.Module, nn.Module]]:
        return [
            (self.layer1, self.att1),
            (self.layer2, self.att2),
            (self.layer3, self.att3),
            (self.layer4, self.att4),
        ]

    @property
    def cam_layer(self) -> nn.Module:
        return self.layer4

    @property
    def bands_layer(self) -> nn.Module:
        return self.bands

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """The positions of the initial filters, which training changes little."""
        frames, missing = _frames(samples)
        centred = (seconds.double() * RATE_HZ + missing // 2 - WINDOW / 2) / HOP
        bins = hz.double() * N_FFT / RATE_HZ
        rows = torch.where(bins <= BINS, (bins + 0.5).clamp(0, BINS), torch.nan)
        return (centred + 0.5).clamp(0, frames) / frames, rows / BINS

    def log_power(self, wave: Tensor) -> Tensor:
        """Waves `[B, T]` in [-1, 1] -> decibels `[B, 3, 341, frames]`: the low, middle and high third of the bins."""
        wave = (wave.float() * INT16 + INT16) * 2 / (2 * INT16 - 1) - 1
        frames, missing = _frames(wave.shape[-1])
        wave = functional.pad(wave, (missing // 2, missing - missing // 2))
        # Half precision would lose quiet bins: its range is smaller than that of power. So would the TF32 that
        # accelerators compute convolutions in, but not, unless asked to, matrix products.
        with torch.autocast(wave.device.type, enabled=False):
            kernels = self._kernels()
            if wave.device.type == "cpu" and not self.exact:
                spectrum = functional.conv1d(wave[:, None], kernels, stride=HOP)
            else:
                numbers = torch.float64 if self.exact else torch.float32
                pieces = wave.to(numbers).unfold(-1, WINDOW, HOP)
                spectrum = (pieces @ kernels[:, 0].to(numbers).T).transpose(1, 2)
        power = spectrum.reshape(-1, 2, BANDS, BAND_BINS, frames).square().sum(1)
        return (10 * torch.log10(torch.where(power > 0, power, QUIETEST))).float()

    def embed(self, x: Tensor) -> Tensor:
        """Waves `[B, T]` or `[B, channels, T]` -> features `[B, 2048]`."""
        if x.dim() == 3:
            return self.embed(x.flatten(0, 1)).view(*x.shape[:2], -1).sum(1)
        x = self.bands(self.log_power(x)).contiguous(memory_format=torch.channels_last)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and x.shape[3] <= NARROW:
            with torch.autocast("cpu", enabled=False):
                return self._pooled(x.float())
        return self._pooled(x)

    def _pooled(self, x: Tensor) -> Tensor:
        """A map `[B, 64, H, W]` -> features `[B, 2048]`."""
        for stage, attention in self._stages:
            out = stage(x)
            x = out * attention(x, out.shape[2:])
        pooled = x.mean(dim=(2, 3), keepdim=True)
        return (pooled * self.att5(x, pooled.shape[2:])).flatten(1)

    def regulariser(self) -> Tensor | float:
        """Mean squared distance of the filters' norms from 1, in the last training pass."""
        norms, self._norms = self._norms, None
        return 0.0 if norms is None else (norms - 1).square().mean()

    def _kernels(self) -> Tensor:
        """The windowed filters as convolution kernels `[2 * BINS, 1, WINDOW]`; constant outside training."""
        if self.fbsp.training and torch.is_grad_enabled():
            filters = self.fbsp.filters()
            self._norms = filters.square().sum(dim=(0, 2)).sqrt()
            return self._windowed(filters)
        if torch.compiler.is_exporting() and self._constant:
            return self._constant[1]  # an exported program cannot compare values; the pass before the export did
        # Compared by value: fused optimizers do not change tensor versions, and copies do not keep them.
        held = torch.stack([self.fbsp.m, self.fbsp.fb, self.fbsp.fc]).detach()
        known = None if self._constant is None else self._constant[0]
        same = known is not None and (known.device, known.dtype) == (held.device, held.dtype)
        if self._constant is None or not same or not torch.equal(self._constant[0], held):
            with torch.inference_mode(False), torch.no_grad():
                self._constant = (held.clone(), self._windowed(self.fbsp.filters()))
        return self._constant[1]

    def __getstate__(self) -> dict[str, Any]:
        """Copies do not share the norms of the last pass, whose graph cannot be copied."""
        return {**self.__dict__, "_norms": None}

    def _windowed(self, filters: Tensor) -> Tensor:
        start = (N_FFT - WINDOW) // 2
        return (filters[:, :BINS, start : start + WINDOW] * self.window).flatten(0, 1)[:, None]


class AudioCLIP(Network):
    """AudioCLIP's audio branch with a new head: waves as for `ESResNeXt` -> logits `[B, num_classes]`.

    Embeddings are of length 1, as in the space that AudioCLIP shares with images and text.
    """

    def __init__(self, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.audio = ESResNeXt(EMBEDDING)
        self.fc = nn.Linear(EMBEDDING, num_classes)

    @property
    def blocks(self) -> list[nn.Module]:
        return self.audio.blocks

    @property
    def cam_layer(self) -> nn.Module:
        return self.audio.cam_layer

    @property
    def bands_layer(self) -> nn.Module:
        return self.audio.bands_layer

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        return self.audio.positions(seconds, hz, samples)

    def embed(self, x: Tensor) -> Tensor:
        """Waves `[B, T]` or `[B, channels, T]` -> embeddings `[B, 1024]` of length 1."""
        return functional.normalize(self.audio(x).float(), dim=1)

    def regulariser(self) -> Tensor | float:
        return self.audio.regulariser()


def _frames(samples: int) -> tuple[int, int]:
    """The number of frames of a wave, and the number of samples it is padded by, half of them at the start."""
    frames = 1 + max(math.ceil((samples - WINDOW) / HOP), 0)
    return frames, WINDOW + (frames - 1) * HOP - samples


def _fill_in(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Add the window and the empty bias, which are constant, to checkpoints without them."""
    own = dict(module.named_buffers())
    for name in ("window", "fbsp.bias"):
        state.setdefault(prefix + name, own[name])
