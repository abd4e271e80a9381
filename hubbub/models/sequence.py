"""Networks that take a spectrogram as a sequence of frames: a 1-D CNN and a Transformer encoder.

The encoder is Vaswani et al.: Attention Is All You Need, https://arxiv.org/abs/1706.03762, with its sinusoidal
positions; its attention is computed blockwise (Dao et al.: FlashAttention, https://arxiv.org/abs/2205.14135), so that
memory grows with the frames and not with their square.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from hubbub.models.blocks import cut
from hubbub.models.network import Network, NetworkError

__all__ = ["AudioCNN1D", "EncoderLayer", "Transformer", "positions"]


class AudioCNN1D(Network):
    """Spectrograms `[B, bands, frames]` -> logits `[B, num_classes]`, bands being channels.

    Three convolutions over time (16, 32, 64 filters of 3 frames), each with ReLU and pooling by 2, flattened into a
    layer of 128 units: 1,501 frames become 187, and 11,968 values. It takes only the number of frames that it was
    built for, at least `SMALLEST`; `NetworkError` for any other.
    """

    FILTERS = (16, 32, 64)
    SMALLEST = 2 ** len(FILTERS)
    EMBEDDING = 128

    def __init__(self, num_classes: int, bands: int = 128, frames: int = 1501, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.shape = (bands, frames)
        layers: list[nn.Module] = []
        for before, filters in zip((bands, *self.FILTERS), self.FILTERS, strict=False):
            layers += [nn.Conv1d(before, filters, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool1d(2)]
        self.body = nn.Sequential(*layers, nn.Unflatten(2, (1, -1)))
        self.hidden = nn.Linear(self.FILTERS[-1] * (frames // self.SMALLEST), self.EMBEDDING)
        self.fc = nn.Linear(self.EMBEDDING, num_classes)

    @property
    def blocks(self) -> list[nn.Module]:
        return cut(self.body, lambda layer: isinstance(layer, nn.Conv1d))

    @property
    def cam_layer(self) -> nn.Module:
        """The map is `[B, 64, 1, frames // 8]`: it has times, but no frequencies."""
        return self.body

    def embed(self, x: Tensor) -> Tensor:
        """Spectrograms `[B, bands, frames]` -> embeddings `[B, 128]`."""
        if x.shape[1:] != self.shape:
            raise NetworkError(
                f"cnn1d was built for spectrograms [B, {self.shape[0]}, {self.shape[1]}], not {list(x.shape)}. Set "
                "frontend.frames, so that all have one length, and frontend.colours = 'none'."
            )
        return torch.relu(self.hidden(self.body(x).flatten(1)))


class EncoderLayer(nn.Module):
    """Sequences `[B, T, width]` -> the same shape: self-attention, then two dense layers, each added and normalised.

    As torch.nn.TransformerEncoderLayer, but without dropout of attention weights: blockwise attention on a CPU does not
    support it, and otherwise the weights of all pairs of positions would have to be stored.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def attend(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.dropout(self.attend(x)))
        # Dropout before ReLU equals dropout after it, and stores one tensor less for the backward pass.
        return self.norm2(x + self.dropout(self.narrow(torch.relu(self.dropout(self.widen(x))))))


class _Map(nn.Module):
    """Sequences `[B, T, C]` -> maps `[B, C, 1, T]`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).unsqueeze(2)


class Transformer(Network):
    """Spectrograms `[B, bands, T]` of any length -> logits `[B, num_classes]`.

    Each frame is a token of width 128, through a linear layer unless there are 128 bands. Sinusoidal positions are
    added; two encoder layers of 4 heads and 2,048 hidden units with dropout 0.1; the mean over time; a layer of 256
    units. The memory of a training step on a CPU grows with the frames: 23 kB per frame in bf16, 43 kB in fp32, so
    17.4 or 33.1 GB for 512 segments of 1,501 frames. Accelerators need less.
    """

    WIDTH = 128
    HEADS = 4
    LAYERS = 2
    HIDDEN = 2048
    DROPOUT = 0.1
    EMBEDDING = 256

    def __init__(self, num_classes: int, bands: int = 128, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.bands = bands
        self.project = nn.Identity() if bands == self.WIDTH else nn.Linear(bands, self.WIDTH)
        self.inner_dropout = nn.Dropout(self.DROPOUT)
        layers = (EncoderLayer(self.WIDTH, self.HEADS, self.HIDDEN, self.DROPOUT) for _ in range(self.LAYERS))
        self.body = nn.Sequential(*layers, _Map())
        self.hidden = nn.Linear(self.WIDTH, self.EMBEDDING)
        self.fc = nn.Linear(self.EMBEDDING, num_classes)

    @property
    def blocks(self) -> list[nn.Module]:
        return [layer for layer in self.body if isinstance(layer, EncoderLayer)]

    @property
    def cam_layer(self) -> nn.Module:
        """The map of the last encoder layer is `[B, 128, 1, T]`: it has times, but no frequencies."""
        return self.body

    def embed(self, x: Tensor) -> Tensor:
        """Spectrograms `[B, bands, T]` -> embeddings `[B, 256]`."""
        if x.dim() != 3 or x.shape[1] != self.bands:
            raise NetworkError(
                f"the transformer was built for spectrograms [B, {self.bands}, frames], not {list(x.shape)}. Set "
                f"frontend.n_mels = {self.bands} and frontend.colours = 'none'."
            )
        x = self.project(x.transpose(1, 2))
        x = self.body(self.inner_dropout(x + positions(x.shape[1], self.WIDTH, x.device)))
        return torch.relu(self.hidden(x.mean(dim=(2, 3))))


def positions(frames: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sinusoidal positions `[frames, width]` (width even): sines in even columns, cosines in odd ones, of 1 down to
    1 / 10,000 radian per frame (Vaswani et al., section 3.5)."""
    rates = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000.0) / width))
    angles = torch.arange(frames, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
