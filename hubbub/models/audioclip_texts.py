"""The texts of AudioCLIP: CLIP's transformer, which AudioCLIP trained together with its towers of sounds and images.

Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, ICML, 2021, arXiv 2103.00020;
Guzhov et al., arXiv 2106.13043. The tokenizer is CLIP's, which the package open_clip contains (`hubbub[audioclip]`).
The parameters have the published names.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from hubbub.models import checkpoint
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.head import Array
from hubbub.models.network import NetworkError

__all__ = ["TextTower", "embed_texts", "require_tokenizer", "tokens"]

VOCABULARY, LONGEST = 49_408, 77
WIDTH, HEADS, LAYERS = 512, 8, 12
EMBEDDING = 1_024
#: The beginnings of the tower's names in a checkpoint, and how far AudioCLIP spreads the cosines of a sound with texts,
#: as a logarithm, and within which limits.
_OF_TEXTS = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")
_SCALE, _LIMITS = "logit_scale_at", (1.0, 100.0)


class _QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class _Block(nn.Module):
    """Attention to the tokens before, and two fully connected layers."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(WIDTH, 4 * WIDTH))
        self.mlp.add_module("gelu", _QuickGELU())
        self.mlp.add_module("c_proj", nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, N, 512]` -> `[B, N, 512]`"""
        normed = self.ln_1(x)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        x = x + self.attn(normed, normed, normed, attn_mask=later, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class TextTower(nn.Module):
    """Numbers of tokens `[B, N]`, N up to 77, each text ended by the largest number -> embeddings `[B, 1024]`."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.positional_embedding = nn.Parameter(torch.empty(LONGEST, WIDTH).normal_(std=0.01))
        self.transformer = nn.ModuleDict({"resblocks": nn.Sequential(*(_Block() for _ in range(LAYERS)))})
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.empty(WIDTH, EMBEDDING).normal_(std=WIDTH**-0.5))

    def forward(self, numbers: Tensor) -> Tensor:
        x = self.token_embedding(numbers) + self.positional_embedding[: numbers.shape[1]]
        x = self.ln_final(self.transformer["resblocks"](x))
        return x[torch.arange(len(x)), numbers.argmax(dim=1)] @ self.text_projection


def embed_texts(texts: Sequence[str], weights: Path) -> tuple[Array, float]:
    """The embeddings of texts `[K, 1024]` by a file of AudioCLIP's weights, and the scale of their cosines with sounds.

    Raises `CheckpointError` where the file has no tower of texts, and `NetworkError` for texts that are too long and
    where open_clip is missing.
    """
    numbers = tokens(texts)
    state = checkpoint.read(weights)
    own = {name: tensor for name, tensor in state.items() if name.startswith(_OF_TEXTS)}
    if not own or _SCALE not in state:
        raise CheckpointError(
            f"{weights} has no tower of texts, which labels need. Give the file that AudioCLIP's authors published: "
            "network.weights = 'audioclip_full'."
        )
    tower = TextTower().eval()
    checkpoint.load(tower, own, source=weights.name, head=())
    with torch.inference_mode():
        found = tower(numbers)
    return found.numpy(), float(state[_SCALE].exp().clamp(*_LIMITS))


def require_tokenizer() -> None:
    """Raise `NetworkError` where open_clip is not installed."""
    try:
        import open_clip  # noqa: F401
    except ImportError as error:
        raise NetworkError("AudioCLIP's texts need open_clip: pip install 'hubbub[audioclip]'") from error


def tokens(texts: Sequence[str]) -> Tensor:
    """The numbers of the tokens of texts `[K, N]`, with those of beginning and end, and zeros behind the end. Raises
    `NetworkError` for a text that is longer than the tower takes."""
    require_tokenizer()
    from open_clip import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    rows = [[tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id] for text in texts]
    longest = max(map(len, rows))
    if longest > LONGEST:
        text = texts[[len(row) for row in rows].index(longest)]
        raise NetworkError(
            f"'{text}' has {longest - 2} tokens, and AudioCLIP takes {LONGEST - 2}. Write a shorter label or template."
        )
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])
