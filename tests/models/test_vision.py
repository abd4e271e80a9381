"""vision: torchvision's and timm's networks against the originals, and the files that they start from."""

import copy
import os
import pickle
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor, nn

from hubbub.config.recipe import Recipe
from hubbub.models import vision
from hubbub.models.attention import CBAM, SqueezeExcitation
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.registry import NETWORKS, Network, NetworkError, build_network
from hubbub.models.vision import PLANS, Timm, Vision
from hubbub.models.weights import PUBLISHED, find_weights, load_weights, published
from hubbub.runtime import download
from hubbub.runtime.homes import StoreError

SLOW = ("vgg16",)  # 138 M parameters
SIZE = {"vgg16": 32, "inception_v3": 107}  # height and width for the tests, else 64
each = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in PLANS]
)


def recipe(name: str, *, frontend: dict[str, Any] | None = None, **network: Any) -> Recipe:
    return Recipe.of(
        {
            "data": {"name": "street"},
            "frontend": {"name": "logmel", "size": [64, 64], **(frontend or {})},
            "network": {"name": name, "dropout": 0.0, **network},
        }
    )


def build(name: str, classes: int, **network: Any) -> Network:
    size = PLANS[name].smallest if name in PLANS else 64
    return build_network(recipe(name, frontend={"size": [max(size, 64)] * 2}, **network), classes).eval()


def pictures(name: str, channels: int = 3) -> Tensor:
    size = SIZE.get(name, 64)
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1))


@cache
def original(name: str) -> nn.Module:
    """torchvision's own network as ImageNet's files hold it, its statistics changed as if it had been trained."""
    own = {"init_weights": True} if name == "inception_v3" else {}
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = torchvision.models.get_model(name, weights=None, **own).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


@pytest.fixture
def file() -> Iterator[Any]:
    """`file(name)`: the original's file, as torchvision publishes it; too large to be kept, as pytest would."""
    with tempfile.TemporaryDirectory() as folder:

        def write(name: str) -> Path:
            path = Path(folder) / f"{name}.pth"
            torch.save(original(name).state_dict(), path)
            return path

        yield write


def near(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


# torchvision's


def test_every_plan_is_a_network_with_a_published_file() -> None:
    assert {name for name, asset in PUBLISHED.items() if asset.endswith("_imagenet")} == set(PLANS) <= set(NETWORKS)
    for name in PLANS:
        weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V2" if name == "resnet50" else "IMAGENET1K_V1"]
        asset = download.ASSETS[PUBLISHED[name]]
        assert asset.url == weights.url and asset.file == weights.url.rpartition("/")[2]
        assert asset.hash == f"sha256:{asset.file.removesuffix('.pth')[-8:]}"
        assert asset.size == pytest.approx(weights.meta["_file_size"] * 2**20, abs=1000)
        assert published(recipe(name)) == asset


@each
def test_torchvisions_file_gives_torchvisions_answers(name: str, file: Any) -> None:
    network, theirs, x = build(name, 1000, channels=3), original(name), pictures(name)
    report = load_weights(network, file(name)).splitlines()
    assert len(report) == 1 and f"{len(theirs.state_dict())} tensors" in report[0], "all of it, and nothing else"
    with torch.inference_mode():
        near(network(x), theirs(x))
    if name in ("alexnet", "vgg16"):
        with torch.inference_mode():
            near(network.embed(x), theirs.classifier[:-1](theirs.avgpool(theirs.features(x)).flatten(1)))


@each
def test_torchvisions_file_under_other_classes_and_one_channel(name: str, file: Any) -> None:
    network, theirs, x = build(name, 7), original(name), pictures(name, 1)
    before = network.fc.weight.clone()
    report = load_weights(network, file(name)).splitlines()
    heads = ["fc replaced by a new one (1000 -> 7 outputs)"]
    if name == "inception_v3":
        heads.append("body.AuxLogits.fc replaced by a new one (1000 -> 7 outputs)")
    assert sorted(report[1:-1]) == sorted(heads)
    assert re.fullmatch(r"body\.\S+\.weight: kernels for three colours summed for one channel", report[-1])
    assert torch.equal(network.fc.weight, before)
    last = theirs.get_submodule(PLANS[name].last)
    given: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda layer, inputs: given.append(inputs[0]))
    with torch.inference_mode():
        theirs(x.expand(-1, 3, -1, -1))  # the same picture in each colour
        hook.remove()
        near(network.embed(x), given[0])
        near(network.embed(x[:, 0]), given[0])


@pytest.mark.parametrize("name", ["resnet18", "alexnet", "inception_v3"])
def test_one_channel_begins_as_three_of_the_same(name: str) -> None:
    made = []
    for channels in (1, 3):
        torch.manual_seed(3)
        made.append(build(name, 5, channels=channels))
    x = pictures(name, 1)[:, 0]
    with torch.inference_mode():
        near(made[0](x), made[1](x))
    assert sum(p.numel() for p in made[0].parameters()) < sum(p.numel() for p in made[1].parameters())


@pytest.mark.parametrize("other", ["resnet50", "mobilenet_v2", "cnn"])
def test_another_networks_file_is_refused(other: str, file: Any, tmp_path: Path) -> None:
    network = build("resnet18", 1000, channels=3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if other == "cnn":
        path = tmp_path / "cnn.safetensors"
        safetensors.torch.save_file(build_network(recipe("cnn"), 3).state_dict(), path)
    else:
        path = file(other)
    with pytest.raises(CheckpointError, match="does not fit Vision; nothing was loaded"):
        load_weights(network, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_our_own_file_of_other_classes_loads_but_for_its_last_layers(tmp_path: Path) -> None:
    theirs = build("inception_v3", 5)
    path = tmp_path / "mine.safetensors"
    safetensors.torch.save_file({n: t.contiguous() for n, t in theirs.state_dict().items()}, path)
    ours = build("inception_v3", 9)
    assert sorted(load_weights(ours, path).splitlines()[1:]) == [
        "body.AuxLogits.fc replaced by a new one (5 -> 9 outputs)",
        "fc replaced by a new one (5 -> 9 outputs)",
    ]
    x = pictures("inception_v3", 1)
    with torch.inference_mode():
        torch.testing.assert_close(ours.embed(x), theirs.embed(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", PLANS)
def test_the_smallest_picture(name: str) -> None:
    smallest = PLANS[name].smallest
    with torch.device("meta"):  # shapes alone
        network = Vision(name, 5).train()

        def trained(height: int, width: int) -> Tensor:
            return network(torch.empty(2, height, width))

        assert trained(smallest, smallest).shape == trained(smallest, smallest + 20).shape == (2, 5)
        for height, width in ((smallest - 1, smallest + 20), (smallest + 20, smallest - 1)):
            with pytest.raises(RuntimeError):  # torch's own
                trained(height, width)
    if smallest == 1:  # no front end makes less
        return
    for size in ([smallest - 1, 400], [400, smallest - 1]):
        given = f"needs {smallest} bands and {smallest} frames at least, not {size[0]} and {size[1]}. Set frontend.size"
        with pytest.raises(NetworkError, match=re.escape(given)):
            build_network(recipe(name, frontend={"size": size}), 5)


@pytest.mark.parametrize("name", ["alexnet", "convnext_tiny", "resnet18"])
def test_the_smallest_picture_in_earnest(name: str) -> None:
    network = Vision(name, 5).train()
    network(torch.randn(2, PLANS[name].smallest, PLANS[name].smallest)).sum().backward()
    with pytest.raises(RuntimeError):
        network(torch.randn(2, PLANS[name].smallest - 1, 80))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "inception_v3"])
def test_channels_lie_last_in_memory(name: str, file: Any) -> None:
    network = build(name, 5)
    load_weights(network, file(name))
    kernels = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert len(kernels) > 10 and all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)
    made: list[Tensor] = []
    network.cam_layer.register_forward_hook(lambda layer, given, out: made.append(out))
    network(pictures(name, 1))
    assert made[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_of_a_narrow_network_do_not_lie_last(channels: int) -> None:
    """A picture of one channel lies in memory as either layout says, and convolutions then take channels last."""
    network = Vision("resnet18", 5, channels=channels, width=4)
    made: list[Tensor] = []
    for layer in (network.body.conv1, network.body.layer2):
        layer.register_forward_hook(lambda layer, given, out: made.append(out))
    network(torch.zeros(2, 64, 96, channels).permute(0, 3, 1, 2))
    assert len(made) == 2 and all(one.is_contiguous() for one in made)


def test_networks_that_need_neither_library_load_neither() -> None:
    code = (
        "import sys\nfrom hubbub.models.registry import build_network\nfrom hubbub.config.recipe import Recipe\n"
        "build_network(Recipe.load('street-cnn'), 3)\n"
        "print(*({'torchvision', 'timm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


# InceptionV3's auxiliary classifier


def test_inceptions_side_logits_are_there_in_training_only_and_once() -> None:
    network = build("inception_v3", 5)
    assert network.side_logits() == []
    network(pictures("inception_v3", 1))
    assert network.side_logits() == []
    x = torch.randn(2, 299, 299, generator=torch.Generator().manual_seed(0))
    out = network.train()(x)
    assert out.shape == (2, 5)
    clone = copy.deepcopy(network)
    (side,) = network.side_logits()
    assert side.shape == (2, 5) and network.side_logits() == [] and clone.side_logits() == []
    aux = network.body.AuxLogits
    (gradient,) = torch.autograd.grad(side.sum(), aux.fc.weight, retain_graph=True)
    assert gradient.any()
    assert all(
        gradient is None for gradient in torch.autograd.grad(out.sum(), list(aux.parameters()), allow_unused=True)
    )
    # A pass that is not of training leaves none behind.
    network(x)
    network.eval()(pictures("inception_v3", 1))
    assert network.side_logits() == []


def test_inceptions_side_logits_are_torchvisions(file: Any) -> None:
    network, theirs = build("inception_v3", 1000, channels=3), copy.deepcopy(original("inception_v3"))
    load_weights(network, file("inception_v3"))
    for module in (network.train(), theirs.train()):
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d | nn.Dropout):
                norm.eval()
    assert not network.body.transform_input
    x = torch.randn(1, 3, 299, 299, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network(x)
        near(network.side_logits()[0], theirs(x).aux_logits)


def test_inceptions_fresh_head_has_both_classifiers() -> None:
    network = build("inception_v3", 5)
    aux = network.body.AuxLogits
    assert network.added() == [network.fc, aux.fc]
    network.reset_head(3)
    assert network.added() == [network.fc, aux.fc]
    assert network.fc.out_features == aux.fc.out_features == 3


# ResNets: width and attention


def resnet_parameters(kind: str, width: int, channels: int, classes: int) -> int:
    """Of a ResNet (He et al. 2016, table 1), convolutions and BatchNorms counted one by one."""
    blocks = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}[kind]
    total, before = 49 * channels * width + 2 * width, width
    for stage, count in enumerate(blocks):
        inner = width * 2**stage
        outer = inner if kind == "resnet18" else 4 * inner
        for block in range(count):
            if kind == "resnet18":
                convolutions = [9 * before * inner, 9 * inner * inner]
                norms = [inner, inner]
            else:
                convolutions = [before * inner, 9 * inner * inner, inner * outer]
                norms = [inner, inner, outer]
            if block == 0 and (stage > 0 or before != outer):
                convolutions.append(before * outer)
                norms.append(outer)
            total += sum(convolutions) + 2 * sum(norms)
            before = outer
    return total + (before + 1) * classes


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize(("width", "channels", "classes"), [(None, 3, 1000), (64, 1, 50), (32, 1, 50), (16, 3, 10)])
def test_a_resnets_parameters(name: str, width: int | None, channels: int, classes: int) -> None:
    network = build(name, classes, width=width, channels=channels)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == resnet_parameters(name, width or 64, channels, classes)
    if width is None:
        assert count == {"resnet18": 11_689_512, "resnet50": 25_557_032}[name]  # as torchvision states
    if (name, width, classes) == ("resnet18", 64, 50):
        assert round(count / 1e6, 1) == 11.2
    embedding = (width or 64) * {"resnet18": 8, "resnet50": 32}[name]
    with torch.inference_mode():
        assert network.embed(pictures(name, channels)).shape == (2, embedding)


def test_a_narrow_resnet_is_drawn_as_torchvision_draws() -> None:
    torch.manual_seed(0)
    network = build("resnet18", 5, width=32, channels=3)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight[:, 0].numel()  # filters times cells
            assert float(layer.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)


def test_a_narrow_resnet_has_no_imagenet_weights(file: Any) -> None:
    narrow = recipe("resnet18", width=32)
    assert published(narrow) is None and find_weights(narrow) is None
    with pytest.raises(NetworkError, match="resnet18 of width 32 has no ImageNet weights"):
        find_weights(recipe("resnet18", width=32, weights="imagenet"))
    with pytest.raises(
        CheckpointError, match=r"100 of another shape: body\.conv1\.weight \[64, 3, 7, 7\] instead of \[32, 1"
    ):
        load_weights(build("resnet18", 5, width=32), file("resnet18"))


@pytest.mark.parametrize(
    ("name", "attention", "kind"), [("resnet18", "se", SqueezeExcitation), ("resnet50", "cbam", CBAM)]
)
def test_attention_follows_each_stage_and_is_added(name: str, attention: str, kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    plain = build(name, 5)
    torch.manual_seed(0)
    network = build(name, 5, attention=attention)
    blocks = [module for module in network.modules() if isinstance(module, kind)]
    assert network.added() == [network.fc, *blocks] and len(blocks) == 4
    assert plain.added() == [plain.fc]
    added = [p for module in network.added() for p in module.parameters()]
    assert [id(p) for p in network.groups()["head"]] == [id(p) for p in added]
    assert len(network.groups()["head"]) + len(network.groups()["backbone"]) == len(list(network.parameters()))
    # Without weights each block gives a constant share of what the stage gave.
    weights = {n: p for n, p in network.state_dict().items() if "attention" not in n}
    plain.load_state_dict(weights, strict=True)
    for block in blocks:
        for parameter in block.parameters():
            nn.init.zeros_(parameter)
    share, x = {"se": 0.5, "cbam": 0.25}[attention], pictures(name, 1)
    with torch.inference_mode():
        stage = network.body.maxpool(torch.relu(network.body.bn1(network.body.conv1(x))))
        for number in range(1, 5):
            theirs = plain.body.get_submodule(f"layer{number}")(stage)
            stage = network.body.get_submodule(f"layer{number}")(stage)
            near(stage, share * theirs)


@pytest.mark.parametrize("attention", ["se", "cbam"])
def test_imagenets_file_leaves_attention_fresh(attention: str, file: Any) -> None:
    network, theirs = build("resnet18", 7, attention=attention, channels=3), original("resnet18")
    before = {n: t.clone() for n, t in network.state_dict().items() if "attention" in n}
    assert len(before) == 4 * {"se": 2, "cbam": 3}[attention]
    report = load_weights(network, file("resnet18")).splitlines()
    assert report[1] == "fc replaced by a new one (1000 -> 7 outputs)"
    assert re.match(
        r"not in the file, kept from the network: body\.layer1\.attention\.\S+, .* and \d+ more$", report[2]
    )
    assert len(report) == 3
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert torch.equal(after["body.layer3.1.conv2.weight"], theirs.state_dict()["layer3.1.conv2.weight"])


def test_trained_attention_loads_into_its_own_kind_alone(tmp_path: Path) -> None:
    trained = build("resnet18", 5, attention="se")
    path = tmp_path / "se.safetensors"
    safetensors.torch.save_file({n: t.contiguous() for n, t in trained.state_dict().items()}, path)
    same = build("resnet18", 5, attention="se")
    assert len(load_weights(same, path).splitlines()) == 1
    assert all(torch.equal(t, trained.state_dict()[n]) for n, t in same.state_dict().items())
    for attention in ("none", "cbam"):
        with pytest.raises(CheckpointError, match=r"(?s)unknown: body\.layer1\.attention"):
            load_weights(build("resnet18", 5, attention=attention), path)


# timm's


@pytest.fixture
def hub_file(tmp_path: Path) -> Any:
    """`hub_file(name)`: a network of timm's and its file, as its hub has it."""

    def write(name: str) -> tuple[nn.Module, Path]:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            network = timm.create_model(name).eval()
        path = tmp_path / f"{name}.safetensors"
        safetensors.torch.save_file(network.state_dict(), path)
        return network, path

    return write


def timms(name: str, classes: int, size: int, **network: Any) -> Network:
    return build_network(recipe(name, frontend={"size": [size, size]}, **network), classes).eval()


#: Convolutions, a vision transformer, channels last in its maps, and two last layers.
TIMM = {
    "mobilenetv4_conv_small": 64,
    "test_vit": 160,
    "test_mambaout": 96,
    "test_convnext": 64,
    "deit_tiny_distilled_patch16_224": 224,
}


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("channels", [3, 1])
def test_timms_file_gives_timms_embeddings(name: str, channels: int, hub_file: Any) -> None:
    theirs, path = hub_file(name)
    network = timms(name, 7, TIMM[name], channels=channels)
    assert isinstance(network, Timm)
    report = load_weights(network, path).splitlines()
    assert report[1] == "fc replaced by a new one (1000 -> 7 outputs)"
    assert ("left out: body.head_dist.bias, body.head_dist.weight" in report) == ("distilled" in name)
    assert ("kernels for three colours summed" in report[-1]) == (channels == 1)
    x = torch.randn(2, channels, TIMM[name], TIMM[name], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = theirs.forward_features(x.expand(-1, 3, -1, -1))
        near(network.embed(x), theirs.forward_head(features, pre_logits=True))
        assert network(x).shape == (2, 7)


@pytest.mark.parametrize(("name", "norm"), [("repvit_m0_9", "head.head.bn"), ("levit_128s", "head.bn")])
def test_a_norm_that_goes_with_timms_last_layer_may_be_in_its_file(name: str, norm: str, hub_file: Any) -> None:
    theirs, path = hub_file(name)
    assert f"{norm}.weight" in theirs.state_dict()
    _, replaced, left_out = load_weights(timms(name, 7, 224, channels=3), path).splitlines()
    assert replaced == "fc replaced by a new one (1000 -> 7 outputs)"
    assert f"body.{norm}.weight" in left_out
    assert all(".head" in part for part in left_out.removeprefix("left out: ").split(", "))


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [("resnet18", 64, "imagenet"), ("inception_v3", 299, "half"), ("mobilenetv4_conv_small", 64, "imagenet"),
     ("vit_tiny_patch16_224", 224, "half")],
)  # fmt: skip
def test_published_weights_are_given_the_values_they_expect(name: str, size: int, expected: str) -> None:
    def asked(standardise: str, weights: str = "default") -> Recipe:
        frontend = {"size": [size, size], "scale": "minmax", "standardise": standardise}
        return recipe(name, frontend=frontend, weights=weights)

    other = {"imagenet": "half", "half": "imagenet"}[expected]
    message = rf"the weights of {name} expect other input: set frontend\.standardise = '{expected}', not '{other}'"
    with pytest.raises(NetworkError, match=message):
        build_network(asked(other), 3)
    for fitting in (asked(expected), asked("training"), asked(other, "none")):
        assert build_network(fitting, 3).fc.out_features == 3


@pytest.mark.parametrize("name", ["mobilenetv4_conv_small", "test_vit"])
def test_timms_own_last_layer_is_ours(name: str, hub_file: Any) -> None:
    theirs, path = hub_file(name)
    network = timms(name, 1000, TIMM[name], channels=3)
    assert len(load_weights(network, path).splitlines()) == 1
    x = torch.randn(2, 3, TIMM[name], TIMM[name], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        near(network(x), theirs(x))


def test_buffers_that_are_not_saved_may_be_in_an_older_file(hub_file: Any) -> None:
    theirs, path = hub_file("test_vit_relpos")
    kept = theirs.state_dict()
    unsaved = {name: tensor for name, tensor in theirs.named_buffers() if name not in kept}
    assert unsaved
    safetensors.torch.save_file(kept | {n: t.float() for n, t in unsaved.items()}, path)
    report = load_weights(timms("test_vit_relpos", 7, 160), path)
    assert "left out: " + ", ".join(sorted(f"body.{name}" for name in unsaved)) in report


def test_another_of_timms_networks_is_refused(hub_file: Any) -> None:
    _, path = hub_file("test_convnext")
    with pytest.raises(CheckpointError, match="does not fit Timm; nothing was loaded"):
        load_weights(timms("test_vit", 7, 160), path)


@pytest.mark.parametrize("made", [lambda network: network, copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_a_vision_transformers_map_lies_as_its_picture_does(made: Any) -> None:
    network = made(timms("test_vit", 3, 160))
    maps: list[Tensor] = []
    network.cam_layer.register_forward_hook(lambda layer, given, out: maps.append(out))
    x = torch.zeros(1, 160, 160)
    lit = x.clone()
    lit[0, 16:32, 48:64] = 5.0  # the patch of row 1 and column 3
    with torch.inference_mode():
        for picture in (x, lit):
            network(picture)
    changed = (maps[1] - maps[0]).norm(dim=1)[0]
    assert changed.shape == (10, 10)
    assert divmod(int(changed.argmax()), 10) == (1, 3)


def test_a_timm_network_without_a_map_says_so() -> None:
    network = timms("pit_ti_224", 3, 224)
    with pytest.raises(NetworkError, match="pit_ti_224 has no map of its input"):
        _ = network.cam_layer


def test_a_fixed_size_is_named() -> None:
    with pytest.raises(NetworkError, match=r"vit_tiny_patch16_224 does not take images of 64 by 48 \(.*224") as caught:
        build_network(recipe("vit_tiny_patch16_224", frontend={"size": [64, 48]}), 3)
    assert "It was made for 224 by 224: set frontend.size = [224, 224]." in str(caught.value)


def test_a_timm_network_that_halves_too_often_is_refused() -> None:
    timms("test_convnext", 3, 32)
    with pytest.raises(NetworkError, match=r"test_convnext does not take images of 31 by 31 .* made for 160 by 160"):
        timms("test_convnext", 3, 31)


@pytest.mark.parametrize(
    ("name", "near_match"),
    [
        ("resnet81", "'resnet18'"),
        ("efficientnet_b00", "'efficientnet_b0'"),
        ("mobilenetv4_conv_smal", "'mobilenetv4_conv_small'"),
        ("vit_tiny_patch16_225", "'vit_tiny_patch16_224'"),
    ],
)
@pytest.mark.parametrize("ask", [lambda recipe: build_network(recipe, 3), find_weights])
def test_an_unknown_network_names_near_ones(name: str, near_match: str, ask: Any) -> None:
    with pytest.raises(
        NetworkError, match=f"there is no network '{name}', here or in timm. Did you mean .*{near_match}"
    ):
        ask(recipe(name))


def test_an_unknown_network_that_is_near_none_names_all_of_ours() -> None:
    with pytest.raises(NetworkError, match=r"there is no network 'zzzz', here or in timm\. Known: alexnet, .*vgg16"):
        build_network(recipe("zzzz"), 3)


def test_where_timms_weights_are() -> None:
    asset = published(recipe("mobilenetv4_conv_small"))
    assert asset is not None
    page = "https://huggingface.co/timm/mobilenetv4_conv_small.e2400_r224_in1k"
    assert asset.url == f"{page}/resolve/main/model.safetensors"
    assert (asset.file, asset.hash, asset.licence) == ("mobilenetv4_conv_small.safetensors", None, "apache-2.0")
    assert page in asset.citation
    tagged = vision.timm_asset("resnet50.ram_in1k")
    assert (
        tagged is not None
        and tagged.file == "resnet50.ram_in1k.safetensors"
        and "timm/resnet50.ram_in1k/" in tagged.url
    )
    with pytest.raises(NetworkError, match=r"Invalid pretrained tag \(bogus\)"):
        find_weights(recipe("resnet50.bogus"))
    with pytest.raises(NetworkError, match=r"timm cannot build 'resnet50\.bogus'"):
        build_network(recipe("resnet50.bogus"), 3)


# The files that they start from


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home, and no way out: a proxy that refuses every connection."""
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path / "home"))
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{unheard.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "127.0.0.1")
        yield tmp_path / "home"


@pytest.mark.parametrize("given", ["default", "imagenet", "resnet18_imagenet"])
def test_imagenet_weights_asked_for_offline(home: Path, given: str) -> None:
    with pytest.raises(StoreError) as caught:
        find_weights(recipe("resnet18", weights=given))
    said, place = str(caught.value), home / "weights" / "resnet18-f37072fd.pth"
    assert "resnet18_imagenet could not be downloaded: no connection to download.pytorch.org" in said
    assert "Fetch https://download.pytorch.org/models/resnet18-f37072fd.pth (46.8 MB, licence: BSD-3-Clause" in said
    assert f"put it at {place}," in said
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"by hand")
    assert find_weights(recipe("resnet18", weights=given)) == place


@pytest.mark.parametrize("given", ["default", "imagenet"])
def test_timms_weights_asked_for_offline(home: Path, given: str) -> None:
    with pytest.raises(StoreError) as caught:
        find_weights(recipe("test_vit", weights=given))
    said, place = str(caught.value), home / "weights" / "test_vit.safetensors"
    assert "no connection to huggingface.co" in said and f"put it at {place}," in said
    assert "Fetch https://huggingface.co/timm/test_vit.r160_in1k/resolve/main/model.safetensors (licence: " in said
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"by hand")
    assert find_weights(recipe("test_vit", weights=given)) == place


def test_none_asks_for_nothing(home: Path) -> None:
    for name in ("resnet18", "test_vit"):
        assert find_weights(recipe(name, weights="none")) is None


@pytest.mark.parametrize("name", ["cnn", "transformer", "yamnet"])
def test_networks_that_are_not_of_pictures_have_no_imagenet_weights(home: Path, name: str) -> None:
    with pytest.raises(
        NetworkError, match=f"{name} has no ImageNet weights. Set network.weights = 'default' or 'none'"
    ):
        find_weights(recipe(name, weights="imagenet"))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "resnet18.pth").write_bytes(b"<html>Sign in to this network</html>")
    with pytest.raises(CheckpointError, match="is not a weights file"):
        load_weights(build("resnet18", 5), tmp_path / "resnet18.pth")


@pytest.mark.slow
def test_narrow_resnets_train_without_harm_to_memory() -> None:
    """In the channels-last layout, oneDNN's gradient of their strided convolutions writes past its own memory."""
    code = (
        "import torch\n"
        "from hubbub.models.vision import Vision\n"
        "model = Vision('resnet18', 10, width=4).train()\n"
        "for size in (64, 96, 50):\n"
        "    for batch in (3, 5, 16) * 8:\n"
        "        with torch.autocast('cpu', torch.bfloat16):\n"
        "            out = model.head(model.embed(torch.randn(batch, size, size)))\n"
        "        out.float().sum().backward()\n"
    )
    environment = os.environ | {"MALLOC_PERTURB_": "165"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
