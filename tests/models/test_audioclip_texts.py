"""AudioCLIP's tower of texts is CLIP's, as the library transformers computes it, and so are the tokens."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor

from hubbub.models.audioclip_texts import LAYERS, TextTower, embed_texts, tokens
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.network import NetworkError

transformers = pytest.importorskip("transformers")

TEXTS = [
    "dog",
    "Dog barking, and RAIN!",
    "the siren's wail: 110 dB (indoors)",
    "can't we'll you're",
    "Müllabfuhr, naïve café",
    "日本語の鳥 🐦",
    "x" * 60,
    "a_b-c/d 3.14 %&?",
    " two  blanks ",
]


@pytest.fixture(scope="module")
def tower() -> TextTower:
    torch.manual_seed(0)
    return TextTower().eval()


def as_library(tower: TextTower) -> Any:
    """The library's model with the same weights."""
    config = transformers.CLIPTextConfig(
        vocab_size=49_408, hidden_size=512, intermediate_size=2_048, projection_dim=1_024, num_hidden_layers=LAYERS,
        num_attention_heads=8, max_position_embeddings=77, hidden_act="quick_gelu", bos_token_id=49_406,
        eos_token_id=49_407,
    )  # fmt: skip
    theirs = transformers.CLIPTextModelWithProjection(config).eval()
    own, given = theirs.state_dict(), tower.state_dict()
    state: dict[str, Tensor] = {"text_projection.weight": given["text_projection"].T}
    inner = next(name for name in own if name.endswith("token_embedding.weight")).removesuffix(
        "embeddings.token_embedding.weight"
    )
    state[f"{inner}embeddings.token_embedding.weight"] = given["token_embedding.weight"]
    state[f"{inner}embeddings.position_embedding.weight"] = given["positional_embedding"]
    for kind in ("weight", "bias"):
        state[f"{inner}final_layer_norm.{kind}"] = given[f"ln_final.{kind}"]
        for layer in range(LAYERS):
            ours, name = f"transformer.resblocks.{layer}.", f"{inner}encoder.layers.{layer}."
            parts = given[f"{ours}attn.in_proj_{kind}"].chunk(3)
            for part, letter in zip(parts, "qkv", strict=True):
                state[f"{name}self_attn.{letter}_proj.{kind}"] = part
            state[f"{name}self_attn.out_proj.{kind}"] = given[f"{ours}attn.out_proj.{kind}"]
            for number in "12":
                state[f"{name}layer_norm{number}.{kind}"] = given[f"{ours}ln_{number}.{kind}"]
            state[f"{name}mlp.fc1.{kind}"] = given[f"{ours}mlp.c_fc.{kind}"]
            state[f"{name}mlp.fc2.{kind}"] = given[f"{ours}mlp.c_proj.{kind}"]
    missing, unknown = theirs.load_state_dict(state, strict=False)
    assert not unknown and all("position_ids" in name for name in missing)
    return theirs


@pytest.mark.slow
def test_embeddings_are_those_of_the_library(tower: TextTower) -> None:
    numbers = tokens(TEXTS)
    whole = torch.zeros(len(TEXTS), 77, dtype=torch.long)
    whole[:, : numbers.shape[1]] = numbers
    with torch.inference_mode():
        ours = tower(numbers)
        theirs = as_library(tower)(input_ids=whole).text_embeds
        alone = torch.cat([tower(tokens([text])) for text in TEXTS])
    assert ours.shape == (len(TEXTS), 1_024)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours, alone, rtol=1e-4, atol=1e-4)
    assert torch.cdist(ours, ours).fill_diagonal_(9).min() > 0.1


def test_tokens_are_those_of_the_library() -> None:
    """Whose tokenizer is given the vocabulary and the merges of the package."""
    package = open_clip.SimpleTokenizer()
    special = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {special.get(name, name): number for name, number in package.encoder.items()}
    theirs = transformers.CLIPTokenizer(vocab=vocabulary, merges=list(package.bpe_ranks))
    assert len(vocabulary) == 49_408
    for text in TEXTS:
        assert tokens([text])[0].tolist() == theirs(text).input_ids, text


def test_a_text_that_is_too_long_is_refused() -> None:
    assert tokens(["dog " * 75]).shape == (1, 77)
    with pytest.raises(NetworkError, match=r"'dog dog .*' has 76 tokens, and AudioCLIP takes 75. Write a shorter"):
        tokens(["rain", "dog " * 76])


def published(tower: TextTower) -> dict[str, Tensor]:
    """As the published files hold it, beside other towers."""
    others = {
        "visual.conv1.weight": torch.zeros(2),
        "audio.conv1.weight": torch.zeros(2),
        "logit_scale": torch.zeros(()),
    }
    return {**tower.state_dict(), **others, "logit_scale_at": torch.tensor(7.0)}


@pytest.mark.slow
def test_the_published_layout_is_loaded_strictly(tower: TextTower, tmp_path: Path) -> None:
    state, file = published(tower), tmp_path / "AudioCLIP.pt"
    torch.save(state, file)
    found, scale = embed_texts(TEXTS, file)
    with torch.inference_mode():
        np.testing.assert_allclose(found, tower(tokens(TEXTS)).numpy(), rtol=1e-5)
    assert scale == 100, "e^7 is above the limit"
    del state["transformer.resblocks.11.mlp.c_fc.bias"]
    torch.save(state, file)
    with pytest.raises(CheckpointError, match=r"c_fc\.bias"):
        embed_texts(TEXTS, file)
    torch.save({"audio.conv1.weight": torch.zeros(2)}, file)
    with pytest.raises(CheckpointError, match="has no tower of texts, which labels need"):
        embed_texts(TEXTS, file)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(NetworkError, match=r"pip install 'hubbub\[audioclip\]'"):
        tokens(["dog"])
