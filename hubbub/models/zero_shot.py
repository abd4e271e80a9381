"""Zero-shot classification: a sound is compared with texts about it, by CLAP, which learnt to match the two.

The texts are prompts of the labels (`This is a sound of rain.`). Their embeddings are all that the head holds, so it
fits nothing and needs neither the tower of texts nor the tokenizer later. The tokenizer is read from `tokenizer.json`
of the checkpoint by the library `tokenizers`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from hubbub.models import checkpoint
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.head import Array, Head, Targets
from hubbub.models.hub_models import library_config, read_architecture, read_state, weights_file

__all__ = ["ZeroShotHead", "prompts", "zero_shot_head"]

TOKENIZER = "tokenizer.json"
#: The towers of texts in a checkpoint, and how far CLAP spreads the cosines of a sound with texts, as a logarithm.
_OF_TEXTS, _SCALE = ("text_model.", "text_projection."), "logit_scale_a"
#: Numbers of positions and types, which the network has anyway.
_OPTIONAL = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")


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


def zero_shot_head(labels: Sequence[str], template: str, weights: Path | None, size: int) -> ZeroShotHead:
    """The head of these labels by the tower of texts of the checkpoint whose weights are in the file `weights`. Without
    one, as the network has random weights then, texts get random embeddings of that size.

    Raises `CheckpointError` where the checkpoint has no tower of texts, or no tokenizer.
    """
    if weights is None:
        texts, scale = np.random.default_rng(0).normal(size=(len(labels), size)).astype(np.float32), 1.0
    else:
        texts, scale = _embed(prompts(labels, template), weights.parent)
    return ZeroShotHead(texts / np.linalg.norm(texts, axis=1, keepdims=True), scale)


def _embed(texts: Sequence[str], folder: Path) -> tuple[Array, float]:
    """The embeddings of texts `[K, D]`, and the scale of their cosines with sounds."""
    config: Any = library_config(read_architecture(folder)["config"]).text_config
    from transformers import ClapTextModelWithProjection

    tower: Any = ClapTextModelWithProjection._from_config(config, dtype=torch.float32).eval()
    file = weights_file(folder)
    state = read_state(file)
    own = {name: tensor for name, tensor in state.items() if name.startswith(_OF_TEXTS)}
    if not own or _SCALE not in state:
        raise CheckpointError(f"{folder} has no tower of texts, which labels need. Give a whole checkpoint of CLAP.")
    checkpoint.load(tower, own, source=file.name, head=(), optional=_OPTIONAL)
    numbers, attended = _tokens(texts, folder, config)
    with torch.inference_mode():
        found = tower(input_ids=numbers, attention_mask=attended).text_embeds
    return found.numpy(), float(state[_SCALE].exp())


def _tokens(texts: Sequence[str], folder: Path, config: Any) -> tuple[Tensor, Tensor]:
    """The numbers of the tokens of each text `[K, N]`, and which of them are not padding."""
    from tokenizers import Tokenizer

    file = folder / TOKENIZER
    if not file.is_file():
        raise CheckpointError(f"{folder} has no {TOKENIZER}, which labels need. Fetch the whole checkpoint.")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # it has no exceptions of its own
        raise CheckpointError(f"{file} is not a tokenizer ({error}). Fetch it again.") from error
    # Positions are counted from behind the padding's number.
    tokenizer.enable_truncation(config.max_position_embeddings - config.pad_token_id - 1)
    tokenizer.enable_padding(pad_id=config.pad_token_id)
    found = tokenizer.encode_batch(list(texts))
    return torch.tensor([one.ids for one in found]), torch.tensor([one.attention_mask for one in found])
