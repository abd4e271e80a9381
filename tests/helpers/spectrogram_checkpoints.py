"""Small random AST, CLAP and Whisper checkpoints, which the library saved in the hub's layout."""

import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch

__all__ = ["saved", "save_ast", "save_clap", "save_whisper"]

#: Words that the small tokenizer knows; others are `<unk>`.
WORDS = ("this", "is", "a", "sound", "of", ".", "dog", "barking", "rain", "siren", "high", "low", "tone", "an")


@cache
def saved(name: str) -> tuple[str, Any]:
    """The folder of a small `ast`, `clap` or `whisper`, one a session, and the library's model."""
    folder = Path(os.environ["HUBBUB_CACHE"]) / "checkpoints" / name
    return str(folder), {"ast": save_ast, "clap": save_clap, "whisper": save_whisper}[name](folder)


def save_ast(folder: Path) -> Any:
    """Saves an AST with AudioSet's head; returns the library's model."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    config = ASTConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=48, max_length=128,
        num_mel_bins=32, num_labels=9,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of filters without a bin
        extractor = ASTFeatureExtractor(num_mel_bins=32, max_length=128, mean=-5.0, std=3.0)
    return _save(ASTForAudioClassification, config, extractor, folder)


def save_clap(folder: Path) -> Any:
    """Saves a CLAP with a tokenizer of `WORDS`; returns the library's model."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    words = _save_tokenizer(folder)
    config = ClapConfig(
        text_config={
            "vocab_size": words.get_vocab_size(), "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 48, "max_position_embeddings": 20, "pad_token_id": 1, "bos_token_id": 0,
            "eos_token_id": 2,
        },
        audio_config={
            "spec_size": 64, "num_mel_bins": 16, "patch_embeds_hidden_size": 8, "depths": [2, 2],
            "num_attention_heads": [2, 4], "hidden_size": 16, "window_size": 4, "num_hidden_layers": 2,
        },
        projection_dim=12, logit_scale_init_value=20.0,
    )  # fmt: skip
    extractor = ClapFeatureExtractor(
        feature_size=16, hop_length=4800, fft_window_size=2048, frequency_min=50, truncation="rand_trunc"
    )
    return _save(ClapModel, config, extractor, folder)


def save_whisper(folder: Path) -> Any:
    """Saves a Whisper of 2 s; returns the library's model."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=50, d_model=24, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=48, decoder_layers=1,
        decoder_attention_heads=2, decoder_ffn_dim=48, num_mel_bins=16, max_source_positions=100,
        max_target_positions=8, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=2)
    return _save(WhisperForConditionalGeneration, config, extractor, folder)


def _save_tokenizer(folder: Path) -> Any:
    """Saves a tokenizer of whole words, with CLAP's tokens of beginning, padding and end; returns it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    names = ("<s>", "<pad>", "</s>", "<unk>", *WORDS)
    made = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unk>"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.add_special_tokens(list(names[:4]))
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    return made


def _save(kind: Any, config: Any, extractor: Any, folder: Path) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(config).eval()
        for name, parameter in model.named_parameters():  # larger than a fresh network's, and none of them constant
            if parameter.dim() > 0 and "embed_positions" not in name:
                parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return model
