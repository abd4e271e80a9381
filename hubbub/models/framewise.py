"""A network that says when: logits of frames of 40 ms, for sounds that overlap.

`Framewise` is `Compact` with the rows of its map pooled and its columns kept, and a recurrent layer that reads them in
both directions: a CRNN (Cakir et al. 2017, https://arxiv.org/abs/1702.06286). What a segment holds is pooled from its
frames (Wang, Li and Metze 2019, https://arxiv.org/abs/1810.09050).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from hubbub.models.blocks import cut
from hubbub.models.cnn import convolution
from hubbub.models.network import Network, NetworkError
from hubbub.models.recurrent import BiGRU

__all__ = ["FRAME_S", "Framewise", "linear_softmax"]

#: The length of a frame [s].
FRAME_S = 0.04
#: The number of convolutions in each block, and the rows that pooling before it joins. The first block sees half of the
#: bands; wide blocks see few rows, as their convolutions take most of the time.
CONVOLUTIONS, ROWS = (1, 2, 2, 2), (1, 2, 4, 2)


class Framewise(Network):
    """Spectrograms `[B, F, W]` -> embeddings `[B, T, D]` and logits `[B, T, num_classes]` of frames.

    Column c of a spectrogram is the sound around c times `hop` samples, and a frame is `step` columns long: 2, 4 or 8.
    The embedding of frame t is centred on the columns from t * `step` to (t + 1) * `step`, both included, and depends
    on all. `width` is the number of channels of the first block, doubled by each later one; D is 8 * `width`. F is at
    least `LOWEST`.
    """

    frame_s = FRAME_S
    WIDTH = 32
    STEPS = (2, 4, 8)
    LOWEST = 2 * math.prod(ROWS) - 1

    def __init__(
        self, num_classes: int, n_mels: int = 64, step: int = 2, hop: int = 320, width: int = WIDTH, dropout: float = 0
    ) -> None:
        super().__init__(dropout)
        if step not in self.STEPS:
            raise NetworkError(f"frames of {step} columns: give 2, 4 or 8.")
        self.step, self.hop = step, hop
        self.norm = nn.BatchNorm1d(n_mels)
        layers, channels = convolution(1, width, 5, stride=2), width
        # Its outputs are centred on odd columns, so that those of a frame are centred on the frame's middle.
        layers[0].padding = (2, 1)  # type: ignore[assignment]
        for block, count in enumerate(CONVOLUTIONS):
            if block:
                layers.append(nn.MaxPool2d((ROWS[block], 2 if step >> block > 1 else 1)))
            for _ in range(count):
                layers += convolution(channels, width * 2**block)
                channels = width * 2**block
        self.body = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.recurrent = BiGRU(channels, channels // 2)
        self.fc = nn.Linear(channels, num_classes)

    @property
    def blocks(self) -> list[nn.Module]:
        return cut(self.body, lambda layer: isinstance(layer, nn.Conv2d))

    @property
    def cam_layer(self) -> nn.Module:
        """The last layer before the last pooling, which leaves two rows of 64 bands."""
        pooling = max(place for place, layer in enumerate(self.body) if isinstance(layer, nn.MaxPool2d))
        return self.body[pooling - 1]

    def frames(self, samples: int) -> int:
        return self._frames_of(1 + samples // self.hop)

    def _frames_of(self, columns: int) -> int:
        """The number of frames of a spectrogram: the last column only ends one, unless it is the first."""
        # Division of what is never negative: ONNX rounds towards zero.
        return max((columns + self.step - 2) // self.step, 1)

    def embed(self, x: Tensor) -> Tensor:
        """Spectrograms `[B, F, W]` -> embeddings `[B, T, D]`. Raises `NetworkError` for other shapes."""
        if x.dim() != 3 or x.shape[1] != self.norm.num_features:
            raise NetworkError(
                f"an input of shape {list(x.shape)}, but spectrograms [B, {self.norm.num_features}, frames] are "
                f"expected: set frontend.n_mels = {self.norm.num_features} and frontend.colours = 'none'."
            )
        missing = self._frames_of(x.shape[2]) * self.step + 1 - x.shape[2]
        x = nn.functional.pad(self.norm(x), (0, missing))
        x = self.body(x.unsqueeze(1).contiguous(memory_format=torch.channels_last))
        x = x.mean(dim=2) + x.amax(dim=2)
        return self.recurrent(x.transpose(1, 2))

    def segment_logits(self, logits: Tensor) -> Tensor:
        return linear_softmax(logits)


def linear_softmax(logits: Tensor) -> Tensor:
    """Logits of frames `[B, T, K]` -> logits of segments `[B, K]`: of the mean probability weighted by itself.

    Of five ways to pool, Wang, Li and Metze found this one to locate sounds best where only segments have labels: a
    label raises frames above half of the segment's probability and lowers the others. It has no parameters, so that
    frames are pooled the same way wherever their probabilities come from.
    """
    yes, no = logsigmoid(logits), logsigmoid(-logits)
    return torch.logsumexp(2 * yes, dim=1) - torch.logsumexp(yes + no, dim=1)
