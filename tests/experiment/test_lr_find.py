"""lr_find: the rates, the closed parts, the suggestion where the answer is known."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hubbub.config.recipe import Recipe
from hubbub.experiment import lr_find
from hubbub.experiment.lr_find import RangeTestError
from tests.helpers.sounds import write_tones


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "sounds")


def plan(sounds: Path, mode: str = "finetune", **training: Any) -> Recipe:
    return Recipe.of(
        {
            "data": {"name": str(sounds / "list.csv")},
            "windows": {"length": 4000, "hop": 4000},
            "frontend": {"name": "logmel", "n_fft": 512, "hop": 256, "n_mels": 32},
            "network": {"name": "cnn", "width": 4, "mode": mode, "dropout": 0.0},
            "train": {"device": "cpu", "batch_size": 8} | training,
        }
    )


def test_the_rates_are_those_of_the_design(sounds: Path, tmp_path: Path) -> None:
    found = lr_find.run(plan(sounds), tmp_path)
    rates = found.table["learning_rate"].to_numpy()
    assert rates[0] == pytest.approx(1e-7)
    assert len(rates) <= 100
    np.testing.assert_allclose(rates[1:] / rates[:-1], (10 / 1e-7) ** (1 / 99))
    assert {file.name for file in tmp_path.iterdir()} == {"lr-find.csv", "lr-find.png"}
    written = pd.read_csv(tmp_path / "lr-find.csv")
    np.testing.assert_allclose(written, found.table)


def test_only_the_training_part_is_opened_and_the_answer_is_the_same(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lr_find.run(plan(sounds), tmp_path / "one")
    poisoned = tmp_path / "sounds"
    poisoned.mkdir()
    for file in sounds.iterdir():
        closed = file.name.startswith(("1-", "2-"))  # test and validation
        (poisoned / file.name).write_bytes(b"no sound" if closed else file.read_bytes())
    monkeypatch.setenv("HUBBUB_CACHE", str(tmp_path / "cache"))
    second = lr_find.run(plan(poisoned), tmp_path / "two")
    pd.testing.assert_frame_equal(first.table, second.table)
    assert first.steepest == second.steepest


def test_the_suggestion_is_where_the_loss_falls_fastest() -> None:
    rates = np.geomspace(1e-7, 10, 100)
    falls = 1 / (1 + np.exp(4 * (np.log10(rates) + 3)))  # a sigmoid about 1e-3
    losses = falls + np.where(rates > 0.1, rates, 0)
    steepest, tenth = lr_find.suggest(rates, losses)
    assert steepest == pytest.approx(1e-3, rel=0.25)
    assert tenth == pytest.approx(1e-2, rel=0.25)
    noisy, _ = lr_find.suggest(rates, losses + np.random.default_rng(0).normal(0, 0.02, 100))
    assert noisy == pytest.approx(1e-3, rel=1)


def test_a_loss_that_only_rises_suggests_nothing() -> None:
    assert lr_find.suggest(np.geomspace(1e-7, 10, 100), np.linspace(1, 2, 100)) == (None, None)


@pytest.mark.parametrize("curvature", [1.0, 10.0, 1000.0])
def test_on_a_quadratic_the_suggestion_is_stable(curvature: float) -> None:
    # Descent on curvature / 2 * w ** 2 is stable up to a rate of 2 / curvature.
    rates, w, losses = np.geomspace(1e-7, 10, 100), 1.0, []
    for rate in rates:
        losses.append(curvature / 2 * w**2)
        if losses[-1] > 4 * losses[0]:
            break
        w -= rate * curvature * w
    steepest, _ = lr_find.suggest(rates[: len(losses)], np.array(losses))
    assert steepest is not None
    assert 1e-3 / curvature < steepest < 2 / curvature


def test_the_suggestion_lies_below_divergence(sounds: Path, tmp_path: Path) -> None:
    still = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "batch_size": 64}
    found = lr_find.run(plan(sounds, "head", **still), tmp_path)
    table = found.table
    assert len(table) < 100
    assert table["smoothed"].iloc[-1] > 4 * table["smoothed"].min()
    assert found.steepest is not None
    jumped = table["learning_rate"][table["loss"].diff() > table["loss"].iloc[0]].min()
    assert found.steepest < jumped


def test_heads_have_no_rate_to_find(sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(RangeTestError, match=r"head\.name is 'logreg'"):
        lr_find.run(plan(sounds).altered({"head.name": "logreg"}), tmp_path)


def test_public_names() -> None:
    assert all(hasattr(lr_find, name) for name in lr_find.__all__)


def test_each_layer_has_its_share_of_the_rate_that_rises() -> None:
    settings = Recipe.of(
        {"data": {"name": "esc50"}, "train": {"learning_rate": 0.01, "backbone_learning_rate": 0.001}}
    ).train
    groups: list[dict[str, Any]] = [
        {"name": "head", "share": 1.0},
        {"name": "backbone", "share": 0.25},
        {"name": "backbone", "share": 1.0},
    ]
    nobody: Any = None
    module: Any = SimpleNamespace(settings=settings)
    optimizer: Any = SimpleNamespace(param_groups=groups)
    lr_find._RateSweep().on_before_optimizer_step(nobody, module, optimizer)
    assert [group["lr"] for group in groups] == pytest.approx([1e-7, 0.25e-8, 1e-8])
