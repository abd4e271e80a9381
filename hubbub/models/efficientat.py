"""EfficientAT's MobileNets: MobileNetV3 over log-mel spectrograms, trained on AudioSet.

The ideas are Schmid, Koutini, Widmer: Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation
(arXiv 2211.04772) and Howard et al.: Searching for MobileNetV3 (arXiv 1905.02244). The parameters have the published
names. The front end is part of the network, because the weights depend on it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubbub.audio.kaldi import kaldi_mel_filters
from hubbub.audio.logmel import LogMel, log_mel
from hubbub.models.checkpoint import Translated
from hubbub.models.network import Network

__all__ = ["CLASSES", "RATE_HZ", "WIDTHS", "EfficientAT"]

RATE_HZ = 32_000
CLASSES = 527
#: The published networks, and the factor of the number of channels of each.
WIDTHS = {"mn04_as": 0.4, "mn10_as": 1.0}
N_FFT, HOP, N_MELS, F_MAX_HZ = 1024, 320, 128, 15_000.0
#: The fewest samples whose difference can be reflected by half a frame.
SHORTEST = N_FFT // 2 + 2
PRE_EMPHASIS, OFFSET = 0.97, 1e-5
BN_EPSILON = 1e-3
STEM, HIDDEN, EXPANSION, SQUEEZE = 16, 1280, 6, 4
# (kernel, expanded channels, channels, squeeze-and-excitation, activation, stride) of each block at width 1.
_RELU, _SWISH = nn.ReLU, nn.Hardswish
_BLOCKS: tuple[tuple[int, int, int, bool, type[nn.Module], int], ...] = (
    (3, 16, 16, False, _RELU, 1),
    (3, 64, 24, False, _RELU, 2), (3, 72, 24, False, _RELU, 1),
    (5, 72, 40, True, _RELU, 2), (5, 120, 40, True, _RELU, 1), (5, 120, 40, True, _RELU, 1),
    (3, 240, 80, False, _SWISH, 2), (3, 200, 80, False, _SWISH, 1),
    (3, 184, 80, False, _SWISH, 1), (3, 184, 80, False, _SWISH, 1),
    (3, 480, 112, True, _SWISH, 1), (3, 672, 112, True, _SWISH, 1),
    (5, 672, 160, True, _SWISH, 2), (5, 960, 160, True, _SWISH, 1), (5, 960, 160, True, _SWISH, 1),
)  # fmt: skip


class EfficientAT(Network):
    """Waves `[B, T]` at 32 kHz in [-1, 1] -> embeddings `[B, 960 * width]`, logits.

    A new network is the published one, for AudioSet's 527 classes: `classifier` is the hidden layer between embeddings
    and `fc`. After `reset_head` the last layer is on the embeddings themselves, and `classifier` is empty.
    """

    def __init__(self, width: float, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.frontend = LogMel(
            RATE_HZ, N_FFT, 800, HOP, N_MELS, 0.0, F_MAX_HZ, mel_scale="htk", periodic=False, pad_mode="reflect",
            log="offset", offset=OFFSET, filters=kaldi_mel_filters(RATE_HZ, N_FFT, N_MELS, 0.0, F_MAX_HZ),
        )  # fmt: skip
        channels = _round8(STEM * width)
        layers: list[nn.Module] = [_ConvNorm(1, channels, 3, 2, activation=_SWISH)]
        for kernel, expanded, out, squeezed, activation, stride in _BLOCKS:
            sizes = channels, _round8(expanded * width), _round8(out * width)
            layers.append(_Block(*sizes, kernel, stride, squeezed, activation))
            channels = sizes[-1]
        self.embedding = EXPANSION * channels
        layers.append(_ConvNorm(channels, self.embedding, 1, activation=_SWISH))
        self.features = nn.Sequential(*layers)
        for layer in self.features.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.features.to(memory_format=torch.channels_last)
        hidden = nn.Linear(self.embedding, _round8(HIDDEN * width))
        self.classifier = nn.Sequential(OrderedDict({"2": hidden, "3": nn.Hardswish()}))
        self.fc = nn.Linear(hidden.out_features, CLASSES)

    @property
    def blocks(self) -> list[nn.Module]:
        return list(self.features)

    @property
    def cam_layer(self) -> nn.Module:
        return self.features

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        frames = self.frontend.frames(max(samples, SHORTEST) - 1)
        return self.frontend.columns(seconds, frames) / frames, self.frontend.rows(hz) / N_MELS

    def log_mel(self, waves: Tensor) -> Tensor:
        """Waves `[B, T]` -> `[B, 128, frames]`; those that are too short are padded with zeros."""
        if waves.shape[-1] < SHORTEST:
            waves = functional.pad(waves, (0, SHORTEST - waves.shape[-1]))
        return (log_mel(self.frontend, waves[:, 1:] - PRE_EMPHASIS * waves[:, :-1]) + 4.5) / 5

    def embed(self, x: Tensor) -> Tensor:
        """Waves `[B, T]` -> embeddings `[B, 960 * width]`."""
        return self.features(self.log_mel(x).unsqueeze(1)).mean(dim=(2, 3))

    def head(self, embeddings: Tensor) -> Tensor:
        return super().head(self.classifier(embeddings))

    def reset_head(self, num_classes: int) -> None:
        """Replace the last layer, and the hidden one before it, by a new one for `num_classes` classes."""
        device = self.fc.weight.device
        self.classifier, self.fc = nn.Sequential(), nn.Linear(self.embedding, num_classes).to(device)

    def translated(self, state: Mapping[str, Tensor]) -> Translated:
        """A published state dict, or one of ours, with the names of this network. Other last layers need no hidden
        layer."""
        last = {f"classifier.5.{leaf}": f"fc.{leaf}" for leaf in ("weight", "bias")}
        optional = () if self.classifier else ("classifier.2.weight", "classifier.2.bias")
        return Translated({last.get(name, name): tensor for name, tensor in state.items()}, optional, ())


class _ConvNorm(nn.Sequential):
    """A convolution, BatchNorm and an activation. Outside training the first two are one convolution; in an exported
    graph the exporter joins them."""

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Module] | None = None,
    ) -> None:
        conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        norm = nn.BatchNorm2d(out, eps=BN_EPSILON)
        super().__init__(conv, norm, *([] if activation is None else [activation(inplace=True)]))

    def forward(self, x: Tensor) -> Tensor:
        layers: list[Any] = list(self)
        conv, norm, *activation = layers
        if norm.training or torch.compiler.is_exporting():
            return super().forward(x)
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        kernels, bias = conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
        x = functional.conv2d(x, kernels, bias, conv.stride, conv.padding, 1, conv.groups)
        return activation[0](x) if activation else x


class _SqueezeExcitation(nn.Module):
    """Each channel times a weight in (0, 1), computed from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, _round8(channels // SQUEEZE))
        self.fc2 = nn.Linear(self.fc1.out_features, channels)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.fc2(functional.relu(self.fc1(x.mean(dim=(2, 3))))))
        return x * weights[:, :, None, None]


class _Block(nn.Module):
    """An inverted residual: 1x1 expansion, depthwise convolution, squeeze-and-excitation, 1x1 projection."""

    def __init__(
        self, channels: int, expanded: int, out: int, kernel: int, stride: int, squeezed: bool,
        activation: type[nn.Module],
    ) -> None:  # fmt: skip
        super().__init__()
        layers: list[nn.Module] = []
        if expanded != channels:
            layers.append(_ConvNorm(channels, expanded, 1, activation=activation))
        layers.append(_ConvNorm(expanded, expanded, kernel, stride, expanded, activation))
        if squeezed:
            inner = nn.Sequential(_SqueezeExcitation(expanded))
            layers.append(nn.Sequential(OrderedDict(conc_se_layers=inner)))
        self.block = nn.Sequential(*layers, _ConvNorm(expanded, out, 1))
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        out = self.block(x)
        return out + x if self.residual else out


def _round8(channels: float) -> int:
    """The nearest multiple of 8 that is at least 8 and at least .9 times `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
