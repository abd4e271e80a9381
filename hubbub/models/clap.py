"""CLAP: a Swin Transformer over spectrograms, trained to match sounds with texts that describe them; of `transformers`.

Wu, Chen, Zhang, Hui, Berg-Kirkpatrick, Dubnov: Large-Scale Contrastive Language-Audio Pretraining with Feature Fusion
and Keyword-to-Caption Augmentation, ICASSP, 2023, arXiv 2211.06687. The front end is part of the network, because the
weights depend on it: it gives what the library's ClapFeatureExtractor gives.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hubbub.audio.logmel import LogMel, log_mel
from hubbub.models.checkpoint import Translated
from hubbub.models.hub_models import library_config, refuse_other
from hubbub.models.network import Architecture, Network, NetworkError
from hubbub.models.spectrogram_encoder import chosen

__all__ = ["BASE", "CLAP", "RATE_HZ", "ClapFrontEnd"]

RATE_HZ = 48_000
#: The network of laion/clap-htsat-unfused.
BASE: Architecture = {
    "config": {"model_type": "clap"},
    "preprocessor": {"frequency_min": 50, "truncation": "rand_trunc"},
}
#: The towers of sounds in a checkpoint; the others are of texts.
_OF_SOUNDS = ("audio_model.", "audio_projection.")
#: The settings of ClapFeatureExtractor, as it has them by default.
SETTINGS: dict[str, Any] = {
    "feature_size": 64, "hop_length": 480, "max_length_s": 10, "fft_window_size": 1024,
    "frequency_min": 0, "frequency_max": 14_000, "truncation": "fusion", "padding": "repeatpad",
}  # fmt: skip


class ClapFrontEnd(nn.Module):
    """Waves `[B, T]` at 48 kHz in [-1, 1] -> log-mel spectrograms `[B, frames, bands]` of 10 s [dB].

    A shorter wave is repeated as often as it fits whole (`repeatpad`), or until the end (`repeat`), and silence follows
    it; the rest of a longer one is cut off.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        settings = SETTINGS | settings
        if settings["truncation"] != "rand_trunc":
            raise NetworkError(
                f"this CLAP has other filters, for joining parts of long sounds (truncation "
                f"'{settings['truncation']}'), which is not supported. Use one without: laion/clap-htsat-unfused."
            )
        self.padding, self.longest = settings["padding"], settings["max_length_s"] * RATE_HZ
        self.mel = LogMel(
            RATE_HZ, settings["fft_window_size"], None, settings["hop_length"], settings["feature_size"],
            settings["frequency_min"], settings["frequency_max"], pad_mode="reflect", top_db=0.0,
        )  # fmt: skip

    def forward(self, waves: Tensor) -> Tensor:
        """In single precision, under autocast too."""
        waves = waves[:, : self.longest].float()
        samples, place = waves.shape[-1], torch.arange(self.longest, device=waves.device)
        whole = {"repeat": self.longest, "repeatpad": self.longest // samples * samples}.get(self.padding, samples)
        return log_mel(self.mel, waves[:, place % samples] * (place < whole)).transpose(1, 2)


class CLAP(Network):
    """Waves `[B, T]` at 48 kHz in [-1, 1] -> logits `[B, num_classes]`.

    An embedding is the projected one that is compared with those of texts, the library's `audio_embeds`, before it is
    scaled to a length of 1: CLAP compares directions alone, and what compares them (`zero_shot`, a search) scales
    itself; a last layer learns faster from values of ordinary size.
    """

    def __init__(self, num_classes: int, architecture: Architecture = BASE, *, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.architecture = architecture
        config: Any = library_config(architecture["config"]).audio_config  # says so where transformers is missing
        from transformers import ClapAudioModelWithProjection

        if config.enable_fusion:
            raise NetworkError(
                "this CLAP joins several parts of long sounds (enable_fusion), which is not supported. Use one "
                "without: laion/clap-htsat-unfused."
            )
        self.frontend = ClapFrontEnd(**chosen(architecture, SETTINGS, RATE_HZ))
        bands = self.frontend.mel.n_mels
        if bands != config.num_mel_bins:
            raise NetworkError(
                f"this CLAP takes {config.num_mel_bins} bands, and its preprocessor_config.json gives {bands}. Fetch "
                "the checkpoint again."
            )
        self.body: Any = ClapAudioModelWithProjection._from_config(config, dtype=torch.float32)
        self.map = nn.Identity()
        self.fc = nn.Linear(config.projection_dim, num_classes)

    @property
    def cam_layer(self) -> nn.Module:
        return self.map

    @property
    def blocks(self) -> list[nn.Module]:
        """The stages, of two to six pairs of attention and fully connected layers each."""
        return list(self.body.audio_model.audio_encoder.layers)

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Where a segment is repeated, the first time counts."""
        samples = min(samples, self.frontend.longest)
        within = (seconds >= 0) & (seconds.double() * RATE_HZ < samples + 0.5)
        frames = self.frontend.mel.frames(self.frontend.longest)
        columns = self.frontend.mel.columns(seconds, frames) / frames
        return torch.where(within, columns, torch.nan), self.frontend.mel.rows(hz) / self.frontend.mel.n_mels

    def embed(self, x: Tensor) -> Tensor:
        """Waves `[B, T]` -> embeddings `[B, 512]`."""
        last = self.body.audio_model(self.frontend(x).unsqueeze(1)).last_hidden_state
        return self.body.audio_projection(self.map(last).mean(dim=(2, 3)))

    def adopt(self, architecture: Architecture) -> None:
        decisive = ("hidden_act", "num_attention_heads", "patch_stride", "spec_size", "layer_norm_eps", "enable_fusion")
        refuse_other(self.architecture or BASE, architecture, decisive, SETTINGS, part="audio_config")
        self.architecture = architecture

    def translated(self, state: Mapping[str, Tensor]) -> Translated:
        """A checkpoint's state dict, or one of ours, with the names of this network."""
        if any(name.startswith("body.") for name in state):
            return Translated(dict(state), (), ())
        kept = {f"body.{name}": tensor for name, tensor in state.items() if name.startswith(_OF_SOUNDS)}
        left_out = len(state) - len(kept)
        notes = (f"the tower of texts left out: {left_out} tensors",) if left_out else ()
        return Translated(kept, ("fc.weight", "fc.bias"), notes)
