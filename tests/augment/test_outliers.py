"""augment.outliers: synthetic sounds of no class, and their place in a batch."""

import numpy as np
import pytest
import torch

from hubbub.augment import Outliers
from hubbub.augment.outliers import KINDS, PEAK_DB, outlier_wave
from tests.helpers.signals import seeded

CLASSES, LESSONS = 4, 3


@pytest.mark.parametrize("number", range(2 * len(KINDS)))
@pytest.mark.parametrize("rate_hz", [8_000, 44_100])
def test_an_outlier_is_sound_of_a_usual_level(number: int, rate_hz: int) -> None:
    wave = outlier_wave(number, rate_hz, rate_hz)
    assert wave.shape == (rate_hz,) and wave.dtype == np.float32
    assert np.isfinite(wave).all()
    assert PEAK_DB[0] - 0.01 <= 20 * np.log10(np.abs(wave).max()) <= PEAK_DB[1] + 0.01


@pytest.mark.parametrize("samples", [1_600, 48_000])
def test_outliers_are_the_same_each_time_and_differ_from_each_other(samples: int) -> None:
    first = [outlier_wave(number, samples, 16_000) for number in range(24)]
    for number, wave in enumerate(first):
        np.testing.assert_array_equal(wave, outlier_wave(number, samples, 16_000))
    normed = np.stack([(wave - wave.mean()) / wave.std() for wave in first])
    alike = np.abs(normed @ normed.T / samples)
    np.fill_diagonal(alike, 0)
    assert alike.max() < 0.9


def replaced(p: float, count: int = 2_000) -> tuple[torch.Tensor, ...]:
    bank = torch.arange(1.0, 257).view(256, 1, 1).expand(256, 3, 5).contiguous()
    rows = torch.zeros(count, 3, 5)
    targets = torch.cat([torch.eye(CLASSES).repeat(count // CLASSES, 1), torch.ones(count, LESSONS)], dim=1)
    return rows, targets, *Outliers(p, bank, CLASSES).replace(rows, targets, seeded())


def test_an_outlier_is_all_classes_alike_and_no_lesson() -> None:
    rows, targets, after, labelled = replaced(0.2)
    taken = after.amax((1, 2)) > 0
    assert float(taken.float().mean()) == pytest.approx(0.2, abs=0.03)
    assert torch.equal(after[~taken], rows[~taken]) and torch.equal(labelled[~taken], targets[~taken])
    assert (labelled[taken, :CLASSES] == 1 / CLASSES).all() and (labelled[taken, CLASSES:] == 0).all()
    assert len(after[taken].unique()) > 180, "all of the bank is used"


def test_no_row_is_replaced_at_probability_0() -> None:
    rows, targets, after, labelled = replaced(0.0)
    assert torch.equal(after, rows) and torch.equal(labelled, targets)
