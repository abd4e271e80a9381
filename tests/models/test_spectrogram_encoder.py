"""AST, CLAP and Whisper's encoder: what the library computes with the same checkpoint, and what they refuse."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from hubbub.config.recipe import Recipe
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.network import Network, NetworkError
from hubbub.models.registry import build_network
from hubbub.models.weights import find_weights, load_weights
from tests.helpers import spectrogram_checkpoints as checkpoints

transformers = pytest.importorskip("transformers")

RATES = {"ast": 16_000, "clap": 48_000, "whisper": 16_000}
NAMES = tuple(RATES)
each = pytest.mark.parametrize("name", NAMES)
Saved = Callable[[str], tuple[Path, Any]]


@pytest.fixture(scope="module")
def saved() -> Saved:
    """`saved(name)`: the folder of a small checkpoint, and the library's model that it is of."""
    return lambda name: (Path(checkpoints.saved(name)[0]), checkpoints.saved(name)[1])


def recipe(name: str, folder: Path | str, seconds: float = 1.0, **network: Any) -> Recipe:
    rate = RATES[name]
    length = round(seconds * rate)
    return Recipe.of(
        {
            "data": {"name": "street"},
            "audio": {"rate_hz": rate},
            "windows": {"length": length, "hop": length},
            "network": {"name": name, "weights": str(folder), **network},
        }
    )


def loaded(name: str, folder: Path, **network: Any) -> Network:
    """The network with the checkpoint's weights, in eval mode."""
    plan = recipe(name, folder, **network)
    made = build_network(plan, 5).eval()
    file = find_weights(plan)
    assert file is not None
    load_weights(made, file)
    return made


def sounds(name: str, seconds: float) -> Tensor:
    """Noise, and a tone in silence."""
    rng, count = np.random.default_rng(0), round(seconds * RATES[name])
    tone = 0.3 * np.sin(np.arange(count) / RATES[name] * 6_000) * (np.arange(count) % 4_000 < 1_500)
    return torch.from_numpy(np.stack([rng.normal(0, 0.1, count), tone + rng.normal(0, 1e-4, count)]).astype(np.float32))


def theirs(name: str, folder: Path, model: Any, waves: Tensor, layer: int = -1) -> Tensor:
    """The library's embeddings by its own feature extractor, behind a layer."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(list(waves.numpy()), sampling_rate=RATES[name], return_tensors="pt")
    with torch.inference_mode():
        if name == "clap":
            return model.audio_projection(model.audio_model(inputs.input_features).pooler_output)
        of_ast = name == "ast"
        body = model.audio_spectrogram_transformer if of_ast else model.model.encoder
        out = body(inputs.input_values if of_ast else inputs.input_features, output_hidden_states=True)
    tokens = out.last_hidden_state if layer == -1 else out.hidden_states[layer]
    return tokens[:, :2].mean(1) if of_ast else tokens[:, : -(-waves.shape[1] // 320)].mean(1)


def close(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@each
@pytest.mark.parametrize("seconds", [0.731, 1.5])
def test_embeddings_are_the_librarys(name: str, seconds: float, saved: Saved) -> None:
    """1.5 s are more than the small AST takes, and less than the others."""
    folder, model = saved(name)
    network, waves = loaded(name, folder), sounds(name, seconds)
    with torch.inference_mode():
        ours = network.embed(waves)
        close(network.embed(waves[1:]), ours[1:])
    expected = theirs(name, folder, model, waves)
    close(ours, expected)
    assert (expected[0] - expected[1]).abs().max() > 1e-3 * expected.abs().max(), "the sound does not matter"


@pytest.mark.parametrize(("name", "layer"), [("ast", 2), ("whisper", 1)])
def test_embeddings_behind_another_layer(name: str, layer: int, saved: Saved) -> None:
    folder, model = saved(name)
    waves = sounds(name, 0.731)
    with torch.inference_mode():
        close(loaded(name, folder, layer=layer).embed(waves), theirs(name, folder, model, waves, layer))
        whole = loaded(name, folder, layer="mix").embed(waves)
    count = 3 if name == "ast" else 2
    outputs = [
        *(theirs(name, folder, model, waves, number) for number in range(count)),
        theirs(name, folder, model, waves),
    ]
    close(whole, torch.stack(outputs).mean(0))


def test_attention_over_whispers_tokens_begins_as_a_mean_and_learns(saved: Saved) -> None:
    network, waves = loaded("whisper", saved("whisper")[0], token_pooling="attention"), sounds("whisper", 0.5)
    with torch.no_grad():
        plain = loaded("whisper", saved("whisper")[0]).embed(waves)
        network.attention.weight.zero_()  # type: ignore[union-attr]
        close(network.embed(waves), plain)
    assert {id(module) for module in network.added()} == {id(network.fc), id(network.attention)}


def test_ast_reads_the_names_of_published_files(saved: Saved) -> None:
    state = safetensors.torch.load_file(saved("ast")[0] / "model.safetensors")
    prefix = "audio_spectrogram_transformer."
    layer = f"{prefix}encoder.layer.2."
    assert {f"{layer}attention.attention.query.weight", f"{layer}attention.output.dense.bias"} <= state.keys()
    assert {
        f"{layer}intermediate.dense.weight",
        f"{layer}output.dense.weight",
        f"{prefix}layernorm.weight",
    } <= state.keys()


@each
def test_blocks_are_its_layers(name: str, saved: Saved) -> None:
    network: Any = loaded(name, saved(name)[0])
    assert len(network.blocks) == {"ast": 3, "clap": 2, "whisper": 2}[name]
    inside = {id(module) for module in network.body.modules()}
    assert all(id(block) in inside for block in network.blocks)


@each
def test_half_precision_leaves_the_front_end_alone(name: str, saved: Saved) -> None:
    frontend: Any = loaded(name, saved(name)[0]).frontend
    waves = sounds(name, 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(frontend(waves), frontend(waves))
        ours = frontend(waves)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, frontend(waves))


@each
def test_positions_are_where_the_sound_is(name: str, saved: Saved) -> None:
    """A click changes the map most in the column that `positions` says."""
    network, rate = loaded(name, saved(name)[0]), RATES[name]
    length = rate
    maps: list[Tensor] = []
    network.cam_layer.register_forward_hook(lambda _m, inputs, _o: maps.append(inputs[0]))
    for second in (0.2, 0.7):
        quiet = 1e-3 * torch.randn(1, length, generator=torch.Generator().manual_seed(0))
        clicked = quiet.clone()
        clicked[:, round(second * rate) : round(second * rate) + rate // 50] += 0.5
        maps.clear()
        with torch.inference_mode():
            network.embed(quiet), network.embed(clicked)
        change = (maps[1] - maps[0]).abs().sum(dim=(0, 1, 2))
        column = network.positions(torch.tensor([second + 0.01]), torch.tensor([1000.0]), length)[0] * len(change)
        if name == "clap":  # once in each repetition, and windows of attention join neighbours
            continue
        assert abs(int(change.argmax()) - float(column)) <= 2
    seconds, hz = torch.tensor([-0.1, 0.0, 0.5, 1.2]), torch.tensor([100.0, 1000.0, 4000.0])
    columns, rows = network.positions(seconds, hz, length)
    assert columns.isnan().tolist()[::3] == [True, True] and 0 <= columns[1] < columns[2] <= 1
    assert (rows.diff() > 0).all() and (rows >= 0).all() and (rows <= 1).all()


# What is refused


def altered(folder: Path, place: Path, change: Callable[[dict[str, Tensor]], None], **config: Any) -> Path:
    """A copy of a checkpoint with other tensors or settings."""
    shutil.copytree(folder, place)
    state = safetensors.torch.load_file(place / "model.safetensors")
    change(state)
    safetensors.torch.save_file(state, place / "model.safetensors")
    for file, values in config.items():
        path = place / f"{file}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return place


#: A tensor of each checkpoint that the network needs, under its published name and ours.
NEEDED = {
    "ast": ("audio_spectrogram_transformer.embeddings.cls_token", "body.embeddings.cls_token"),
    "clap": ("audio_projection.linear2.bias", "body.audio_projection.linear2.bias"),
    "whisper": ("model.encoder.layer_norm.bias", "body.layer_norm.bias"),
}


@each
def test_checkpoints_load_strictly(name: str, saved: Saved, tmp_path: Path) -> None:
    folder, (published, own) = saved(name)[0], NEEDED[name]
    short = altered(folder, tmp_path / "short", lambda state: state.__delitem__(published))
    with pytest.raises(CheckpointError, match=rf"1 missing: {own}"):
        loaded(name, short)
    stranger = published.rpartition(".")[0] + ".stranger"
    long = altered(folder, tmp_path / "long", lambda state: state.update({stranger: torch.zeros(2)}))
    with pytest.raises(CheckpointError, match=r"1 unknown: body\..*stranger"):
        loaded(name, long)
    odd = altered(folder, tmp_path / "odd", lambda state: state.update({published: torch.zeros(3, 3)}))
    with pytest.raises(CheckpointError, match=rf"1 of another shape: {own}"):
        loaded(name, odd)


def test_another_networks_checkpoint_is_refused(saved: Saved) -> None:
    with pytest.raises(NetworkError, match=r"is of the type 'whisper', not 'clap'\. Set network\.name = 'whisper'"):
        build_network(recipe("clap", saved("whisper")[0]), 5)


@each
def test_what_would_be_cut_off_is_refused(name: str, saved: Saved) -> None:
    with pytest.raises(NetworkError, match=rf"{name} takes \d+ samples at most, and cuts off the rest"):
        build_network(recipe(name, saved(name)[0], seconds=11.0), 5)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("ast", {"preprocessor_config": {"num_mel_bins": 40}}, "takes 32 bands and 128 frames, and its preproc"),
        ("ast", {"preprocessor_config": {"sampling_rate": 8_000}}, "takes sound at 8000 Hz, and this network 16000"),
        ("whisper", {"preprocessor_config": {"chunk_length": 3}}, "16 bands and 200 frames, and .* gives 16 and 300"),
        ("clap", {"preprocessor_config": {"truncation": "fusion"}}, "joining parts of long sounds .truncation"),
        ("clap", {"preprocessor_config": {"feature_size": 20}}, "takes 16 bands, and its preproc.* gives 20"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(
    name: str, config: dict[str, Any], message: str, saved: Saved, tmp_path: Path
) -> None:
    with pytest.raises(NetworkError, match=message):
        build_network(recipe(name, altered(saved(name)[0], tmp_path / "x", lambda state: None, **config)), 5)


@pytest.mark.parametrize(
    ("name", "network", "message"),
    [
        ("ast", {"layer": 4}, "this network has 3 layers"),
        ("ast", {"layer": 0}, "this network has 3 layers"),
        ("ast", {"token_pooling": "attention"}, "network.token_pooling is for"),
        ("clap", {"layer": 1}, "network.layer is for"),
    ],
)
def test_layers_that_are_not_there_are_refused(name: str, network: dict[str, Any], message: str, saved: Saved) -> None:
    with pytest.raises(NetworkError, match=message):
        build_network(recipe(name, saved(name)[0], **network), 5)


def test_a_default_network_refuses_a_checkpoint_that_decides_otherwise(saved: Saved, tmp_path: Path) -> None:
    folder = saved("ast")[0]
    network = loaded("ast", folder)
    other = altered(
        folder, tmp_path / "x", lambda state: None, config={"hidden_act": "relu"}, preprocessor_config={"std": 2.0}
    )
    with pytest.raises(CheckpointError, match=r"hidden_act = 'relu' instead of 'gelu', std = 2\.0 instead of 3\.0"):
        load_weights(network, other / "model.safetensors")
