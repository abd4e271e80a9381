"""Predictions and training on the device that torch has here: the CPU's answers, in single precision unless asked
otherwise. On a machine without accelerator the device is the CPU, and the same holds of it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.backends import cudnn

from hubbub.classifier.load import load, load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.config.sections import Windows
from hubbub.data.cache import Waves
from hubbub.models.esresnext import ESResNeXt
from hubbub.models.yamnet import YAMNet
from hubbub.runtime.devices import choose_device, full_precision, has_bfloat16
from hubbub.training.batches import Waveforms
from hubbub.training.fit import Fitted, fit_network
from tests.helpers.classifiers import small_classifier

DEVICE = choose_device()
SHORT = "train.epochs=3", "train.batch_size=8", "train.freeze_epochs=0", f"train.device={DEVICE}"


def noise(model: TorchClassifier, count: int) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.1, (count, model.recipe.windows.length)).astype(np.float32)


RECIPES = ["esc50-compact", "esc50-resnet18-cv", "esc50-esresnext", "us8k-cnn1d", "us8k-mobilenet_v2"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_device_gives_the_cpus_probabilities(name: str) -> None:
    model = TorchClassifier(Recipe.load(name, ["network.mode=finetune"]), ("a", "b", "c"))
    given = noise(model, 2)
    expected = model.to("cpu").outputs(given)
    found = model.to(DEVICE).outputs(given)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    ours, theirs = (model.predict_proba(outputs, [0])[0] for outputs in (found, expected))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("settings", [(), ("evaluate.shifts=[0.3,-0.2]",), ("head.name=logreg",)], ids=" ".join)
def test_outputs_of_many_batches_are_those_of_each(settings: tuple[str, ...]) -> None:
    model = small_classifier(*settings).to(DEVICE)
    given = noise(model, model.batch + 3)
    parts = [model.outputs(given[:5]), model.outputs(given[5:9]), model.outputs(given[9:])]
    np.testing.assert_allclose(model.outputs(given), np.concatenate(parts), rtol=1e-4, atol=1e-5)


def test_convolutions_are_in_full_precision_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cudnn.allow_tf32
    monkeypatch.setattr(cudnn, "benchmark", True)
    with full_precision("cuda"):
        assert not cudnn.allow_tf32 and cudnn.benchmark and cudnn.enabled
    assert cudnn.allow_tf32 == before and cudnn.benchmark
    with full_precision("cpu"):
        assert cudnn.allow_tf32 == before


def test_fast_on_an_accelerator_is_bfloat16_and_nearly_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = small_classifier()
    exact.save(tmp_path / "classifier")
    monkeypatch.setattr("hubbub.classifier.load.is_cpu", lambda device: False)
    monkeypatch.setattr("hubbub.classifier.load.has_bfloat16", lambda device: True)
    fast = load(tmp_path / "classifier", fast=True)
    assert (exact.precision, fast.precision) == ("single", "bfloat16")
    given = noise(exact, 40)
    ours, theirs = fast.outputs(given), exact.outputs(given)
    assert not np.array_equal(ours, theirs) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.03 * np.abs(theirs).max())


@pytest.mark.parametrize("numbers", [torch.bfloat16, torch.float32])
def test_yamnets_spectrogram_is_in_single_precision(numbers: torch.dtype) -> None:
    network = YAMNet().eval().to(DEVICE)
    wave = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (2, 15_600)).astype(np.float32)).to(DEVICE)
    with torch.inference_mode():
        expected = network(wave)[0]
        with torch.autocast(DEVICE, numbers, enabled=numbers != torch.float32):
            found = network(wave)[0]
    assert torch.equal(found, expected)


def test_esresnexts_spectrogram_is_the_cpus() -> None:
    network = ESResNeXt(2).eval()
    wave = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (2, 9_000)).astype(np.float32))
    with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16):
        expected = network.log_power(wave)
        found = network.to(DEVICE).log_power(wave.to(DEVICE)).cpu()
    assert found.dtype == torch.float32
    loud = expected > expected.max() - 30
    torch.testing.assert_close(found[loud], expected[loud], rtol=0, atol=0.01)


# Training


def tones(clips: int, rate_hz: int, seconds: float) -> tuple[Waves, npt.NDArray[np.int64]]:
    """Clips of two classes, low and high tones in noise."""
    rng, times = np.random.default_rng(0), np.arange(int(seconds * rate_hz)) / rate_hz
    targets = np.arange(clips) % 2
    samples = [np.sin(2 * np.pi * 400 * (1 + 4 * k) * times) + rng.normal(0, 0.1, len(times)) for k in targets]
    offsets = np.arange(clips + 1) * len(times)
    return Waves(np.concatenate(samples).astype(np.float32), offsets, tuple(map(str, targets)), rate_hz, "t"), targets


def fit(folder: Path, *settings: str) -> Fitted:
    recipe = Recipe.load("street-cnn", ["network.width=4", "train.learning_rate=0.01", *SHORT, *settings])
    model = TorchClassifier(recipe, ("low", "high"), seed=1)
    data, targets = tones(24, model.rate_hz, 1.0)
    return fit_network(model, data, targets, np.arange(16), np.arange(16, 24), folder, seed=1)


@pytest.mark.parametrize("precision", ["fp32", "bf16", *(["fp16"] if has_bfloat16(DEVICE) else [])])
def test_training_learns_on_the_device_and_gives_a_classifier_of_it(precision: str, tmp_path: Path) -> None:
    fitted = fit(tmp_path, f"train.precision={precision}", "train.average=0.9")
    losses = fitted.history["train_loss"]
    assert losses.iloc[-1] < 0.9 * losses.iloc[0]
    model = fitted.final
    assert model.device.type == DEVICE
    model.save(tmp_path / "classifier")
    given = noise(model, 3)
    again = load_torch(tmp_path / "classifier")
    np.testing.assert_allclose(again.outputs(given), model.outputs(given), rtol=1e-3, atol=1e-3)


def test_segments_are_cut_on_the_device_as_on_the_cpu() -> None:
    data, targets = tones(6, 8_000, 0.7)
    rows = torch.tensor([5, 0, 3, 8])
    for pad in ("zeros", "repeat"):
        cut = Waveforms(data, np.arange(6), targets, Windows(length=4_000, hop=2_000, pad=pad))
        cut.to(torch.device("cpu"))
        expected = cut.fetch(rows)
        cut.to(torch.device(DEVICE))
        found = cut.fetch(rows)
        assert found.device.type == DEVICE
        assert torch.equal(found.cpu(), expected)
