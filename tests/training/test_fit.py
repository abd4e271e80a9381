"""train: the loss falls, the best epoch is the one kept, validation is never augmented or dropped, seeds repeat."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.data import cache, splits
from hubbub.data.cache import Segments, Waves
from hubbub.data.clips import Clips
from hubbub.data.open import open_clips
from hubbub.metrics import classification
from hubbub.training import fit as train
from hubbub.training.batches import Spectrograms
from hubbub.training.fitted import Fitted, TrainError
from hubbub.training.head import fit_head
from tests.helpers.amount import amount

SETTINGS = [
    "data.limit=2",
    "train.epochs=4",
    "network.width=4",
    "train.batch_size=16",
    "train.learning_rate=0.01",
    "train.device=cpu",
]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.load("street-cnn", SETTINGS)


@pytest.fixture(scope="module")
def material(recipe: Recipe) -> tuple[Clips, Waves, splits.Split]:
    clips = open_clips(recipe)
    return clips, cache.decode_clips(clips, recipe.audio.rate_hz), splits.make_splits(clips, recipe.protocol)[0]


def fit(recipe: Recipe, material: tuple, folder: Path, seed: int = 1, **changes) -> Fitted:
    clips, waves, split = material
    model = TorchClassifier(recipe, clips.labels, seed=seed)
    given = {"train": split.train, "validation": split.validation, **changes}
    return train.fit_network(model, waves, clips.targets(), given["train"], given["validation"], folder, seed=seed)


@pytest.fixture(scope="module")
def fitted(recipe: Recipe, material: tuple, tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, Path]:
    folder = tmp_path_factory.mktemp("fit")
    return fit(recipe, material, folder), folder


def test_the_loss_falls(fitted: tuple[Fitted, Path]) -> None:
    losses = fitted[0].history["train_loss"]
    assert len(losses) == 4
    assert losses.iloc[-1] < 0.95 * losses.iloc[0]


def test_the_kept_epoch_is_the_one_with_the_best_monitor(recipe: Recipe, fitted: tuple, material: tuple) -> None:
    history = fitted[0].history
    assert fitted[0].choice == {"epoch": int(history.loc[history["val_loss"].idxmin(), "epoch"])}


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_the_network_given_back_is_that_epochs_and_not_the_last(
    recipe: Recipe, material: tuple, tmp_path: Path, monitor: str
) -> None:
    """A wild learning rate makes the last epoch a bad one; the figures of the kept network are the best epoch's."""
    clips, waves, split = material
    wild = recipe.model_copy(
        update={"train": recipe.train.model_copy(update={"schedule": "constant", "monitor": monitor})}
    )
    given = fit(wild, material, tmp_path, seed=3)
    segments = cache.outputs(waves, given.final, split.validation)
    scores, _ = given.final.predict_proba(segments.values, segments.offsets[:-1])
    figures = classification.evaluate(clips.targets()[split.validation][segments.clip], scores)
    row = given.history.set_index("epoch").loc[given.choice["epoch"]]
    assert figures["log_loss"] == pytest.approx(row["val_loss"], rel=1e-4)
    assert figures["accuracy"] == pytest.approx(row["val_accuracy"], abs=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    recipe: Recipe, material: tuple, fitted: tuple, tmp_path: Path
) -> None:
    weights = fitted[0].final.network.state_dict()
    again = fit(recipe, material, tmp_path / "again").final.network.state_dict()
    other = fit(recipe, material, tmp_path / "other", seed=2).final.network.state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert not torch.equal(weights["fc.weight"], other["fc.weight"])


def test_training_leaves_the_global_generator_as_it_was(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(recipe, material, tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_a_left_over_segment_does_not_stop_training(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    """2 segments a clip: 8 clips would be three batches of 5 and one segment, which BatchNorm cannot average."""
    history = fit(changed(recipe, epochs=1, batch_size=5), material, tmp_path, train=material[2].train[:8]).history
    assert isinstance(history, pd.DataFrame)
    assert np.isfinite(history["train_loss"]).all()


def test_the_checkpoint_loads_without_executing_code(fitted: tuple[Fitted, Path]) -> None:
    given, folder = fitted
    state = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    kept = given.final.network.state_dict()
    assert all(torch.equal(state[f"learning.{name}"], tensor) for name, tensor in kept.items())


def changed(recipe: Recipe, section: str = "train", **values) -> Recipe:
    """The recipe with other values in one section, checked again."""
    content = recipe.model_dump(mode="json", exclude_none=True)
    content[section] |= values
    return Recipe.of(content)


def last(folder: Path) -> dict:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def test_frozen_epochs_leave_the_backbone_as_it_was(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    clips = material[0]
    before = TorchClassifier(recipe, clips.labels, seed=1).network.state_dict()
    fit(changed(recipe, epochs=2, freeze_epochs=2), material, tmp_path / "frozen")
    frozen = last(tmp_path / "frozen")["state_dict"]
    fit(changed(recipe, epochs=2, freeze_epochs=1), material, tmp_path / "thawed")
    thawed = last(tmp_path / "thawed")["state_dict"]
    for name, tensor in before.items():
        assert torch.equal(frozen[f"learning.{name}"], tensor) == (not name.startswith("fc.")), name
        assert not torch.equal(thawed[f"learning.{name}"], tensor), name


def test_bn_eval_keeps_the_statistics_and_trains_the_rest(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    before = TorchClassifier(recipe, material[0].labels, seed=1).network.state_dict()
    after = fit(changed(recipe, epochs=1, bn_eval=True), material, tmp_path).final.network.state_dict()
    for name, tensor in before.items():
        statistic = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(after[name], tensor) == statistic, name


def test_each_group_has_its_own_rate(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    """SGD without momentum and decay moves by rate times gradient: a backbone of rate 1e-30 does not move."""
    slow = changed(
        recipe, epochs=1, optimizer="sgd", momentum=0.0, weight_decay=0.0, schedule="constant",
        backbone_learning_rate=1e-30,
    )  # fmt: skip
    before = TorchClassifier(recipe, material[0].labels, seed=1).network.state_dict()
    after = fit(slow, material, tmp_path).final.network.state_dict()
    assert torch.equal(after["body.0.weight"], before["body.0.weight"])
    assert not torch.equal(after["fc.weight"], before["fc.weight"])


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "exponential", "plateau"])
def test_every_optimizer_and_schedule_learns(
    recipe: Recipe, material: tuple, tmp_path: Path, optimizer: str, schedule: str
) -> None:
    history = fit(changed(recipe, optimizer=optimizer, schedule=schedule), material, tmp_path).history
    assert history["train_loss"].iloc[-1] < 0.97 * history["train_loss"].iloc[0]


def test_accumulated_batches_make_the_step_of_one_large_batch(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    """With BatchNorm and dropout out of the way, 4 batches of 5 summed are one batch of 20."""
    same = {"epochs": 1, "bn_eval": True, "schedule": "constant", "optimizer": "sgd", "momentum": 0.0}
    plain = changed(recipe, "network", dropout=0.0)
    rows = material[2].train[:20]
    one = fit(changed(plain, **same, batch_size=40), material, tmp_path / "one", train=rows)
    four = fit(changed(plain, **same, batch_size=10, accumulate=4), material, tmp_path / "four", train=rows)
    assert last(tmp_path / "one")["global_step"] == last(tmp_path / "four")["global_step"] == 1
    for name, tensor in one.final.network.state_dict().items():
        torch.testing.assert_close(four.final.network.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)


def test_clipped_gradients_bound_the_step(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    settings = {"epochs": 1, "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}
    clipped = changed(recipe, **settings, learning_rate=1.0, clip_norm=1e-3, batch_size=1000)
    before = TorchClassifier(recipe, material[0].labels, seed=1).network
    start = torch.nn.utils.parameters_to_vector(before.parameters()).detach()
    after = fit(clipped, material, tmp_path).final.network
    moved = torch.nn.utils.parameters_to_vector(after.parameters()) - start
    assert float(moved.detach().norm()) == pytest.approx(1e-3, rel=0.01)


def test_smoothing_and_class_weights_are_those_of_torch(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    """The loss of one whole-set batch of an unmoved network, against torch on the same logits."""
    clips, waves, split = material
    rows = split.train[: len(split.train) // 2]
    unmoved = changed(
        changed(recipe, "network", dropout=0.0), epochs=1, bn_eval=True, batch_size=1000, label_smoothing=0.1,
        balance="weights",
    )  # fmt: skip
    given = fit(unmoved, material, tmp_path, train=rows)
    model = TorchClassifier(unmoved, clips.labels, seed=1)
    segments = cache.outputs(waves, model, rows)
    targets = torch.from_numpy(clips.targets()[rows][segments.clip])
    counts = torch.bincount(targets, minlength=10)
    weights = torch.where(counts > 0, 1.0 / counts, 0.0)
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(segments.values), targets, weights, label_smoothing=0.1
    )
    assert given.history["train_loss"].iloc[0] == pytest.approx(float(expected), rel=1e-5)


def test_a_fit_without_validation_lowers_its_rate_when_the_chosen_one_did(
    recipe: Recipe, material: tuple, tmp_path: Path
) -> None:
    """On the same clips, a plateau fit that looked and one that is told are the same fit."""
    clips, waves, split = material
    looking = changed(recipe, schedule="plateau", plateau_patience=0, plateau_factor=0.1, learning_rate=0.1, epochs=6)
    first = fit(looking, material, tmp_path / "first")
    assert first.choice["lowered"], "the test needs a rate that was lowered"
    model = TorchClassifier(looking, clips.labels, seed=1)
    nothing = np.zeros(0, dtype=np.intp)
    choice = {"epoch": 6, "lowered": first.choice["lowered"]}
    told = train.fit_network(
        model, waves, clips.targets(), split.train, nothing, tmp_path / "told", seed=1, choice=choice
    )
    assert told.choice == choice
    for key, tensor in last(tmp_path / "first")["state_dict"].items():
        assert torch.equal(last(tmp_path / "told")["state_dict"][key], tensor), key


def test_training_stops_when_the_monitor_stands_still(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    still = changed(recipe, epochs=30, patience=2, learning_rate=1e-12, schedule="constant", bn_eval=True)
    given = fit(still, material, tmp_path)
    best = given.choice["epoch"]
    assert len(given.history) == best + 2 < 30
    again = fit(still, material, tmp_path)  # the run had ended: nothing is trained further
    assert len(again.history) == len(given.history)


def test_a_mode_head_trains_the_last_layer_on_embeddings_alone(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    clips, waves, split = material
    frozen = changed(recipe, "network", mode="head", dropout=0.0)
    model = TorchClassifier(frozen, clips.labels, seed=1)
    embedded = cache.embed(waves, model)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    given = train.fit_network(model, embedded, clips.targets(), split.train, split.validation, tmp_path, seed=1)
    assert given.history["train_loss"].iloc[-1] < given.history["train_loss"].iloc[0]
    changes = {name for name, tensor in model.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changes == {"fc.weight", "fc.bias"}
    assert set(last(tmp_path)["state_dict"]) == {"learning.weight", "learning.bias"}
    by_segment, _ = model.predict_proba(embedded.of(split.validation).values, [0])
    figures = classification.evaluate(clips.targets()[split.validation][embedded.of(split.validation).clip], by_segment)
    best = given.history.set_index("epoch").loc[given.choice["epoch"]]
    assert figures["log_loss"] == pytest.approx(best["val_loss"], rel=1e-4)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_loss_that_is_no_number_stops_with_the_step_and_keeps_the_checkpoint(
    recipe: Recipe, material: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """From the second epoch on, the spectrograms of one part are infinite."""
    fetch, calls = Spectrograms.fetch, []

    def loud(self: Spectrograms, rows: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        calls.append(1)
        late = torch.inf if len(calls) > 15 and (generator is None) == (part == "validation") else 1.0
        return fetch(self, rows, generator) * late

    monkeypatch.setattr(Spectrograms, "fetch", loud)
    with pytest.raises(TrainError, match=r"became nan in epoch 2, step \d+\. The last good checkpoint is kept\. Lower"):
        fit(recipe, material, tmp_path / "two")
    assert last(tmp_path / "two")["epoch"] == 0
    kept = torch.load(tmp_path / "two" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())


def test_a_batch_larger_than_memory_names_the_setting(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    """In a child whose address space is limited, so that the allocation truly fails."""
    script = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.training.test_fit import SETTINGS, changed
from pathlib import Path
from hubbub.training import fit as train
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.data import cache, splits
from hubbub.data.open import open_clips
from hubbub.config.recipe import Recipe
from hubbub.training.fitted import TrainError
recipe = Recipe.load("street-cnn", [*SETTINGS, "network.width=64"])
recipe = changed(recipe, batch_size=4096)
clips = open_clips(recipe)
waves = cache.decode_clips(clips, recipe.audio.rate_hz)
split = splits.make_splits(clips, recipe.protocol)[0]
model = TorchClassifier(recipe, clips.labels, seed=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, used + 100_000_000))
try:
    train.fit_network(model, waves, clips.targets(), split.train, split.validation, Path({str(tmp_path)!r}), seed=1)
except TrainError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "a batch of 4096 segments does not fit into memory. Lower train.batch_size" in done.stdout, done.stderr


def test_too_few_segments_and_batches_of_one_are_refused(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    few = changed(recipe, "windows", length=200_000, hop=200_000)
    with pytest.raises(TrainError, match="1 training segments are too few for 1 devices"):
        fit(few, material, tmp_path / "few", train=material[2].train[:1])


def test_fp16_needs_an_accelerator(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="'fp16' needs an accelerator"):
        fit(changed(recipe, precision="fp16", device="cpu"), material, tmp_path)


def test_bf16_learns_and_validates_as_it_answers(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    given = fit(changed(recipe, precision="bf16", device="cpu"), material, tmp_path)
    assert given.history["train_loss"].iloc[-1] < 0.97 * given.history["train_loss"].iloc[0]
    assert all(p.dtype == torch.float32 for p in given.final.network.parameters())


RESUMED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from tests.training.test_fit import SETTINGS, changed
from hubbub.runtime import files
from hubbub.training import fit as train, module as training
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.data import cache, splits
from hubbub.data.open import open_clips
from hubbub.config.recipe import Recipe
recipe = changed(Recipe.load("street-cnn", SETTINGS), **{train!r})
recipe = changed(recipe, "augment", **{augment!r})
clips = open_clips(recipe)
waves = cache.decode_clips(clips, recipe.audio.rate_hz)
split = splits.make_splits(clips, recipe.protocol)[0]
step, rename = training.Training.training_step, os.replace
def fit(folder, at):
    def fatal_step(self, batch, index):
        if (self.current_epoch, index) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch, index)
    def fatal_rename(*names):
        if "last" in str(names[-1]) and Path(names[-1]).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(*names)
    training.Training.training_step = fatal_step
    files.os.replace = fatal_rename if at == "writing" else rename
    model = TorchClassifier(recipe, clips.labels, seed=1)
    train.fit_network(model, waves, clips.targets(), split.train, split.validation, Path(folder), seed=1)
for folder, at in {runs!r}:  # each in a process of its own, that need not import everything again
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    else:
        fit(folder, at)
        os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "plateau", "plateau_patience": 0, "optimizer": "sgd", "accumulate": 2, "balance": "sampler"},
        {"schedule": "cosine", "freeze_epochs": 1, "warmup_epochs": 1, "monitor": "val_accuracy", "average": 0.9},
        {"schedule": "onecycle"},
    ][: amount(2, 3)],
    ids=["plateau", "cosine", "onecycle"][: amount(2, 3)],
)
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path, settings: dict) -> None:
    """Killed by SIGKILL in the first epoch, within the second, while a checkpoint is renamed, and near the end."""
    augment = {
        "crop": True,
        "gain": {"db": [-6, 6]},
        "roll": {"fraction": 0.1},
        "noise": {"snr_db": [10, 25], "p": 0.5},
        "between": {"p": 0.5},
        "time_mask": {"frames": 20},
        "patches": {},
        "mixup": {"p": 0.5},
    }

    killed, unbroken = str(tmp_path / "killed"), str(tmp_path / "unbroken")
    runs = [(killed, (0, 1)), (killed, (1, 2)), (killed, "writing"), (killed, (3, 1)), (killed, None), (unbroken, None)]
    script = RESUMED.format(tests=str(Path(__file__).parents[2]), train=settings, augment=augment, runs=runs)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == 4 * [str(-signal.SIGKILL)] + ["0", "0"], done.stderr
    for name in ("best", "last"):
        got, expected = (
            torch.load(Path(folder) / "checkpoints" / f"{name}.ckpt", weights_only=True)
            for folder in (killed, unbroken)
        )
        assert got["epoch"] == expected["epoch"]
        for key, tensor in expected["state_dict"].items():
            assert torch.equal(got["state_dict"][key], tensor), key
    assert got["history"] == expected["history"]
    assert len(got["history"]) == 4


TOGETHER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import torch
from tests.training.test_fit import SETTINGS, changed
from hubbub.training import fit as train
from hubbub.training.batches import Waveforms
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.data import cache, splits
from hubbub.data.open import open_clips
from hubbub.config.recipe import Recipe
from hubbub.training.fitted import TrainError

class Watched(Waveforms):
    def fetch(self, rows, generator=None):
        if generator is not None:
            rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
            with open(self.folder / f"seen-{{rank}}.txt", "a") as file:
                file.write(" ".join(map(str, rows.tolist())) + "\\n")
        return super().fetch(rows, generator)

def run(folder, **settings):
    recipe = Recipe.load("street-cnn", [*SETTINGS, "network.dropout=0", *{network!r}])
    # Few and small steps: rounding differs between batch shapes, and decides ties of max-pooling.
    plain = dict(schedule="constant", optimizer="sgd", learning_rate=1e-4, bn_eval=True, epochs=2, average=0.5)
    recipe = changed(recipe, device="cpu", **plain, **settings)
    clips = open_clips(recipe)
    waves = cache.decode_clips(clips, recipe.audio.rate_hz)
    split = splits.make_splits(clips, recipe.protocol)[0]
    model = TorchClassifier(recipe, clips.labels, seed=1)
    def source(classifier, material, targets, rows, learning):
        made = Watched(material, rows, targets, recipe.windows)
        made.folder = folder
        return made
    train._source = source
    folder.mkdir()
    train.fit_network(model, waves, clips.targets(), split.train[:-3], split.validation, folder, seed=1)

if __name__ == "__main__":
    here = Path({folder!r})
    run(here / "one", batch_size=60, devices=1)
    run(here / "two", batch_size=30, devices=2)
"""


ATTENTION = ["network.name=resnet18", "network.weights=none", "network.attention=se", "network.mode=head"]
BLOCKS = ["network.trained_blocks=2", "train.layer_decay=0.5", "train.checkpointing=true"]


@pytest.mark.slow
@pytest.mark.parametrize("network", [[], ATTENTION, BLOCKS], ids=["whole", "attention", "blocks"])
def test_two_processes_train_as_one(tmp_path: Path, network: list[str]) -> None:
    """Two CPU processes with batches of 30 and one with batches of 60: the same steps, figures, weights and means."""
    script = tmp_path / "together.py"
    script.write_text(TOGETHER.format(tests=str(Path(__file__).parents[2]), folder=str(tmp_path), network=network))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = {}
    for run, ranks in (("one", 1), ("two", 2)):
        lines = [(tmp_path / run / f"seen-{rank}.txt").read_text().splitlines() for rank in range(ranks)]
        steps = [sorted(int(row) for part in step for row in part.split()) for step in zip(*lines, strict=True)]
        half = len(steps) // 2
        for epoch in (steps[:half], steps[half:]):
            rows = [row for step in epoch for row in step]
            assert sorted(rows) == list(range(len(rows))), "each segment once an epoch"
        seen[run] = steps
    assert seen["one"] == seen["two"]
    one, two = last(tmp_path / "one"), last(tmp_path / "two")
    for row, other in zip(one["history"], two["history"], strict=True):
        assert other == pytest.approx(row, rel=1e-4)
    for name, tensor in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], tensor, rtol=1e-4, atol=1e-6)


FULL = """
import resource, sys
from pathlib import Path
from hubbub.training import fit
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.data import cache, splits
from hubbub.data.open import open_clips
from hubbub.runtime.homes import StoreError
from hubbub.config.recipe import Recipe
recipe = Recipe.load("street-cnn", sys.argv[2:])
clips = open_clips(recipe)
waves, split = cache.decode_clips(clips, recipe.audio.rate_hz), splits.make_splits(clips, recipe.protocol)[0]
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    model = TorchClassifier(recipe, clips.labels, seed=1)
    fit.fit_network(model, waves, clips.targets(), split.train, split.validation, Path(sys.argv[1]), seed=1)
except StoreError as error:
    print(error)
"""


def test_a_checkpoint_that_finds_no_room_is_told_with_its_place(material: tuple, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path), *SETTINGS]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    place = tmp_path / "checkpoints"
    assert said.startswith(f"{place}/") and ".ckpt could not be written: File too large. Nothing was changed" in said
    assert list(place.iterdir()) == []


def test_the_threads_of_a_training_are_kept_over_a_resume(recipe: Recipe, material: tuple, tmp_path: Path) -> None:
    from hubbub.training.fit import read_checkpoint

    now = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert fit(recipe.altered({"train.epochs": 1}), material, tmp_path).threads == (1,)
        last = tmp_path / "checkpoints" / "last.ckpt"
        torch.save(read_checkpoint(last) | {"stopped": False}, last)
        torch.set_num_threads(2)
        assert fit(recipe.altered({"train.epochs": 2}), material, tmp_path).threads == (1, 2)
    finally:
        torch.set_num_threads(now)


def test_a_head_says_which_class_has_no_training_clip() -> None:
    """As of a copy of UrbanSound8K that lacks a class; LightGBM itself would name a number."""
    labels = ("dog_bark", "siren", "drilling")
    base: Any = SimpleNamespace(recipe=Recipe.load("us8k-yamnet-lgbm"), labels=labels, head=None)
    segments = Segments(np.zeros((4, 2), np.float32), np.arange(5))
    with pytest.raises(TrainError, match=r"the label drilling, and a head \(lightgbm\) learns only"):
        fit_head(base, segments, np.array([0, 1, 0, 1]), np.arange(4), np.arange(0), seed=0)
