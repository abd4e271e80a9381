"""YAMNet that says when: logits of frames of 40 ms, for sounds that overlap.

YAMNet's layers run over whole segments instead of patches, and what each resolution of time finds (40, 80, 160 and
320 ms) is joined in each frame: early layers know when, late ones what. A recurrent layer reads the frames in both
directions, as in `framewise`.
"""

import torch
from torch import Tensor, nn

from hubbub.audio.logmel import log_mel
from hubbub.models.framewise import FRAME_S, linear_softmax
from hubbub.models.network import Network
from hubbub.models.recurrent import BiGRU
from hubbub.models.yamnet import RATE_HZ, STFT_HOP, YAMNet, separable_blocks

__all__ = ["FRAME", "FramewiseYAMNet"]

#: The length of a frame [samples].
FRAME = round(FRAME_S * RATE_HZ)
#: Columns of the spectrogram in a frame, and in one output of the last layer.
STEP, LONGEST = 4, 32
#: Channels of what outputs of 40, 80, 160 and 320 ms find.
CHANNELS = (128, 256, 512, 1024)
#: A convolution of stride 2 is centred on the second of its two columns. With so many zeros before the wave, an output
#: of 40 ms is centred on its frame, and a longer one on the last of its frames.
BEFORE = 360


class FramewiseYAMNet(Network):
    """Waves `[B, N]` at 16 kHz in [-1, 1] -> embeddings `[B, T, 2 * SIZE]`, logits `[B, T, num_classes]` of frames."""

    frame_s = FRAME_S
    SIZE = 128

    def __init__(self, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        own = YAMNet()
        self.frontend, self.body, self.map = own.frontend, own.body, own.map
        halvings = [place for place, layer in enumerate(self.body) if getattr(layer, "stride", 1) == (2, 2)]
        self._parts = [slice(*ends) for ends in zip((0, *halvings[2:]), (*halvings[2:], len(self.body)), strict=True)]
        self.joins = nn.ModuleList(nn.Sequential(nn.LayerNorm(2 * c), nn.Linear(2 * c, self.SIZE)) for c in CHANNELS)
        self.norm = nn.LayerNorm(self.SIZE)
        self.recurrent = BiGRU(self.SIZE, self.SIZE)
        self.fc = nn.Linear(2 * self.SIZE, num_classes)

    @property
    def blocks(self) -> list[nn.Module]:
        return separable_blocks(self.body)

    @property
    def cam_layer(self) -> nn.Module:
        return self.map

    def added(self) -> list[nn.Module]:
        return [self.fc, self.joins, self.norm, self.recurrent]

    def frames(self, samples: int) -> int:
        return max((samples + FRAME - 1) // FRAME, 1)

    def _columns(self, samples: int) -> int:
        """Whole outputs of the last layer, so that every layer halves an even number and pads its end alone."""
        return (self.frames(samples) // (LONGEST // STEP) + 1) * LONGEST

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        columns = self._columns(samples)
        at = self.frontend.columns(seconds + BEFORE / RATE_HZ, columns)
        return at / columns, self.frontend.rows(hz) / self.frontend.n_mels

    def embed(self, waves: Tensor) -> Tensor:
        """Waves `[B, N]` -> embeddings `[B, T, 2 * SIZE]`."""
        samples = waves.shape[-1]
        frames, columns = self.frames(samples), self._columns(samples)
        after = (columns - 1) * STFT_HOP + self.frontend.shortest - BEFORE - samples
        x = log_mel(self.frontend, nn.functional.pad(waves, (BEFORE, after)))
        x = x.transpose(1, 2).unsqueeze(1).contiguous(memory_format=torch.channels_last)
        found = []
        for number, (part, join) in enumerate(zip(self._parts, self.joins, strict=True)):
            x = self.body[part](x)
            if number == len(self.joins) - 1:
                x = self.map(x).transpose(2, 3)
            rows = torch.cat([x.mean(dim=3), x.amax(dim=3)], dim=1).transpose(1, 2)
            found.append(_spread(join(rows.log1p()), 2**number)[:, :frames])
        return self.recurrent(self.norm(torch.stack(found).sum(0)).relu())

    def segment_logits(self, logits: Tensor) -> Tensor:
        return linear_softmax(logits)


def _spread(rows: Tensor, times: int) -> Tensor:
    """Rows `[B, n, C]`, each centred on the last of `times` frames, -> `[B, n * times, C]`, linear between them."""
    before = torch.cat([rows[:, :1], rows[:, :-1]], dim=1)
    shares = torch.arange(1, times + 1, device=rows.device, dtype=rows.dtype) / times
    between = before.unsqueeze(2) + (rows - before).unsqueeze(2) * shares[:, None]
    return between.flatten(1, 2)
