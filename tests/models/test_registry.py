"""networks: one contract for every entry of NETWORKS, and the recipes each refuses."""

import copy
import json
import math
import pickle
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

from hubbub.audio.frontend import FrontEnd
from hubbub.config.recipe import Recipe
from hubbub.models import cnn
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.registry import (
    HUB,
    NETWORKS,
    SPECTROGRAM_ENCODERS,
    WAVE_ENCODERS,
    Network,
    NetworkError,
    build_network,
)
from hubbub.models.weights import PUBLISHED, find_weights, load_weights
from hubbub.models.yamnet import load_yamnet
from hubbub.runtime import download
from tests.helpers.checkpoints import tiny
from tests.helpers.spectrogram_checkpoints import saved

CLASSES = 7


def picture(name: str, size: int, **network: Any) -> dict[str, Any]:
    return {"frontend": {"name": "logmel", "n_mels": 40, "size": [size, size]}, "network": {"name": name, **network}}


_44_KHZ = {"audio": {"rate_hz": 44_100}, "windows": {"length": 42_336, "hop": 21_168}}
_32_KHZ = {"audio": {"rate_hz": 32_000}, "windows": {"length": 32_000, "hop": 16_000}}
_BESIDE = {"length": 15_600, "hop": 15_600}
_LOGMEL = {"name": "logmel", "n_mels": 40}
SETTINGS: dict[str, dict[str, Any]] = {
    "cnn": {"frontend": _LOGMEL, "network": {"name": "cnn", "width": 8}},
    "compact": {"frontend": _LOGMEL, "network": {"name": "compact", "width": 8}},
    "framewise": {"windows": _BESIDE, "frontend": _LOGMEL, "network": {"name": "framewise", "width": 8}},
    "baseline": picture("baseline", 64),
    "cnn1d": {"frontend": _LOGMEL, "network": {"name": "cnn1d"}},
    "transformer": {"frontend": _LOGMEL, "network": {"name": "transformer"}},
    "alexnet": picture("alexnet", 64),
    "vgg16": picture("vgg16", 32),
    "resnet18": picture("resnet18", 64),
    "resnet50": picture("resnet50", 64),
    "mobilenet_v2": picture("mobilenet_v2", 64),
    "inception_v3": picture("inception_v3", 299),
    "efficientnet_b0": picture("efficientnet_b0", 64),
    "convnext_tiny": picture("convnext_tiny", 64),
    "mobilenetv4_conv_small": picture("mobilenetv4_conv_small", 64),
    "test_vit": picture("test_vit", 160),
    "small": {"audio": {"rate_hz": 22_050}, "network": {"name": "small"}},
    "yamnet": {"network": {"name": "yamnet"}},
    "yamnet_framewise": {"windows": _BESIDE, "network": {"name": "yamnet_framewise"}},
    "esresnext": {**_44_KHZ, "network": {"name": "esresnext"}},
    "audioclip": {**_44_KHZ, "network": {"name": "audioclip"}},
    "mn04_as": {**_32_KHZ, "network": {"name": "mn04_as"}},
    "mn10_as": {**_32_KHZ, "network": {"name": "mn10_as"}},
    "cnn14": {"audio": {"rate_hz": 32_000}, "network": {"name": "cnn14"}},
    "beats": {"network": {"name": "beats"}},
    **{name: {"network": {"name": name}} for name in (*WAVE_ENCODERS, "ast", "whisper")},
    "clap": {"audio": {"rate_hz": 48_000}, "network": {"name": "clap"}},
}
#: The type of the tiny checkpoint that a network of the hub is built from.
TYPES = {name: name for name in WAVE_ENCODERS} | {"transformers": "data2vec-audio"}
MAGMA = {**_LOGMEL, "ref": "max", "scale": "top_db", "colours": "magma"}
#: Files of other teams, which have no gradients: test_foreign.py.
FILES = {"onnx"}
#: Not in the table: timm has them.
TIMM = ("mobilenetv4_conv_small", "test_vit")
SEQUENCES = ("cnn1d", "transformer", *WAVE_ENCODERS, "whisper")
#: One whole input of YAMNet; the larger networks that hear waves get an eighth or a third of a second, for speed.
SAMPLES = dict.fromkeys(SETTINGS, 15_600) | dict.fromkeys(("esresnext", "audioclip", "beats"), 5_512)
#: Inputs of other sizes than the usual: samples, or bands and frames.
SIZES: dict[str, list[tuple[int, ...]]] = {
    "cnn": [(40, 8), (40, 9), (40, 131)],
    "compact": [(40, 15), (40, 131)],
    "framewise": [(40, 2), (40, 3), (40, 132)],
    "baseline": [(32, 32), (64, 101), (33, 47)],
    "cnn1d": [(40, 49)],
    "transformer": [(40, 1), (40, 7), (40, 301)],
    "alexnet": [(63, 63), (64, 131)],
    "vgg16": [(32, 32), (33, 65)],
    "resnet18": [(1, 1), (8, 17), (40, 131)],
    "resnet50": [(1, 1), (40, 67)],
    "mobilenet_v2": [(1, 1), (40, 131)],
    "inception_v3": [(75, 75), (76, 131)],  # outside training, where there is no auxiliary classifier
    "efficientnet_b0": [(1, 1), (40, 131)],
    "convnext_tiny": [(32, 32), (40, 67)],
    "mobilenetv4_conv_small": [(40, 131)],
    "test_vit": [(160, 160)],
    "small": [(1,), (6_271,), (6_272,), (22_050,)],
    "yamnet": [(1,), (399,), (7_919,), (15_360,)],
    "yamnet_framewise": [(1,), (640,), (641,), (5_119,), (5_120,), (40_007,)],
    "esresnext": [(1,), (1_653,), (5_003,), (11_027,)],
    "audioclip": [(1,), (7_919,)],
    "mn04_as": [(1,), (513,), (514,), (33_001,)],
    "mn10_as": [(1,), (514,), (7_919,)],
    "cnn14": [(1,), (9_919,), (9_920,), (20_479,), (40_007,)],
    "beats": [(1,), (2_799,), (5_360,)],
    **{name: [(1,), (399,), (1_601,), (40_007,)] for name in (*WAVE_ENCODERS, "ast", "whisper")},
    "clap": [(1,), (48_001,), (500_000,)],
}
EMBEDDING = {
    **{
        "cnn": 8 * 8,
        "compact": 8 * 8,
        "framewise": 8 * 8,
        "baseline": 256,
        "cnn1d": 128,
        "transformer": 256,
        "alexnet": 4096,
        "vgg16": 4096,
    },
    **{"resnet18": 512, "resnet50": 2048, "mobilenet_v2": 1280, "inception_v3": 2048, "efficientnet_b0": 1280},
    **{"convnext_tiny": 768, "mobilenetv4_conv_small": 1280, "test_vit": 64},
    **{"small": 256, "yamnet": 1024, "yamnet_framewise": 256, "esresnext": 2048, "audioclip": 1024},
    **{"mn04_as": 384, "mn10_as": 960},
    "cnn14": 2048,
    "beats": 768,
    **dict.fromkeys((*WAVE_ENCODERS, "ast", "whisper"), 24),
    "clap": 12,
}

#: Up to 138 M parameters, and pictures of 299 by 299 in training: their whole contract takes over a minute.
LARGE = ("alexnet", "vgg16", "resnet50", "inception_v3", "cnn14", "beats")


def parameters(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in names]


each = pytest.mark.parametrize("name", parameters(SETTINGS))


def recipe(name: str, **sections: Any) -> Recipe:
    content = {"data": {"name": "street"}, **SETTINGS[name], **sections}
    if name in HUB:
        weights = saved(name)[0] if name in SPECTROGRAM_ENCODERS else tiny(TYPES[name])
        content["network"] = {"weights": weights, **content["network"]}
    return Recipe.of(content)


@cache
def drawn(name: str) -> Network:
    """A network with fresh weights in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_network(recipe(name), CLASSES).eval()


def fresh(name: str) -> tuple[Network, Tensor]:
    """The network and four of what it takes; for tests that leave it as it is."""
    noise = torch.randn(4, SAMPLES[name], generator=torch.Generator().manual_seed(0))
    # A tone without noise has bins that hold rounding errors alone.
    tone = torch.sin(0.3 * torch.arange(SAMPLES[name])) + 0.01 * noise[2]
    waves = torch.stack([0.03 * noise[0], 0.02 * noise[1].cumsum(0), 0.3 * tone, 0.9 * noise[3]])
    return drawn(name), heard(name, waves, small=True)


def build(name: str) -> tuple[Network, Tensor]:
    """The same for tests that change it, in training mode."""
    network, inputs = fresh(name)
    if name == "inception_v3":
        inputs = heard(name, torch.randn(2, SAMPLES[name], generator=torch.Generator().manual_seed(0)))
    return copy.deepcopy(network).train(), inputs


def heard(name: str, waves: Tensor, *, small: bool = False) -> Tensor:
    """Waves as the network takes them, most through a front end; `small`: as small as they may be outside training."""
    settings, rate_hz = recipe(name).frontend, recipe(name).audio.rate_hz
    if settings.name == "none":
        return waves
    if small and name == "inception_v3":
        settings = settings.model_copy(update={"size": (107, 107)})
    return FrontEnd(settings, rate_hz)(waves)


def loss_of(network: Network, inputs: Tensor) -> Tensor:
    """As training has it."""
    targets = torch.arange(len(inputs))
    logits = network.segment_logits(network.logits(inputs))
    loss = nn.functional.cross_entropy(logits, targets) + network.regulariser()
    return loss + sum(0.4 * nn.functional.cross_entropy(side, targets) for side in network.side_logits())


def same(ours: Tensor, theirs: Tensor) -> None:
    """But for the rounding of some 50 layers, which sum in another order where the batch is another."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()))


def state_of(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def outputs_of(name: str, samples: int) -> tuple[int, ...]:
    """The axis of frames, of networks that have one: of whole columns of a spectrogram, or of all samples."""
    return {"framewise": (samples // 640,), "yamnet_framewise": (-(-samples // 640),)}.get(name, ())


def test_every_network_is_tested() -> None:
    assert set(SETTINGS) == set(SAMPLES) == set(SIZES) == set(EMBEDDING) == {*NETWORKS, *TIMM} - FILES


@each
def test_contract(name: str) -> None:
    network, inputs = fresh(name)
    with torch.inference_mode():
        out = network.logits(inputs)
        frames = outputs_of(name, SAMPLES[name])
        assert out.shape == (4, *frames, CLASSES)
        assert out.dtype == torch.float32
        assert torch.isfinite(out).all()
        # Relative, for fresh BatchNorms have met no data: values shrink or grow with each layer.
        scale = (out - network.fc.bias).abs().max()
        assert (out - out[0]).abs().flatten(1).amax(dim=1)[1:].min() > 1e-3 * scale, "inputs do not matter"
        # Rows do not see each other: alone, or in another order, each gives the same.
        same(network.logits(inputs[2:3]), out[2:3])
        order = torch.tensor([2, 0, 3, 1])
        same(network.logits(inputs[order]), out[order])
        torch.testing.assert_close(network.logits(inputs), out, rtol=0, atol=0)
        embeddings = network.embed(inputs)
        assert embeddings.shape == (4, *frames, EMBEDDING[name]) == (4, *frames, network.fc.in_features)
        same(network.head(embeddings), out)
        same(network.fc(embeddings), out)
        segments = network.segment_logits(out)
        assert segments.shape == (4, CLASSES) and torch.isfinite(segments).all()
        assert (segments is out) == (network.frame_s is None) == (not frames)
        assert not frames or (network.frame_s, network.frames(SAMPLES[name])) == (640 / 16_000, *frames)


@each
def test_any_length(name: str) -> None:
    network = drawn(name)
    for size in SIZES[name]:
        inputs = 0.1 * torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            out = network.logits(inputs)
            assert out.shape == (2, *outputs_of(name, size[-1] * (320 if len(size) == 2 else 1)), CLASSES)
            assert torch.isfinite(out).all()
            same(network.logits(inputs[1:]), out[1:])


@each
def test_silence_and_full_scale_are_heard(name: str) -> None:
    network, _ = build(name)
    waves = torch.stack([torch.zeros(SAMPLES[name]), torch.ones(SAMPLES[name]), -torch.ones(SAMPLES[name])])
    loss = loss_of(network, heard(name, waves))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(value.grad).all() for value in network.parameters())


@each
def test_gradients_reach_every_parameter(name: str) -> None:
    network, inputs = build(name)
    loss_of(network, inputs).backward()
    for parameter, value in network.named_parameters():
        assert value.grad is not None, parameter
        assert torch.isfinite(value.grad).all(), parameter
        assert value.grad.any(), parameter


@each
def test_gradients_reach_the_wave(name: str) -> None:
    network, inputs = fresh(name)
    inputs = inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network.logits(inputs)[..., 0].sum(), inputs)
    assert torch.isfinite(gradient).all()
    assert (gradient.flatten(1).norm(dim=1) > 0).all()


def published_parameters(name: str) -> int:
    """What torchvision's and timm's own networks hold, with three channels and 1,000 classes."""
    timms = {"mobilenetv4_conv_small": 3_774_024, "test_vit": 371_240}
    if name in timms:
        return timms[name]
    weights = torchvision.models.get_model_weights(name)
    return weights["IMAGENET1K_V1"].meta["num_params"]


@each
def test_parameters_are_as_many_as_published(name: str, home: Callable[[str, str], Path]) -> None:
    network = drawn(name)
    kernels = {
        **{"alexnet": 64 * 11**2, "vgg16": 64 * 3**2, "resnet18": 64 * 7**2, "resnet50": 64 * 7**2},
        **{"mobilenet_v2": 32 * 3**2, "inception_v3": 32 * 3**2, "efficientnet_b0": 32 * 3**2},
        **{"convnext_tiny": 96 * 4**2, "mobilenetv4_conv_small": 32 * 3**2, "test_vit": 64 * 16**2},
    }
    head = (EMBEDDING[name] + 1) * CLASSES
    if name == "cnn":
        convolutions = 9 * (1 * 8 + 8 * 16 + 16 * 32 + 32 * 64)
        expected = 2 * 40 + convolutions + 2 * (8 + 16 + 32 + 64) + head
    elif name in ("compact", "small"):
        width, bands = (8, 40) if name == "compact" else (32, 64)
        pairs = ((1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8))
        steps = [(1, width, 25), *((width * a, width * b, 9) for a, b in pairs)]
        expected = 2 * bands + sum(kernel * a * b + 2 * b for a, b, kernel in steps) + head
    elif name == "framewise":
        pairs = ((1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8))
        steps = [(1, 8, 25), *((8 * a, 8 * b, 9) for a, b in pairs)]
        recurrent = 2 * 3 * 32 * (64 + 32 + 2)
        expected = 2 * 40 + sum(kernel * a * b + 2 * b for a, b, kernel in steps) + recurrent + head
    elif name == "baseline":
        convolutions = 9 * (1 * 32 + 32 * 64 + 64 * 128 + 128 * 256 + 256 * 256)
        expected = convolutions + 2 * (32 + 64 + 128 + 256 + 256) + (256 + 1) * 256 + head
    elif name == "cnn1d":
        expected = (3 * 40 + 1) * 16 + (3 * 16 + 1) * 32 + (3 * 32 + 1) * 64 + (64 * (49 // 8) + 1) * 128 + head
    elif name == "transformer":
        layer = (128 + 1) * 3 * 128 + (128 + 1) * 128 + (128 + 1) * 2048 + (2048 + 1) * 128 + 2 * 2 * 128
        expected = (40 + 1) * 128 + 2 * layer + (128 + 1) * 256 + head
    elif name in kernels:
        expected = published_parameters(name) - 2 * kernels[name] - (EMBEDDING[name] + 1) * 1000 + head
        expected -= (768 + 1) * (1000 - CLASSES) if name == "inception_v3" else 0  # the auxiliary classifier's
    elif name == "yamnet":
        # What Keras counts as trainable (the statistics of BatchNorm come on top), with 521 outputs.
        expected = 3_729_481 - 1025 * 521 + head
    elif name in ("mn04_as", "mn10_as"):
        # As its authors state them (.983 M, 4.88 M) with a hidden layer and 527 outputs, of the size of our last layer.
        hidden = {"mn04_as": 512, "mn10_as": 1280}[name]
        published = {"mn04_as": 983_599, "mn10_as": 4_876_831}[name]
        expected = published - (EMBEDDING[name] + 1) * hidden - (hidden + 1) * 527 + head
    elif name == "yamnet_framewise":
        joins = sum(2 * 2 * channels + (2 * channels + 1) * 128 for channels in (128, 256, 512, 1024))
        recurrent = 2 * 3 * 128 * (128 + 128 + 2)
        expected = 3_729_481 - 1025 * 521 + joins + 2 * 128 + recurrent + head
    elif name == "cnn14":
        steps = zip((1, 64, 128, 256, 512, 1024), (64, 128, 256, 512, 1024, 2048), strict=True)
        expected = 2 * 64 + sum(9 * (a + b) * b + 2 * 2 * b for a, b in steps) + (2048 + 1) * 2048 + head
    elif name == "beats":
        patches = 512 * 16 * 16 + 2 * 512 + (512 + 1) * 768
        positions = 768 * 48 * 128 + 128 + 768 + 320 * 12
        attention = 4 * (768 + 1) * 768 + (64 + 1) * 8 + 12
        layer = attention + (768 + 1) * 3072 + (3072 + 1) * 768 + 2 * 2 * 768
        expected = patches + positions + 2 * 768 + 12 * layer + head
    elif name in SPECTROGRAM_ENCODERS:
        model = saved(name)[1]
        tower = {"ast": "audio_spectrogram_transformer", "clap": "audio_model", "whisper": "model.encoder"}[name]
        parts = [model.get_submodule(tower), *([model.audio_projection] if name == "clap" else [])]
        expected = sum(value.numel() for part in parts for value in part.parameters()) + head
        expected -= 100 * 24 if name == "whisper" else 0  # positions, which are not learnt
    elif name in HUB:
        state = safetensors.torch.load_file(Path(tiny(TYPES[name])) / "model.safetensors")
        lengths = [tensor for key, tensor in state.items() if key.endswith("original0")]  # multiplied out
        unused = [*lengths, state["masked_spec_embed"]]
        expected = sum(one.numel() for one in state.values()) - sum(one.numel() for one in unused) + head
    else:
        path = home("data", "esc50").parents[1] / "golden" / "esresnext_state_dict.json"
        if not path.is_file():
            pytest.skip(f"{path} is not there")
        layout = json.loads(path.read_text())["state_dict"]
        buffers = {"window", "running_mean", "running_var", "num_batches_tracked"}
        learnt = {n: s for n, s in layout.items() if n.rpartition(".")[2] not in buffers and n != "fbsp.bias"}
        body = sum(math.prod(shape) for n, shape in learnt.items() if not n.startswith("fc."))
        assert len(layout) - len(learnt) == 1 + 1 + 3 * (53 + 5), "window, empty bias, statistics of 53 + 5 BatchNorms"
        expected = body + head + ((2048 + 1) * 1024 if name == "audioclip" else 0)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@each
def test_half_precision_is_close(name: str) -> None:
    network, inputs = fresh(name)
    with torch.inference_mode():
        exact = network.logits(inputs)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network.logits(inputs).float()
    # bfloat16 rounds by 2**-9 at most: over some 50 layers at random about 1.4 %, thrice that is unlikely.
    error = (rough - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    assert 0 < error.max() < 0.05


@each
def test_half_precision_learns(name: str) -> None:
    network, _ = build(name)
    # Not shorter: where a map is one frame wide, oneDNN leaves parts of a weight's bfloat16 gradient unwritten.
    waves = 0.1 * torch.randn(2, 15_600, generator=torch.Generator().manual_seed(0))
    inputs = heard(name, waves)
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(network, inputs)
    loss.backward()
    assert all(value.grad is not None and torch.isfinite(value.grad).all() for value in network.parameters())


@each
def test_weights_travel_through_safetensors(name: str) -> None:
    network, inputs = build(name)
    with torch.no_grad():
        network.logits(inputs)  # so that running statistics are not those of a new network
    data = safetensors.torch.save({key: tensor.contiguous() for key, tensor in network.state_dict().items()})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        other = build_network(recipe(name), CLASSES)
    other.load_state_dict(safetensors.torch.load(data), strict=True)
    with torch.inference_mode():
        ours, theirs = (n.eval().logits(inputs) for n in (network, other))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=0)


def pickled(network: Network) -> Network:
    return pickle.loads(pickle.dumps(network))


@each
@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
def test_a_copy_in_the_middle_of_training(name: str, duplicate: Callable[[Network], Network]) -> None:
    network, training_inputs = build(name)
    inputs = fresh(name)[1][:2]
    state = state_of(network)
    network.load_state_dict(state)
    with torch.inference_mode():
        network.eval().logits(inputs)
    network.train().logits(training_inputs[:2]).sum().backward()  # and the regulariser and side logits still wait
    for module in network.modules():
        for attribute, held in module.__getstate__().items():
            for value in held if isinstance(held, list) else [held]:
                assert getattr(value, "grad_fn", None) is None, f"{attribute} has a graph: no other process may have it"
    other = duplicate(network)
    assert other.training
    assert {id(p) for p in other.parameters()}.isdisjoint(id(p) for p in network.parameters())
    with torch.inference_mode():
        expected = network.eval().logits(inputs)
        torch.testing.assert_close(other.eval().logits(inputs), expected, rtol=0, atol=0)
        # It follows the weights that it is given, and the first one does not.
        changed = {key: 0.9 * tensor if tensor.is_floating_point() else tensor for key, tensor in state.items()}
        other.load_state_dict(changed)
        torch.testing.assert_close(network.logits(inputs), expected, rtol=0, atol=0)
        network.load_state_dict(changed)
        torch.testing.assert_close(other.logits(inputs), network.logits(inputs), rtol=0, atol=0)
        assert (network.logits(inputs) - expected).abs().max() > 1e-4


@each
def test_dropout_acts_in_training_only(name: str) -> None:
    network, inputs = build(name)
    network.dropout.p = 0.5
    network.eval()
    with torch.inference_mode():
        embeddings = network.embed(inputs)
        torch.testing.assert_close(network.head(embeddings), network.fc(embeddings), rtol=0, atol=0)
        network.dropout.train()  # alone: the head of a frozen network
        torch.testing.assert_close(network.embed(inputs), embeddings, rtol=0, atol=0)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            drawn = torch.stack([network.head(embeddings) for _ in range(200)])
        assert (drawn[0] - drawn[1]).abs().max() > 1e-3 * embeddings.abs().max()
        # Half of the embedding is left out at a time, and the rest doubled: the mean stays.
        error = (drawn.mean(0) - network.fc(embeddings)).abs()
        assert (error < 6 * drawn.std(0) / math.sqrt(200)).all()


@pytest.mark.parametrize("share", [0.0, 0.35])
@each
def test_dropout_is_the_recipes(name: str, share: float) -> None:
    settings = {**SETTINGS[name]["network"], "dropout": share}
    assert build_network(recipe(name, network=settings), 3).dropout.p == share


@each
def test_a_fresh_head_changes_the_last_layer_alone(name: str) -> None:
    network, inputs = build(name)
    before = state_of(network)
    with torch.inference_mode():
        embeddings = network.eval().embed(inputs)
    network.reset_head(3)
    after = state_of(network)
    assert after.keys() == before.keys()
    fresh_ones = ("fc.", "body.AuxLogits.fc.")
    assert all(torch.equal(after[key], before[key]) for key in after if not key.startswith(fresh_ones))
    assert after["fc.weight"].shape == (3, EMBEDDING[name]) and after["fc.bias"].shape == (3,)
    assert after["fc.weight"].std() > 0 and network.fc.weight.requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(network.embed(inputs), embeddings, rtol=0, atol=0)
        assert network.logits(inputs).shape == (len(inputs), *outputs_of(name, SAMPLES[name]), 3)
    heads = {id(p) for p in network.groups()["head"]}
    assert heads >= {id(p) for p in network.fc.parameters()}
    joined = ("joins.", "norm.", "recurrent.") if name == "yamnet_framewise" else ()
    assert heads == {id(p) for key, p in network.named_parameters() if key.startswith((*fresh_ones, *joined))}


@each
def test_groups_hold_every_parameter_once(name: str) -> None:
    network, _ = fresh(name)
    groups = network.groups()
    assert list(groups) == ["head", "backbone"]
    assert [id(p) for p in groups["head"]][:2] == [id(network.fc.weight), id(network.fc.bias)]
    assert [id(p) for p in groups["head"]] == [id(p) for module in network.added() for p in module.parameters()]
    grouped = [id(p) for group in groups.values() for p in group]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in network.parameters()}


@each
def test_the_cam_layer_is_a_map_that_decides(name: str) -> None:
    network, inputs = fresh(name)
    assert any(module is network.cam_layer for module in network.modules())
    maps: list[Tensor] = []

    handle = network.cam_layer.register_forward_hook(lambda module, given, out: maps.append(out))
    out = network.logits(inputs)[:, 0].sum()
    handle.remove()
    assert len(maps) == 1, "the layer runs once a pass"
    assert maps[0].dim() == 4 and len(maps[0]) == len(inputs)
    if name in SEQUENCES:
        assert maps[0].shape[2] == 1 and maps[0].shape[3] > 1, "it tells when, not how high"
    else:
        assert maps[0].shape[2] > 1, "it tells low from high"
    (gradient,) = torch.autograd.grad(out, maps[0])
    assert (gradient.flatten(1).norm(dim=1) > 0).all()


@each
def test_the_regulariser_is_asked_for_once_a_pass(name: str) -> None:
    network, inputs = build(name)
    assert network.regulariser() == 0.0
    network.logits(inputs)
    first = network.regulariser()
    assert bool(first > 0) == (name in ("esresnext", "audioclip"))
    assert network.regulariser() == 0.0
    network.eval().logits(inputs)
    assert network.regulariser() == 0.0


def test_cnn_statistics_are_the_training_batches() -> None:
    network, inputs = build("cnn")
    network.logits(inputs)
    expected = 0.1 * inputs.mean(dim=(0, 2))  # one step of momentum 0.1, from 0
    torch.testing.assert_close(network.norm.running_mean, expected)
    network.eval()
    network.logits(inputs + 100)
    torch.testing.assert_close(network.norm.running_mean, expected)


@pytest.mark.parametrize("shape", [(8, 8), (16, 16), (64, 101), (33, 17)])
def test_cnn_takes_any_shape(shape: tuple[int, int]) -> None:
    bands, frames = shape
    network = cnn.SmallCNN(3, bands, width=4).eval()
    assert network(torch.zeros(2, bands, frames)).shape == (2, 3)
    assert network.embed(torch.zeros(2, bands, frames)).shape == (2, 8 * 4)


def test_yamnet_under_a_head_keeps_its_own_classes() -> None:
    network = build_network(recipe("yamnet", head={"name": "logreg"}), 3)
    assert network.fc.out_features == 521


def test_efficientat_under_a_head_keeps_its_own_classes() -> None:
    network = build_network(recipe("mn04_as", head={"name": "logreg"}), 3)
    assert network.fc.out_features == 527


def test_an_unknown_network_names_the_near_one() -> None:
    with pytest.raises(NetworkError, match=r"there is no network 'yamnett', here or in timm\. Did you mean 'yamnet'\?"):
        build_network(recipe("yamnet", network={"name": "yamnett"}), 3)


@pytest.mark.parametrize(
    ("name", "sections", "message"),
    [
        ("cnn", {"frontend": {"name": "none"}}, "set frontend.name = 'logmel'"),
        ("small", {"audio": {"rate_hz": 16_000}}, "small takes sound at 22050 Hz, not 16000"),
        ("yamnet", {"audio": {"rate_hz": 22_050}}, "yamnet takes sound at 16000 Hz, not 22050"),
        ("yamnet", {"frontend": {"name": "logmel"}}, "set frontend.name = 'none', not 'logmel'"),
        ("yamnet", {"windows": {"length": 15_601}}, "15600 samples at a time, not 15601"),
        ("esresnext", {"audio": {"rate_hz": 16_000}}, "esresnext takes sound at 44100 Hz, not 16000"),
        ("esresnext", {"frontend": {"name": "logmel"}}, "esresnext has its own front end: set frontend.name"),
        ("audioclip", {"audio": {"rate_hz": 48_000}}, "audioclip takes sound at 44100 Hz, not 48000"),
        ("mn04_as", {"audio": {"rate_hz": 16_000}}, "mn04_as takes sound at 32000 Hz, not 16000"),
        ("mn10_as", {"frontend": {"name": "logmel"}}, "mn10_as has its own front end: set frontend.name = 'none'"),
        ("audioclip", {"frontend": {"name": "logmel"}}, "audioclip has its own front end: set frontend.name"),
        ("cnn14", {"audio": {"rate_hz": 16_000}}, "cnn14 takes sound at 32000 Hz, not 16000"),
        ("cnn14", {"frontend": {"name": "logmel"}}, "cnn14 has its own front end: set frontend.name"),
        ("beats", {"audio": {"rate_hz": 32_000}}, "beats takes sound at 16000 Hz, not 32000"),
        ("beats", {"frontend": {"name": "logmel"}}, "beats has its own front end: set frontend.name"),
        ("resnet18", {"frontend": {"name": "none"}}, "the resnet18 takes spectrograms: set frontend.name = 'logmel'"),
        (
            "compact",
            {"frontend": _LOGMEL | {"n_mels": 14}},
            "the compact needs 15 bands and 15 frames at least, not 14",
        ),
        ("cnn1d", {"frontend": _LOGMEL | {"frames": 7}}, "the cnn1d needs 1 bands and 8 frames at least, not 40 and 7"),
        (
            "baseline",
            {"frontend": _LOGMEL | {"size": [31, 99]}},
            "baseline needs 32 bands and 32 frames .* not 31 and 99",
        ),
        ("cnn", {"frontend": MAGMA}, "a colour image, but one channel is expected: set frontend.colours = 'none'"),
        ("transformer", {"frontend": MAGMA}, "one channel is expected: set frontend.colours = 'none'"),
        ("baseline", {"frontend": MAGMA}, "expected: set network.channels = 3 or frontend.colours = 'none'"),
        ("resnet18", {"frontend": MAGMA}, "expected: set network.channels = 3 or frontend.colours = 'none'"),
        ("mobilenetv4_conv_small", {"frontend": MAGMA}, "set network.channels = 3 or frontend.colours = 'none'"),
        ("cnn", {"network": {"name": "cnn", "channels": 3}}, r"network\.channels is for baseline, .*, not for cnn"),
        ("yamnet", {"network": {"name": "yamnet", "width": 8}}, r"network\.width is for cnn, .*, not for yamnet"),
        ("alexnet", {"network": {"name": "alexnet", "width": 8}}, r"network\.width is for .*, not for alexnet"),
        (
            "alexnet",
            {"network": {"name": "alexnet", "attention": "se"}},
            r"network\.attention is for resnet18, resnet50, not for alexnet\. Leave it out",
        ),
        (
            "mobilenetv4_conv_small",
            {"network": {"name": "mobilenetv4_conv_small", "attention": "se"}},
            r"network\.attention is for resnet18, resnet50, not for mobilenetv4_conv_small",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(name: str, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        build_network(recipe(name, **sections), 3)


@pytest.mark.parametrize("name", ["cnn", "baseline", "cnn1d", "transformer", "resnet18", "mobilenetv4_conv_small"])
def test_a_colour_picture_is_refused_by_one_channel(name: str) -> None:
    network, inputs = fresh(name)
    colours = inputs[:, None].expand(-1, 3, -1, -1)
    with pytest.raises(NetworkError, match=r"frontend\.colours = 'none'"):
        network.logits(colours)


@pytest.mark.parametrize("name", ["cnn", "compact", "framewise"])
@pytest.mark.parametrize("shape", [(2, 39, 64), (2, 1, 40, 64), (2, 3, 40, 64), (40, 64)])
def test_a_network_that_knows_its_bands_is_given_no_others(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(NetworkError, match=r"but spectrograms \[B, 40, frames\] are expected"):
        fresh(name)[0](torch.zeros(*shape))


def test_pictures_and_spectrograms_are_refused_in_other_shapes() -> None:
    three = cnn.Baseline(3, channels=3).eval()
    assert three(torch.zeros(2, 3, 32, 32)).shape == three(torch.zeros(2, 32, 32)).shape == (2, 3)
    for shape in ((2, 1, 32, 32), (2, 4, 32, 32), (2, 32), (2, 1, 3, 32, 32)):
        with pytest.raises(NetworkError, match=r"give spectrograms \[B, F, W\] or images \[B, 3, F, W\]"):
            three(torch.zeros(*shape))


@pytest.mark.parametrize("name", ["esc50-compact", "us8k-compact", "emodb-compact"])
def test_hubbubs_own_network_fits_a_phone(name: str) -> None:
    """Under 1.5 million parameters, and 5 MB of them, with the recipes' own settings and ESC-50's classes."""
    assert 1_000_000 < sum(p.numel() for p in build_network(Recipe.load(name), 50).parameters()) < 1_500_000


def test_compact_hears_one_event_and_a_lasting_sound() -> None:
    """Its embedding is the mean plus the maximum: an event counts in the one, how long it lasts in the other."""
    network, _ = fresh("compact")
    quiet, once, often = (torch.zeros(1, 40, 400) for _ in range(3))
    once[..., 40:80], often[..., 40:80], often[..., 120:160], often[..., 200:240] = 5, 5, 5, 5
    with torch.inference_mode():
        maps = [network.body(network.norm(x).unsqueeze(1)) for x in (quiet, once, often)]
        for x, cells in zip((quiet, once, often), maps, strict=True):
            torch.testing.assert_close(network.embed(x), cells.mean((2, 3)) + cells.flatten(2).max(2).values)
        assert (network.embed(once) - network.embed(quiet)).abs().max() > 1e-3
        assert (network.embed(often) - network.embed(once)).abs().max() > 1e-3


def test_a_shorter_window_fits_yamnet() -> None:
    network = build_network(recipe("yamnet", windows={"length": 15_360}), 3).eval()
    assert network.embed(torch.zeros(1, 15_360)).shape == (1, 1024)


def test_a_cnn_too_small_to_pool_is_refused() -> None:
    for setting in ("frontend.n_mels=7", "frontend.hop=8000"):
        with pytest.raises(NetworkError, match="the cnn needs 8 bands and 8 frames at least, not"):
            build_network(Recipe.load("street-cnn", [setting]), 3)


# The weights they start from


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that holds something under the name of each network's published weights."""
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "weights"
    folder.mkdir(parents=True)
    for asset in download.ASSETS.values():
        if asset.kind == "weights":
            (folder / asset.file).write_bytes(b"weights")
    return folder


def starting_from(name: str, weights: str) -> Recipe:
    return recipe(name, network={**SETTINGS[name]["network"], "weights": weights})


def test_published_weights_are_found_by_default(own_home: Path) -> None:
    assert set(PUBLISHED) == set(NETWORKS) - set(HUB) - {
        "cnn",
        "compact",
        "framewise",
        "baseline",
        "cnn1d",
        "transformer",
        "small",
        "onnx",
    }
    assert find_weights(recipe("cnn")) is None
    assert find_weights(recipe("yamnet")) == own_home / "yamnet.h5"
    assert find_weights(recipe("esresnext")) == own_home / "ESResNeXtFBSP_AudioSet.pt"
    assert find_weights(recipe("audioclip")) == own_home / "AudioCLIP-Full-Training.pt"
    assert find_weights(recipe("mn04_as")) == own_home / "mn04_as_mAP_432.pt"
    assert find_weights(recipe("mn10_as")) == own_home / "mn10_as_mAP_471.pt"
    assert find_weights(recipe("cnn14")) == own_home / "Cnn14_mAP=0.431.pth"
    assert find_weights(recipe("beats")) == own_home / "BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt2.pt"


def test_other_weights_are_found_by_name_or_path(own_home: Path, tmp_path: Path) -> None:
    partial = find_weights(starting_from("audioclip", "audioclip_partial"))
    assert partial == own_home / "AudioCLIP-Partial-Training.pt"
    assert find_weights(starting_from("esresnext", "audioclip_full")) == own_home / "AudioCLIP-Full-Training.pt"
    assert find_weights(starting_from("beats", "beats_unlabelled")) == own_home / "BEATs_iter3_plus_AS2M.pt"
    (tmp_path / "mine.safetensors").write_bytes(b"weights")
    for name in SETTINGS:
        assert find_weights(starting_from(name, "none")) is None
        if name in HUB:
            continue
        path = find_weights(starting_from(name, str(tmp_path / "mine.safetensors")))
        assert path == tmp_path / "mine.safetensors"


@pytest.mark.parametrize("given", ["audioclip_ful", "defualt", "mine.pt", "esc50", "."])
def test_unknown_weights_are_refused(own_home: Path, given: str) -> None:
    near = {"audioclip_ful": "Did you mean 'audioclip_full'", "defualt": "Did you mean 'default'"}
    with pytest.raises(NetworkError, match=rf"network\.weights: '{re.escape(given)}' is neither a file") as caught:
        find_weights(starting_from("audioclip", given))
    assert near.get(given, "") in str(caught.value)


def test_yamnets_file_under_other_classes(home: Callable[[str, str], Path]) -> None:
    path = home("weights", "yamnet.h5")
    network, published = build_network(recipe("yamnet"), CLASSES), load_yamnet(path)
    head = network.fc.weight.clone()
    report = load_weights(network, path).splitlines()
    assert report[0].startswith("yamnet.h5: 54 tensors (3.2 M values) loaded")
    assert report[1:] == [f"fc replaced by a new one (521 -> {CLASSES} outputs)"]
    assert torch.equal(network.fc.weight, head)
    wave = fresh("yamnet")[1]
    with torch.inference_mode():
        torch.testing.assert_close(network.eval().embed(wave), published.embed(wave), rtol=0, atol=0)
    whole = build_network(recipe("yamnet", head={"name": "logreg"}), 3)
    assert len(load_weights(whole, path).splitlines()) == 1
    assert torch.equal(whole.fc.weight, published.fc.weight)


def test_a_trained_networks_file_loads_back(tmp_path: Path) -> None:
    network, inputs = build("cnn")
    with torch.no_grad():
        network.logits(inputs)
    safetensors.torch.save_file(network.state_dict(), tmp_path / "cnn.safetensors")
    other = build_network(recipe("cnn"), CLASSES)
    assert len(load_weights(other, tmp_path / "cnn.safetensors").splitlines()) == 1
    with torch.inference_mode():
        torch.testing.assert_close(other.eval().logits(inputs), network.eval().logits(inputs), rtol=0, atol=0)
    wider = build_network(recipe("cnn", network={"name": "cnn", "width": 16}), CLASSES)
    with pytest.raises(CheckpointError, match=r"cnn\.safetensors does not fit SmallCNN"):
        load_weights(wider, tmp_path / "cnn.safetensors")
