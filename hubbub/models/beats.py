"""BEATs: a Transformer over patches of a spectrogram, trained on AudioSet without labels and, mostly, then with them.

Chen et al.: BEATs: Audio Pre-Training with Acoustic Tokenizers, ICML, 2023, arXiv 2212.09058. The front end is part of
the network, because the weights depend on it. Parameters have the published names, but for the last layer (`predictor`
there, `fc` here) and the table of position biases, which all layers share: published files repeat it in each layer, and
here the first one has it. The layers that the authors leave out at random in training are all used here.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubbub.audio.kaldi import FRAME, HOP, RATE_HZ, Fbank
from hubbub.models.checkpoint import Translated
from hubbub.models.network import Network

__all__ = ["RATE_HZ", "BEATs", "token_padding"]

INT16 = 32_768.0
BANDS = 128
POVEY = 0.85  # its window is Hann's to this power
#: Of the log-mel energies of AudioSet; BEATs is given half of what they standardise to.
MEAN, SD = 15.41663, 6.55582
PATCH = 16
ROWS = BANDS // PATCH  # tokens of one column of patches
SHORTEST = FRAME + (PATCH - 1) * HOP  # samples of one column of patches
CLASSES = 527
#: Taps and groups of the convolution that tells positions.
TAPS, GROUPS = 128, 16
#: Biases of the attention for distances in either direction: one for each of the smaller half, then for ever more.
BUCKETS, FARTHEST = 160, 800
_GATES = 4  # outputs of `grep_linear` that are summed for one gate
_TABLE = "self_attn.relative_attention_bias.weight"


class _PositionConv(nn.Module):
    """Tokens `[B, C, N]` -> what their neighbours say of their position, `[B, C, N]`; each tap is weight-normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        shape = (width, width // GROUPS, TAPS)
        self.weight_v = nn.Parameter(torch.randn(shape) / math.sqrt(math.prod(shape[1:])))
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=(0, 1), keepdim=True))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(0, 1), keepdim=True))
        return functional.conv1d(x, weight, self.bias, padding=TAPS // 2, groups=GROUPS)[..., :-1]


class _Attention(nn.Module):
    """Self-attention with a bias for each distance, which each query makes larger or smaller."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        self.grep_linear = nn.Linear(width // heads, 2 * _GATES)
        self.grep_a = nn.Parameter(torch.ones(1, heads, 1, 1))

    def forward(self, x: Tensor, bias: Tensor, padding: Tensor | None) -> Tensor:
        """Tokens `[B, N, C]`, bias `[heads, N, N]`, which tokens are padding `[B, N]` -> `[B, N, C]`."""
        layers = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in layers)
        outer, inner = self.grep_linear(q).unflatten(-1, (2, _GATES)).sum(-1).sigmoid().chunk(2, dim=-1)
        bias = (outer * (inner * self.grep_a - 1) + 2) * bias
        if padding is not None:
            bias = bias.masked_fill(padding[:, None, None, :], -math.inf)
        found = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.out_proj(found.transpose(1, 2).flatten(2))


class _Layer(nn.Module):
    """Attention and two fully connected layers, each with a shortcut of weight `alpha` and a norm behind it."""

    def __init__(self, width: int, hidden: int, heads: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.self_attn = _Attention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, bias: Tensor, padding: Tensor | None) -> Tensor:
        x = self.self_attn_layer_norm(self.alpha * x + self.self_attn(x, bias, padding))
        return self.final_layer_norm(self.alpha * x + self.fc2(functional.gelu(self.fc1(x))))


class _Encoder(nn.Module):
    """The Transformer, with the weights of shortcuts and the initialisation of DeepNet (arXiv 2203.00555)."""

    bucket: Tensor

    def __init__(self, layers: int, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.pos_conv = nn.Sequential(_PositionConv(width), nn.GELU())
        self.layer_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(_Layer(width, hidden, heads, (2 * layers) ** 0.25) for _ in range(layers))
        first: Any = self.layers[0]
        first.self_attn.relative_attention_bias = nn.Embedding(2 * BUCKETS, heads)
        self.register_buffer("bucket", _buckets(), persistent=False)
        for name, module in self.layers.named_modules():
            if isinstance(module, nn.Linear):
                smaller = name.endswith(("v_proj", "out_proj", "fc1", "fc2"))
                nn.init.xavier_normal_(module.weight, (8 * layers) ** -0.25 if smaller else 1.0)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """Tokens `[B, N, C]`, which of them are padding `[B, N]` -> `[B, N, C]`."""
        if padding is not None:
            x = x.masked_fill(padding[..., None], 0)
        x = self.layer_norm(x + self.pos_conv(x.transpose(1, 2)).transpose(1, 2))
        place = torch.arange(x.shape[1], device=x.device)
        distance = (place - place[:, None]).clamp(-FARTHEST, FARTHEST)
        first: Any = self.layers[0]
        bias = first.self_attn.relative_attention_bias(self.bucket[distance + FARTHEST]).permute(2, 0, 1)
        for layer in self.layers:
            x = layer(x, bias, padding)
        return x


class BEATs(Network):
    """Waves `[B, T]` at 16 kHz in [-1, 1] -> logits `[B, num_classes]`; waves under .175 s are zero-padded.

    An embedding is the mean of the tokens. AudioSet's logits are the mean of the last layer's outputs for each token,
    which is its output for the mean.
    """

    def __init__(
        self,
        num_classes: int = CLASSES,
        dropout: float = 0.0,
        *,
        layers: int = 12,
        width: int = 768,
        hidden: int = 3072,
        heads: int = 12,
        patch_width: int = 512,
    ) -> None:
        super().__init__(dropout)
        self.frontend = Fbank(BANDS, MEAN, 2 * SD, power=POVEY, gain=INT16)
        self.patch_embedding = nn.Conv2d(1, patch_width, PATCH, stride=PATCH, bias=False)
        self.layer_norm = nn.LayerNorm(patch_width)
        self.post_extract_proj = nn.Linear(patch_width, width)
        self.encoder = _Encoder(layers, width, hidden, heads)
        self.map = nn.Identity()
        self.fc = nn.Linear(width, num_classes)

    @property
    def blocks(self) -> list[nn.Module]:
        return list(self.encoder.layers)

    @property
    def cam_layer(self) -> nn.Module:
        return self.map

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        frames = _columns(max(samples, SHORTEST)) * PATCH
        return self.frontend.columns(seconds, frames) / frames, self.frontend.rows(hz) / BANDS

    def tokens(self, waves: Tensor, padding: Tensor | None = None) -> Tensor:
        """Waves `[B, T]`, which of their samples are padding `[B, T]` -> tokens `[B, N, C]`, eight bands of one time
        after those of the time before."""
        missing = max(SHORTEST - waves.shape[-1], 0)
        spectrograms = self.frontend(functional.pad(waves, (0, missing)))
        patches = self.patch_embedding(spectrograms.unsqueeze(1)).flatten(2).transpose(1, 2)
        if padding is not None:
            padding = token_padding(functional.pad(padding, (0, missing), value=True))
        return self.encoder(self.post_extract_proj(self.layer_norm(patches)), padding)

    def embed(self, segments: Tensor) -> Tensor:
        """Segments `[B, N]` -> embeddings `[B, 768]`."""
        tokens = self.tokens(segments)
        return self.map(tokens.transpose(1, 2).unflatten(2, (-1, ROWS)).transpose(2, 3)).mean(dim=(2, 3))

    def translated(self, state: Mapping[str, Tensor]) -> Translated:
        """A published state dict, or one of ours, with the names of this network; one of training without labels has no
        last layer."""
        table = state.get(f"encoder.layers.0.{_TABLE}")
        translated = {}
        for name, tensor in state.items():
            if name.endswith(_TABLE) and table is not None and tensor is not table and torch.equal(tensor, table):
                continue  # a repetition
            first, dot, rest = name.partition(".")
            translated["fc" + dot + rest if first == "predictor" else name] = tensor
        headless = not any(name.startswith("fc.") for name in translated)
        return Translated(translated, ("fc.weight", "fc.bias") if headless else (), ())


def token_padding(padding: Tensor) -> Tensor:
    """Which samples are padding `[B, T]` -> which tokens are, `[B, N]`.

    As published, token n is the n-th part of the frames, which is not where its own patch is.
    """
    frames = 1 + (padding.shape[1] - FRAME) // HOP
    for count in (frames, _columns(padding.shape[1]) * ROWS):
        length = padding.shape[1] // count
        padding = padding[:, : count * length].unflatten(1, (count, length)).all(dim=2)
    return padding


def _columns(samples: int) -> int:
    """The number of columns of patches of a wave."""
    return (1 + (samples - FRAME) // HOP) // PATCH


def _buckets() -> Tensor:
    """The row of the table of biases for each distance of a key from its query, from -FARTHEST to FARTHEST: the first
    half of a side's rows is for one distance each, the others for distances that grow by the same factor."""
    distance = torch.arange(-FARTHEST, FARTHEST + 1)
    size, each = distance.abs(), BUCKETS // 2
    shares = torch.log(size.clamp_min(each) / each) / math.log(FARTHEST / each)
    rows = torch.where(size < each, size, (each + (each * shares).long()).clamp_max(BUCKETS - 1))
    return rows + BUCKETS * (distance > 0)
