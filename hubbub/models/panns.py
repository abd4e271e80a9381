"""PANNs' Cnn14: six blocks of two convolutions over a log-mel spectrogram, trained on AudioSet.

Kong, Cao, Iqbal, Wang, Wang, Plumbley: PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern
Recognition (arXiv 1912.10211). The parameters have the published names, so that the published checkpoint loads. The
front end is part of the network, because the weights depend on it.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hubbub.audio.logmel import LogMel, log_mel
from hubbub.models.checkpoint import Translated
from hubbub.models.network import Network, Upright

__all__ = ["RATE_HZ", "Cnn14"]

RATE_HZ = 32_000
N_FFT, HOP, BANDS = 1_024, 320, 64
CHANNELS = (64, 128, 256, 512, 1_024, 2_048)
EMBEDDING = 2_048
#: Frames that the five poolings join to one column of the map; fewer give no map.
JOINED = 2 ** (len(CHANNELS) - 1)
SHORTEST = (JOINED - 1) * HOP
#: Dropout in training, as published: after each block, and before the hidden layer.
BLOCK_DROPOUT, HIDDEN_DROPOUT = 0.2, 0.5
#: How far a tensor of a file's own spectrogram may differ from ours, as a share.
_SAME = 1e-3


class _Block(nn.Module):
    """Maps `[B, before, time, bands]` -> `[B, after, time, bands]`: two 3x3 convolutions with BatchNorm and ReLU, then
    dropout."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.dropout = nn.Dropout(BLOCK_DROPOUT)
        for convolution in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu())


class Cnn14(Network):
    """Waves `[B, T]` at 32 kHz in [-1, 1] -> embeddings `[B, 2048]`, logits `[B, num_classes]`.

    The embedding is the hidden layer's output, and `fc` is the published last layer: with 527 classes and the published
    checkpoint the logits are AudioSet's, in the order of its class_labels_indices.csv. Waves shorter than .31 s are
    padded with zeros.
    """

    def __init__(self, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.frontend = LogMel(RATE_HZ, N_FFT, None, HOP, BANDS, 50.0, 14_000.0, pad_mode="reflect", top_db=0.0)
        self.bn0 = nn.BatchNorm1d(BANDS)
        for number, (before, after) in enumerate(zip((1, *CHANNELS), CHANNELS, strict=False), start=1):
            self.add_module(f"conv_block{number}", _Block(before, after))
        self.hidden_dropout = nn.Dropout(HIDDEN_DROPOUT)
        self.map = Upright()
        self.fc1 = nn.Linear(CHANNELS[-1], EMBEDDING)
        self.fc = nn.Linear(EMBEDDING, num_classes)
        self.to(memory_format=torch.channels_last)

    @property
    def blocks(self) -> list[nn.Module]:
        return [self.get_submodule(f"conv_block{number}") for number in range(1, len(CHANNELS) + 1)]

    @property
    def cam_layer(self) -> nn.Module:
        return self.map

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """The last frames, which pooling drops if they do not fill a column, are in the last column."""
        frames = self.frontend.frames(max(samples, SHORTEST))
        columns = self.frontend.columns(seconds, frames) / (frames // JOINED * JOINED)
        return columns.clamp(max=1), self.frontend.rows(hz) / BANDS

    def embed(self, x: Tensor) -> Tensor:
        """Waves `[B, T]` -> embeddings `[B, 2048]`."""
        if x.shape[-1] < SHORTEST:
            x = nn.functional.pad(x, (0, SHORTEST - x.shape[-1]))
        x = self.bn0(log_mel(self.frontend, x)).transpose(1, 2).unsqueeze(1)
        x = x.contiguous(memory_format=torch.channels_last)
        for number, block in enumerate(self.blocks):
            x = block(nn.functional.avg_pool2d(x, 2) if number else x)
        x = self.map(x).mean(dim=2)
        x = x.amax(dim=2) + x.mean(dim=2)
        return self.fc1(self.hidden_dropout(x)).relu()

    def translated(self, state: Mapping[str, Tensor]) -> Translated:
        """A published state dict, or one of ours, with `fc` as the name of the last layer.

        The file's own spectrogram may be left out if it is this network's. Otherwise it stays unknown, and the file is
        refused: the weights for 16 kHz have the same names, and the same shapes but for these.
        """
        names = {f"fc_audioset.{leaf}": f"fc.{leaf}" for leaf in ("weight", "bias")}
        left_out = [name for name, own in self._spectrogram().items() if name in state and _same(state[name], own)]
        return Translated({names.get(name, name): tensor for name, tensor in state.items()}, tuple(left_out), ())

    def _spectrogram(self) -> dict[str, Tensor]:
        """The front end's tensors as published files hold them: kernels of a Fourier transform, and mel filters."""
        samples = torch.arange(N_FFT, dtype=torch.float64)
        angles = 2 * math.pi / N_FFT * (torch.outer(samples[: N_FFT // 2 + 1], samples) % N_FFT)
        window = self.frontend.window.cpu()
        return {
            "spectrogram_extractor.stft.conv_real.weight": (window * angles.cos())[:, None],
            "spectrogram_extractor.stft.conv_imag.weight": (-window * angles.sin())[:, None],
            "logmel_extractor.melW": self.frontend.filters.cpu(),
        }


def _same(tensor: Tensor, own: Tensor) -> bool:
    return tensor.shape == own.shape and float((tensor - own).norm()) <= _SAME * float(own.norm())
