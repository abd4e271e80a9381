"""What every network is, so that one training loop, one classifier and one explanation serve them all.

Segments `[B, N]`, spectrograms `[B, F, W]` or coloured pictures of them `[B, 3, F, W]` in, embeddings `[B, D]` between,
logits `[B, K]` out.
"""

from torch import Tensor, nn

from hubbub.errors import HubbubError

__all__ = ["FRONTEND", "Network", "NetworkError"]

#: What a saved classifier's tensors are called that are not its network's but its front end's.
FRONTEND = "frontend:"


class NetworkError(HubbubError):
    """A network that does not exist, cannot be built so, or is given what it does not take."""


class Network(nn.Module):
    """`embed` makes embeddings, `head` makes logits of them; `fc`, the last layer, knows the classes."""

    fc: nn.Linear

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    @property
    def cam_layer(self) -> nn.Module:
        """The layer whose map `[B, C, f, w]` Grad-CAM weighs: low rows are low frequencies, columns are times."""
        raise NotImplementedError

    @property
    def bands_layer(self) -> nn.Module | None:
        """For a network that takes parts of the spectrum as channels: the layer that gives them, `[B, parts, F, W]`,
        low parts first. A row of the map then stands for one place in each part. None: rows are the whole spectrum."""
        return None

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Where times [s] and frequencies [Hz] of a segment of so many samples lie on what the network sees, as
        `FrontEnd.positions` has it; for networks that hold their own front end."""
        raise NotImplementedError

    def embed(self, x: Tensor) -> Tensor:
        """What the network takes (see above) -> embeddings `[B, D]`."""
        raise NotImplementedError

    def head(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, D]` -> logits `[B, K]`."""
        return self.fc(self.dropout(embeddings))

    def logits(self, x: Tensor) -> Tensor:
        """What the network takes (see above) -> logits `[B, K]`."""
        return self.head(self.embed(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def reset_head(self, num_classes: int) -> None:
        """A fresh last layer for `num_classes` classes; everything before it stays."""
        self.fc = nn.Linear(self.fc.in_features, num_classes).to(self.fc.weight.device)

    def added(self) -> list[nn.Module]:
        """What no published weights hold, and what therefore learns even where the rest is frozen: at least `fc`."""
        return [self.fc]

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters, each once: `head`, those of what was `added`, and `backbone`, all others."""
        head = [p for module in self.added() for p in module.parameters()]
        own = {id(p) for p in head}
        return {"head": head, "backbone": [p for p in self.parameters() if id(p) not in own]}

    def side_logits(self) -> list[Tensor]:
        """Logits `[B, K]` of auxiliary classifiers in the last forward pass of training; asked for once a pass."""
        return []

    def regulariser(self) -> Tensor | float:
        """What the network adds to the training loss of its last forward pass; asked for once a pass."""
        return 0.0
