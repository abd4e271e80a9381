"""Transformers over waves, as the library `transformers` has them: wav2vec 2.0, HuBERT, WavLM and their relatives.

Baevski et al.: wav2vec 2.0, NeurIPS, 2020, arXiv 2006.11477; Hsu et al.: HuBERT, IEEE/ACM TASLP 29, 2021, arXiv
2106.07447; Chen et al.: WavLM, IEEE JSTSP 16, 2022, arXiv 2110.13900. The network is the library's own, under `body.`;
strides of convolutions make tokens of a wave (of 20 ms each), and a Transformer relates them. Published heads are left
out: `fc` classifies the mean of the tokens, or a mean whose weights are learnt. SpecAugment and leaving out layers at
random, which configs ask for in training, are off.

The weight normalisation of the convolution that tells positions is multiplied out when weights are loaded.

The classifier cuts segments of one length and fills up short ones with zeros, so no lengths reach a network: it takes
all of a segment for sound. `tokens` and `embed` take which samples are padding, for callers that know.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubbub.models import hub_models
from hubbub.models.checkpoint import Translated
from hubbub.models.network import Architecture, Network, NetworkError

__all__ = ["BASES", "Mix", "WaveEncoder", "architecture_of", "rate_hz"]

RATE_HZ = 16_000
#: Added to the variance of waves, as the library does.
TINY = 1e-7
#: Of the default checkpoints: config and preprocessor, where they are not the library's defaults.
BASES: dict[str, Architecture] = {
    "wav2vec2": {"config": {"model_type": "wav2vec2"}, "preprocessor": {"do_normalize": True}},
    "hubert": {"config": {"model_type": "hubert"}, "preprocessor": {"do_normalize": True}},
    "wavlm": {"config": {"model_type": "wavlm"}, "preprocessor": {"do_normalize": False}},
}
#: Settings of training alone, which are replaced.
_OFF = {"apply_spec_augment": False, "mask_time_prob": 0.0, "mask_feature_prob": 0.0, "layerdrop": 0.0}
#: What a config decides beside the shapes of weights.
_DECIDES = (
    *("hidden_act", "feat_extract_activation", "feat_extract_norm", "conv_stride", "num_attention_heads"),
    *("layer_norm_eps", "do_stable_layer_norm", "max_bucket_distance"),
)


def architecture_of(name: str, weights: str) -> Architecture:
    """What builds the network of a recipe: from the checkpoint that `network.weights` names, or of the base size.

    Raises `NetworkError` for a checkpoint of another network, `HubError` if it cannot be downloaded.
    """
    if weights in ("default", "none"):
        if name not in BASES:
            raise NetworkError(
                f"network.name = '{name}' is any encoder on waves, so network.weights must name its checkpoint: "
                "OWNER/NAME@REVISION on the Hugging Face hub, or a folder."
            )
        return BASES[name]
    found = hub_models.read_architecture(hub_models.find(weights))
    kind = found["config"]["model_type"]
    if name in BASES and kind != name:
        raise NetworkError(
            f"network.weights: {weights} is a '{kind}', not a {name}. Set network.name = "
            f"'{kind if kind in BASES else 'transformers'}', or name other weights."
        )
    return found


def rate_hz(architecture: Architecture) -> int:
    """The sample rate that a checkpoint's preprocessor states."""
    return int(architecture["preprocessor"].get("sampling_rate", RATE_HZ))


def _is_normalised(architecture: Architecture) -> bool:
    """Whether each wave gets mean 0 and variance 1; so it does where nothing is said, as in the library."""
    return bool(architecture["preprocessor"].get("do_normalize", True))


class Mix(nn.Module):
    """Outputs of layers `[B, L, N, C]` -> their weighted mean `[B, N, C]`; at first all count alike."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))

    def forward(self, outputs: Tensor) -> Tensor:
        return torch.einsum("l,blnc->bnc", self.weights.softmax(dim=0), outputs)


class WaveEncoder(Network):
    """Waves `[B, T]` in [-1, 1] -> logits `[B, num_classes]`; waves too short for a token are zero-padded.

    An embedding is the mean of the tokens of `layer`: -1 is the network's output, 0 what the first layer gets, 6 the
    output of the sixth, `mix` a learnt mean of all. With `pooling = "attention"` each token's weight is learnt. Raises
    `NetworkError` for a network that takes no waves, or has no such layer.
    """

    def __init__(
        self,
        num_classes: int,
        architecture: Architecture,
        *,
        layer: int | str = -1,
        pooling: str = "mean",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dropout)
        config: Any = hub_models.library_config(architecture["config"] | _OFF)
        _refuse_other_inputs(config.model_type)
        self.architecture = architecture
        self.body = hub_models.library_model(config)
        self.normalise = _is_normalised(architecture)
        self.layer, self._layers = layer, config.num_hidden_layers
        if layer == "mix":
            _refuse_resampled(config)
            self.mix = Mix(self._layers + 1)
        elif layer != -1:
            self._keep_layers(config, int(layer))
        self.map = nn.Identity()
        width = config.output_hidden_size if getattr(config, "add_adapter", False) else config.hidden_size
        if pooling == "attention":
            self.attention = nn.Linear(width, 1)
        self.fc = nn.Linear(width, num_classes)

    @property
    def blocks(self) -> list[nn.Module]:
        """The Transformer's layers, from input to output."""
        encoder = self.body.encoder
        return list(encoder.layers if hasattr(encoder, "layers") else encoder.encoder.layer)

    @property
    def cam_layer(self) -> nn.Module:
        """The tokens as a map `[B, C, 1, N]`: it tells when, and not how high."""
        return self.map

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        reach, stride = _field(self.body.config)
        samples = max(samples, reach)
        tokens = 1 + (samples - reach) // stride
        at = seconds.double() * rate_hz(self.architecture or {})
        columns = ((at - reach / 2) / stride + 0.5).clamp(0, tokens) / tokens
        within = (at >= 0) & (at <= samples)
        return torch.where(within, columns, torch.nan), torch.full_like(hz, 0.5, dtype=torch.float64)

    def tokens(self, waves: Tensor, padding: Tensor | None = None) -> Tensor:
        """Waves `[B, T]`, which of their samples are padding `[B, T]` -> tokens `[B, N, C]`."""
        waves = waves.float()
        if self.normalise:
            waves = _standardised(waves, padding)
        missing = max(_shortest(self.body.config) - waves.shape[-1], 0)
        waves = functional.pad(waves, (0, missing))
        mask = None if padding is None else functional.pad(~padding, (0, missing)).long()
        if self.layer != "mix":
            return self.body(waves, attention_mask=mask).last_hidden_state
        out = self.body(waves, attention_mask=mask, output_hidden_states=True)
        return self.mix(torch.stack(out.hidden_states, dim=1))

    def embed(self, segments: Tensor, padding: Tensor | None = None) -> Tensor:
        """Segments `[B, T]`, which of their samples are padding `[B, T]` -> embeddings `[B, C]`."""
        tokens = self.map(self.tokens(segments, padding).transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)
        scores = self.attention(tokens) if hasattr(self, "attention") else torch.zeros_like(tokens[..., :1])
        if padding is not None:
            real = self.body._get_feature_vector_attention_mask(tokens.shape[1], (~padding).long())
            scores = scores.masked_fill(real[..., None] == 0, -torch.inf)
        return (tokens * scores.softmax(dim=1)).sum(dim=1)

    def added(self) -> list[nn.Module]:
        return [self.fc, *(getattr(self, name) for name in ("attention", "mix") if hasattr(self, name))]

    def translated(self, state: Mapping[str, Tensor]) -> Translated:
        """A published state dict, or one of ours, with the names of this network."""
        if any(name.startswith("body.") for name in state):
            return Translated(dict(state), (), ())
        published, notes = hub_models.without_heads(state, self.body)
        translated = {f"body.{name}": tensor for name, tensor in published.items()}
        added = [name for name in self.state_dict() if not name.startswith("body.")]
        unused = ["body.masked_spec_embed"]  # SpecAugment's
        unused += [name for name in translated if self._is_left_out(name)]
        return Translated(translated, (*added, *unused), notes)

    def adopt(self, architecture: Architecture) -> None:
        ours = self.architecture or architecture
        hub_models.refuse_other(ours, architecture, _DECIDES, {"sampling_rate": RATE_HZ})
        self.architecture, self.normalise = architecture, _is_normalised(architecture)

    def _keep_layers(self, config: Any, layer: int) -> None:
        """Remove the layers behind the chosen one, and the norm behind the last, which is for the output alone."""
        _refuse_resampled(config)
        number = layer if layer >= 0 else self._layers + 1 + layer
        if not 0 <= number <= self._layers:
            raise NetworkError(
                f"network.layer = {layer}: this {config.model_type} has {self._layers} layers. Set -1 (the output), 0 "
                f"(what the first layer gets) to {self._layers}, or 'mix'."
            )
        self.body.encoder.layers = self.body.encoder.layers[:number]
        if _norm_is_last(config):
            self.body.encoder.layer_norm = nn.Identity()

    def _is_left_out(self, name: str) -> bool:
        """Whether a published tensor belongs to a layer that `layer` leaves out."""
        if isinstance(self.layer, str) or self.layer == -1:
            return False
        if name.startswith("body.encoder.layer_norm."):
            return isinstance(self.body.encoder.layer_norm, nn.Identity)
        number = name.removeprefix("body.encoder.layers.").partition(".")[0]
        return number.isdecimal() and len(self.blocks) <= int(number) < self._layers


def _refuse_other_inputs(kind: str) -> None:
    """Raises `NetworkError` for a type of model that takes no waves, as the library's own tables say."""
    extractors = import_module("transformers.models.auto.feature_extraction_auto").FEATURE_EXTRACTOR_MAPPING_NAMES
    classifiers = import_module("transformers.models.auto.modeling_auto").MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES
    # wav2vec2-bert has the same extractor in this table, but takes spectrograms.
    on_waves = [name for name in classifiers if extractors.get(name) == "Wav2Vec2FeatureExtractor"]
    on_waves.remove("wav2vec2-bert")
    if kind not in on_waves:
        raise NetworkError(
            f"'{kind}' is not a type of model that takes waves: network.name = 'transformers' takes "
            f"{', '.join(sorted(on_waves))}. Others have names of their own in network.name."
        )


def _refuse_resampled(config: Any) -> None:
    """Raises `NetworkError` where the outputs of layers have another rate than the network's output."""
    if config.model_type.startswith("sew") or getattr(config, "add_adapter", False):
        raise NetworkError(
            f"this {config.model_type} changes the rate of its tokens behind its layers, so only its output can be "
            "used. Set network.layer = -1."
        )


def _norm_is_last(config: Any) -> bool:
    return bool(getattr(config, "do_stable_layer_norm", False)) or config.model_type == "wav2vec2-conformer"


def _field(config: Any) -> tuple[int, int]:
    """How many samples a token is computed from, and the distance between two."""
    reach, stride = 1, 1
    for kernel, step in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        reach, stride = (reach - 1) * step + kernel, stride * step
    return reach, stride


def _shortest(config: Any) -> int:
    """The fewest samples that the network takes: of one token, or of as many as it joins."""
    reach, stride = _field(config)
    return reach + (getattr(config, "squeeze_factor", 1) - 1) * stride


def _standardised(waves: Tensor, padding: Tensor | None) -> Tensor:
    """Each wave with mean 0 and variance 1, in single precision; padding does not count, and becomes 0."""
    with torch.autocast(waves.device.type, enabled=False):
        if padding is None:
            centred = waves - waves.mean(dim=-1, keepdim=True)
            return centred * torch.rsqrt(centred.square().mean(dim=-1, keepdim=True) + TINY)
        real = (~padding).float()
        count = real.sum(dim=-1, keepdim=True).clamp_min(1)
        centred = (waves - (waves * real).sum(dim=-1, keepdim=True) / count) * real
        return centred * torch.rsqrt(centred.square().sum(dim=-1, keepdim=True) / count + TINY)
