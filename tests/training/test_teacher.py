"""teacher: what a frozen network makes of training clips, and a network that is trained to match it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.config.teacher import Teacher
from hubbub.data.cache import Segments, Waves
from hubbub.training import fit as train
from hubbub.training.fitted import Fitted
from hubbub.training.teacher import Lessons, TeacherOutputs, distance
from tests.helpers.recipes import LENGTH, plan

RATE, CLIPS, DIMENSION = 16_000, 24, 6
LABELS = ("low", "middle", "high")
TARGETS = np.arange(CLIPS) % len(LABELS)
TRAIN, TESTED = np.arange(18), np.arange(18, CLIPS)


def outputs(seed: int = 0) -> TeacherOutputs:
    """A teacher whose embeddings tell the classes apart; four segments a clip of .2 s."""
    rng = np.random.default_rng(seed)
    values = np.repeat(np.eye(DIMENSION)[TARGETS] * 3 + rng.normal(0, 0.5, (CLIPS, DIMENSION)), 4, axis=0)
    values += rng.normal(0, 0.1, values.shape)
    starts = np.tile(np.arange(4) * 0.05, CLIPS)
    segments = Segments(values.astype(np.float32), np.arange(CLIPS + 1) * 4)
    return TeacherOutputs(segments, np.stack([starts, starts + 0.05], axis=1), Path("teacher.h5"))


def recipe(**sections: dict[str, object]) -> Recipe:
    """A taught recipe of two epochs of one-cycle training."""
    train = {"epochs": 2, "batch_size": 12, "schedule": "onecycle", "learning_rate": 0.01}
    return plan(**{"teacher": {}, **sections, "train": train | sections.get("train", {})})


def lessons(of: TeacherOutputs, **sections: dict[str, object]) -> Lessons:
    return of.lessons(recipe(**sections), TRAIN, [2 * LENGTH] * len(TRAIN), TARGETS)


# What the teacher says


def test_a_part_gets_the_mean_of_the_segments_whose_middle_it_holds() -> None:
    of = outputs()
    values = of.segments.values[4:8]
    found = of.within(1, np.array([[0.0, 0.2], [0.0, 0.1], [0.07, 0.08], [0.19, 0.2]]))
    np.testing.assert_allclose(found[0], values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found[1], values[:2].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found[2], values[1], rtol=1e-6)
    np.testing.assert_allclose(found[3], values[3], rtol=1e-6)  # the nearest one


def test_lessons_are_those_of_the_segments_that_training_cuts() -> None:
    given = lessons(outputs())
    assert len(given) == 2 * len(TRAIN)
    assert given.embeddings.shape == (36, DIMENSION) and given.scores.shape == (36, len(LABELS))
    torch.testing.assert_close(given.scores.sum(1), torch.ones(36))
    assert given.scores.argmax(1).tolist() == np.repeat(TARGETS[TRAIN], 2).tolist()
    of_clips = given.embeddings.view(18, 2, DIMENSION).mean(1)
    torch.testing.assert_close(of_clips.mean(0), torch.zeros(DIMENSION), atol=1e-5, rtol=0)
    torch.testing.assert_close(of_clips.std(0, correction=0), torch.ones(DIMENSION), atol=1e-2, rtol=0)


def test_clips_that_are_not_trained_on_change_no_lesson() -> None:
    of, other = outputs(), outputs()
    rows = slice(TESTED[0] * 4, None)
    other.segments.values[rows] = 1000.0
    targets = TARGETS.copy()
    targets[TESTED] = 0
    given, again = lessons(of), other.lessons(recipe(), TRAIN, [2 * LENGTH] * len(TRAIN), targets)
    assert torch.equal(given.embeddings, again.embeddings) and torch.equal(given.scores, again.scores)


def test_a_class_without_training_clips_gets_no_score() -> None:
    clips = TRAIN[TARGETS[TRAIN] != 1]
    given = outputs().lessons(recipe(), clips, [2 * LENGTH] * len(clips), TARGETS)
    assert (given.scores[:, 1] == 0).all()
    torch.testing.assert_close(given.scores.sum(1), torch.ones(len(given)))


def test_a_higher_temperature_makes_softer_scores() -> None:
    sharp, soft = (lessons(outputs(), teacher={"temperature": value}).scores for value in (1.0, 4.0))
    assert float(sharp.amax(1).mean()) > float(soft.amax(1).mean()) + 0.1


# The loss


def test_the_distance_is_that_of_scores_and_embeddings() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, other, predicted, taught = (torch.randn(5, n, generator=generator) for n in (3, 3, 6, 6))
    scores = (other / 2).softmax(1)
    found = distance(Teacher(embedding=4.0, scores=0.3, temperature=2.0), logits, scores, predicted, taught)
    divergence = nn.functional.kl_div((logits / 2).log_softmax(1), scores, reduction="batchmean")
    entropy = -(scores * scores.log()).sum(1).mean()
    cosine = torch.stack([p @ t / p.norm() / t.norm() for p, t in zip(predicted, taught, strict=True)])
    torch.testing.assert_close(found, 0.3 * 4 * (divergence + entropy) + 4 * (1 - cosine.mean()))


def test_no_lesson_has_no_gradient() -> None:
    logits, predicted = torch.randn(4, 3, requires_grad=True), torch.randn(4, 6, requires_grad=True)
    distance(Teacher(), logits, torch.zeros(4, 3), predicted, torch.zeros(4, 6)).backward()
    assert torch.equal(logits.grad, torch.zeros(4, 3))  # type: ignore[arg-type]
    assert torch.equal(predicted.grad, torch.zeros(4, 6))  # type: ignore[arg-type]


# Training


def noise() -> Waves:
    """Clips of two segments that say nothing of their class: it is learnt from the teacher alone, or not at all."""
    samples = np.random.default_rng(1).normal(0, 0.1, CLIPS * 2 * LENGTH).astype(np.float32)
    return Waves(samples, np.arange(CLIPS + 1) * 2 * LENGTH, tuple(f"clip {n}" for n in range(CLIPS)), RATE, "noise")


def fit(settings: Recipe, folder: Path, given: Lessons | None) -> Fitted:
    model = TorchClassifier(settings, LABELS, seed=1)
    return train.fit_network(model, noise(), TARGETS, TRAIN, TESTED[:0], folder, seed=1, lessons=given)


AUGMENT = {"outliers": {"p": 0.3}, "mixup": {"alpha": 0.3}, "cutmix": {"alpha": 0.3}, "time_mask": {"frames": 3}}


@pytest.mark.parametrize("augment", [{}, AUGMENT])
def test_a_killed_taught_training_ends_with_the_same_weights(tmp_path: Path, augment: dict[str, object]) -> None:
    settings, given = recipe(augment=augment, train={"epochs": 3, "schedule": "constant"}), lessons(outputs())
    whole = fit(settings, tmp_path / "whole", given)
    fit(settings.altered({"train.epochs": 2}), tmp_path / "parts", given)
    last = tmp_path / "parts" / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    assert "projection.weight" in content["state_dict"], "the map to the teacher's embeddings is kept too"
    torch.save(content | {"stopped": False}, last)
    resumed = fit(settings, tmp_path / "parts", given)
    pairs = zip(whole.final.network.parameters(), resumed.final.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_teachers_embedding_is_learnt(tmp_path: Path) -> None:
    """Without labels' share in it, the loss falls only where the network comes nearer to its teacher."""
    settings = recipe(
        teacher={"embedding": 1.0, "scores": 1.0}, network={"width": 8}, train={"epochs": 25, "learning_rate": 0.02}
    )
    history = fit(settings, tmp_path, lessons(outputs())).history
    assert history is not None
    assert history["train_loss"].iloc[-1] < 0.75 * history["train_loss"].iloc[0]


def test_a_taught_classifier_holds_nothing_of_its_teacher(tmp_path: Path) -> None:
    fitted = fit(recipe(), tmp_path, lessons(outputs()))
    plain = TorchClassifier(recipe(), LABELS, seed=1)
    assert list(fitted.final.network.state_dict()) == list(plain.network.state_dict())


# The recipe


@pytest.mark.parametrize(
    "wrong",
    [
        {"head": {"name": "logreg"}},
        {"network": {"mode": "head"}},
        {"augment": {"crop": True}},
        {"teacher": {"network": "esresnext"}},
        {"teacher": {"scores": 1.1}},
        {"teacher": {"temperature": 0.0}},
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(wrong: dict[str, dict[str, object]]) -> None:
    with pytest.raises(RecipeError, match="teacher"):
        recipe(**wrong)


def test_the_title_says_who_taught() -> None:
    named = Recipe.load("esc50-small", ["data.name=street"])
    assert named.title.endswith("taught by YAMNet, which has been trained on AudioSet")
    assert Recipe.load("esc50-compact", ["teacher.network=yamnet"]).title.endswith("from scratch, taught by YAMNet")
