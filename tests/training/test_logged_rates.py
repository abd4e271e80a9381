"""The learning rates in TensorBoard are those of the schedule, at the step where they applied."""

from pathlib import Path
from typing import Any

import pytest

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.training import fit as train
from hubbub.training.loggers import open_loggers
from hubbub.training.schedule import learning_rate, plateaus
from tests.helpers.recipes import plan
from tests.training.test_module import CHECKS, LABELS, TARGETS, TRAIN, WAVES

#: 26 training segments in batches of 9 or fewer.
STEPS = 3


def logged(recipe: Recipe, folder: Path, *more: str) -> tuple[dict[str, list[tuple[int, float]]], Any]:
    """Steps and values of both learning rates, and of `more`, in TensorBoard's files, and the result of the fit."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = TorchClassifier(recipe, LABELS, seed=1)
    with open_loggers((), folder, run="r", group="g", settings={}, store=folder / "mlflow.db") as loggers:
        fitted = train.fit_network(model, WAVES, TARGETS, TRAIN, CHECKS, folder, seed=1, loggers=loggers)
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    names = ("learning_rate", "backbone_learning_rate", *more)
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}, fitted


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "cosine", "warmup_epochs": 1, "freeze_epochs": 1, "min_learning_rate": 1e-5},
        {"schedule": "onecycle"},
        {"schedule": "exponential", "gamma": 0.5},
        {"schedule": "cosine", "accumulate": 2},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_both_rates_are_the_schedules_at_the_epochs_last_step(tmp_path: Path, settings: dict[str, Any]) -> None:
    given = {"epochs": 4, "batch_size": 9, "backbone_learning_rate": 0.01, "learning_rate": 0.05, "patience": 50}
    recipe = plan(train=given | settings)
    rates, _ = logged(recipe, tmp_path)
    per_epoch = -(-STEPS // recipe.train.accumulate)
    last_steps = [per_epoch * epoch - 1 for epoch in range(1, 5)]
    for name, largest in (("learning_rate", 0.05), ("backbone_learning_rate", 0.01)):
        assert [step for step, _ in rates[name]] == last_steps
        expected = [learning_rate(recipe.train, largest, step, per_epoch) for step in last_steps]
        if name == "backbone_learning_rate":
            expected[: recipe.train.freeze_epochs] = [0.0] * recipe.train.freeze_epochs
        assert [value for _, value in rates[name]] == pytest.approx(expected, rel=1e-5)


def test_a_plateaus_rate_is_lowered_after_the_epoch_that_did_not_improve(tmp_path: Path) -> None:
    recipe = plan(
        train={"schedule": "plateau", "plateau_patience": 0, "plateau_factor": 0.1, "epochs": 6, "batch_size": 9,
               "learning_rate": 1e-12, "weight_decay": 0.0, "bn_eval": True, "patience": 50},
    )  # fmt: skip
    rates, fitted = logged(recipe, tmp_path)
    lowered = plateaus(recipe.train, fitted.history.to_dict("records"))
    assert lowered, "the test needs a rate that was lowered"
    expected = [1e-12 * 0.1 ** sum(epoch < now for epoch in lowered) for now in range(1, 7)]
    assert [value for _, value in rates["learning_rate"]] == pytest.approx(expected, rel=1e-5)


def test_of_rates_by_depth_the_largest_and_the_smallest_are_logged(tmp_path: Path) -> None:
    """Four blocks and a BatchNorm before them, which rests while the head is trained alone."""
    settings = {"layer_decay": 0.5, "backbone_learning_rate": 0.01, "freeze_epochs": 1, "epochs": 2, "patience": 50}
    rates, _ = logged(plan(train=settings), tmp_path, "lowest_learning_rate")
    found = {name: [value for _, value in values] for name, values in rates.items()}
    assert found["learning_rate"] == pytest.approx([0.05, 0.05])
    assert found["backbone_learning_rate"] == pytest.approx([0.0, 0.01])
    assert found["lowest_learning_rate"] == pytest.approx([0.0, 0.01 / 2**4])
