"""sequence: the 1-D CNN and the Transformer encoder against plain formulas, torch's own layer, and their memory."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hubbub.config.recipe import Recipe
from hubbub.models.registry import NetworkError, build_network
from hubbub.models.sequence import AudioCNN1D, EncoderLayer, Transformer, positions

GB = 1e9


def seeded(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def recipe(name: str, **frontend: object) -> Recipe:
    return Recipe.of(
        {
            "data": {"name": "street"},
            "frontend": {"name": "logmel", "n_mels": 128, **frontend},
            "network": {"name": name, "dropout": 0.0},
        }
    )


# 1-D CNN


def test_the_1d_cnn_flattens_to_11968() -> None:
    network = build_network(recipe("cnn1d", frames=1501), 10)
    assert isinstance(network, AudioCNN1D) and network.shape == (128, 1501)
    with torch.inference_mode():
        assert network.body(torch.zeros(1, 128, 1501)).shape == (1, 64, 1, 187)
    assert network.hidden.in_features == 11_968 and network.hidden.out_features == 128
    assert network.fc.in_features == 128 and network.fc.out_features == 10


def test_the_1d_cnn_is_its_formula() -> None:
    network, x = AudioCNN1D(5, bands=20, frames=45).eval(), seeded((3, 20, 45))
    first, second, third = (layer for layer in network.body if isinstance(layer, nn.Conv1d))
    expected = x
    for layer in (first, second, third):
        expected = functional.conv1d(expected, layer.weight, layer.bias, padding=1)
        length = expected.shape[2] // 2 * 2
        expected = functional.relu(expected)[:, :, :length].unflatten(2, (-1, 2)).amax(3)
    assert [layer.weight.shape for layer in (first, second, third)] == [(16, 20, 3), (32, 16, 3), (64, 32, 3)]
    expected = functional.relu(expected.flatten(1) @ network.hidden.weight.T + network.hidden.bias)
    torch.testing.assert_close(network.embed(x), expected)
    torch.testing.assert_close(network(x), expected @ network.fc.weight.T + network.fc.bias)


@pytest.mark.parametrize(("bands", "frames"), [(128, 8), (64, 9), (1, 100)])
def test_the_1d_cnn_takes_the_size_it_was_built_for(bands: int, frames: int) -> None:
    network = AudioCNN1D(3, bands, frames).eval()
    assert network(torch.zeros(2, bands, frames)).shape == (2, 3)
    for shape in ((2, bands, frames + 1), (2, bands, frames - 1), (2, bands + 1, frames), (2, 3, bands, frames)):
        with pytest.raises(
            NetworkError, match=rf"cnn1d was built for spectrograms \[B, {bands}, {frames}\], not \[2, "
        ):
            network(torch.zeros(*shape))


def test_the_1d_cnn_needs_8_frames() -> None:
    assert build_network(recipe("cnn1d", frames=8), 3).shape == (128, 8)
    with pytest.raises(NetworkError, match="the cnn1d needs 1 bands and 8 frames at least, not 128 and 7"):
        build_network(recipe("cnn1d", frames=7), 3)
    with pytest.raises(RuntimeError, match=r"[Oo]utput size"):  # torch's own word
        AudioCNN1D(3, 128, 8).body(torch.zeros(1, 128, 7))


# Transformer


@pytest.mark.parametrize("training", [False, True])
def test_an_encoder_layer_is_torchs_own(training: bool) -> None:
    torch.manual_seed(0)
    ours = EncoderLayer(16, 4, 32, dropout=0.0).train(training)
    theirs = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True).train(training)
    with torch.no_grad():
        for parameter in theirs.parameters():  # also the biases, which begin as zeros
            parameter.copy_(torch.randn(parameter.shape) / 4)
    names = {"self_attn.in_proj_": "qkv.", "self_attn.out_proj.": "out.", "linear1.": "widen.", "linear2.": "narrow."}
    state = theirs.state_dict()
    for their_name, our_name in names.items():
        state = {name.replace(their_name, our_name): tensor for name, tensor in state.items()}
    ours.load_state_dict(state, strict=True)
    x = seeded((2, 7, 16))
    torch.testing.assert_close(ours(x), theirs(x))


def test_dropout_before_relu_is_dropout_after_it() -> None:
    x = torch.randn(100, 50, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    before = torch.relu(functional.dropout(x, 0.3))
    torch.manual_seed(1)
    torch.testing.assert_close(before, functional.dropout(torch.relu(x), 0.3), rtol=0, atol=0)


def test_an_encoder_layers_dropout_acts_in_training_on_both_halves() -> None:
    layer, x = EncoderLayer(16, 4, 32, dropout=0.5), seeded((4, 9, 16))
    torch.manual_seed(0)
    assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))
    layer.train()
    for half in (layer.out, layer.narrow):
        alone = EncoderLayer(16, 4, 32, dropout=0.5)
        alone.load_state_dict(layer.state_dict())
        silent = alone.narrow if half is layer.out else alone.out
        nn.init.zeros_(silent.weight)
        nn.init.zeros_(silent.bias)
        assert not torch.equal(alone(x), alone(x))


def test_positions_are_the_papers() -> None:
    table = positions(50, 8)
    expected = [
        [f(place / 10_000 ** (2 * (i // 2) / 8)) for i, f in enumerate([math.sin, math.cos] * 4)] for place in range(50)
    ]
    torch.testing.assert_close(table, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_the_order_of_frames_matters_and_only_because_of_positions() -> None:
    network, x = Transformer(3).eval(), seeded((2, 128, 40))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert (network(x[:, :, order]) - network(x)).abs().max() > 1e-3
        frames = x.transpose(1, 2)  # what its layers would be given without positions
        means = [network.body(sequence).mean(dim=(2, 3)) for sequence in (frames, frames[:, order])]
        torch.testing.assert_close(means[0], means[1], rtol=1e-4, atol=1e-5)


def test_each_frame_sees_every_other() -> None:
    network = Transformer(3).eval()
    x = seeded((1, 128, 30)).requires_grad_()
    made: list[Tensor] = []
    network.body[0].register_forward_hook(lambda layer, given, out: made.append(out))
    network(x)
    (gradient,) = torch.autograd.grad(made[0][0, 29, 0], x)
    assert (gradient[0].norm(dim=0) > 0).all()


def test_the_transformer_is_built_as_described() -> None:
    network = build_network(recipe("transformer", frames=1501), 10)
    assert isinstance(network, Transformer) and isinstance(network.project, nn.Identity)
    layers = [layer for layer in network.body if isinstance(layer, EncoderLayer)]
    assert [(layer.heads, layer.widen.out_features, layer.dropout.p) for layer in layers] == [(4, 2048, 0.1)] * 2
    assert (network.hidden.in_features, network.hidden.out_features, network.fc.out_features) == (128, 256, 10)
    layer = nn.TransformerEncoderLayer(128, 4, 2048)
    expected = 2 * sum(p.numel() for p in layer.parameters()) + 129 * 256 + 257 * 10
    assert sum(p.numel() for p in network.parameters()) == expected
    # Other bands than the width go through a linear layer first.
    narrow = Transformer(10, bands=64)
    assert sum(p.numel() for p in narrow.parameters()) == expected + 65 * 128


def test_the_transformer_averages_its_last_layer_over_time() -> None:
    network, x = Transformer(3).eval(), seeded((2, 128, 12))
    made: list[Tensor] = []
    network.cam_layer.register_forward_hook(lambda layer, given, out: made.append(out))
    with torch.inference_mode():
        embedding = network.embed(x)
        sequence = x.transpose(1, 2) + positions(12, 128)
        for layer in network.body[:2]:
            sequence = layer(sequence)
        torch.testing.assert_close(made[0], sequence.transpose(1, 2)[:, :, None])
        torch.testing.assert_close(embedding, torch.relu(network.hidden(sequence.mean(dim=1))))


@pytest.mark.parametrize("shape", [(2, 127, 40), (2, 40), (2, 3, 128, 40)])
def test_the_transformer_refuses_other_bands(shape: tuple[int, ...]) -> None:
    with pytest.raises(NetworkError, match=r"the transformer was built for spectrograms \[B, 128, frames\], not \[2, "):
        Transformer(3)(torch.zeros(*shape))


def kept_bytes(frames: int, half: bool) -> int:
    """What a training step of the transformer on one segment keeps for its backward pass, its weights left out."""
    network = Transformer(10, dropout=0.1)
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        functional.cross_entropy(network(seeded((1, 128, frames))), torch.zeros(1, dtype=torch.long))
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)


@pytest.mark.parametrize(("half", "stated"), [(True, 17.4), (False, 33.1)])
def test_the_transformers_memory_grows_with_the_frames_and_not_their_square(half: bool, stated: float) -> None:
    kept = [kept_bytes(frames, half) for frames in (375, 750, 1501)]
    steps = [(kept[1] - kept[0]) / 375, (kept[2] - kept[1]) / 751]
    # With all pairs of 1,501 frames the second would be twice the first.
    assert steps[1] == pytest.approx(steps[0], rel=0.02)
    assert steps[1] * 512 * 1501 / GB == pytest.approx(stated, abs=0.1)
