"""Whisper's encoder, trained to transcribe and translate speech in the noise of the web; a network of `transformers`.

Radford, Kim, Xu, Brockman, McLeavey, Sutskever: Robust Speech Recognition via Large-Scale Weak Supervision, ICML, 2023,
arXiv 2212.04356. The front end is part of the network, because the weights depend on it: it gives what the library's
WhisperFeatureExtractor gives. The decoder is not used.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hubbub.audio.logmel import LogMel
from hubbub.models.checkpoint import Translated
from hubbub.models.hub_models import library_config, refuse_other
from hubbub.models.network import Architecture, Network, NetworkError
from hubbub.models.spectrogram_encoder import chosen, cut_layers
from hubbub.models.wave_encoder import Mix

__all__ = ["BASE", "RATE_HZ", "Whisper", "WhisperFrontEnd"]

RATE_HZ = 16_000
#: The network of openai/whisper-base.
BASE: Architecture = {
    "config": {
        "model_type": "whisper", "d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8,
        "encoder_ffn_dim": 2048,
    },
    "preprocessor": {},
}  # fmt: skip
#: The settings of WhisperFeatureExtractor, as it has them by default.
SETTINGS: dict[str, Any] = {"feature_size": 80, "hop_length": 160, "chunk_length": 30, "n_fft": 400}
QUIETEST = 1e-10
#: The longest of the sines that tell positions, as a multiple of the shortest.
LONGEST_WAVE = 10_000
#: Decades of power below the loudest cell that are kept.
DECADES = 8.0


class WhisperFrontEnd(nn.Module):
    """Waves `[B, T]` at 16 kHz in [-1, 1] -> log-mel spectrograms `[B, bands, frames]` of 30 s: silence follows a
    shorter wave, and the rest of a longer one is cut off."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        settings = SETTINGS | settings
        n_fft, self.hop, bands = settings["n_fft"], settings["hop_length"], settings["feature_size"]
        self.longest = settings["chunk_length"] * RATE_HZ
        self.frames = self.longest // self.hop
        self.mel = LogMel(RATE_HZ, n_fft, None, self.hop, bands, 0.0, RATE_HZ / 2, pad_mode="reflect")

    def forward(self, waves: Tensor) -> Tensor:
        """In single precision, under autocast too. The frames of silence are not computed, but known."""
        with torch.autocast(waves.device.type, enabled=False):
            waves, enough = waves[:, : self.longest].float(), self.mel.n_fft
            missing = self.longest - waves.shape[-1]
            mel = self.mel.mel(nn.functional.pad(waves, (0, enough if missing > enough else missing)))
            # The same number of frames for every length, so that exported graphs take any.
            mel = nn.functional.pad(mel, (0, 0, 0, self.frames))[:, : self.frames].transpose(1, 2)
            decades = mel.clamp_min(QUIETEST).log10()
            decades = torch.maximum(decades, decades.amax(dim=(1, 2), keepdim=True) - DECADES)
            return (decades + 4.0) / 4.0


class _Positions(nn.Module):
    """Sines that tell the position of a token, which are loaded and not learnt."""

    weight: Tensor

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        octaves = torch.linspace(0, math.log(LONGEST_WAVE), width // 2)
        angles = torch.arange(count)[:, None] * torch.exp(-octaves)
        self.register_buffer("weight", torch.cat([angles.sin(), angles.cos()], dim=1))


class Whisper(Network):
    """Waves `[B, T]` at 16 kHz in [-1, 1] -> logits `[B, num_classes]`.

    The encoder always sees 30 s, silence behind a shorter wave, as it was trained and as the library demands: a segment
    of 5 s costs as much as one of 30 s. An embedding is the mean of the tokens behind the norm after the last layer
    (`layer` -1), behind another layer, or of a learnt mean of all (`mix`); with `pooling = "attention"` each token's
    weight is learnt. Those tokens alone count in which the wave is: of 5 s, five sixths of all would be silence.
    """

    def __init__(
        self,
        num_classes: int,
        architecture: Architecture = BASE,
        *,
        layer: int | str = -1,
        pooling: str = "mean",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dropout)
        self.architecture = architecture
        config: Any = library_config(architecture["config"])  # says so where transformers is missing
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        self.frontend = WhisperFrontEnd(**chosen(architecture, SETTINGS, RATE_HZ))
        bands, frames = self.frontend.mel.n_mels, 2 * config.max_source_positions
        if (bands, self.frontend.frames) != (config.num_mel_bins, frames):
            raise NetworkError(
                f"this Whisper takes {config.num_mel_bins} bands and {frames} frames, and its preprocessor_config.json "
                f"gives {bands} and {self.frontend.frames}. Fetch the checkpoint again."
            )
        self.body: Any = WhisperEncoder._from_config(config, dtype=torch.float32)
        self.body.embed_positions = _Positions(config.max_source_positions, config.d_model)
        self.mix = Mix(len(self.body.layers) + 1) if layer == "mix" else None
        self.cut = layer not in (-1, "mix")
        if self.cut:
            self.body.layers, self.body.layer_norm = cut_layers(self.body.layers, int(layer)), nn.Identity()
        self.map = nn.Identity()
        self.attention = nn.Linear(config.d_model, 1) if pooling == "attention" else None
        self.fc = nn.Linear(config.d_model, num_classes)

    @property
    def cam_layer(self) -> nn.Module:
        """The last tokens of the wave, as a map of one row: they are of all frequencies."""
        return self.map

    @property
    def blocks(self) -> list[nn.Module]:
        return list(self.body.layers)

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        at, count = seconds.double() * RATE_HZ, self._tokens(samples)
        within = (at >= 0) & (at < min(samples, self.frontend.longest) + 0.5)
        columns = (at / (2 * self.frontend.hop) + 0.5).clamp(0, count) / count
        return torch.where(within, columns, torch.nan), self.frontend.mel.rows(hz) / self.frontend.mel.n_mels

    def embed(self, x: Tensor) -> Tensor:
        """Waves `[B, T]` -> embeddings `[B, D]`."""
        tokens = functional.gelu(self.body.conv1(self.frontend(x)))
        tokens = functional.gelu(self.body.conv2(tokens)).transpose(1, 2) + self.body.embed_positions.weight
        tokens = functional.dropout(tokens, self.body.dropout, self.training)
        count, outputs = self._tokens(x.shape[-1]), [tokens]
        for layer in self.body.layers:
            outputs.append(layer(outputs[-1], None))
        tokens = self.body.layer_norm(outputs[-1])[:, :count]
        if self.mix is not None:
            tokens = self.mix(torch.stack([*(one[:, :count] for one in outputs[:-1]), tokens], dim=1))
        tokens = self.map(tokens.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)
        if self.attention is None:
            return tokens.mean(dim=1)
        return (tokens * self.attention(tokens).softmax(dim=1)).sum(dim=1)

    def added(self) -> list[nn.Module]:
        return [self.fc, *(module for module in (self.mix, self.attention) if module is not None)]

    def adopt(self, architecture: Architecture) -> None:
        decisive = ("encoder_attention_heads", "activation_function", "max_source_positions")
        refuse_other(self.architecture or BASE, architecture, decisive, SETTINGS)
        self.architecture = architecture

    def _tokens(self, samples: int) -> int:
        """The number of tokens whose middle lies in the wave."""
        step = 2 * self.frontend.hop
        return min((samples + step - 1) // step, self.frontend.frames // 2)

    def translated(self, state: Mapping[str, Tensor]) -> Translated:
        """A checkpoint's state dict, or one of ours, with the names of this network."""
        if any(name.startswith("body.") for name in state):
            return Translated(dict(state), (), ())
        own = {name.removeprefix("model."): tensor for name, tensor in state.items()}
        kept = {f"body.{name.removeprefix('encoder.')}": x for name, x in own.items() if name.startswith("encoder.")}
        left_out = len(own) - len(kept)
        notes = (f"decoder and heads left out: {left_out} tensors",) if left_out else ()
        of_network = self.state_dict()
        added = [name for name in of_network if not name.startswith("body.")]
        behind = [n for n in kept if n not in of_network and n.startswith(("body.layers.", "body.layer_norm."))]
        return Translated(kept, (*added, *(behind if self.cut else ())), notes)
