"""bench with a network of the caller's own: the recipe's protocol as it is, and a classifier that needs the class."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hubbub
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.load import load_torch
from hubbub.config.recipe import RecipeError
from hubbub.experiment.prepare import prepare
from hubbub.experiment.steps import ExperimentError, OtherRunError
from hubbub.models.custom import with_custom
from hubbub.models.network import NetworkError
from hubbub.report import run_folder
from tests.helpers.files import read_json
from tests.helpers.runs import bare, tiny_recipe
from tests.helpers.sounds import noise

SMALL = {"data.limit": 2, "train.epochs": 2, "train.batch_size": 16}
CALL = {"folds": [1, 2], "quiet": True}


class MyNet(nn.Module):
    """Spectrograms `[B, 1, F, W]` -> logits."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.filters = nn.Conv2d(1, 6, 5, stride=3)
        self.last = nn.Linear(6, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.filters(x)).mean(dim=(2, 3)))


class Other(MyNet):
    """The same under another name."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> hubbub.Run:
    """Two folds of `street-cnn` with `MyNet` in place of its network."""
    return hubbub.bench("street-cnn", network=MyNet, settings=SMALL, out=tmp_path_factory.mktemp("runs"), **CALL)


def test_the_run_says_whose_network_it_is(run: hubbub.Run) -> None:
    assert run.folder.name == "street-cnn-MyNet" and run.summary.recipe == "MyNet, otherwise street-cnn"
    recipe = run_folder.read_recipe(run.folder)
    assert recipe.network.name == f"custom:{__name__}.MyNet" and recipe.network.weights == "none"
    assert not [line for line in run.summary.why_not_comparable if "WEIGHTS" in line or "COMPARABLE" in line]


def test_all_else_of_the_recipe_is_as_it_is(run: hubbub.Run) -> None:
    plain, ours = tiny_recipe('protocol.folds=["1","2"]'), run_folder.read_recipe(run.folder)
    for section in ("data", "protocol", "audio", "windows", "frontend", "head", "augment", "train", "evaluate"):
        assert getattr(ours, section) == getattr(plain, section), section


def test_it_was_trained_and_has_all_that_a_run_has(run: hubbub.Run) -> None:
    result = run_folder.read_result(run_folder.cell_folder(run.folder, "1", 42))
    assert result.trainable_parameters == sum(p.numel() for p in MyNet(10).parameters())
    assert run.summary.segments_per_second and len(run.summary.folds) == 2
    samples = run_folder.read_samples(run.folder)
    assert samples and {one["method"] for one in samples} == {"occlusion"}
    assert "MyNet, otherwise street-cnn" in run.report.read_text(encoding="utf-8")


def test_the_classifier_needs_the_class(run: hubbub.Run) -> None:
    prediction = run.classifier.classify(noise(2, 16_000)[:, 0], rate_hz=16_000)
    loaded = hubbub.load(run.folder, network=MyNet)
    assert loaded.classify(noise(2, 16_000)[:, 0], rate_hz=16_000).scores == prediction.scores
    with pytest.raises((ClassifierError, NetworkError), match=r"MyNet|must give logits"):
        hubbub.load(run.folder, network=nn.Identity)
    with pytest.raises(ClassifierError, match="network=MyNet"):
        load_torch(run.folder)


def test_the_exported_network_needs_no_class(run: hubbub.Run) -> None:
    wave = noise(2, 16_000)[:, 0]
    expected = list(run.classifier.classify(wave, rate_hz=16_000).scores.values())
    for light in (hubbub.load(run.folder), hubbub.Run(run.folder).classifier):
        found = light.classify(wave, rate_hz=16_000).scores
        np.testing.assert_allclose(list(found.values()), expected, atol=1e-4)


@bare()
def test_it_resumes_with_the_same_class_alone(run: hubbub.Run, capsys: pytest.CaptureFixture[str]) -> None:
    place, cell = run.folder.parent, run_folder.cells(run.folder)[0][2]
    before = read_json(run.folder / "summary.json")["clip"]
    (cell / "metrics_test.json").unlink()
    again = hubbub.bench("street-cnn", network=MyNet, settings=SMALL, folds=[1, 2], out=place)
    assert "1 of 2 cells done before" in capsys.readouterr().err
    assert read_json(again.folder / "summary.json")["clip"] == before
    with pytest.raises(OtherRunError, match="another recipe"):
        hubbub.bench("street-cnn", network=Other, settings=SMALL, out=place, name="street-cnn-MyNet", **CALL)


def test_it_does_not_resume_with_a_class_that_was_edited(run: hubbub.Run) -> None:
    def edited(name: str, num_classes: int) -> nn.Module:
        net = MyNet(num_classes)
        setattr(net, name, nn.Linear(3, 3))
        return net

    factory = functools.partial(edited, "extra")
    factory.func.__module__, factory.func.__qualname__ = __name__, "MyNet"
    call = {"settings": SMALL, "out": run.folder.parent, **CALL}
    with pytest.raises(OtherRunError, match=r"begun with another .*MyNet: the \w.* changed since.*another name="):
        hubbub.bench("street-cnn", network=factory, **call)
    environment = run_folder.read_environment(run.folder)
    begun = environment.network
    assert sorted(begun) == ["shapes", "source"]
    for kept in (
        {"shapes": begun["shapes"]},
        {},
    ):  # a class typed at a prompt has no source; earlier versions noted none
        run_folder.write_environment(run.folder, environment.model_copy(update={"network": kept}))
        assert hubbub.bench("street-cnn", network=MyNet, **call).folder == run.folder
    run_folder.write_environment(run.folder, environment)


@bare()
def test_a_frozen_network_of_ones_own_says_what_its_weights_are(tmp_path: Path) -> None:
    head = {"data.limit": 2, "head.name": "logreg", "head.pool": "mean", "head.c": [0.1]}
    waves = np.linspace(0, 1, 8, dtype=np.float32)

    def levels() -> nn.Module:
        class Levels(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.mean(dim=-1) * torch.from_numpy(waves).sum()

        return Levels()

    run = hubbub.bench("street-cnn", network=levels, settings=head, out=tmp_path, name="levels", **CALL)
    assert run.summary.recipe == "levels, otherwise street-cnn"
    assert not [line for line in run.summary.why_not_comparable if "WEIGHTS" in line or "RANDOM" in line], "it has none"
    assert len(run.classifier.labels) == 10


class Drawn(MyNet):
    """As most networks begin."""


class Loaded(MyNet):
    """As networks with published weights begin: all but the last layer is the same each time."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        nn.init.constant_(self.filters.weight, 0.1)


class Partly(Loaded):
    """With a layer that the published weights lack."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.more = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.more(self.filters(x)).mean(dim=(2, 3)))


@pytest.mark.parametrize(
    ("network", "caveat"),
    [
        (Drawn, "RANDOM INITIALISATION: the weights of {} were drawn, not trained"),
        (Loaded, "UNKNOWN WEIGHTS: {} has the same weights each time it is made; what they learnt from is not known"),
        (Partly, "RANDOM INITIALISATION: 1 of 2 weights of {} were drawn (more.weight)"),
    ],
)
def test_what_a_frozen_network_begins_with_is_said(network: type[nn.Module], caveat: str) -> None:
    recipe = with_custom(tiny_recipe("head.name=logreg"), network)
    assert prepare(recipe, network=network).caveats == (caveat.format(f"{__name__}.{network.__name__}"),)
    trained = with_custom(tiny_recipe(), network)
    assert prepare(trained, network=network).caveats == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"network": MyNet(10)}, "Give the class"),
        ({"network": MyNet, "settings": {"network.width": 4}}, "network.width is for"),
        ({"network": MyNet, "settings": {"train.devices": 2}}, "one device"),
        ({"network": lambda num_classes: MyNet(num_classes), "jobs": 2}, "other processes"),
        ({"network": lambda num_classes: MyNet(num_classes + 1), "settings": {"data.limit": 2}}, "must give logits"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(given: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises((NetworkError, RecipeError, ExperimentError), match=message):
        hubbub.bench("street-cnn", out=tmp_path, quiet=True, **given)
    assert not any(tmp_path.glob("*/recipe.toml"))
