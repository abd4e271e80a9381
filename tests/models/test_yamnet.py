"""yamnet: the reference's golden values, and segments that mean what the reference's patches mean."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from hubbub.audio import windows
from hubbub.models.errors import NetworkError
from hubbub.models.weights import load_weights
from hubbub.models.yamnet import (
    CLASSES,
    PATCH_HOP,
    PATCH_SAMPLES,
    YAMNet,
    YAMNetError,
    class_names,
    load_yamnet,
)

Home = Callable[[str, str], Path]
NAMES = ("dog", "rain", "short_noise")


@pytest.fixture(scope="module")
def golden(home: Home) -> dict[str, np.ndarray]:
    path = home("data", "esc50").parents[1] / "golden" / "yamnet_golden.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return dict(np.load(path))


@pytest.fixture(scope="module")
def network(home: Home) -> YAMNet:
    home("weights", "yamnet.h5")
    return load_yamnet()


def wave_of(golden: dict[str, np.ndarray], name: str) -> torch.Tensor:
    return torch.from_numpy(golden[f"{name}/pcm16"] / np.float32(32768))[None]


@pytest.mark.parametrize("name", NAMES)
def test_the_references_values(network: YAMNet, golden: dict[str, np.ndarray], name: str) -> None:
    outputs = dict(zip(("log_mel", "embeddings", "scores"), network(wave_of(golden, name)), strict=True))
    for what, ours in outputs.items():
        expected = golden[f"{name}/{what}"]
        assert ours.shape == (1, *expected.shape)
        assert np.linalg.norm(ours[0].numpy() - expected) < 1e-4 * np.linalg.norm(expected), what


@pytest.mark.parametrize("name", NAMES)
def test_segments_are_the_references_patches(network: YAMNet, golden: dict[str, np.ndarray], name: str) -> None:
    segments = windows.cut(wave_of(golden, name)[0].numpy(), PATCH_SAMPLES, PATCH_HOP)
    assert (PATCH_SAMPLES, PATCH_HOP) == (15_600, 7_680)
    ours = network.embed(torch.from_numpy(segments.copy())).numpy()
    expected = golden[f"{name}/embeddings"]
    assert ours.shape == expected.shape
    assert np.linalg.norm(ours - expected) < 1e-4 * np.linalg.norm(expected)


def test_a_shorter_segment_is_zero_padded(network: YAMNet, golden: dict[str, np.ndarray]) -> None:
    segment = wave_of(golden, "rain")[:, :15_360]
    padded = torch.nn.functional.pad(segment, (0, 240))
    torch.testing.assert_close(network.embed(segment), network.embed(padded), rtol=0, atol=0)
    torch.testing.assert_close(network.embed(segment), network(segment)[1][0], rtol=1e-4, atol=1e-4)
    assert (network.embed(segment) - network.embed(wave_of(golden, "rain")[:, :15_600])).abs().max() > 1e-3


def test_a_batch_is_each_wave_alone(network: YAMNet, golden: dict[str, np.ndarray]) -> None:
    waves = torch.cat([wave_of(golden, "rain")[:, :20_000], wave_of(golden, "dog")[:, :20_000]])
    for row, wave in enumerate(waves):
        for together, alone in zip(network(waves), network(wave[None]), strict=True):
            torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-4)


def test_a_bark_is_heard_as_a_dogs(network: YAMNet, golden: dict[str, np.ndarray]) -> None:
    best = network(wave_of(golden, "dog"))[2][0].argmax(dim=1)
    heard = [class_names()[k] for k in best]  # one bark in five seconds
    assert "Dog" in heard
    assert heard.count("Silence") > len(heard) / 2


def test_an_earlier_block_is_embedded(home: Home, network: YAMNet, golden: dict[str, np.ndarray]) -> None:
    """Its map in the whole network, averaged; with the same published file, of which the rest is not loaded."""
    segment, maps = wave_of(golden, "rain")[:, :PATCH_SAMPLES], []
    hook = network.body[29].register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    network.embed(segment)
    hook.remove()
    cut = YAMNet(layer=8)
    report = load_weights(cut, home("weights", "yamnet.h5"))
    assert "body.30.weight" not in cut.state_dict() and "body.30" in report
    assert len(cut.blocks) == 8 and cut.fc.in_features == 512
    torch.testing.assert_close(cut.eval().embed(segment), maps[0].mean(dim=(2, 3)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("layer", "width"), [(-1, 1024), (14, 1024), (13, 1024), (12, 512), (1, 32)])
def test_the_width_of_each_embedding(layer: int, width: int) -> None:
    network = YAMNet(layer=layer)
    assert network.embed(torch.zeros(2, 8_000)).shape == (2, width)
    assert network.head(torch.zeros(2, width)).shape == (2, CLASSES)


@pytest.mark.parametrize("layer", [0, 15, -2, "mix"])
def test_a_block_that_is_not_there_is_refused(layer: int | str) -> None:
    with pytest.raises(NetworkError, match=r"yamnet has 14 blocks. Set -1 \(the output\), or 1"):
        YAMNet(layer=layer)


@pytest.mark.parametrize("samples", [1, 400, 15_599, 15_600, 15_601, 23_280, 23_281])
def test_any_length_gives_patches(samples: int) -> None:
    # Random weights will do: this is about shapes, and the same windows as cut() counts.
    network = YAMNet().eval()
    with torch.inference_mode():
        log_mel, embeddings, scores = network(torch.zeros(1, samples))
    patches = windows.count(samples, PATCH_SAMPLES, PATCH_HOP)
    assert embeddings.shape == (1, patches, 1024)
    assert scores.shape == (1, patches, CLASSES)
    assert log_mel.shape == (1, 96 + 48 * (patches - 1), 64)


def test_loaded_for_use_and_not_for_training(network: YAMNet) -> None:
    assert not network.training
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_class_names(home: Home) -> None:
    home("weights", "yamnet_class_map.csv")
    names = class_names()
    assert len(names) == len(set(names)) == CLASSES == 521
    assert (names[0], names[69], names[520]) == ("Speech", "Dog", "Field recording")


def test_a_file_that_is_not_h5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "yamnet.h5"
    path.write_text("<html>404</html>")
    with pytest.raises(YAMNetError, match="is not a Keras weights file"):
        load_yamnet(path)
    with pytest.raises(YAMNetError, match="is not a Keras weights file"):
        load_yamnet(tmp_path / "missing.h5")


def test_another_networks_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["conv1/conv1/kernel:0"] = np.zeros((3, 3, 1, 8), np.float32)
        file["steps"] = 7
        file["names"] = "text"
    with pytest.raises(YAMNetError, match="lacks 'layer1/conv/kernel'"):
        load_yamnet(path)


def test_numbers_that_the_file_does_not_hold_are_refused(tmp_path: Path) -> None:
    large, elsewhere = tmp_path / "large.h5", tmp_path / "elsewhere.h5"
    with h5py.File(large, "w") as file:  # never written, so the file has no room for them
        file.create_dataset("conv1/conv1/kernel:0", (1_000_000, 1_000_000), np.float32)
    with pytest.raises(YAMNetError, match="has more numbers than the file can hold"):
        load_yamnet(large)
    (tmp_path / "secret").write_bytes(bytes(800))
    with h5py.File(elsewhere, "w") as file:
        file["other"] = np.zeros(1000, np.float32)
        outside = [(str(tmp_path / "secret"), 0, 800)]
        file.create_dataset("layer1/conv/layer1/conv/kernel:0", (10, 10), np.float64, external=outside)
    with pytest.raises(YAMNetError, match="lacks 'layer1/conv/kernel'"):
        load_yamnet(elsewhere)


@pytest.mark.parametrize("layer", ["layer5/pointwise_conv/kernel", "dense/bias"])
def test_a_truncated_or_retrained_file_is_refused(layer: str, tmp_path: Path, home: Home) -> None:
    source = home("weights", "yamnet.h5")
    arrays: dict[str, np.ndarray] = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(source) as file:
        file.visititems(collect)
    (named,) = (
        n for n in arrays if n.startswith(layer.rpartition("/")[0]) and layer.rpartition("/")[2] in n.split("/")[-1]
    )
    for change, message in ((lambda a: None, "lacks"), (lambda a: a[..., :10], "has other shapes")):
        path = tmp_path / f"{message}.h5"
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                changed = change(array) if name == named else array
                if changed is not None:
                    file[name] = changed
        with pytest.raises(YAMNetError, match=message):
            load_yamnet(path)
