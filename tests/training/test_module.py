"""train: soft targets, side losses, what is frozen, the running mean of the weights, statistics of the training part.

On noise of a few tenths of a second, so that each fit takes as long as its set-up.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.data import cache
from hubbub.data.cache import Waves
from hubbub.metrics import classification
from hubbub.models.network import Network
from hubbub.models.weights import load_weights
from hubbub.training import fit as train
from hubbub.training import module
from hubbub.training.ema import EMA
from hubbub.training.fitted import Fitted
from tests.helpers.recipes import LENGTH, plan

RATE, CLIPS = 16_000, 18
LABELS = ("low", "middle", "high")
TARGETS = np.arange(CLIPS) % len(LABELS)
#: The classes are not equally frequent in the training part: 5, 4 and 4 clips.
TRAIN, CHECKS = np.arange(13), np.arange(13, CLIPS)


def noise() -> Waves:
    """Clips of two segments: noise, the higher and louder the larger its class."""
    rng = np.random.default_rng(0)
    time = np.arange(2 * LENGTH) / RATE
    clips = [
        0.1 * (1 + target) * (np.sin(2 * np.pi * 500 * (1 + target) * time) + rng.normal(size=len(time)))
        for target in TARGETS
    ]
    samples = np.concatenate(clips).astype(np.float32)
    return Waves(samples, np.arange(CLIPS + 1) * 2 * LENGTH, tuple(f"clip {n}" for n in range(CLIPS)), RATE, "noise")


WAVES = noise()
MIXED = {
    "gain": {"db": [-6, 6]}, "between": {"p": 0.5}, "time_mask": {"frames": 4}, "freq_mask": {"bands": 4},
    "mixup": {"alpha": 1.0},
}  # fmt: skip


def unmoved(**sections: dict[str, Any]) -> Recipe:
    """Whose one step, of all segments, leaves every weight as good as it was, and every statistic."""
    still = {"learning_rate": 1e-12, "weight_decay": 0.0, "bn_eval": True}
    return plan(**sections | {"train": still | sections.get("train", {})})


def fit(
    recipe: Recipe, folder: Path, *, validation: bool = True, waves: Waves = WAVES, network: Network | None = None
) -> Fitted:
    model = TorchClassifier(recipe, LABELS, seed=1, network=network)
    material = cache.embed(waves, model) if model.frozen else waves
    checks = CHECKS if validation else CHECKS[:0]
    return train.fit_network(model, material, TARGETS, TRAIN, checks, folder, seed=1)


def state(recipe: Recipe) -> dict[str, Tensor]:
    """The network's state before it is trained."""
    return TorchClassifier(recipe, LABELS, seed=1).network.state_dict()


def read(folder: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def scored(model: TorchClassifier, clips: np.ndarray) -> dict[str, float]:
    """Segment figures of some clips, as the classifier answers."""
    segments = cache.outputs(WAVES, model, clips)
    by_segment, _ = model.predict_proba(segments.values, segments.offsets[:-1])
    return classification.evaluate(TARGETS[clips][segments.clip], by_segment)


# Soft targets


def test_what_is_mixed_and_masked_and_its_soft_targets_reach_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stage is given what the one before it made, and the loss is that of the last one's inputs and targets."""
    given: dict[str, Any] = {}
    made: dict[str, Any] = {}

    def watch(kind: type, method: str) -> None:
        real = getattr(kind, method)

        def watched(self: Any, *values: Any) -> Any:
            name = f"{kind.__name__}.{method}"
            given[name], made[name] = values[:-1], real(self, *values)
            return made[name]

        monkeypatch.setattr(kind, method, watched)

    for kind, method in (
        (module.Waveform, "__call__"), (module.Mixing, "waves"), (module.Spectrogram, "__call__"),
        (module.Mixing, "spectrograms"),
    ):  # fmt: skip
        watch(kind, method)
    recipe = unmoved(augment=MIXED, train={"label_smoothing": 0.1})
    history = fit(recipe, tmp_path).history
    model = TorchClassifier(recipe, LABELS, seed=1)

    waves, hard = given["Mixing.waves"]
    assert torch.equal(waves, made["Waveform.__call__"])
    assert hard.sum(1).tolist() == hard.amax(1).tolist() == [1.0] * (2 * len(TRAIN))
    waves, targets = made["Mixing.waves"]
    with torch.no_grad():
        spectrograms = model.frontend.logmel(waves)
        torch.testing.assert_close(given["Spectrogram.__call__"][0], spectrograms)
        assert not torch.allclose(made["Spectrogram.__call__"], spectrograms)
        inputs, soft = given["Mixing.spectrograms"]
        torch.testing.assert_close(inputs, model.frontend.picture(made["Spectrogram.__call__"]))
        assert torch.equal(soft, targets)
        inputs, soft = made["Mixing.spectrograms"]
        logs = model.network.logits(inputs).log_softmax(1)
    torch.testing.assert_close(soft.sum(1), torch.ones(len(soft)))
    assert ((soft.amax(1) < 0.99).float().mean() > 0.5).item(), "most targets are mixed"
    expected = -((0.9 * soft + 0.1 / len(LABELS)) * logs).sum(1).mean()
    assert history["train_loss"].iloc[0] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("settings", [{}, {"balance": "weights", "label_smoothing": 0.1}], ids=["plain", "weighted"])
def test_mixing_nothing_gives_the_loss_of_hard_targets(tmp_path: Path, settings: dict) -> None:
    hard = fit(unmoved(train=settings), tmp_path / "hard").history
    none = {"between": {"p": 0.0}, "mixup": {"p": 0.0}}
    soft = fit(unmoved(augment=none, train=settings), tmp_path / "soft").history
    assert soft["train_loss"].iloc[0] == pytest.approx(hard["train_loss"].iloc[0], rel=1e-5)


def test_bf16_takes_soft_targets(tmp_path: Path) -> None:
    exact, rough = (
        fit(unmoved(augment=MIXED, train={"precision": name}), tmp_path / name).history["train_loss"].iloc[0]
        for name in ("fp32", "bf16")
    )
    assert rough == pytest.approx(exact, rel=0.02)
    assert rough != exact


def test_training_accuracy_is_that_of_the_batches_and_mixed_segments_have_none(tmp_path: Path) -> None:
    recipe = unmoved(train={"batch_size": 5})
    row = fit(recipe, tmp_path / "plain").history.iloc[0]
    figures = scored(TorchClassifier(recipe, LABELS, seed=1), TRAIN)
    assert row["train_accuracy"] == pytest.approx(figures["accuracy"], abs=1e-6)
    assert 0 < figures["accuracy"] < 1
    assert "train_accuracy" not in fit(unmoved(augment=MIXED), tmp_path / "mixed").history
    frozen = plan(network={"mode": "head"}, train={"learning_rate": 1e-12, "weight_decay": 0.0})
    row = fit(frozen, tmp_path / "head").history.iloc[0]
    assert row["train_accuracy"] == pytest.approx(
        scored(TorchClassifier(frozen, LABELS, seed=1), TRAIN)["accuracy"], abs=1e-6
    )


@pytest.mark.parametrize("held", [train.MOST_HELD, 1])
def test_validation_is_neither_augmented_nor_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    """Whether its spectrograms are held or computed in each epoch."""
    monkeypatch.setattr(train, "MOST_HELD", held)
    recipe = unmoved(augment=MIXED | {"crop": True})
    row = fit(recipe, tmp_path).history.iloc[0]
    figures = scored(TorchClassifier(recipe, LABELS, seed=1), CHECKS)
    assert row["val_loss"] == pytest.approx(figures["log_loss"], rel=1e-5)
    assert row["val_accuracy"] == pytest.approx(figures["accuracy"], abs=1e-6)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_the_best_epoch_on_validation_is_kept(tmp_path: Path, monitor: str) -> None:
    """The validation clips have the labels of other classes: the better a network learns, the worse it validates."""
    targets = TARGETS.copy()
    targets[CHECKS] = (targets[CHECKS] + 1) % len(LABELS)
    recipe = plan(train={"epochs": 12, "learning_rate": 0.02, "monitor": monitor, "bn_eval": True})
    model = TorchClassifier(recipe, LABELS, seed=1)
    given = train.fit_network(model, WAVES, targets, TRAIN, CHECKS, tmp_path, seed=1)
    history = given.history.set_index("epoch")
    best = history[monitor].idxmin() if monitor == "val_loss" else history[monitor].idxmax()
    assert given.choice["epoch"] == best < history["train_loss"].idxmin()
    outputs = cache.outputs(WAVES, given.final, CHECKS)
    scores = given.final.predict_proba(outputs.values, outputs.offsets[:-1])[0]
    found = classification.evaluate(targets[CHECKS][outputs.clip], scores)
    assert found["log_loss"] == pytest.approx(history["val_loss"][best], rel=1e-4)


def test_frozen_embeddings_are_not_mixed(tmp_path: Path) -> None:
    """They were made of segments as recorded, so a recipe's augmentation changes nothing."""
    settings = {"network": {"mode": "head"}, "train": {"epochs": 2, "batch_size": 5, "balance": "weights"}}
    plain = fit(plan(**settings), tmp_path / "plain").history
    mixed = fit(plan(**settings, augment=MIXED), tmp_path / "mixed").history
    assert mixed.equals(plain)


# Spectrograms that are computed once


def sources(recipe: Recipe) -> list[str]:
    """The kinds of source that a training reads its training and validation segments from."""
    made = train.build_module(TorchClassifier(recipe, LABELS), WAVES, TARGETS, TRAIN, CHECKS, 1)
    return [type(source).__name__ for source in (made.train_source, made.validation_source)]


@pytest.mark.parametrize(
    ("augment", "expected"),
    [
        ({}, "Spectrograms"),
        ({"mixup": {}, "time_mask": {}, "patches": {}, "freq_shift": {}}, "Spectrograms"),
        ({"crop": True}, "Waveforms"),
        ({"gain": {}}, "Waveforms"),
        ({"between": {}}, "Waveforms"),
    ],
)
def test_only_what_changes_waves_needs_new_spectrograms_in_each_epoch(augment: dict, expected: str) -> None:
    assert sources(plan(augment=augment)) == [expected, "Spectrograms"]


def test_spectrograms_that_memory_should_not_hold_are_computed_in_each_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways give the same training; sums of other batches are rounded differently."""
    recipe = plan(augment={"mixup": {}, "time_mask": {"frames": 4}}, train=STEPS)
    held = fit(recipe, tmp_path / "held").history
    monkeypatch.setattr(train, "MOST_HELD", 1)
    assert sources(recipe) == ["Waveforms", "Waveforms"]
    pd.testing.assert_frame_equal(fit(recipe, tmp_path / "again").history, held, rtol=1e-4)


# Auxiliary classifiers, and what is frozen


class Aside(Network):
    """Its auxiliary classifier hears what the body made, in training only, as Inception's does."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.body, self.fc, self.aside = nn.Linear(16, 4), nn.Linear(4, len(LABELS)), nn.Linear(4, len(LABELS))
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.sides: list[Tensor] = []

    def embed(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.body(x.mean(2) / 100))
        self.sides = [self.aside(hidden)] if self.training else []
        return hidden

    def added(self) -> list[nn.Module]:
        return [self.fc, self.aside]

    def side_logits(self) -> list[Tensor]:
        sides, self.sides = self.sides, []
        return sides


def test_auxiliary_classifiers_add_four_tenths_of_their_loss_in_training(tmp_path: Path) -> None:
    recipe = unmoved()
    row = fit(recipe, tmp_path, network=Aside()).history.iloc[0]
    fresh = TorchClassifier(recipe, LABELS, network=Aside())
    segments = cache.outputs(WAVES, fresh, TRAIN)
    targets = torch.from_numpy(TARGETS[TRAIN][segments.clip])
    fresh.network.train()
    with torch.no_grad():
        cuts = np.concatenate([fresh.cut(WAVES.wave(clip)) for clip in TRAIN])
        main = fresh.logits(torch.from_numpy(cuts))
        (side,) = fresh.network.side_logits()
    expected = nn.functional.cross_entropy(main, targets) + 0.4 * nn.functional.cross_entropy(side, targets)
    assert row["train_loss"] == pytest.approx(float(expected), rel=1e-5)
    fresh.eval()
    assert row["val_loss"] == pytest.approx(scored(fresh, CHECKS)["log_loss"], rel=1e-5)


def test_auxiliary_classifiers_are_trained(tmp_path: Path) -> None:
    before = Aside().state_dict()
    given = fit(plan(), tmp_path, network=Aside())
    assert all(not torch.equal(given.final.network.state_dict()[name], tensor) for name, tensor in before.items())
    assert given.trainable == sum(tensor.numel() for tensor in before.values())


def test_on_frozen_embeddings_only_the_last_layer_is_trained_and_counted(tmp_path: Path) -> None:
    before = Aside().state_dict()
    given = fit(plan(network={"mode": "head"}), tmp_path, network=Aside())
    changes = {n for n, tensor in given.final.network.state_dict().items() if not torch.equal(tensor, before[n])}
    assert changes == {"fc.weight", "fc.bias"}
    assert given.trainable == 4 * 3 + 3


def attentive(attention: str = "se", mode: str = "finetune", **settings: Any) -> Recipe:
    network = {"name": "resnet18", "width": 2, "weights": "none", "attention": attention, "mode": mode}
    return plan(network=network, train={"batch_size": 13, **settings})


def learnt(name: str) -> bool:
    """Whether a value of a ResNet's state was added to what is published."""
    return name.startswith("fc.") or ".attention." in name


@pytest.mark.parametrize("attention", ["se", "cbam"])
def test_attention_and_last_layer_learn_where_the_rest_is_frozen(tmp_path: Path, attention: str) -> None:
    recipe = attentive(attention, "head", epochs=2)
    before = state(recipe)
    assert sum(".attention." in name for name in before) == 4 * {"se": 2, "cbam": 3}[attention]
    given = fit(recipe, tmp_path)
    assert not given.final.frozen, "attention stands before the embeddings"
    for name, tensor in read(tmp_path)["state_dict"].items():
        name = name.removeprefix("learning.")
        assert torch.equal(tensor, before[name]) == (not learnt(name)), name
    assert given.trainable == sum(tensor.numel() for name, tensor in before.items() if learnt(name))


def test_frozen_means_frozen_in_all_but_attention() -> None:
    assert TorchClassifier(attentive("none", "head"), LABELS).frozen
    assert not TorchClassifier(attentive("se", "head"), LABELS).frozen
    assert not TorchClassifier(attentive("none"), LABELS).frozen


def test_frozen_epochs_train_what_was_added_and_the_others_everything(tmp_path: Path) -> None:
    recipe = attentive("cbam", epochs=2, freeze_epochs=1)
    before = state(recipe)
    fit(attentive("cbam", epochs=1, freeze_epochs=1), tmp_path / "frozen")
    frozen = {
        name.removeprefix("learning."): tensor for name, tensor in read(tmp_path / "frozen")["state_dict"].items()
    }
    for name, tensor in before.items():
        assert torch.equal(frozen[name], tensor) == (not learnt(name)), name
    given = fit(recipe, tmp_path / "thawed")
    for name, tensor in read(tmp_path / "thawed")["state_dict"].items():
        assert not torch.equal(tensor, frozen[name.removeprefix("learning.")]), name
    assert given.trainable == sum(p.numel() for p in given.final.network.parameters())


# The running mean of the weights


DECAY = 0.3
#: Several epochs of several steps, at a rate at which each step shows.
STEPS = {"epochs": 3, "batch_size": 5}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The network's own state after each step of the optimizer in the fits that follow."""
    states: list[dict[str, Tensor]] = []
    real = module.Training.on_train_batch_end

    def watched(self: module.Training, *given: Any) -> None:
        if self.global_step > len(states):
            states.append({name: tensor.clone() for name, tensor in self.learning.state_dict().items()})
        real(self, *given)

    monkeypatch.setattr(module.Training, "on_train_batch_end", watched)
    return states


def mean_of(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The running mean as it is written: of fractions with decay min(DECAY, (1 + n) / (10 + n)), of counts the last."""
    mean = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in states[0].items()}
    for n, current in enumerate(states[1:], 1):
        decay = min(DECAY, (1 + n) / (10 + n))
        for name, tensor in current.items():
            mean[name] = decay * mean[name] + (1 - decay) * tensor if tensor.is_floating_point() else tensor
    return mean


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("mode", ["finetune", "head"])
def test_what_is_kept_is_the_running_mean_over_the_steps(
    tmp_path: Path, steps: list[dict[str, Tensor]], mode: str, accumulate: int
) -> None:
    """Without validation the last epoch's is; BatchNorm's statistics are averaged with the weights, counts are not."""
    settings = {**STEPS, "average": DECAY, "accumulate": accumulate}
    given = fit(plan(network={"mode": mode}, train=settings), tmp_path, validation=False)
    assert len(steps) == 3 * {1: 6, 2: 3}[accumulate]
    mean = mean_of(steps)
    kept = given.final.network.state_dict()
    for name, tensor in mean.items():
        ours = kept[name if mode == "finetune" else f"fc.{name}"]
        assert ours.dtype == steps[-1][name].dtype
        torch.testing.assert_close(ours.to(tensor.dtype), tensor, rtol=1e-5, atol=1e-6)
        assert ours.is_floating_point() != torch.equal(ours, steps[-1][name]), name
    counts = {int(tensor) for name, tensor in kept.items() if name.endswith("num_batches_tracked")}
    assert counts == {18 if mode == "finetune" else 0}


def test_an_update_of_the_mean_does_not_wait_for_an_accelerator() -> None:
    """Tensors of the meta device have no values: reading one raises an error."""
    with torch.device("meta"):
        mean = EMA(nn.BatchNorm1d(3), 0.9)
        for _ in range(2):
            mean.update(nn.BatchNorm1d(3))
    assert mean.steps == 2
    with pytest.raises(RuntimeError):
        int(mean.n_averaged)


def test_a_resumed_mean_knows_its_steps() -> None:
    mean, model = EMA(nn.Linear(2, 2), 0.9), nn.Linear(2, 2)
    for _ in range(3):
        mean.update(model)
    resumed = EMA(nn.Linear(2, 2), 0.9)
    resumed.load_state_dict(mean.state_dict())
    assert resumed.steps == int(resumed.n_averaged) == 3


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_validation_figures_are_those_of_the_mean_that_is_kept(tmp_path: Path, monitor: str) -> None:
    settings = {**STEPS, "average": 0.9, "monitor": monitor}
    given = fit(plan(train=settings), tmp_path)
    row = given.history.set_index("epoch").loc[given.choice["epoch"]]
    figures = scored(given.final, CHECKS)
    assert figures["log_loss"] == pytest.approx(row["val_loss"], rel=1e-4)
    assert figures["accuracy"] == pytest.approx(row["val_accuracy"], abs=1e-6)
    best = read(tmp_path, "best")
    assert best["epoch"] + 1 == given.choice["epoch"]
    own = TorchClassifier(plan(), LABELS)
    own.network.load_state_dict({n.removeprefix("learning."): t for n, t in best["state_dict"].items() if "learn" in n})
    assert abs(scored(own, CHECKS)["log_loss"] - row["val_loss"]) > 1e-3, "the last step's weights are others"


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_our_own_checkpoints_and_classifiers_are_weights_to_start_from(tmp_path: Path, average: float) -> None:
    """Of a checkpoint that holds both, the running mean; of a classifier, what its front end learnt is left out."""
    recipe = plan(frontend={"standardise": "training"}, train={**STEPS, "average": average})
    given = fit(recipe, tmp_path, validation=False).final
    given.save(tmp_path / "classifier")
    for file in ("checkpoints/last.ckpt", "classifier/network.safetensors"):
        other = TorchClassifier(recipe, LABELS).network
        load_weights(other, tmp_path / file)
        for name, tensor in given.network.state_dict().items():
            assert torch.equal(other.state_dict()[name], tensor), (file, name)


def test_averaging_does_not_change_the_training(tmp_path: Path) -> None:
    """The mean stands in the network's place while it is validated, and no longer."""
    plain = fit(plan(train=STEPS), tmp_path / "plain").history
    averaged = fit(plan(train={**STEPS, "average": 0.9}), tmp_path / "averaged").history
    assert averaged["train_loss"].equals(plain["train_loss"])
    assert not averaged["val_loss"].equals(plain["val_loss"])
    ours = read(tmp_path / "averaged")["state_dict"]
    for name, tensor in read(tmp_path / "plain")["state_dict"].items():
        assert torch.equal(ours[name], tensor), name


RESUMED: dict[str, dict[str, dict[str, Any]]] = {
    "mixed and averaged": {"augment": MIXED, "train": {"average": 0.9, "accumulate": 2}},
    "statistics": {"frontend": {"standardise": "training"}, "augment": {"crop": True, "mixup": {}}},
    "attention": {"network": {"name": "resnet18", "weights": "none", "attention": "se", "mode": "head"}},
    "thawed": {"train": {"average": 0.5, "freeze_epochs": 1}, "network": {"dropout": 0.2}},
}


@pytest.mark.parametrize("sections", RESUMED.values(), ids=RESUMED.keys())
def test_a_training_that_broke_off_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict
) -> None:
    recipe = plan(**sections | {"train": {**STEPS, **sections.get("train", {})}})
    whole = fit(recipe, tmp_path / "whole")
    step = module.Training.training_step

    def fatal(self: module.Training, batch: Any, index: int) -> Tensor:
        if (self.current_epoch, index) == (2, 3):
            raise RuntimeError("power cut")
        return step(self, batch, index)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(module.Training, "training_step", fatal)
        fit(recipe, tmp_path / "broken")
    broken = fit(recipe, tmp_path / "broken")
    assert broken.history.equals(whole.history) and len(whole.history) == 3
    assert broken.trainable == whole.trainable
    for name in ("best", "last"):
        ours, theirs = (read(tmp_path / run, name)["state_dict"] for run in ("broken", "whole"))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], tensor) for key, tensor in theirs.items())
    for model, other in ((broken.final.network, whole.final.network), (broken.final.frontend, whole.final.frontend)):
        assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in other.state_dict().items())


# Statistics of the training part


def standardised(**sections: dict[str, Any]) -> Recipe:
    return plan(**{"frontend": {"standardise": "training"}, **sections})


def statistics(model: TorchClassifier) -> tuple[float, float]:
    return float(model.frontend.picture.mean), float(model.frontend.picture.sd)


def test_statistics_are_the_training_segments_mean_and_deviation(tmp_path: Path) -> None:
    """Of the segments as they were recorded, whatever training does to them."""
    given = fit(standardised(augment={**MIXED, "crop": True}, train={"batch_size": 7}), tmp_path)
    plain = TorchClassifier(plan(), LABELS)
    cuts = np.concatenate([plain.cut(WAVES.wave(clip)) for clip in TRAIN])
    features = plain.features(torch.from_numpy(cuts)).double()
    expected = (float(features.mean()), float(features.std(correction=0)))
    assert statistics(given.final) == pytest.approx(expected, rel=1e-5)


def test_statistics_come_from_the_training_part_alone(tmp_path: Path) -> None:
    def without(clip: int) -> Waves:
        """`WAVES`, but for one clip's second half, which is silent."""
        samples = WAVES.samples.copy()
        samples[(2 * clip + 1) * LENGTH : (2 * clip + 2) * LENGTH] = 0
        return Waves(samples, WAVES.offsets, WAVES.contents, RATE, f"without {clip}")

    base = fit(standardised(), tmp_path / "base")
    elsewhere = fit(standardised(), tmp_path / "elsewhere", waves=without(int(CHECKS[0])))
    within = fit(standardised(), tmp_path / "within", waves=without(int(TRAIN[-1])))
    assert statistics(elsewhere.final) == statistics(base.final)
    assert statistics(within.final) != statistics(base.final)
    assert elsewhere.history["val_loss"].iloc[0] != base.history["val_loss"].iloc[0], "but the clip is heard"


def test_a_saved_classifier_standardises_as_the_trained_one(tmp_path: Path) -> None:
    given = fit(standardised(), tmp_path)
    given.final.save(tmp_path / "model")
    again = TorchClassifier.load(tmp_path / "model")
    assert statistics(again) == statistics(given.final)
    heard, expected = (model.classify(WAVES.wave(0), RATE) for model in (again, given.final))
    assert heard.scores == expected.scores
    assert scored(again, CHECKS)["log_loss"] == pytest.approx(given.history["val_loss"].iloc[-1], rel=1e-4)
