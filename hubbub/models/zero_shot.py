"""Zero-shot classification: a sound is compared with texts about it, by CLAP or AudioCLIP, which learnt to match them.

The texts are prompts of the labels (`This is a sound of rain.`). Their embeddings are all that the head holds, so it
fits nothing and needs neither the tower of texts nor the tokenizer later.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from hubbub.models import audioclip_texts, clap_texts
from hubbub.models.head import Array, Head, Targets

__all__ = ["ZeroShotHead", "prompts", "zero_shot_head"]


class ZeroShotHead(Head):
    """Logits are cosines of embeddings with `vectors`, those of the labels' texts `[K, D]`, times `scale`; `fit` learns
    nothing."""

    def __init__(self, vectors: Array | None = None, scale: float = 1.0) -> None:
        self.vectors, self.scale = vectors, scale
        self.classes_ = np.arange(0 if vectors is None else len(vectors))

    def fit(self, x: Array, y: Targets) -> Self:
        return self

    def decision_function(self, x: Array) -> Array:
        lengths = np.linalg.norm(x, axis=1, keepdims=True)
        return np.asarray(x / np.maximum(lengths, _SHORTEST) @ self._weights(), dtype=np.float32)

    def module(self) -> nn.Module:
        return _Cosines(torch.from_numpy(self._weights())).eval()

    def arrays(self) -> dict[str, Array]:
        return {"weights": self._weights()}

    def restore(self, arrays: dict[str, Array], texts: dict[str, str], classes: int, multilabel: bool = False) -> Self:
        self.vectors, self.scale = np.ascontiguousarray(arrays["weights"].T), 1.0
        self.classes_ = np.arange(classes)
        return self

    def _weights(self) -> Array:
        """`[D, K]`"""
        assert self.vectors is not None
        return np.ascontiguousarray(self.scale * self.vectors.T, dtype=np.float32)


#: The least length that an embedding is divided by.
_SHORTEST = np.float32(1e-12)


class _Cosines(nn.Module):
    """Embeddings `[B, D]` -> their cosines with the columns of `weights`, times the lengths of these, `[B, K]`."""

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(x, dim=1) @ self.weights


def prompts(labels: Sequence[str], template: str) -> list[str]:
    """A text for each label, whose underscores are spaces there."""
    return [template.replace("{}", " ".join(label.replace("_", " ").split())) for label in labels]


def zero_shot_head(network: str, labels: Sequence[str], template: str, weights: Path | None, size: int) -> ZeroShotHead:
    """The head of these labels by the tower of texts that belongs to a network, `clap` or `audioclip`, in the
    checkpoint whose weights are in the file `weights`. Without one, as the network has random weights then, texts get
    random embeddings of that size.

    Raises `CheckpointError` where the checkpoint has no tower of texts, or no tokenizer, and `NetworkError` for labels
    that are too long.
    """
    if weights is None:
        texts, scale = np.random.default_rng(0).normal(size=(len(labels), size)).astype(np.float32), 1.0
    else:
        embed = {"clap": clap_texts.embed_texts, "audioclip": audioclip_texts.embed_texts}[network]
        texts, scale = embed(prompts(labels, template), weights)
    return ZeroShotHead(texts / np.linalg.norm(texts, axis=1, keepdims=True), scale)
