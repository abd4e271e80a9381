"""Networks of the caller's own: how they are made and tried, what they are refused for, and that all else works."""

import importlib
import linecache
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hubbub
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.export import Sounds, export
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.data import cache, splits
from hubbub.data.open import open_clips
from hubbub.inference.explain import explain
from hubbub.models.cnn import SmallCNN
from hubbub.models.custom import Custom, build_custom, fingerprint, with_custom
from hubbub.models.network import Network, NetworkError
from hubbub.models.weights import find_weights
from hubbub.training import fit
from tests.helpers.classifiers import LABELS

SIZE = (64, 98)


class Images(nn.Module):
    """A network as most are written: images `[B, 1, F, W]` in, its last layer inside a `Sequential`."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, stride=4), nn.BatchNorm2d(4), nn.ReLU())
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean(dim=(2, 3)))


class Frames(nn.Module):
    """Spectrograms `[B, F, W]` in, as sequence models take them; the classes are pooled after the last layer."""

    def __init__(self, num_classes: int = 7, bands: int = 64) -> None:
        super().__init__()
        self.last = nn.Linear(bands, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.transpose(1, 2)).mean(dim=1)


class Waves(nn.Module):
    """Waves `[B, 1, N]` in."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(1, 6, 400, 160), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.fc = nn.LazyLinear(num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layers(x))


class Twice(nn.Module):
    """Ties its last layer to its first, so that the last one cannot be taken away."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean(dim=2) + self.fc.weight.mean())


def recipe(*settings: str) -> Recipe:
    return Recipe.load("street-cnn", ["windows.hop=16000", *settings])


def classifier(network: Callable[..., nn.Module] = Images, *settings: str, seed: int = 1) -> TorchClassifier:
    return TorchClassifier(recipe(*settings), LABELS, network=network, seed=seed)


def noise(seconds: float = 2.5, rate_hz: int = 16_000) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * rate_hz)).astype(np.float32)


@pytest.mark.parametrize("network", [Images, Frames, Twice])
@pytest.mark.parametrize("wrapped", [lambda made: made, lambda made: partial(made, 3), lambda made: lambda: made(3)])
def test_the_logits_are_those_of_the_network(network: type[nn.Module], wrapped: Callable[..., Any]) -> None:
    """The same seed makes the same network outside; splitting off its last layer changes nothing."""
    model = classifier(wrapped(network))
    torch.manual_seed(1)
    own = network(3).eval()
    segments = torch.tensor(model.cut(noise()))
    features = model.features(segments)
    expected = own(features[:, None] if network is Images else features)
    torch.testing.assert_close(model.logits(segments), expected, rtol=0, atol=1e-6)


def test_the_embeddings_are_the_input_of_the_last_layer() -> None:
    model = classifier()
    assert isinstance(model.network, Custom)
    segments = torch.tensor(model.cut(noise()))
    features = model.features(segments)[:, None]
    body = model.network.body
    torch.testing.assert_close(model.embeddings(segments), body.features(features).mean(dim=(2, 3)))
    assert [p.shape for p in model.network.groups()["head"]] == [(3, 4), (3,)]


@pytest.mark.parametrize("network", [Frames, Twice])
def test_without_a_last_linear_layer_embeddings_are_logits(network: Callable[..., nn.Module]) -> None:
    made = classifier(network).network
    assert isinstance(made, Custom)
    assert not made.has_embeddings
    assert not made.groups()["head"]


def test_waves_and_lazy_layers() -> None:
    model = classifier(Waves, "frontend.name='none'")
    assert isinstance(model.network, Custom)
    assert model.network.has_embeddings
    assert model.outputs(model.cut(noise())).shape == (2, 3)


def test_three_channels_are_copies_of_the_spectrogram() -> None:
    def colour(num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 8), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))

    assert classifier(colour, "network.channels=3").outputs(np.zeros((2, 16_000), np.float32)).shape == (2, 3)


def test_the_seed_decides_the_weights() -> None:
    one, same, other = (classifier(seed=seed).network.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["fc.weight"], other["fc.weight"])


def test_a_network_of_ours_is_taken_as_it_is() -> None:
    made = build_custom(recipe(), 3, partial(SmallCNN, width=4), SIZE)
    assert type(made) is SmallCNN


def test_the_recipe_names_the_class_and_needs_no_weights_file() -> None:
    named = with_custom(recipe(), Images)
    assert named.network.name == "custom:tests.models.test_custom.Images"
    assert find_weights(named) is None
    assert with_custom(recipe(), partial(Images, 3)).network.name == named.network.name
    with pytest.raises(NetworkError, match=r"your class tests.models.test_custom.Images.*network=Images"):
        TorchClassifier(named, LABELS)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda num_classes: Images(9), r"must give logits \[5, 3\].*on \[5, 1, 64, \d+\] it gave \[5, 9\]"),
        (lambda num_classes: nn.Identity(), r"on \[5, 64, \d+\] it gave \[5, 64"),
        (lambda num_classes: nn.LSTM(98, 3), r"it (gave a tuple|raised)"),
        (lambda num_classes: num_classes, "made a int, not an nn.Module"),
        (lambda num_classes: 1 / 0, "could not be made for 3 classes: ZeroDivisionError"),
        (lambda: Images(9), r"it gave \[5, 9\]"),
        (lambda num_classes: Waves(num_classes), r"it raised RuntimeError"),
        (Images(3), "got a Images.*network=Images"),
        ("Images", "got a str.*network=MyNet"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(network: Callable[..., nn.Module], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        classifier(network)


def test_a_network_without_parameters_or_without_a_last_layer_to_train_is_refused() -> None:
    with pytest.raises(NetworkError, match="no parameters to train"):
        classifier(lambda: nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(3)))
    with pytest.raises(NetworkError, match="trains the last layer only"):
        classifier(Frames, "network.mode='head'")
    assert classifier(Images, "network.mode='head'").frozen


def test_under_a_head_any_output_is_an_embedding() -> None:
    def backbone() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 12, 8), nn.AdaptiveMaxPool2d(1), nn.Flatten())

    model = classifier(backbone, "head.name='logreg'")
    assert model.outputs(model.cut(noise())).shape == (2, 12)


def test_it_is_saved_and_loaded_with_the_class_alone(tmp_path: Path) -> None:
    model = classifier()
    folder = model.save(tmp_path / "saved")
    again = hubbub.load(folder, network=Images)
    np.testing.assert_array_equal(again.classify(noise(), 16_000).segments, model.classify(noise(), 16_000).segments)
    assert again.recipe == model.recipe
    with pytest.raises(ClassifierError, match=r"your class tests.models.test_custom.Images.*hubbub.load\(.*=Images\)"):
        hubbub.load(folder)
    with pytest.raises(NetworkError, match="got a Images"):
        hubbub.load(folder, network=Images(3))
    with pytest.raises(ClassifierError, match=r"does not fit network=.*Twice: .*not there"):
        hubbub.load(folder, network=Twice)


def test_a_class_is_refused_where_the_network_is_ours(tmp_path: Path) -> None:
    folder = TorchClassifier(recipe("network.width=4"), LABELS).save(tmp_path / "ours")
    with pytest.raises(ClassifierError, match=r"hubbub's own 'cnn'. Leave network= out"):
        hubbub.load(folder, network=Images)


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    def tied(num_classes: int) -> nn.Module:
        network = Frames(num_classes)
        network.other = network.last
        return network

    model = classifier(tied)
    again = hubbub.load(model.save(tmp_path / "tied"), network=tied)
    assert again.classify(noise(), 16_000).scores == model.classify(noise(), 16_000).scores


def test_the_fingerprint_notices_other_code() -> None:
    """Frozen embeddings are cached; the same weights may compute something else after the class was edited."""

    class Edited(Images):
        factor = 1.0

        def forward(self, x: Tensor) -> Tensor:
            return self.classifier(self.factor * self.features(x).mean(dim=(2, 3)))

    before = classifier(Edited, "network.mode='head'").fingerprint()
    assert classifier(Edited, "network.mode='head'").fingerprint() == before
    Edited.factor = 2.0
    assert classifier(Edited, "network.mode='head'").fingerprint() != before


@pytest.mark.parametrize("network", [Images, Frames])
def test_it_is_explained_by_occlusion(network: Callable[..., nn.Module]) -> None:
    found = explain(classifier(network), noise(1.0), 16_000)
    assert found.method == "occlusion"
    assert "not known" in found.caveats[0]


@pytest.mark.parametrize("network", [Images, Frames])
def test_it_is_exported(network: Callable[..., nn.Module], tmp_path: Path) -> None:
    model = classifier(network)
    file = tmp_path / "model.onnx"
    export(model, file, Sounds("noise", [noise()]))
    again = hubbub.load(file)
    expected, found = model.classify(noise(), 16_000).scores, again.classify(noise(), 16_000).scores
    assert found == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ClassifierError, match="exported file, which holds its network"):
        hubbub.load(file, network=network)


@pytest.mark.parametrize("network", [Images, Frames])
def test_it_trains(network: Callable[..., nn.Module], tmp_path: Path) -> None:
    settings = recipe("data.limit=2", "train.epochs=3", "train.batch_size=16", "train.learning_rate=0.01")
    clips = open_clips(settings)
    waves = cache.decode_clips(clips, settings.audio.rate_hz)
    split = splits.make_splits(clips, settings.protocol)[0]
    model = TorchClassifier(settings, clips.labels, network=network, seed=1)
    assert isinstance(model.network, Network)
    fitted = fit.fit_network(model, waves, clips.targets(), split.train, split.validation, tmp_path, seed=1)
    assert fitted.history is not None
    losses = fitted.history["train_loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_a_fingerprint_changes_with_the_code_and_with_the_shapes_of_weights(tmp_path: Path, monkeypatch) -> None:
    code = (
        "from torch import nn\nclass Block(nn.Linear):\n    gain = 1\nclass Net(nn.Sequential):\n"
        "    def __init__(self, num_classes, width=4):\n"
        "        super().__init__(Block(8, width), nn.Linear(width, num_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def found(text: str, **sizes: int) -> dict[str, str]:
        (tmp_path / "edited_net.py").write_text(text)
        monkeypatch.delitem(sys.modules, "edited_net", raising=False)
        linecache.clearcache()
        made = importlib.import_module("edited_net").Net
        return fingerprint(partial(made, **sizes), made(3, **sizes))

    first = found(code)
    assert found(code) == first and sorted(first) == ["shapes", "source"]
    assert found("import math\n" + code) == first, "what stands around the classes does not count"
    wider = found(code, width=5)
    assert wider["source"] == first["source"] and wider["shapes"] != first["shapes"]
    inner = found(code.replace("gain = 1", "gain = 2"))
    assert inner["source"] != first["source"] and inner["shapes"] == first["shapes"], "the class of a layer"
    typed: dict[str, Any] = {"__name__": "typed"}
    exec(code, typed)
    assert fingerprint(typed["Net"], typed["Net"](3)) == {"shapes": first["shapes"]}, "without a file, no source"
