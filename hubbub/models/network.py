"""The base class of all networks, which training, classifier and explanations rely on.

Input: segments `[B, N]`, spectrograms `[B, F, W]` or images `[B, C, F, W]`; then embeddings `[B, D]`; output: logits
`[B, K]`. A frame-wise network has embeddings `[B, T, D]` and logits `[B, T, K]` of the frames of each segment.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hubbub.models.errors import NetworkError

__all__ = ["FRONTEND", "Architecture", "Network", "NetworkError", "Upright", "no_blocks"]

#: What a network needs beside its recipe to be built again, as JSON: a published checkpoint's config, for example.
Architecture = Mapping[str, Any]

#: The prefix of the front end's tensors in the file of a saved classifier.
FRONTEND = "frontend:"


def no_blocks(name: str) -> NetworkError:
    """The error of a network whose blocks are not known."""
    return NetworkError(
        f"the blocks of {name} are not known, and network.trained_blocks, network.lora_rank, train.layer_decay and "
        "train.checkpointing go by them. Leave these settings out."
    )


class Network(nn.Module):
    """`embed` computes embeddings, `head` logits from them; `fc` is the last layer."""

    fc: nn.Linear
    #: Whether a network that computes spectra by itself does so in double precision, where it can.
    exact = False
    #: The length of a frame of a frame-wise network [s]; None of a network that has one output for a segment.
    frame_s: float | None = None
    #: What `build_network` needs beside the recipe; None where the recipe tells all. A saved classifier contains it.
    architecture: Architecture | None = None

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks that data pass through one after another, from input to output, without the `added` layers.

        Where the layers of a block are called one by one and not as one module, the block is a `Sequential` of them, or
        a `ModuleList` if they do not follow each other. Raises `NetworkError` for a network without blocks.
        """
        raise no_blocks(type(self).__name__)

    @property
    def cam_layer(self) -> nn.Module:
        """The layer whose map `[B, C, f, w]` Grad-CAM uses: rows are frequencies, low ones first, columns times."""
        raise NotImplementedError

    @property
    def bands_layer(self) -> nn.Module | None:
        """The layer that splits the spectrum into parts, `[B, parts, F, W]`, low parts first; a row of the map is then
        one frequency of each part. None if rows are the whole spectrum."""
        return None

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Positions of times [s] and frequencies [Hz] of a segment on the network's input, as `FrontEnd.positions`; for
        networks with their own front end."""
        raise NotImplementedError

    def frames(self, samples: int) -> int:
        """The number of frames T of a segment of so many samples; for frame-wise networks. Frame t is the sound from t
        to t + 1 times `frame_s` after the segment's start."""
        raise NotImplementedError

    def embed(self, x: Tensor) -> Tensor:
        """Input (see above) -> embeddings `[B, D]`, of frames `[B, T, D]`."""
        raise NotImplementedError

    def head(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, D]` -> logits `[B, K]`, of frames `[B, T, D]` -> `[B, T, K]`."""
        return self.fc(self.dropout(embeddings))

    def logits(self, x: Tensor) -> Tensor:
        """Input (see above) -> logits `[B, K]`, of frames `[B, T, K]`."""
        return self.head(self.embed(x))

    def segment_logits(self, logits: Tensor) -> Tensor:
        """Logits `[B, K]`, or of frames `[B, T, K]` -> logits of the segments `[B, K]`."""
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def reset_head(self, num_classes: int) -> None:
        """Replace the last layer by a new one for `num_classes` classes."""
        self.fc = nn.Linear(self.fc.in_features, num_classes).to(self.fc.weight.device)

    def added(self) -> list[nn.Module]:
        """The layers without published weights, which are trained even if the rest is frozen: at least `fc`."""
        return [self.fc]

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters, each once: `head`, those of the `added` layers, and `backbone`, all others."""
        head = [p for module in self.added() for p in module.parameters()]
        own = {id(p) for p in head}
        return {"head": head, "backbone": [p for p in self.parameters() if id(p) not in own]}

    def adopt(self, architecture: Architecture) -> None:
        """Take over the architecture of a checkpoint whose weights follow, what prepares its input included; for
        networks that have one. Raises `CheckpointError` where that is another network."""
        raise NotImplementedError

    def side_logits(self) -> list[Tensor]:
        """Logits `[B, K]` of auxiliary classifiers in the last training pass; call once per pass."""
        return []

    def regulariser(self) -> Tensor | float:
        """The network's own term of the training loss of the last pass; call once per pass."""
        return 0.0


class Upright(nn.Module):
    """Maps `[B, C, time, bands]` -> `[B, C, bands, time]`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(2, 3)
