"""efficientat: the reference's golden values, the front end it stands behind, and the published files."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from hubbub.models.checkpoint import CheckpointError
from hubbub.models.efficientat import RATE_HZ, SHORTEST, WIDTHS, EfficientAT
from hubbub.models.registry import EFFICIENTAT
from hubbub.models.weights import load_weights
from tests.helpers.filled import filled, golden_folder
from tests.helpers.signals import seeded, sine

Home = Callable[[str, str], Path]
State = OrderedDict[str, Tensor]
SOUNDS = ("dog", "rain", "sweep")
FILES = {"mn04_as": "mn04_as_mAP_432.pt", "mn10_as": "mn10_as_mAP_471.pt"}

each = pytest.mark.parametrize("name", WIDTHS)


def golden_name(name: str) -> str:
    return f"efficientat_{name.removesuffix('_as')}"


@pytest.fixture(scope="module")
def states(home: Home) -> dict[str, State]:
    folder = golden_folder(home)
    return {name: filled(folder, golden_name(name)) for name in WIDTHS}


@pytest.fixture(scope="module")
def networks(states: dict[str, State]) -> dict[str, EfficientAT]:
    """The reference's networks, in eval mode; for tests that leave them as they are."""
    found = dict[str, EfficientAT]()
    for name, width in WIDTHS.items():
        network = EfficientAT(width)
        network.load_state_dict(network.translated(states[name]).state, strict=True)
        found[name] = network.eval()
    return found


@pytest.fixture(scope="module")
def golden(home: Home) -> dict[str, dict[str, npt.NDArray[Any]]]:
    folder = golden_folder(home)
    return {name: dict(np.load(folder / f"{golden_name(name)}_golden.npz")) for name in WIDTHS}


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=seeded(0))


def same_weights(network: EfficientAT, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())


# The reference's values


@pytest.mark.parametrize("sound", SOUNDS)
@each
def test_the_references_values(
    networks: dict[str, EfficientAT], golden: dict[str, dict[str, npt.NDArray[Any]]], name: str, sound: str
) -> None:
    network = networks[name]
    wave = torch.from_numpy(golden[name][f"{sound}/pcm16"] / np.float32(32_768))[None]
    with torch.inference_mode():
        outputs = {"log_mel": network.log_mel(wave), "embedding": network.embed(wave), "logits": network.logits(wave)}
    for what, ours in outputs.items():
        expected, allowed = golden[name][f"{sound}/{what}"], 1e-4 if what == "log_mel" else 2e-5
        assert ours.shape == (1, *expected.shape) and ours.dtype == torch.float32
        assert np.linalg.norm(ours[0].numpy() - expected) < allowed * np.linalg.norm(expected), what


@each
def test_names_and_shapes_are_the_published_ones(states: dict[str, State], name: str) -> None:
    layout = {key.replace("classifier.5.", "fc."): tensor.shape for key, tensor in states[name].items()}
    assert {key: tensor.shape for key, tensor in EfficientAT(WIDTHS[name]).state_dict().items()} == layout


def test_the_registry_names_them() -> None:
    assert tuple(WIDTHS) == EFFICIENTAT


def test_training_normalises_by_the_batch_and_use_by_what_was_learnt(networks: dict[str, EfficientAT]) -> None:
    network = EfficientAT(0.4)
    network.load_state_dict(networks["mn04_as"].state_dict())
    stem, given = network.features[0], noise(3, 1, 128, 20)
    with torch.no_grad():
        out = torch.nn.functional.conv2d(given, stem[0].weight, stride=2, padding=1)
        mean, variance = out.mean(dim=(0, 2, 3)), out.var(dim=(0, 2, 3), unbiased=False)
        norm = stem[1]
        for mode, (centre, spread) in {True: (mean, variance), False: (norm.running_mean, norm.running_var)}.items():
            centred = (out - centre[:, None, None]) / (spread[:, None, None] + 1e-3).sqrt()
            expected = torch.nn.functional.hardswish(centred * norm.weight[:, None, None] + norm.bias[:, None, None])
            torch.testing.assert_close(stem.train(mode)(given), expected, rtol=1e-4, atol=1e-5)
            network.load_state_dict(networks["mn04_as"].state_dict())


# The front end


@pytest.mark.parametrize("hz", [60.0, 440.0, 5_000.0, 14_000.0])
def test_a_tone_lies_in_its_row(hz: float) -> None:
    network = EfficientAT(0.4)
    spectrogram = network.log_mel(0.5 * sine(hz, 16_000, RATE_HZ))
    _, row = network.positions(torch.tensor([0.25]), torch.tensor([hz]), 16_000)
    assert abs(float(spectrogram.mean(dim=2).argmax()) + 0.5 - 128 * float(row)) <= 1.0


@pytest.mark.parametrize("seconds", [0.05, 0.31, 0.49])
def test_a_click_lies_in_its_column(seconds: float) -> None:
    network, wave = EfficientAT(0.4), torch.zeros(1, 16_000)
    wave[0, round(seconds * RATE_HZ)] = 1.0
    spectrogram = network.log_mel(wave)
    column, _ = network.positions(torch.tensor([seconds]), torch.tensor([440.0]), 16_000)
    frames = spectrogram.shape[2]
    assert abs(float(spectrogram.mean(dim=1).argmax()) + 0.5 - frames * float(column)) <= 1.0


def test_sound_above_the_highest_band_is_not_heard() -> None:
    network = EfficientAT(0.4)
    _, rows = network.positions(torch.tensor([0.1]), torch.tensor([14_900.0, 15_100.0]), 16_000)
    assert torch.isfinite(rows).tolist() == [True, False]


def test_silence_has_the_floors_value() -> None:
    expected = (float(np.log(1e-5)) + 4.5) / 5
    torch.testing.assert_close(EfficientAT(0.4).log_mel(torch.zeros(1, 4_000)), torch.full((1, 128, 13), expected))


@pytest.mark.parametrize("samples", [1, 300, SHORTEST - 1])
def test_a_wave_that_is_too_short_is_padded_with_zeros(networks: dict[str, EfficientAT], samples: int) -> None:
    network, wave = networks["mn04_as"], noise(2, samples)
    padded = torch.nn.functional.pad(wave, (0, SHORTEST - samples))
    with torch.inference_mode():
        torch.testing.assert_close(network.embed(wave), network.embed(padded), rtol=0, atol=0)
    assert network.positions(torch.tensor([0.0]), torch.tensor([440.0]), samples) == network.positions(
        torch.tensor([0.0]), torch.tensor([440.0]), SHORTEST
    )


def test_half_precision_leaves_the_front_end_alone() -> None:
    network, wave = EfficientAT(0.4), noise(2, 8_000)
    expected = network.log_mel(wave)
    with torch.autocast("cpu", torch.bfloat16):
        ours, rough = network.log_mel(wave), network.features(expected.unsqueeze(1))
    assert ours.dtype == torch.float32 and rough.dtype == torch.bfloat16
    torch.testing.assert_close(ours, expected, rtol=0, atol=0)


# Published files


@each
def test_the_published_file_under_other_classes(states: dict[str, State], name: str, tmp_path: Path) -> None:
    path, state, network = tmp_path / FILES[name], states[name], EfficientAT(WIDTHS[name])
    torch.save(state, path)
    network.reset_head(50)
    last, values = network.fc.weight.clone(), {"mn04_as": "0.5", "mn10_as": "3.0"}[name]
    hidden, embedding = state["classifier.2.weight"].shape
    assert load_weights(network, path).splitlines() == [
        f"{path.name}: {len(state) - 4} tensors ({values} M values) loaded",
        f"fc replaced by a new one ([527, {hidden}] -> [50, {embedding}])",
        "left out: classifier.2.weight, classifier.2.bias",
    ]
    assert same_weights(network, state | {"fc.weight": last, "fc.bias": network.fc.bias})


@each
def test_the_published_file_whole(
    networks: dict[str, EfficientAT], states: dict[str, State], name: str, tmp_path: Path
) -> None:
    path, network = tmp_path / FILES[name], EfficientAT(WIDTHS[name])
    torch.save(states[name], path)
    assert len(load_weights(network, path).splitlines()) == 1, "nothing replaced, kept or left out"
    assert same_weights(network, networks[name].state_dict())


def test_our_own_file_loads_back(tmp_path: Path) -> None:
    path, ours, again, others = tmp_path / "own.pt", *(EfficientAT(0.4) for _ in range(3))
    for network, classes in ((ours, 4), (again, 4), (others, 9)):
        network.reset_head(classes)
    torch.save(ours.state_dict(), path)
    assert len(load_weights(again, path).splitlines()) == 1
    assert same_weights(again, ours.state_dict())
    assert load_weights(others, path).splitlines()[1:] == ["fc replaced by a new one (4 -> 9 outputs)"]


def without(state: State, key: str) -> State:
    return OrderedDict((name, tensor) for name, tensor in state.items() if name != key)


WRONG: dict[str, tuple[Callable[[State], State], str]] = {
    "missing": (lambda state: without(state, "features.4.block.3.0.weight"), r"1 missing: features\.4\.block\.3\.0"),
    "statistics": (lambda state: without(state, "features.0.1.running_var"), r"1 missing: features\.0\.1\.running_var"),
    "too many": (
        lambda state: OrderedDict({**state, "features.17.0.weight": noise(8)}),
        r"1 unknown: features\.17\.0\.weight",
    ),
    "another shape": (
        lambda state: OrderedDict({**state, "features.0.0.weight": noise(8, 3, 3, 3)}),
        r"1 of another shape: features\.0\.0\.weight \[8, 3, 3, 3\] instead of \[8, 1, 3, 3\]",
    ),
    "another head": (
        lambda state: OrderedDict({**state, "classifier.6.weight": noise(8)}),
        r"1 unknown: classifier\.6\.weight",
    ),
}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("change", WRONG)
def test_another_file_is_refused_and_changes_nothing(
    states: dict[str, State], change: str, whole: bool, tmp_path: Path
) -> None:
    path, network = tmp_path / "wrong.pt", EfficientAT(0.4)
    if not whole:
        network.reset_head(5)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    changed, message = WRONG[change]
    torch.save(changed(states["mn04_as"]), path)
    with pytest.raises(CheckpointError, match=message):
        load_weights(network, path)
    assert same_weights(network, before)


def test_each_networks_file_is_its_own(states: dict[str, State], tmp_path: Path) -> None:
    torch.save(states["mn10_as"], tmp_path / "mn10.pt")
    with pytest.raises(CheckpointError, match=r"mn10\.pt does not fit EfficientAT"):
        load_weights(EfficientAT(0.4), tmp_path / "mn10.pt")


def test_a_file_without_its_hidden_layer_is_not_whole(states: dict[str, State], tmp_path: Path) -> None:
    torch.save(without(states["mn04_as"], "classifier.2.bias"), tmp_path / "part.pt")
    with pytest.raises(CheckpointError, match=r"1 missing: classifier\.2\.bias"):
        load_weights(EfficientAT(0.4), tmp_path / "part.pt")
