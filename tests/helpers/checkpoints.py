"""Checkpoints in the Hugging Face hub's layout, tiny and random, as the library itself saves them."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch

__all__ = ["TINY", "save_checkpoint", "tiny"]

#: Three layers of 24 values, and tokens of 25 ms.
TINY = {
    **{"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 40},
    **{"conv_dim": (16, 16, 16), "conv_kernel": (10, 8, 4), "conv_stride": (8, 5, 10), "num_feat_extract_layers": 3},
    **{"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "conv_pos_kernel_size": 5},
}


def save_checkpoint(folder: Path, kind: str, *, head: bool = False, shards: bool = False, **config: Any) -> Path:
    """A checkpoint of a network of this type, or of the library's classifier with it, with its preprocessor."""
    from transformers import CONFIG_MAPPING, AutoModel, AutoModelForAudioClassification

    settings = CONFIG_MAPPING[kind](**{**TINY, **config})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = (AutoModelForAudioClassification if head else AutoModel).from_config(settings)
    model.save_pretrained(folder, max_shard_size="40KB" if shards else "1GB")
    preprocessor = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True, "sampling_rate": 16_000}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


@cache
def tiny(kind: str, **config: Any) -> str:
    """The folder of a tiny checkpoint, one a session."""
    name = "-".join([kind, *(f"{key}={value}" for key, value in config.items())])
    return str(save_checkpoint(Path(os.environ["HUBBUB_CACHE"]) / "checkpoints" / name, kind, **config))
