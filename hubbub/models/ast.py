"""AST: a Transformer over overlapping patches of a spectrogram, trained on AudioSet; a network of `transformers`.

Gong, Chung, Glass: AST: Audio Spectrogram Transformer, Interspeech, 2021, arXiv 2104.01778. The front end is part of
the network, because the weights depend on it: it gives what the library's ASTFeatureExtractor gives.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hubbub.audio.kaldi import FRAME, HOP, RATE_HZ, Fbank
from hubbub.models.checkpoint import Translated
from hubbub.models.hub_models import library_config, library_model, refuse_other, without_heads
from hubbub.models.network import Architecture, Network, NetworkError
from hubbub.models.spectrogram_encoder import chosen, cut_layers
from hubbub.models.wave_encoder import Mix

__all__ = ["AST", "BASE", "RATE_HZ", "ASTFrontEnd"]

#: The network of the published checkpoints, which are all of one size.
BASE: Architecture = {"config": {"model_type": "audio-spectrogram-transformer"}, "preprocessor": {}}

#: The settings of ASTFeatureExtractor, as it has them by default.
SETTINGS: dict[str, Any] = {
    "num_mel_bins": 128,
    "max_length": 1024,
    "mean": -4.2677393,
    "std": 4.5689974,
    "do_normalize": True,
}
#: Tokens before those of the patches: of the class, and of the distillation.
PREFIX = 2
#: The names of layers in checkpoints, and those of the library.
_RENAMED = (
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.attention\.query\.", ".attention.q_proj."),
    (r"\.attention\.attention\.key\.", ".attention.k_proj."),
    (r"\.attention\.attention\.value\.", ".attention.v_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)


class ASTFrontEnd(nn.Module):
    """Waves `[B, T]` at 16 kHz in [-1, 1] -> standardised log-mel energies `[B, frames, bands]`, always as many frames.

    Frames after the end are 0 before they are standardised, as published; those after the last one are cut off. Waves
    shorter than a frame are zero-padded.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        settings = SETTINGS | settings
        mean, sd = (settings["mean"], 2 * settings["std"]) if settings["do_normalize"] else (0.0, 1.0)
        self.frames, self.padding = settings["max_length"], -mean / sd
        self.fbank = Fbank(settings["num_mel_bins"], mean, sd)

    @property
    def longest(self) -> int:
        """The samples of the longest wave of which nothing is cut off."""
        return FRAME + self.frames * HOP - 1

    def forward(self, waves: Tensor) -> Tensor:
        missing = max(FRAME - waves.shape[-1], 0)
        spectrograms = self.fbank(nn.functional.pad(waves, (0, missing)))
        # The same number of frames for every length, so that exported graphs take any.
        return nn.functional.pad(spectrograms, (0, 0, 0, self.frames), value=self.padding)[:, : self.frames]


class AST(Network):
    """Waves `[B, T]` at 16 kHz in [-1, 1] -> logits `[B, num_classes]`.

    An embedding is the mean of the tokens of class and distillation, the library's `pooler_output`: behind the norm
    after the last layer (`layer` -1), behind another layer, or a learnt mean of all (`mix`). Waves are padded or cut to
    10.26 s, or to what the checkpoint's settings say.
    """

    def __init__(
        self, num_classes: int, architecture: Architecture = BASE, *, layer: int | str = -1, dropout: float = 0.0
    ) -> None:
        super().__init__(dropout)
        self.architecture = architecture
        config: Any = library_config(architecture["config"])
        self.frontend = ASTFrontEnd(**chosen(architecture, SETTINGS, RATE_HZ))
        bands = self.frontend.fbank.n_mels
        if (bands, self.frontend.frames) != (config.num_mel_bins, config.max_length):
            raise NetworkError(
                f"this AST takes {config.num_mel_bins} bands and {config.max_length} frames, and its "
                f"preprocessor_config.json gives {bands} and {self.frontend.frames}. Fetch the checkpoint again."
            )
        self.body = library_model(config)
        self.mix = Mix(len(self.body.layers) + 1) if layer == "mix" else None
        self.cut = layer not in (-1, "mix")
        if self.cut:
            self.body.layers, self.body.layernorm = cut_layers(self.body.layers, int(layer)), nn.Identity()
        self.grid: tuple[int, int] = self.body.embeddings.get_shape(config)
        self.patch, self.strides = config.patch_size, (config.frequency_stride, config.time_stride)
        self.map = nn.Identity()
        self.fc = nn.Linear(config.hidden_size, num_classes)

    @property
    def cam_layer(self) -> nn.Module:
        """The tokens of patches before the last layer, which uses only the first two behind it."""
        return self.map

    @property
    def blocks(self) -> list[nn.Module]:
        return list(self.body.layers)

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        frames = min(max(1 + (samples - FRAME) // HOP, 1), self.frontend.frames)
        columns, rows = self.frontend.fbank.columns(seconds, frames), self.frontend.fbank.rows(hz)
        # A patch is where its middle is.
        found = [
            ((place - self.patch / 2) / stride + 0.5).clamp(0, size) / size
            for place, stride, size in zip((rows, columns), self.strides, self.grid, strict=True)
        ]
        return found[1], found[0]

    def embed(self, x: Tensor) -> Tensor:
        """Waves `[B, T]` -> embeddings `[B, D]`."""
        tokens = self.body.embeddings(self.frontend(x))
        *layers, last = self.body.layers
        outputs = [tokens[:, :PREFIX]]
        for layer in layers:
            tokens = layer(tokens)
            outputs.append(tokens[:, :PREFIX])
        patches = self.map(tokens[:, PREFIX:].transpose(1, 2).unflatten(2, self.grid))
        tokens = last(torch.cat([tokens[:, :PREFIX], patches.flatten(2).transpose(1, 2)], dim=1))
        found = self.body.layernorm(tokens[:, :PREFIX])
        if self.mix is not None:
            found = self.mix(torch.stack([*outputs, found], dim=1))
        return found.mean(dim=1)

    def added(self) -> list[nn.Module]:
        return [self.fc, *([self.mix] if self.mix is not None else [])]

    def adopt(self, architecture: Architecture) -> None:
        decisive = ("hidden_act", "layer_norm_eps", "num_attention_heads", "frequency_stride", "time_stride")
        refuse_other(self.architecture or BASE, architecture, decisive, SETTINGS)
        self.architecture = architecture

    def translated(self, state: Mapping[str, Tensor]) -> Translated:
        """A checkpoint's state dict, or one of ours, with the names of this network."""
        if any(name.startswith("body.") for name in state):
            return Translated(dict(state), (), ())
        kept, notes = without_heads(state, self.body)
        renamed = {}
        for name, tensor in kept.items():
            for old, new in _RENAMED:
                name = re.sub(old, new, name)
            renamed[f"body.{name}"] = tensor
        own = self.state_dict()
        added = [name for name in own if not name.startswith("body.")]
        behind = [name for name in renamed if name not in own and name.startswith(("body.layers.", "body.layernorm."))]
        return Translated(renamed, (*added, *(behind if self.cut else ())), notes)
