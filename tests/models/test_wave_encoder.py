"""wave_encoder: embeddings are the library's own hidden states, pooled; loading is strict."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from hubbub.classifier.base import ClassifierError
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.models import hub_models
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.network import NetworkError
from hubbub.models.registry import build_network
from hubbub.models.wave_encoder import BASES, WaveEncoder
from hubbub.models.weights import find_weights, load_weights
from tests.helpers.checkpoints import save_checkpoint, tiny

#: Types of models, and what of their configs changes the order of layers and norms.
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("wav2vec2", {}),
    ("hubert", {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}),
    ("wavlm", {}),
    ("data2vec-audio", {}),
    ("wav2vec2-conformer", {}),
]
each_kind = pytest.mark.parametrize(("kind", "config"), KINDS, ids=[kind for kind, _ in KINDS])


def recipe(weights: str, name: str = "transformers", **network: Any) -> Recipe:
    return Recipe.of({"data": {"name": "street"}, "network": {"name": name, "weights": weights, **network}})


def loaded(weights: str, name: str = "transformers", **network: Any) -> WaveEncoder:
    plan = recipe(weights, name, **network)
    made, file = build_network(plan, 5), find_weights(plan)
    assert isinstance(made, WaveEncoder) and file is not None
    load_weights(made, file)
    return made.eval()


@cache
def library(folder: str) -> Any:
    """The library's own network, as it loads the folder."""
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder, local_files_only=True).eval()


def waves() -> tuple[Tensor, Tensor]:
    """Two waves, the second shorter and padded with zeros, and which samples are padding."""
    sound, padding = torch.randn(2, 8_000, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 8_000).bool()
    padding[1, 5_000:] = True
    return (0.1 * sound + 0.02).masked_fill(padding, 0), padding


def inputs(sound: Tensor, padding: Tensor) -> Any:
    """What the library's feature extractor makes of waves, which are padded behind it."""
    from transformers import Wav2Vec2FeatureExtractor

    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    rows = [row[~hidden].numpy() for row, hidden in zip(sound, padding, strict=True)]
    return extractor(rows, sampling_rate=16_000, padding=True, return_tensors="pt")


def same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@each_kind
def test_embeddings_are_the_librarys_output_pooled(kind: str, config: dict[str, Any]) -> None:
    folder = tiny(kind, **config)
    network, theirs = loaded(folder), library(folder)
    sound, padding = waves()
    with torch.inference_mode():
        given = inputs(sound[:1], padding[:1])
        same(network.embed(sound[:1]), theirs(given.input_values).last_hidden_state.mean(dim=1))
        given = inputs(sound, padding)
        tokens = theirs(given.input_values, attention_mask=given.attention_mask).last_hidden_state
        real = theirs._get_feature_vector_attention_mask(tokens.shape[1], given.attention_mask)[..., None]
        assert not real.all()
        same(network.embed(sound, padding), (tokens * real).sum(dim=1) / real.sum(dim=1))
        assert (network.embed(sound, padding) - network.embed(sound))[1].abs().max() > 1e-3


@each_kind
def test_a_layers_output_is_the_librarys_hidden_state(kind: str, config: dict[str, Any]) -> None:
    folder = tiny(kind, **config)
    sound, padding = waves()
    sound, padding = sound[:1], padding[:1]
    with torch.inference_mode():
        states = library(folder)(inputs(sound, padding).input_values, output_hidden_states=True).hidden_states
        assert len(states) == 4
        for layer in (0, 1, 2, 3, -2):
            network = loaded(folder, layer=layer)
            same(network.embed(sound), states[layer].mean(dim=1))
            assert len(network.blocks) == layer % 4
        mix = loaded(folder, layer="mix")
        same(mix.embed(sound), torch.stack(states).mean(dim=(0, 2)))
        mix.mix.weights.copy_(torch.tensor([0.0, 100.0, 0.0, 0.0]))
        same(mix.embed(sound), states[1].mean(dim=1))


def test_every_type_that_the_library_has_on_waves_is_taken() -> None:
    for kind in ("sew", "sew-d", "unispeech", "unispeech-sat"):
        network, theirs = loaded(tiny(kind)), library(tiny(kind))
        sound, padding = waves()
        with torch.inference_mode():
            given = inputs(sound[:1], padding[:1])
            same(network.embed(sound[:1]), theirs(given.input_values).last_hidden_state.mean(dim=1))
    with pytest.raises(NetworkError, match="only its output can be used"):
        loaded(tiny("sew"), layer=1)


def test_segments_of_a_batch_do_not_see_each_other() -> None:
    network = loaded(tiny("wavlm"), token_pooling="attention")
    sound = 0.1 * torch.randn(3, 8_000, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        together = network.embed(sound)
        same(torch.cat([network.embed(one[None]) for one in sound]), together)
        # A token whose weight is all is the embedding.
        tokens = network.tokens(sound)
        network.attention.weight.copy_(1e4 * tokens[:1, 3])
        scores = network.attention(tokens[:1]).squeeze()
        same(network.embed(sound[:1])[0], tokens[0, scores.argmax()])


@pytest.mark.parametrize(("name", "values"), [("wav2vec2", 94_371_712), ("hubert", 94_371_712), ("wavlm", 94_381_936)])
def test_without_a_checkpoint_the_network_has_the_published_size(name: str, values: int) -> None:
    with torch.device("meta"):
        network = build_network(recipe("none", name), 5)
    unused = 768 + 128  # SpecAugment's token, and the lengths of the weights that are normalised
    assert sum(p.numel() for p in network.body.parameters()) == values - unused
    assert find_weights(recipe("none", name)) is None


def test_a_published_classifiers_head_is_left_out(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "head", "hubert", head=True, num_labels=3)
    plan = recipe(str(folder), "hubert")
    network, file = build_network(plan, 5), find_weights(plan)
    report = load_weights(network, file).splitlines()
    assert report[0].startswith("model.safetensors: 61 tensors")
    assert report[-1] == "heads left out: classifier (2), projector (2)"
    state = safetensors.torch.load_file(file)
    assert torch.equal(network.body.encoder.layers[2].feed_forward.output_dense.weight,
                       state["hubert.encoder.layers.2.feed_forward.output_dense.weight"])  # fmt: skip


def test_what_does_not_fit_is_listed_and_nothing_is_loaded(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "net", "wav2vec2")
    file, name = folder / "model.safetensors", "encoder.layers.1.attention.q_proj.weight"
    state = safetensors.torch.load_file(file)
    plan = recipe(str(folder), "wav2vec2")
    network = build_network(plan, 5)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    changed = {key: tensor for key, tensor in state.items() if key != name}
    cases = {
        rf"1 missing: body\.{name}": changed,
        r"1 unknown: body\.encoder\.layers\.7\.bias": state | {"encoder.layers.7.bias": torch.zeros(2)},
        rf"1 of another shape: body\.{name} \[3, 3\] instead of \[24, 24\]": state | {name: torch.zeros(3, 3)},
    }
    for message, tensors in cases.items():
        safetensors.torch.save_file(tensors, file)
        with pytest.raises(CheckpointError, match=message):
            load_weights(network, file)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_older_names_of_normalised_weights_are_known(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "net", "wavlm")
    expected = loaded(str(folder), "wavlm").state_dict()
    state = safetensors.torch.load_file(folder / "model.safetensors")
    for new, old in (
        ("parametrizations.weight.original0", "weight_g"),
        ("parametrizations.weight.original1", "weight_v"),
    ):
        state = {key.replace(new, old): tensor for key, tensor in state.items()}
    assert any(key.endswith("weight_g") for key in state)
    safetensors.torch.save_file({f"wavlm.{key}": tensor for key, tensor in state.items()}, folder / "model.safetensors")
    found = loaded(str(folder), "wavlm").state_dict()
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items() if key.startswith("body."))


def test_default_weights_are_of_the_network_that_is_built_in_or_refused(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "net", "wav2vec2", layer_norm_eps=1e-3)
    network = WaveEncoder(5, {"config": {**BASES["wav2vec2"]["config"], **tiny_sizes()}, "preprocessor": {}})
    with pytest.raises(CheckpointError, match=r"differs from .*: layer_norm_eps = 0\.001 instead of 1e-05\. Name the"):
        load_weights(network, folder / "model.safetensors")
    folder = save_checkpoint(tmp_path / "other", "wav2vec2")
    (folder / "preprocessor_config.json").write_text('{"do_normalize": false}')
    load_weights(network, folder / "model.safetensors")  # how waves are prepared is the checkpoint's
    sound = 3 + waves()[0]
    with torch.inference_mode():
        same(network.eval().embed(sound), library(str(folder))(sound).last_hidden_state.mean(dim=1))
    (folder / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    with pytest.raises(CheckpointError, match="sampling_rate = 8000"):
        load_weights(network, folder / "model.safetensors")


def tiny_sizes() -> dict[str, Any]:
    config = hub_models.read_architecture(Path(tiny("wav2vec2")))["config"]
    return {key: value for key, value in config.items() if key in ("conv_dim", "conv_kernel", "conv_stride")} | {
        key: config[key] for key in config if key.startswith(("hidden_size", "num_", "intermediate"))
    }


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"name": "wavlm"}, r"is a 'wav2vec2', not a wavlm\. Set network\.name = 'wav2vec2'"),
        ({"name": "hubert", "weights": "data2vec-audio"}, r"not a hubert\. Set network\.name = 'transformers'"),
        ({"name": "transformers", "weights": "default"}, r"network\.weights must name its checkpoint"),
        ({"name": "transformers", "layer": 4}, r"network\.layer = 4: this wav2vec2 has 3 layers"),
        ({"name": "transformers", "layer": -5}, r"network\.layer = -5: this wav2vec2 has 3 layers"),
        (
            {"name": "beats", "weights": "none", "layer": 2},
            r"network\.layer is for wav2vec2, hubert, wavlm, transform",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(plan: dict[str, Any], message: str) -> None:
    weights = plan.get("weights", "wav2vec2")
    plan["weights"] = weights if weights in ("default", "none") else tiny(weights)
    with pytest.raises(NetworkError, match=message):
        build_network(Recipe.of({"data": {"name": "street"}, "network": plan}), 3)


def test_networks_on_spectrograms_and_other_rates_are_refused(tmp_path: Path) -> None:
    folder = Path(tiny("wav2vec2"))
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2-bert"}')
    with pytest.raises(
        NetworkError, match=r"'wav2vec2-bert' is not a type of model that takes waves: .* takes data2vec"
    ):
        build_network(recipe(str(tmp_path)), 3)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    with pytest.raises(NetworkError, match="transformers takes sound at 8000 Hz, not 16000"):
        build_network(recipe(str(tmp_path)), 3)


@pytest.mark.parametrize("learnt", [{"layer": "mix"}, {"token_pooling": "attention"}])
def test_what_is_learnt_is_refused_under_a_head_and_trained_without_one(learnt: dict[str, Any]) -> None:
    content = {"data": {"name": "street"}, "network": {"name": "wavlm", **learnt}}
    with pytest.raises(RecipeError, match="must be trained, but under a head the network is frozen"):
        Recipe.of({**content, "head": {"name": "logreg"}})
    network = loaded(tiny("wavlm"), "wavlm", **learnt)
    names = {name for name, _ in network.named_parameters() if not name.startswith("body.")}
    assert len(names) > 2 and len(network.groups()["head"]) == len(names)
    plan = Recipe.of({**content, "network": {**content["network"], "mode": "head"}})
    assert not plan.frozen


def test_a_saved_classifier_loads_where_its_checkpoint_is_gone(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "net", "wavlm")
    model = TorchClassifier(recipe(str(folder), "wavlm", layer=2), ("a", "b", "c"), seed=0)
    load_weights(model.network, folder / "model.safetensors")
    sound = waves()[0][:1].numpy()
    before, fingerprint = model.forward(sound), model.fingerprint()
    saved = model.save(tmp_path / "classifier")
    for file in folder.iterdir():
        file.unlink()
    again = TorchClassifier.load(saved)
    assert (again.forward(sound) == before).all() and again.fingerprint() == fingerprint
    card = json.loads((saved / "classifier.json").read_text())
    assert card["architecture"]["config"]["model_type"] == "wavlm"
    model.network.architecture = None
    with pytest.raises(ClassifierError, match="the config of its wavlm is missing"):
        TorchClassifier.load(model.save(tmp_path / "without"))


def test_only_such_a_network_imports_the_library() -> None:
    code = (
        "import sys, hubbub, hubbub.models.hub_models, hubbub.models.wave_encoder\n"
        "from hubbub.models.registry import build_network\n"
        "from hubbub.config.recipe import Recipe\n"
        "build_network(Recipe.load('esc50-yamnet'), 3)\n"
        "assert 'transformers' not in sys.modules\n"
        "sys.modules['transformers'] = None\n"
        "build_network(Recipe.load('esc50-wavlm'), 3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert (
        "NetworkError: networks of the Hugging Face hub need transformers: pip install 'hubbub[transformers]'" in last
    )
