"""train: clips with label sets, from the targets of segments to the metrics of an epoch.

On noise with tones of a few tenths of a second, so that each fit takes as long as its set-up.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score
from torch.nn.functional import binary_cross_entropy_with_logits

from hubbub.audio import windows
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.data import cache
from hubbub.data.cache import Waves
from hubbub.training import fit as train
from hubbub.training import module
from hubbub.training.fitted import Fitted, TrainError
from hubbub.training.losses import multilabel_loss
from hubbub.training.targets import SegmentTargets, Targets
from hubbub.training.teacher import Lessons
from tests.helpers.recipes import LENGTH, plan

RATE, CLIPS = 16_000, 40
LABELS = ("low", "middle", "high")
TONES_HZ = (500, 1500, 4000)
RANDOM = np.random.default_rng(0)
HELD = RANDOM.random((CLIPS, 3)) < 0.4
#: A third of the pairs of clip and class is not annotated.
SETS = np.where(RANDOM.random((CLIPS, 3)) < 0.3, -1, HELD).astype(np.int8)
TRAIN, CHECKS = np.arange(24), np.arange(24, CLIPS)
MIXED = {"between": {"p": 0.5}, "mixup": {"alpha": 1.0}, "cutmix": {"alpha": 1.0, "p": 0.3}}


def tones() -> Waves:
    """Clips of two segments: noise, with the tones of the classes that each holds."""
    time = np.arange(2 * LENGTH) / RATE
    sounds = np.stack([np.sin(2 * np.pi * hz * time) for hz in TONES_HZ])
    samples = 0.2 * (HELD @ sounds) + 0.02 * np.random.default_rng(1).normal(size=(CLIPS, 2 * LENGTH))
    offsets = np.arange(CLIPS + 1) * 2 * LENGTH
    return Waves(samples.astype(np.float32).ravel(), offsets, tuple(map(str, range(CLIPS))), RATE, "tones")


WAVES = tones()


def unmoved(**sections: dict[str, Any]) -> Recipe:
    """Whose one step, of all segments, leaves every weight as good as it was, and every statistic."""
    still = {"learning_rate": 1e-12, "weight_decay": 0.0, "bn_eval": True}
    return plan(**sections | {"train": still | sections.get("train", {})})


def classifier(recipe: Recipe) -> TorchClassifier:
    return TorchClassifier(recipe, LABELS, seed=1, activation="sigmoid")


def fit(recipe: Recipe, folder: Path, targets: Targets = SETS) -> Fitted:
    model = classifier(recipe)
    inputs = cache.embed(WAVES, model) if model.frozen else WAVES
    return train.fit_network(model, inputs, targets, TRAIN, CHECKS, folder, seed=1)


def logits_of(recipe: Recipe, clips: np.ndarray) -> torch.Tensor:
    """Logits of the segments of some clips before training."""
    return torch.from_numpy(cache.outputs(WAVES, classifier(recipe), clips).values)


def masked(logits: torch.Tensor, targets: np.ndarray, **settings: Any) -> float:
    """torch's binary cross-entropy, summed over the annotated classes of each segment."""
    present, known = torch.from_numpy((targets > 0).astype(np.float32)), torch.from_numpy(targets >= 0)
    losses = binary_cross_entropy_with_logits(logits, present, reduction="none", **settings)
    return float((losses * known).sum() / len(logits))


def test_label_sets_are_learnt_and_their_metrics_kept(tmp_path: Path) -> None:
    recipe = plan(
        network={"width": 8}, train={"epochs": 30, "batch_size": 12, "learning_rate": 0.02, "monitor": "val_macro_map"}
    )
    fitted = fit(recipe, tmp_path)
    history = fitted.history
    assert history is not None
    assert list(history) == ["epoch", "train_loss", "val_loss", "val_macro_f1", "val_macro_map"]
    assert fitted.choice["epoch"] == history["epoch"][history["val_macro_map"].argmax()], "higher is better"
    assert history["val_macro_map"].max() > 0.95
    assert history["train_loss"].iloc[-1] < 0.5 * history["train_loss"].iloc[0]


@pytest.mark.parametrize("settings", [{}, {"balance": "weights"}, {"loss": "focal"}, {"loss": "asymmetric"}])
def test_the_loss_is_that_of_the_annotated_pairs(tmp_path: Path, settings: dict) -> None:
    recipe = unmoved(train=settings)
    history = fit(recipe, tmp_path).history
    assert history is not None
    logits, targets = logits_of(recipe, TRAIN), np.repeat(SETS[TRAIN], 2, axis=0)
    if settings.get("loss"):
        present, known = torch.from_numpy(targets > 0), torch.from_numpy(targets >= 0)
        expected = float(multilabel_loss(settings["loss"], logits, present, known))
    elif settings:
        counts = [(SETS[TRAIN] == value).sum(axis=0) for value in (0, 1)]
        expected = masked(logits, targets, pos_weight=torch.from_numpy(counts[0] / counts[1]).float())
    else:
        expected = masked(logits, targets)
    assert history["train_loss"].iloc[0] == pytest.approx(expected, rel=1e-4)


def test_metrics_are_those_of_the_annotated_pairs(tmp_path: Path) -> None:
    recipe = unmoved()
    history = fit(recipe, tmp_path).history
    assert history is not None
    logits, targets = logits_of(recipe, CHECKS), np.repeat(SETS[CHECKS], 2, axis=0)
    row = history.iloc[0]
    assert row["val_loss"] == pytest.approx(masked(logits, targets), rel=1e-4)
    annotated = [(targets[targets[:, k] >= 0, k], logits.numpy()[targets[:, k] >= 0, k]) for k in range(3)]
    precisions = [average_precision_score(*pairs) for pairs in annotated]
    f1 = [f1_score(truth, scores >= 0, zero_division=0) for truth, scores in annotated]
    assert row["val_macro_map"] == pytest.approx(np.mean(precisions), rel=1e-6)
    assert row["val_macro_f1"] == pytest.approx(np.mean(f1), rel=1e-6)


def test_mixtures_hold_the_shares_of_both_and_weigh_what_is_annotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {}
    real = module.Mixing.spectrograms

    def watched(self: Any, *values: Any) -> Any:
        made["given"], made["inputs"] = values[1], real(self, *values)
        return made["inputs"]

    monkeypatch.setattr(module.Mixing, "spectrograms", watched)
    recipe = unmoved(augment=MIXED, train={"label_smoothing": 0.1})
    history = fit(recipe, tmp_path).history
    assert history is not None
    inputs, targets = made["inputs"]
    present, known = targets[:, :3], targets[:, 3:]
    assert (present <= known + 1e-6).all() and known.max() <= 1 + 1e-6 and known.min() >= 0
    partly = (known > 0.01) & (known < 0.99)
    assert partly.float().mean() > 0.2, "parts of many mixtures are annotated"
    with torch.no_grad():
        logits = classifier(recipe).network.logits(inputs)
    losses = [
        binary_cross_entropy_with_logits(logits, torch.full_like(logits, value), reduction="none")
        for value in (0.95, 0.05)  # smoothed
    ]
    expected = float((present * losses[0] + (known - present) * losses[1]).sum() / len(logits))
    assert history["train_loss"].iloc[0] == pytest.approx(expected, rel=1e-4)


def test_mixing_nothing_gives_the_loss_without_mixing(tmp_path: Path) -> None:
    none = {"between": {"p": 0.0}, "mixup": {"p": 0.0}, "cutmix": {"p": 0.0}}
    plain, mixed = (
        fit(unmoved(augment=augment), tmp_path / name).history for name, augment in (("plain", {}), ("mixed", none))
    )
    assert plain is not None and mixed is not None
    assert mixed["train_loss"].iloc[0] == pytest.approx(plain["train_loss"].iloc[0], rel=1e-5)


def test_a_class_that_nobody_annotated_is_not_learnt(tmp_path: Path) -> None:
    targets = SETS.copy()
    targets[:, 1] = -1
    recipe = plan(network={"mode": "head"}, train={"epochs": 3, "weight_decay": 0.0})
    before, after = classifier(recipe).network.fc, fit(recipe, tmp_path, targets).final.network.fc
    moved = (before.weight != after.weight).any(1)
    assert moved.tolist() == [True, False, True] and before.bias[1] == after.bias[1]


def test_timed_labels_are_those_of_the_segments(tmp_path: Path) -> None:
    """In the second half of each clip nothing is present; a frozen network has other segments, twice as many."""

    def of(clip: int, spans: np.ndarray) -> np.ndarray:
        return np.where(spans[:, :1] < LENGTH / RATE, SETS[clip], 0).astype(np.int8)

    def spans(clip: int) -> np.ndarray:
        return windows.spans(2 * LENGTH, RATE, LENGTH, LENGTH // 2)

    targets = SegmentTargets(SETS, of, spans)
    recipe = unmoved()
    history = fit(recipe, tmp_path / "whole", targets).history
    assert history is not None
    by_hand = np.stack([SETS[TRAIN], np.zeros((len(TRAIN), 3), np.int8)], axis=1).reshape(-1, 3)
    expected = masked(logits_of(recipe, TRAIN), by_hand)
    assert history["train_loss"].iloc[0] == pytest.approx(expected, rel=1e-4)

    frozen = unmoved(network={"mode": "head"}, evaluate={"hop": LENGTH // 2})
    history = fit(frozen, tmp_path / "frozen", targets).history
    assert history is not None
    model = classifier(frozen)
    logits = torch.from_numpy(model.head_logits(cache.embed(WAVES, model).of(TRAIN).values))
    by_hand = np.stack([SETS[TRAIN], SETS[TRAIN], np.zeros((len(TRAIN), 3), np.int8)], axis=1).reshape(-1, 3)
    assert history["train_loss"].iloc[0] == pytest.approx(masked(logits, by_hand), rel=1e-4)


@pytest.mark.parametrize("balance", ["sampler", "weights+sampler"])
def test_balanced_label_sets_are_learnt(tmp_path: Path, balance: str) -> None:
    history = fit(plan(network={"width": 8}, train={"epochs": 8, "balance": balance}), tmp_path).history
    assert history is not None
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]


@pytest.mark.parametrize("settings", [{"loss": "cross_entropy"}, {"monitor": "val_accuracy"}])
def test_settings_for_clips_of_one_label_are_refused(tmp_path: Path, settings: dict) -> None:
    with pytest.raises(TrainError, match="for clips of one label each"):
        fit(plan(train=settings), tmp_path)


def test_settings_for_label_sets_are_refused_for_clips_of_one_label(tmp_path: Path) -> None:
    for settings in ({"loss": "bce"}, {"monitor": "val_macro_map"}):
        with pytest.raises(TrainError, match="these have one each"):
            fit(plan(train=settings), tmp_path, np.arange(CLIPS) % 3)


def test_outliers_and_lessons_are_for_clips_of_one_label(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"augment\.outliers is for clips of one label each"):
        fit(plan(augment={"outliers": {"p": 0.1}}), tmp_path)
    segments = 2 * len(TRAIN)
    lessons = Lessons(torch.zeros(segments, 4), torch.zeros(segments, 3))
    with pytest.raises(TrainError, match=r"\[teacher\] is for clips of one label each"):
        train.build_module(classifier(plan()), WAVES, SETS, TRAIN, CHECKS, 1, lessons=lessons)


def test_every_process_must_have_the_same_label_sets() -> None:
    other = SETS.copy()
    other[3, 1] = 0 if other[3, 1] else 1
    keys = {train.data_key(WAVES, targets, "cpu") for targets in (SETS, other, SETS.copy())}
    assert len(keys) == 2
    timed = [SegmentTargets(SETS, lambda clip, _, t=t: t[[clip]], lambda _: np.zeros((1, 2))) for t in (SETS, other)]
    assert len({train.data_key(WAVES, targets, "cpu") for targets in timed}) == 2


TOGETHER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from tests.helpers.recipes import plan
from tests.training.test_multilabel import CHECKS, SETS, TRAIN, WAVES, classifier
from hubbub.training import fit

if __name__ == "__main__":
    for name, devices in (("one", 1), ("two", 2)):
        settings = dict(optimizer="sgd", learning_rate=1e-3, bn_eval=True, epochs=2, devices=devices)
        recipe = plan(train=settings | dict(batch_size=16 // devices, balance="weights"))
        fit.fit_network(classifier(recipe), WAVES, SETS, TRAIN, CHECKS, Path({folder!r}) / name, seed=1)
"""


@pytest.mark.slow
def test_two_processes_train_label_sets_as_one(tmp_path: Path) -> None:
    script = tmp_path / "together.py"
    script.write_text(TOGETHER.format(tests=str(Path(__file__).parents[2]), folder=str(tmp_path)))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["history"]
        for name in ("one", "two")
    )
    for row, other in zip(one, two, strict=True):
        assert other == pytest.approx(row, rel=1e-4)
