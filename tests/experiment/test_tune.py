"""tune: the closed test part, seeded and resumed searches, several processes, refusals, what is written."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState, create_trial

from hubbub.config.recipe import Recipe, RecipeError
from hubbub.config.tune import Range
from hubbub.data.clips import ClipsError
from hubbub.data.leaks import LeakError
from hubbub.data.splits import SplitError
from hubbub.errors import HubbubError
from hubbub.experiment import tune, tune_report
from hubbub.experiment.prepare import prepare
from hubbub.experiment.run import run_recipe
from hubbub.experiment.tune import TuneError
from hubbub.runtime import files
from tests.helpers.sounds import write_tones

SPACE = {
    "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "train.batch_size": {"choices": [4, 8]},
    "network.dropout": {"low": 0.0, "high": 0.5},
}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "sounds")


def plan(sounds: Path, trials: int = 4, space: dict[str, Any] | None = None, **sections: Any) -> Recipe:
    content: dict[str, Any] = {
        "data": {"name": str(sounds / "list.csv")},
        "windows": {"length": 4000, "hop": 4000},
        "frontend": {"name": "logmel", "n_fft": 512, "hop": 256, "n_mels": 32},
        "network": {"name": "cnn", "width": 4},
        "train": {"epochs": 2, "device": "cpu"},
        "tune": {"space": space or SPACE, "trials": trials},
    }
    return Recipe.of({key: content.get(key, {}) | sections.get(key, {}) for key in {**content, **sections}})


@pytest.fixture(scope="module")
def searched(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    tune.search_settings(plan(sounds), folder)
    return folder


def found(folder: Path) -> pd.DataFrame:
    """What was tried and what came of it; not how long that took."""
    return pd.read_csv(folder / "trials.csv").drop(columns="seconds")


def test_a_search_leaves_tables_pictures_and_a_recipe_that_runs(searched: Path, sounds: Path, tmp_path: Path) -> None:
    summary = json.loads((searched / "tune.json").read_text(encoding="utf-8"))
    trials = found(searched)
    assert summary["best"]["value"] == trials["val_loss"].min()
    assert summary["trials"] == {"asked": 4, "complete": 4, "pruned": 0, "fail": 0, "running": 0}
    assert (summary["importance"], summary["why_no_importance"]) == (
        None,
        "4 trials succeeded, and importance needs 8",
    )
    assert (searched / "history.png").stat().st_size > 0
    assert not list((searched / "trials").iterdir())
    assert not list((searched / "workers").iterdir())
    best = Recipe.load(searched / "best.toml")
    assert best.tune is None
    assert best.train.learning_rate == trials["train.learning_rate"][summary["best"]["trial"]]
    assert best.protocol.folds == ("1",)
    assert run_recipe(best, tmp_path / "run", refit=False).folds[0].fold == "1"


def test_no_trial_can_hear_the_test_fold(
    searched: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned = tmp_path / "sounds"
    shutil.copytree(sounds, poisoned)
    for file in poisoned.glob("1-*.wav"):
        file.write_text("no sound")
    monkeypatch.setenv("HUBBUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ClipsError, match="8 of 32 sounds cannot be used"):
        prepare(plan(poisoned))
    tune.search_settings(plan(poisoned), tmp_path / "run")
    pd.testing.assert_frame_equal(found(tmp_path / "run"), found(searched))


def test_the_material_of_a_search_holds_no_clip_of_the_test_fold(sounds: Path) -> None:
    sealed = prepare(plan(sounds), parts=("train", "validation"))
    (split,) = sealed.splits
    assert set(sealed.clips.table["fold"]) == {"2", "3", "4"}
    assert len(sealed.sound) == len(sealed.clips) == 24
    assert len(split.test) == 0
    assert set(sealed.clips.table["fold"].iloc[split.validation]) == {"2"}
    assert set(sealed.clips.table["fold"].iloc[split.train]) == {"3", "4"}


def test_folds_validate_in_turn_and_the_test_fold_does_not(sounds: Path) -> None:
    given = plan(sounds, tune={"folds": ["3", "4"]})
    splits = prepare(given, parts=("train", "validation")).splits
    assert [(len(s.train), len(s.validation), len(s.test)) for s in splits] == [(16, 8, 0), (16, 8, 0)]
    assert not set(splits[0].validation) & {*splits[0].train, *splits[1].validation}
    with pytest.raises(SplitError, match="'1' is the test part"):
        prepare(plan(sounds, tune={"folds": ["1"]}), parts=("train", "validation"))


def test_a_recording_in_test_and_training_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    folder = write_tones(tmp_path / "sounds")
    table = pd.read_csv(folder / "list.csv")
    table.loc[31, "group"] = "g0"
    table.to_csv(folder / "list.csv", index=False)
    for file in folder.glob("*.wav"):
        file.write_text("no sound")
    with pytest.raises(LeakError, match="g0"):
        tune.search_settings(plan(folder), tmp_path / "run")


def test_a_search_goes_on_as_if_it_had_not_stopped(searched: Path, sounds: Path, tmp_path: Path) -> None:
    tune.search_settings(plan(sounds, 2), tmp_path / "run")
    assert len(found(tmp_path / "run")) == 2
    tune.search_settings(plan(sounds, 4), tmp_path / "run")
    pd.testing.assert_frame_equal(found(tmp_path / "run"), found(searched))
    tune.search_settings(plan(sounds, 4), tmp_path / "run")
    assert len(found(tmp_path / "run")) == 4


DIES = """
import os, signal, sys
from pathlib import Path
from hubbub.training import module
from hubbub.experiment import tune
from hubbub.config.recipe import Recipe

folder = Path(sys.argv[2])
begin = module.Training.on_validation_epoch_start
def die(self):
    if (folder / "trials" / "0001").is_dir():
        os.kill(os.getpid(), signal.SIGKILL)
    begin(self)
module.Training.on_validation_epoch_start = die
tune.search_settings(Recipe.load(sys.argv[1]), folder)
"""


def test_a_killed_search_goes_on_and_tries_the_same_settings(searched: Path, sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(plan(sounds).to_toml())
    folder = tmp_path / "run"
    command = [sys.executable, "-c", DIES, str(tmp_path / "recipe.toml"), str(folder)]
    assert (
        subprocess.run(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}).returncode
        == -signal.SIGKILL
    )
    assert (folder / "trials" / "0001").is_dir()
    summary = tune.search_settings(plan(sounds), folder)
    assert summary["trials"]["complete"] == 4
    assert not list((folder / "trials").iterdir())
    again = found(folder)
    assert list(again["trial"]) == [0, 2, 3, 4]  # 1 was lost with its process
    pd.testing.assert_frame_equal(again.drop(columns="trial"), found(searched).drop(columns="trial"))


@pytest.mark.slow
def test_two_processes_share_a_search(sounds: Path, tmp_path: Path) -> None:
    tune.search_settings(plan(sounds), tmp_path / "run", jobs=2)
    trials = found(tmp_path / "run")
    assert list(trials["trial"]) == [0, 1, 2, 3]
    assert set(trials["state"]) == {"complete"}
    assert trials["train.learning_rate"].nunique() == 4


def test_a_living_process_keeps_its_trial_and_a_dead_ones_is_tried_once_more(
    searched: Path, sounds: Path, tmp_path: Path
) -> None:
    folder, recipe = tmp_path / "run", plan(sounds, 5)
    shutil.copytree(searched, folder)
    study = optuna.load_study(study_name="hubbub", storage=f"sqlite:///{folder / 'study.db'}")

    def begin(**attributes: Any) -> float:
        study.enqueue_trial({"train.learning_rate": 0.005, "train.batch_size": 4, "network.dropout": 0.25})
        trial = study.ask(study.trials[0].distributions)
        for name, value in {"fields": {}, "worker": "other", **attributes}.items():
            trial.set_user_attr(name, value)
        return trial.params["train.learning_rate"]

    drawn = begin()
    with files.lock_folder(folder / "workers" / "other"):
        assert tune.search_settings(recipe, folder)["trials"] == {
            "asked": 5,
            "complete": 4,
            "pruned": 0,
            "fail": 0,
            "running": 1,
        }
    assert tune.search_settings(recipe, folder)["trials"]["complete"] == 5
    assert found(folder)["train.learning_rate"].iloc[-1] == drawn
    begin(again=4)
    assert tune.search_settings(plan(sounds, 6), folder)["trials"]["fail"] == 1
    assert found(folder)["why"].iloc[-1] == "its process was killed, twice"


def test_another_seed_tries_other_settings(searched: Path, sounds: Path, tmp_path: Path) -> None:
    tune.search_settings(plan(sounds, 1, tune={"seed": 1, "space": SPACE, "trials": 1}), tmp_path / "run")
    drawn = found(tmp_path / "run")["train.learning_rate"][0]
    assert drawn not in set(found(searched)["train.learning_rate"])


def test_a_search_of_something_else_is_refused_by_what_changed(searched: Path, sounds: Path, tmp_path: Path) -> None:
    narrower = SPACE | {"network.dropout": {"low": 0.0, "high": 0.4}}
    with pytest.raises(TuneError, match=r"tune\.space\.network\.dropout\.high was 0\.5, is 0\.4"):
        tune.search_settings(plan(sounds, space=narrower), searched)
    with pytest.raises(TuneError, match=r"train\.epochs was 2, is 3"):
        tune.search_settings(plan(sounds, train={"epochs": 3, "device": "cpu"}), searched)
    shutil.copytree(searched, tmp_path / "run")
    other = write_tones(tmp_path / "sounds", seed=1)
    with pytest.raises(TuneError, match="the clips"):
        tune.search_settings(plan(other), tmp_path / "run")


def noted(folder: Path) -> optuna.Study:
    """The study of a search."""
    return optuna.load_study(study_name="hubbub", storage=f"sqlite:///{folder / 'study.db'}")


def test_a_search_of_an_earlier_version_goes_on_and_one_of_a_later_is_refused(
    searched: Path, sounds: Path, tmp_path: Path
) -> None:
    shutil.copytree(searched, tmp_path / "run")
    about = dict(noted(searched).user_attrs["about"])
    assert noted(searched).user_attrs["format"] == 1
    del about["train"]["layer_decay"]
    noted(tmp_path / "run").set_user_attr("about", about)  # as before there was such a setting
    tune.search_settings(plan(sounds), tmp_path / "run")
    pd.testing.assert_frame_equal(found(tmp_path / "run"), found(searched))
    about["train"]["levity"] = 3
    noted(tmp_path / "run").set_user_attr("about", about)
    with pytest.raises(TuneError, match=r"train\.levity was 3, is nothing"):
        tune.search_settings(plan(sounds), tmp_path / "run")
    noted(tmp_path / "run").set_user_attr("format", 2)
    with pytest.raises(TuneError, match=r"format 2, and this version .* continues format 1\. Update hubbub"):
        tune.search_settings(plan(sounds), tmp_path / "run")


def test_a_study_of_another_optuna_is_refused_with_what_to_do(searched: Path, sounds: Path, tmp_path: Path) -> None:
    shutil.copytree(searched, tmp_path / "run")
    with sqlite3.connect(tmp_path / "run" / "study.db") as database:
        database.execute("UPDATE version_info SET schema_version = 99")
        database.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    with pytest.raises(TuneError, match=r"of another version of Optuna: .*another --name"):
        tune.search_settings(plan(sounds), tmp_path / "run")


def test_what_falls_behind_the_median_is_stopped_and_leaves_nothing(
    searched: Path, sounds: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(searched, folder)
    study = optuna.load_study(study_name="hubbub", storage=f"sqlite:///{folder / 'study.db'}")
    drawn = {name: study.trials[0].distributions[name] for name in SPACE}
    for _ in range(6):
        values = {
            "intermediate_values": {1: 0.0, 2: 0.0},
            "user_attrs": {"fields": study.trials[0].user_attrs["fields"]},
        }
        study.add_trial(create_trial(params=study.trials[0].params, distributions=drawn, value=0.0, **values))
    assert tune.search_settings(plan(sounds, 11), folder)["trials"]["pruned"] == 1
    assert pd.read_csv(folder / "epochs.csv")["trial"].value_counts()[10] == 1
    assert not list((folder / "trials").iterdir())


def test_a_trial_that_fails_is_told_and_the_rest_go_on(sounds: Path, tmp_path: Path) -> None:
    space = {"train.learning_rate": {"choices": [1e-3, 1e30]}}
    summary = tune.search_settings(plan(sounds, 4, space), tmp_path / "run")
    trials = found(tmp_path / "run")
    wild = trials["train.learning_rate"] == 1e30
    assert set(trials["state"][~wild]) == {"complete"}
    assert set(trials["state"][wild]) == {"fail"}
    assert trials["why"][wild].str.contains("Lower train.learning_rate").all()
    assert summary["trials"]["fail"] == wild.sum() > 0


def test_heads_are_searched_by_clip_accuracy(sounds: Path, tmp_path: Path) -> None:
    space = {"head.c": {"low": 1e-4, "high": 1.0, "log": True}, "head.pool": {"choices": ["segment", "mean+max"]}}
    recipe = plan(sounds, 2, space, head={"name": "logreg"})
    summary = tune.search_settings(recipe, tmp_path / "run", quick=True)
    assert (summary["objective"], summary["better"]) == ("val_clip_accuracy", "larger")
    assert len(Recipe.load(tmp_path / "run" / "best.toml").head.c) == 1


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"train.batch_siz": {"choices": [4, 8]}}, "no train.batch_siz. Did you mean 'batch_size'"),
        ({"train.batch_size": {"choose": [4, 8]}}, "no tune.space.train.batch_size.choose. Did you mean 'choices'"),
        ({"train.batch_size": {"choices": [4]}}, "two or more"),
        ({"train.batch_size": {"low": 8, "high": 4}}, "low 8 must lie below high 4"),
        ({"train.batch_size": {"low": 0, "high": 4}}, "'train.batch_size' = 0: train.batch_size: .* greater than"),
        ({"network.dropout": {"low": 0.1, "high": 1.5}}, "'network.dropout' = 1.5: network.dropout: .* less than 1"),
        ({"train.schedule": {"choices": ["constant", "plato"]}}, "'plato'"),
        ({"train.weight_decay": {"low": 0, "high": 1e-3, "log": True}}, "log needs a low above 0"),
        ({"train.weight_decay": {"low": 1e-6}}, "must lie below high None"),
        ({"train.weight_decay": {"low": 1e-6, "high": 1e-3, "choices": [1, 2]}}, "either choices, or low and high"),
        ({"protocol.seed": {"low": 0, "high": 9}}, "protocol.seed must stay the same"),
        ({"train.seeds": {"low": 0, "high": 9}}, "train.seeds must stay the same"),
        ({"head.c": {"low": 0.1, "high": 1.0}, "s": {"low": 0, "high": 1, "at_low": {"a": 1}}}, "the same fields"),
        (
            {"s": {"low": 0, "high": 1, "at_low": {"a": "x"}, "at_high": {"a": "y"}}},
            "'x' and 'y' cannot be interpolated",
        ),
        ({}, "at least 1 item"),
    ],
)
def test_a_space_that_cannot_hold_is_refused_when_it_is_read(space: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.of({"data": {"name": "street"}, "tune": {"space": space}})


def test_what_is_frozen_or_has_a_head_is_not_searched_for_what_it_does_not_use() -> None:
    space = {"tune": {"space": {"network.width": {"low": 4, "high": 8}}}, "data": {"name": "street"}}
    with pytest.raises(RecipeError, match="changes the embeddings of a frozen network"):
        Recipe.of(space | {"network": {"mode": "head"}})
    with pytest.raises(RecipeError, match="not used by a head"):
        Recipe.of(space | {"head": {"name": "lda"}})
    assert Recipe.of(space).tune


def test_one_number_moves_several_fields() -> None:
    low, high = {"augment.gain": {"db": [-2.0, 2.0]}, "x.y": 10}, {"augment.gain": {"db": [-6.0, 4.0]}, "x.y": 20}
    values = Range(low=0.1, high=0.5, at_low=low, at_high=high)
    assert values.fields("s", 0.1) == low
    assert values.fields("s", 0.5) == high
    assert values.fields("s", 0.2) == {
        "augment.gain": {"db": [pytest.approx(-3), pytest.approx(2.5)]},
        "x.y": 12,
    }


def test_the_section_is_written_and_read_as_it_was(sounds: Path, tmp_path: Path) -> None:
    recipe = plan(sounds)
    (tmp_path / "r.toml").write_text(recipe.to_toml())
    assert Recipe.load(tmp_path / "r.toml") == recipe
    assert "[tune" not in Recipe.load("street-cnn").to_toml()


def test_requests_that_cannot_be_searched(sounds: Path, searched: Path, tmp_path: Path) -> None:
    with pytest.raises(TuneError, match=r"no \[tune\] section"):
        tune.search_settings(Recipe.load("street-cnn"), tmp_path / "run")
    with pytest.raises(TuneError, match="nothing can be chosen"):
        tune.search_settings(plan(sounds, protocol={"validation": "none"}), tmp_path / "run")
    with pytest.raises(TuneError, match="one device"):
        tune.search_settings(plan(sounds, train={"devices": 2}), tmp_path / "run")
    with pytest.raises(TuneError, match=r"train\.nodes = 1"):
        tune.search_settings(plan(sounds, train={"nodes": 2}), tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text("")
    with pytest.raises(TuneError, match="holds a run"):
        tune.search_settings(plan(sounds), tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.db").write_text("no study, and longer than a header of sqlite is" * 10)
    with pytest.raises(TuneError, match="not a readable study"):
        tune.search_settings(plan(sounds), tmp_path / "other")


def test_importance_is_that_of_what_decides(sounds: Path, tmp_path: Path) -> None:
    study = optuna.create_study(direction="minimize")
    ranges = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("decides", "idle")}
    rng = np.random.default_rng(0)
    for x, y in rng.uniform(size=(20, 2)):
        attrs = {"fields": {"network.dropout": 0.1}}
        study.add_trial(
            create_trial(params={"decides": x, "idle": y}, distributions=ranges, value=x**2, user_attrs=attrs)
        )
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"why": "x"}))
    summary = tune_report.write_report(plan(sounds), study, tmp_path, "1")
    assert summary["importance"]["decides"] > 0.9
    assert sum(summary["importance"].values()) == pytest.approx(1)
    assert (tmp_path / "importance.png").stat().st_size > 0


@pytest.mark.slow
def test_two_trials_of_system_c(home: Any, tmp_path: Path) -> None:
    home("data", "esc50")
    recipe = Recipe.load("esc50-resnet18-validation", quick=True)
    summary = tune.search_settings(recipe, tmp_path / "run", quick=True)
    assert summary["trials"]["complete"] + summary["trials"]["pruned"] == 2
    trials = found(tmp_path / "run")
    assert trials["augment_strength"].between(0.1, 0.5).all()
    best = Recipe.load(tmp_path / "run" / "best.toml")
    strength = trials["augment_strength"][summary["best"]["trial"]]
    assert best.augment.magnitude is not None
    assert best.augment.magnitude.factor == pytest.approx((1 - strength, 1 + strength))
    assert best.train.epochs == recipe.train.epochs


def test_public_names() -> None:
    assert issubclass(TuneError, HubbubError)
    assert all(hasattr(room, name) for room in (tune, tune_report) for name in room.__all__)
