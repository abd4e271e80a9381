"""schedule: torch's own schedulers, step for step, though no state is kept."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from hubbub.config.train import Train
from hubbub.training.schedule import learning_rate, plateaus

LARGEST = 3e-3
STEADY = ["constant", "cosine", "exponential", "onecycle"]
History = list[dict[str, float]]


def rates(settings: Train, per_epoch: int, largest: float = LARGEST, history: History | None = None) -> list[float]:
    steps = settings.epochs * per_epoch
    return [
        learning_rate(settings, largest, step, per_epoch, plateaus(settings, history or [])) for step in range(steps)
    ]


def torchs(build: Any, steps: int, every: int = 1, largest: float = LARGEST) -> list[float]:
    """The rate of each step as torch's scheduler has it, which is stepped after every so many."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=largest)
    scheduler = build(optimizer)
    found = []
    for step in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < steps - 1 and (step + 1) % every == 0:
            scheduler.step()
    return found


@pytest.mark.parametrize(("epochs", "per_epoch"), [(1, 1), (1, 7), (10, 1), (36, 12)])
@pytest.mark.parametrize("low", [0.0, 1e-6, 1e-3])
def test_cosine_is_torchs(epochs: int, per_epoch: int, low: float) -> None:
    steps = epochs * per_epoch
    ours = rates(Train(schedule="cosine", epochs=epochs, min_learning_rate=low), per_epoch)
    expected = torchs(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=steps, eta_min=low), steps)
    assert ours == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("gamma", [0.5, 0.96, 1.0])
@pytest.mark.parametrize("per_epoch", [1, 5])
def test_exponential_is_torchs_by_epoch(gamma: float, per_epoch: int) -> None:
    ours = rates(Train(schedule="exponential", epochs=20, gamma=gamma), per_epoch)
    expected = torchs(lambda o: lr_scheduler.ExponentialLR(o, gamma), 20 * per_epoch, every=per_epoch)
    assert ours == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("epochs", "per_epoch"), [(1, 10), (10, 1), (30, 9), (7, 13)])
def test_one_cycle_is_torchs(epochs: int, per_epoch: int) -> None:
    steps = epochs * per_epoch
    ours = rates(Train(schedule="onecycle", epochs=epochs), per_epoch)
    expected = torchs(lambda o: lr_scheduler.OneCycleLR(o, LARGEST, total_steps=steps), steps)
    assert ours == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_one_cycle_of_few_steps_has_rates(epochs: int) -> None:
    for rate in rates(Train(schedule="onecycle", epochs=epochs), 1):
        assert 0 < rate <= LARGEST


@given(
    st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.5, 0.7, 0.9]), max_size=40),
    st.integers(0, 5),
    st.sampled_from([0.1, 0.5, 0.9]),
    st.sampled_from(["val_loss", "val_accuracy", "val_macro_f1", "val_macro_map"]),
)
def test_plateau_is_torchs(values: list[float], patience: int, factor: float, monitor: Any) -> None:
    settings = Train(
        schedule="plateau", epochs=50, plateau_patience=patience, plateau_factor=factor, monitor=monitor, patience=50
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LARGEST)
    mode: Any = "min" if monitor == "val_loss" else "max"
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, factor=factor, patience=patience, threshold=0, eps=0, min_lr=0
    )
    history: History = []
    for epoch, value in enumerate(values):
        # Other figures of the epochs say the contrary, and are not looked at.
        names = ("val_loss", "val_accuracy", "val_macro_f1", "val_macro_map")
        history.append(dict.fromkeys(names, -value) | {monitor: value})
        scheduler.step(value)
        for step in (3 * epoch + 3, 3 * epoch + 5):  # the epoch that follows, of three steps
            ours = learning_rate(settings, LARGEST, step, 3, plateaus(settings, history))
            assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)


def test_plateau_begins_when_all_learn() -> None:
    settings = Train(schedule="plateau", epochs=20, freeze_epochs=3, plateau_patience=1, plateau_factor=0.5)
    frozen = [{"val_loss": 0.1}] * 3
    assert learning_rate(settings, LARGEST, 2, 1, plateaus(settings, frozen[:2])) == LARGEST
    assert learning_rate(settings, LARGEST, 3, 1, plateaus(settings, frozen)) == LARGEST
    worse = [{"val_loss": 0.5}, {"val_loss": 0.6}]
    assert learning_rate(settings, LARGEST, 5, 1, plateaus(settings, [*frozen, *worse])) == LARGEST
    assert (
        learning_rate(settings, LARGEST, 6, 1, plateaus(settings, [*frozen, *worse, {"val_loss": 0.7}]))
        == 0.5 * LARGEST
    )


@pytest.mark.parametrize("schedule", ["constant", "cosine", "exponential"])
def test_the_warm_up_rises_evenly_to_the_largest(schedule: Any) -> None:
    settings = Train(schedule=schedule, epochs=10, warmup_epochs=2, min_learning_rate=0)
    ours = rates(settings, per_epoch=4)
    assert ours[:8] == pytest.approx([LARGEST * n / 8 for n in range(1, 9)])
    # What follows is the schedule as it would be without a warm-up, over the epochs that are left.
    rest = settings.model_copy(update={"epochs": 8, "warmup_epochs": 0})
    assert ours[8:] == pytest.approx(rates(rest, per_epoch=4), rel=1e-12)
    assert ours[8] == LARGEST


@pytest.mark.parametrize("schedule", STEADY)
def test_frozen_epochs_come_before_the_schedule(schedule: Any) -> None:
    warm_up = 0 if schedule == "onecycle" else 2
    settings = Train(schedule=schedule, epochs=9, freeze_epochs=3, warmup_epochs=warm_up)
    ours = rates(settings, per_epoch=5)
    assert ours[:15] == [LARGEST] * 15
    rest = settings.model_copy(update={"epochs": 6, "freeze_epochs": 0})
    assert ours[15:] == pytest.approx(rates(rest, per_epoch=5), rel=1e-12)


@pytest.mark.parametrize("schedule", [*STEADY, "plateau"])
def test_nothing_but_frozen_epochs(schedule: Any) -> None:
    assert rates(Train(schedule=schedule, epochs=4, freeze_epochs=4), 3) == [LARGEST] * 12


@pytest.mark.parametrize("schedule", ["constant", "exponential", "onecycle", "plateau"])
def test_another_largest_rate_is_the_same_curve(schedule: Any) -> None:
    settings = Train(schedule=schedule, epochs=8, freeze_epochs=1, plateau_patience=0)
    history = [{"val_loss": 0.1}] * 8
    head, backbone = (rates(settings, 6, largest, history) for largest in (1e-3, 2e-5))
    assert backbone == pytest.approx([rate / 50 for rate in head], rel=1e-9)


def test_cosines_of_both_rates_end_at_one() -> None:
    settings = Train(schedule="cosine", epochs=30, min_learning_rate=1e-6)
    head, backbone = (rates(settings, 20, largest) for largest in (1e-3, 2e-5))
    assert head[0] == 1e-3 and backbone[0] == 2e-5
    for ours in (head, backbone):
        assert ours == sorted(ours, reverse=True)
        assert ours[-1] == pytest.approx(1e-6, rel=0.05)
    halfway = [1e-6 + (largest - 1e-6) / 2 for largest in (1e-3, 2e-5)]
    assert [head[300], backbone[300]] == pytest.approx(halfway)


def test_a_cosine_never_rises_to_its_end() -> None:
    assert rates(Train(schedule="cosine", epochs=5, min_learning_rate=1e-2), 3) == [LARGEST] * 15


@given(
    schedule=st.sampled_from([*STEADY, "plateau"]),
    epochs=st.integers(1, 20),
    freeze=st.integers(0, 4),
    warm_up=st.integers(0, 4),
    per_epoch=st.integers(1, 12),
    largest=st.floats(1e-8, 10),
)
def test_rates_stay_in_their_range(
    schedule: Any, epochs: int, freeze: int, warm_up: int, per_epoch: int, largest: float
) -> None:
    warm_up = 0 if schedule in ("onecycle", "plateau") else warm_up
    assume(freeze + warm_up <= epochs)
    settings = Train(schedule=schedule, epochs=epochs, freeze_epochs=freeze, warmup_epochs=warm_up)
    losses = np.random.default_rng(0).random(epochs)
    found = rates(settings, per_epoch, largest, [{"val_loss": float(loss)} for loss in losses])
    assert all(0 < rate <= largest * (1 + 1e-12) for rate in found)
    assert max(found) == pytest.approx(largest) or schedule in ("plateau", "onecycle")
