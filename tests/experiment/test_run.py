"""experiment: the run folder, sealed test parts, resume after a real kill, the same classifier after load."""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from hubbub.audio import decode
from hubbub.classifier.load import load, load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.data.leaks import LeakError
from hubbub.data.open import open_clips
from hubbub.errors import HubbubError
from hubbub.experiment import cell, part
from hubbub.experiment.cell import fit_with_history
from hubbub.experiment.prepare import prepare
from hubbub.experiment.run import ExperimentError, run_recipe
from hubbub.metrics import classification
from hubbub.models.dense_heads import LogisticHead
from hubbub.report import goals, run_folder
from hubbub.report.verify import verify
from hubbub.runtime import files
from hubbub.runtime.devices import choose_device
from hubbub.training import module
from tests.helpers.command_line import run_hubbub
from tests.helpers.contacts import without_network
from tests.helpers.files import read_json
from tests.helpers.runs import TINY, bare_run, with_other_labels
from tests.helpers.runs import tiny_recipe as recipe

HEAD = [*TINY, "head.name=logreg", "head.pool=mean+max", "head.c=[0.01,0.1]"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CNN's run over two folds."""
    folder = tmp_path_factory.mktemp("runs") / "cnn"
    run_recipe(recipe('protocol.folds=["1","2"]'), folder)
    return folder


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a head on frozen (here: random) features over all five folds and two seeds."""
    folder = tmp_path_factory.mktemp("runs") / "head"
    bare_run(Recipe.load("street-cnn", [*HEAD, "train.seeds=[1,2]"]), folder)
    return folder


def test_a_run_folder_holds_what_the_design_lists(trained: Path) -> None:
    cell = trained / "test-1" / "seed-42"
    for file in (
        *("metrics_val.json", "metrics_test.json", "metrics_throughput.json", "classification_report_val.csv"),
        *("classification_report_test.csv", "confusion_matrix_val.png", "confusion_matrix_test.png", "curves.png"),
        *("roc.png", "reliability.png", "predictions.parquet", "checkpoints/best.ckpt", "checkpoints/last.ckpt"),
        "classifier/classifier.json",
    ):
        assert (cell / file).stat().st_size > 0, file
    assert list((cell / "tensorboard").glob("events*"))
    for file in (
        *("recipe.toml", "environment.json", "summary.json", "report.html", "classifier/classifier.json"),
        *("confusion_matrix.png", "confusion_matrix_normalised.png", "roc.png", "reliability.png", "curves.png"),
    ):
        assert (trained / file).stat().st_size > 0, file


def test_summary_has_the_contracts_keys_and_both_levels(trained: Path) -> None:
    summary = read_json(trained / "summary.json")
    assert list(summary) == [
        *("recipe", "data", "protocol", "comparable", "why_not_comparable", "caveats", "clips", "segments"),
        *("recordings", "folds", "clip", "segment", "classes", "calibration", "unknown"),
        *("seconds", "segments_per_second", "more_recordings"),
    ]
    assert [(e["fold"], e["seed"]) for e in summary["folds"]] == [("1", 42), ("2", 42)]
    for level in ("clip", "segment"):
        for name in classification.METRICS:
            assert set(summary[level][name]) == {"mean", "sd", "sd_seeds", "pooled", "ci95", "interval"}
    assert summary["clips"] == 40
    assert summary["segments"] == 40 * 2
    assert summary["segments_per_second"] > 0


def test_every_reason_against_a_figure_is_written_everywhere(trained: Path, headed: Path) -> None:
    reasons = read_json(trained / "summary.json")["why_not_comparable"]
    assert any(r.startswith("SYNTHETIC") for r in reasons)
    assert any(r.startswith("REDUCED DATA: 100 of 400") for r in reasons)
    assert any(r.startswith("PART OF THE FOLDS: tested on fold 1, 2") for r in reasons)
    assert read_json(trained / "classifier" / "classifier.json")["card"]["not_comparable"] == reasons
    page = re.sub("<.*?>", "", (trained / "report.html").read_text(encoding="utf-8"))
    assert all(reason in html.unescape(page) for reason in reasons)
    summary = read_json(headed / "summary.json")
    assert any(r.startswith("RANDOM INITIALISATION") for r in summary["why_not_comparable"])
    assert ": frozen a small CNN, random weights, logistic regression on clip embeddings" in summary["recipe"]


def test_pooled_figures_are_those_of_the_predictions(headed: Path) -> None:
    summary = read_json(headed / "summary.json")
    pooled = []
    for seed in (1, 2):
        table = pd.concat(pd.read_parquet(p) for p in headed.glob(f"test-*/seed-{seed}/predictions.parquet"))
        clips = table[table["level"] == "clip"]
        labels = [c for c in clips.columns if c not in ("clip", "level", "group", "label", "start", "end")]
        assert len(clips) == clips["clip"].nunique() == 100
        decided = np.array(labels)[clips[labels].to_numpy().argmax(axis=1)]
        pooled.append((decided == clips["label"].to_numpy()).mean())
    assert summary["clip"]["accuracy"]["pooled"] == pytest.approx(np.mean(pooled), abs=1e-12)
    by_fold = pd.DataFrame({"fold": e["fold"], "a": e["clip"]["accuracy"]} for e in summary["folds"])
    means = by_fold.groupby("fold")["a"].mean()
    assert summary["clip"]["accuracy"]["mean"] == pytest.approx(means.mean(), abs=1e-12)
    assert summary["clip"]["accuracy"]["sd"] == pytest.approx(means.std(ddof=1), abs=1e-12)
    assert verify(headed) == []


def test_choices_see_validation_only_and_the_test_part_is_opened_after(headed: Path, monkeypatch) -> None:
    """Scrambling every test label changes the figures but neither the choice nor the classifier."""
    data = prepare(Recipe.load("street-cnn", HEAD))
    split = data.splits[0]
    honest = fit_with_history(data, split.train, split.validation, 1, Path("unused"), [])
    scrambled = with_other_labels(data, split.test)
    assert (scrambled.targets != data.targets).sum() == len(split.test)
    other = fit_with_history(scrambled, split.train, split.validation, 1, Path("unused"), [])
    assert other.choice == honest.choice
    for name, array in honest.final.head.arrays().items():
        assert np.array_equal(array, other.final.head.arrays()[name])


def test_a_head_is_refitted_on_training_and_validation(headed: Path) -> None:
    data = prepare(Recipe.load("street-cnn", HEAD))
    split = data.splits[0]
    fitted = fit_with_history(data, split.train, split.validation, 1, Path("unused"), [])
    both = np.union1d(split.train, split.validation)
    nothing = np.zeros(0, dtype=np.intp)
    again = fit_with_history(data, both, nothing, 1, Path("unused"), [], fitted.choice)
    alone, final, chosen = (one.head.arrays()["weight0"] for one in (again.final, fitted.final, fitted.chosen))
    # The same minimum, reached from zero and from the chosen head.
    assert np.abs(alone - final).max() < 0.05 * np.abs(chosen - final).max()


def test_levels_and_speeds_are_more_training_rows_of_the_same_clips(headed: Path, monkeypatch) -> None:
    rows = []
    fit = LogisticHead.fit_each

    def noted(cls: type, heads: list, x: np.ndarray, y: np.ndarray, start: object = None) -> None:
        rows.append((x, y))
        fit(heads, x, y, start)

    monkeypatch.setattr(LogisticHead, "fit_each", classmethod(noted))
    for views in ([], ['windows.levels=["recorded","rms"]', "windows.speeds=[1,0.9]"]):
        data = prepare(Recipe.load("street-cnn", [*HEAD, "head.c=[0.1]", *views]))
        split = data.splits[0]
        fit_with_history(data, split.train, np.zeros(0, dtype=np.intp), 1, Path("unused"), [])
    (one, targets), (four, repeated) = rows
    assert np.allclose(four[: len(one)], one, atol=1e-5)
    assert len(four) == 4 * len(one)
    assert np.array_equal(repeated, np.tile(targets, 4))


def test_embeddings_are_computed_once_for_all_folds_seeds_and_heads(headed: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr(TorchClassifier, "outputs", refuse)
    data = prepare(Recipe.load("street-cnn", [*HEAD, "head.name=mlp", "train.seeds=[7]"]))
    assert len(data.embedded.offsets) == 101


def test_a_finished_run_is_not_run_again_and_another_recipe_is_refused(headed: Path, monkeypatch) -> None:
    monkeypatch.setattr(cell, "run_cell", lambda *_: pytest.fail("a finished cell was run again"))
    before = read_json(headed / "summary.json")
    assert bare_run(Recipe.load("street-cnn", [*HEAD, "train.seeds=[1,2]"]), headed).as_json() == before
    with pytest.raises(ExperimentError, match="another recipe"):
        bare_run(Recipe.load("street-cnn", [*HEAD, "train.seeds=[1,3]"]), headed)
    other_title = Recipe.load("street-cnn", [*HEAD, "train.seeds=[1,2]", "title=mine"])
    assert bare_run(other_title, headed).as_json() == before, "a title is no setting"


def test_a_killed_run_resumes_and_ends_with_the_same_figures(trained: Path, tmp_path: Path) -> None:
    settings = [part for s in (*TINY, 'protocol.folds=["1","2"]') for part in ("--set", s)]
    command = [sys.executable, "-m", "hubbub.cli", "bench", "street-cnn", "--out", str(tmp_path), "--name", "killed"]
    command += ["--jobs", "1", *settings]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("[1/2]"):
                os.kill(process.pid, signal.SIGKILL)
                break
        process.communicate()
    folder = tmp_path / "killed"
    assert not (folder / "summary.json").exists()
    first = (folder / "test-1" / "seed-42" / "metrics_test.json").stat().st_mtime_ns
    (folder / "test-2" / "seed-42").mkdir(parents=True, exist_ok=True)
    (folder / "test-2" / "seed-42" / "half.json").write_text("{")
    left = folder / ".gradcam.123-0123abcd"  # what a kill leaves of a folder that is written whole
    left.mkdir()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "killed: 1 of 2 cells done before" in done.stderr
    assert (folder / "test-1" / "seed-42" / "metrics_test.json").stat().st_mtime_ns == first
    assert not (folder / "test-2" / "seed-42" / "half.json").exists() and not left.exists()
    resumed, whole = read_json(folder / "summary.json"), read_json(trained / "summary.json")
    for key in ("clips", "segments", "folds", "clip", "segment", "why_not_comparable"):
        assert resumed[key] == whole[key], key


@pytest.mark.parametrize("run", ["trained", "headed"])
def test_a_saved_classifier_in_a_new_process_gives_the_probabilities_of_training(run: str, request) -> None:
    folder = request.getfixturevalue(run)
    cell = sorted((folder / "test-1").glob("seed-*"))[0]
    table = pd.read_parquet(cell / "predictions.parquet")
    row = table[table["level"] == "clip"].iloc[3]
    recipe = Recipe.load(folder / "recipe.toml")
    clips = open_clips(recipe).table.set_index("clip")
    answer = json.loads(run_hubbub("classify", clips.loc[row["clip"], "path"], "--model", cell, "--json").stdout)
    for label, score in answer["scores"].items():
        assert score == pytest.approx(row[label], abs=1e-5)
    segments = table[(table["level"] == "segment") & (table["clip"] == row["clip"])]
    assert [s["start"] for s in answer["segments"]] == pytest.approx(list(segments["start"]))
    best = segments[list(answer["scores"])].max(axis=1)
    assert [s["score"] for s in answer["segments"]] == pytest.approx(list(best), abs=1e-5)


def test_a_clip_that_was_listed_but_not_predicted_is_an_error(headed: Path, tmp_path: Path, monkeypatch) -> None:
    data = prepare(Recipe.load("street-cnn", HEAD))
    split = data.splits[0]
    model = fit_with_history(data, split.train, split.validation, 1, tmp_path, []).final
    predict = model.predict_proba
    monkeypatch.setattr(model, "predict_proba", lambda *given: (predict(*given)[0], predict(*given)[1][:-1]))
    with pytest.raises(part.CellError, match="20 clips were listed, 19 predicted"):
        part.predict_part(data, model, split.test)


def test_a_leaking_run_is_refused_and_stamped_when_allowed(tmp_path: Path) -> None:
    clips = open_clips(recipe()).table
    table = clips.assign(fold=[str(k % 3) for k in range(len(clips))])  # folds that ignore the sources
    table.drop(columns="split_hint").to_csv(tmp_path / "mixed.csv", index=False)
    settings = [*HEAD, f'data.name="{tmp_path / "mixed.csv"}"', 'data.root="/"', "data.limit=1"]
    with pytest.raises(LeakError, match="--allow-leaky"):
        bare_run(Recipe.load("street-cnn", settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    summary = bare_run(Recipe.load("street-cnn", [*settings, "protocol.allow_leaky=true"]), tmp_path / "run")
    assert not summary.comparable
    for place in ("summary.json", "report.html", "environment.json", "test-0/seed-42/classifier/classifier.json"):
        assert "NOT COMPARABLE" in (tmp_path / "run" / place).read_text(encoding="utf-8"), place


def test_a_protocol_without_validation_keeps_the_last_epoch(tmp_path: Path) -> None:
    settings = ['protocol.validation="none"', 'protocol.folds=["1"]']
    bare_run(recipe(*settings), tmp_path / "run", refit=False)
    cell = tmp_path / "run" / "test-1" / "seed-42"
    assert read_json(cell / "metrics_test.json")["choice"] == {"epoch": 2}
    assert not (cell / "metrics_val.json").exists()
    assert not (cell / "checkpoints" / "best.ckpt").exists()


def test_missing_clips_are_written_into_every_result(tmp_path: Path) -> None:
    table = open_clips(recipe()).table.drop(columns="split_hint")
    root = tmp_path / "data"
    (root / "audio").mkdir(parents=True)
    for path in table["path"][5:]:
        shutil.copy(path, root / "audio" / Path(path).name)
    table.assign(path=["audio/" + Path(p).name for p in table["path"]]).to_csv(root / "list.csv", index=False)
    settings = [*HEAD, f'data.name="{root / "list.csv"}"', "data.limit=99", "head.c=[0.1]"]
    with pytest.raises(HubbubError, match="5 of 100 listed files are missing"):
        bare_run(Recipe.load("street-cnn", settings), tmp_path / "run")
    bare_run(Recipe.load("street-cnn", [*settings, "data.allow_missing=true"]), tmp_path / "run")
    for place in ("summary.json", "report.html", "environment.json", "classifier/classifier.json"):
        assert "5 of 100 listed clips are missing" in (tmp_path / "run" / place).read_text(encoding="utf-8"), place
    assert len(read_json(tmp_path / "run" / "environment.json")["data"]["missing"]) == 5


def test_waves_are_decoded_once_for_every_recipe_at_their_rate(trained: Path, headed: Path, monkeypatch) -> None:
    monkeypatch.setattr(decode, "open_sound", lambda *_: pytest.fail("decoded again"))
    assert len(prepare(recipe()).sound) == 100


def test_a_training_that_broke_off_goes_on_from_its_checkpoint(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, epochs = module.Training.training_step, []

    def fatal(self: module.Training, *batch: object) -> object:
        epochs.append(self.current_epoch)
        if self.current_epoch == 1 and "broke" not in epochs:
            epochs.append("broke")
            raise RuntimeError("power cut")
        return step(self, *batch)

    monkeypatch.setattr(module.Training, "training_step", fatal)
    plan = recipe('protocol.folds=["1","2"]')
    with pytest.raises(RuntimeError, match="power cut"):
        bare_run(plan, tmp_path / "run")
    assert (tmp_path / "run" / "test-2" / "seed-42" / "metrics_test.json").is_file(), "the other fold went on"
    epochs.append("again")
    bare_run(plan, tmp_path / "run")
    assert epochs[epochs.index("again") + 1] == 1, "the first epoch is not repeated"
    resumed, whole = read_json(tmp_path / "run" / "summary.json"), read_json(trained / "summary.json")
    assert resumed["folds"] == whole["folds"]


def test_auto_trains_the_head_alone_without_an_accelerator(tmp_path: Path) -> None:
    plan = recipe('protocol.folds=["1"]', 'network.mode="auto"', "network.dropout=0", 'train.device="cpu"')
    summary = bare_run(plan, tmp_path / "run")
    assert Recipe.load(tmp_path / "run" / "recipe.toml").network.mode == "head"
    assert any(reason.startswith("HEAD ONLY: without an accelerator") for reason in summary.why_not_comparable)
    assert summary.title.endswith(", last layer alone")
    cell = tmp_path / "run" / "test-1" / "seed-42"
    assert read_json(cell / "metrics_test.json")["trainable_parameters"] == (4 * 8) * 10 + 10
    table = pd.read_parquet(cell / "predictions.parquet")
    row = table[table["level"] == "clip"].iloc[3]
    model, clips = load(cell / "classifier"), open_clips(plan)
    heard = model.classify(clips.table.set_index("clip").loc[row["clip"], "path"])
    assert list(heard.scores.values()) == pytest.approx(row[list(heard.scores)].tolist(), abs=1e-5)


def test_a_network_starts_from_the_weights_it_is_given(trained: Path, tmp_path: Path) -> None:
    """Trained for one epoch at a rate of nothing, it is still the network that was given."""
    weights = trained / "classifier" / "network.safetensors"
    lines: list[str] = []
    still = [f'network.weights="{weights}"', "train.epochs=1", "train.learning_rate=1e-30", "train.bn_eval=true"]
    plan = recipe('protocol.folds=["1"]', 'train.schedule="constant"', "train.weight_decay=0", *still)
    bare_run(plan, tmp_path / "run", refit=False, log=lines.append)
    assert any(line.startswith("network.safetensors: 31 tensors") for line in lines), lines
    state = read_json(tmp_path / "run" / "environment.json")["weights"]
    assert state == {"network.safetensors": files.sha256(weights)}
    given = load_torch(trained).network.state_dict()
    ours = load_torch(tmp_path / "run" / "test-1" / "seed-42" / "classifier").network.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in given.items())


@pytest.mark.parametrize(
    ("weights", "message"), [("esresnet", "Did you mean 'esresnext_audioset'"), ("yamnet", "does not fit")]
)
def test_weights_of_another_network_are_refused(weights: str, message: str, home, tmp_path: Path) -> None:
    home("weights", "yamnet.h5")
    with pytest.raises(HubbubError, match=message):
        bare_run(recipe(f'network.weights="{weights}"'), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "file"),
    [("us8k-esresnext", "ESResNeXtFBSP_AudioSet.pt"), ("us8k-audioclip", "AudioCLIP-Full-Training.pt")],
)
def test_published_weights_that_cannot_be_had_are_named(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path))
    without_network(monkeypatch)
    rows = [f"{fold}{label}.wav,{label},{fold}" for fold in "123" for label in "ab"]
    for row in rows:
        soundfile.write(tmp_path / row.split(",")[0], np.zeros(800), 8000)
    (tmp_path / "list.csv").write_text("\n".join(["path,label,fold", *rows]) + "\n")
    own = [f'data.name="{tmp_path / "list.csv"}"', 'protocol.kind="kfold"']
    own += [f"protocol.{part}=[]" for part in ("train", "val", "test")]
    with pytest.raises(HubbubError) as caught:
        bare_run(Recipe.load(name, own), tmp_path / "run")
    assert file in str(caught.value)
    assert str(tmp_path / "weights") in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    other = "cuda" if choose_device() == "mps" else "mps"
    with pytest.raises(HubbubError, match=f"there is no device '{other}' here. Use auto, which is"):
        bare_run(recipe(f'train.device="{other}"'), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_folder_in_use_is_refused_and_left_alone(trained: Path) -> None:
    before = (trained / "summary.json").stat().st_mtime_ns
    with files.lock_folder(trained), pytest.raises(HubbubError, match="is in use"):
        bare_run(recipe('protocol.folds=["1","2"]'), trained)
    assert (trained / "summary.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_mlflow_has_the_figures_of_a_run(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    plan = recipe('protocol.folds=["1"]', 'train.trackers=["mlflow"]')
    summary = run_recipe(plan, tmp_path / "tracked")
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tracked").experiment_id], order_by=["start_time ASC"])
    run, whole = runs
    cell = tmp_path / "tracked" / "test-1" / "seed-42"
    assert run.info.run_name == "fold 1, seed 42"
    assert run.data.metrics["test_clip_accuracy"] == read_json(cell / "metrics_test.json")["clip_accuracy"]
    losses = [point.value for point in client.get_metric_history(run.info.run_id, "train_loss")]
    assert losses == pytest.approx(pd.read_csv(cell / "history.csv")["train_loss"].tolist())
    assert run.data.params["train/epochs"] == "2"
    assert run.data.params["title"] == summary.title
    of_cell = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"confusion_matrix_test.png", "curves.png", "classification_report_test.csv"} <= of_cell
    assert whole.info.run_name == "all folds and seeds"
    assert whole.data.metrics["mean_test_clip_accuracy"] == summary.clip.accuracy.mean
    of_run = {file.path for file in client.list_artifacts(whole.info.run_id)}
    assert {"report.html", "summary.json", "confusion_matrix.png", "gradcam", "classifier"} <= of_run
    copy = client.download_artifacts(whole.info.run_id, "classifier")
    assert load(copy).labels == load(tmp_path / "tracked").labels


@pytest.mark.slow
def test_two_devices_give_a_whole_run_folder(tmp_path: Path) -> None:
    settings = [part for s in (*TINY, "train.devices=2", 'train.device="cpu"') for part in ("--set", s)]
    command = [sys.executable, "-m", "hubbub.cli", "train", "street-cnn", "--fold", "1", "--out", str(tmp_path)]
    subprocess.run([*command, "--no-refit", "--name", "two", *settings], check=True, capture_output=True)
    cell = tmp_path / "two" / "test-1" / "seed-42"
    assert len(pd.read_csv(cell / "history.csv")) == 2
    assert read_json(tmp_path / "two" / "summary.json")["clips"] == 20


def test_the_goals_table_shows_what_was_run_and_how_to_run_the_rest(tmp_path: Path) -> None:
    done = Recipe.load("street-cnn", [*TINY, 'protocol.folds=["1"]'])
    summary = bare_run(done, tmp_path / "us8k-esresnext", refit=False)
    table = goals.goals_table(tmp_path)
    assert list(table) == ["A1", "A1-V5", "A2", "A3"]
    assert table.loc["run", "A1"] == "not yet: hubbub bench us8k-yamnet-lgbm"
    assert table.loc["clip accuracy", "A2"] == f"{summary.clip.accuracy.mean:.4f}"
    assert table.loc["segment macro-F1", "A2"] == f"{summary.segment.macro_f1.mean:.4f}"
    network = load(tmp_path / "us8k-esresnext" / "test-1" / "seed-42" / "classifier").network
    trainable = sum(p.numel() for p in network.parameters())
    assert table.loc["trainable parameters", "A2"] == f"{trainable:,}"
    assert table.loc["trained here", "A2"] == "all layers of cnn"
    assert "SYNTHETIC" in table.loc["read first", "A2"]
    assert table.loc["seconds of training", "A2"] == f"{summary.seconds.fit:,.0f}"
    headed = Recipe.load("street-cnn", [*TINY, "network.mode=head", 'protocol.folds=["1"]'])
    bare_run(headed, tmp_path / "us8k-audioclip", refit=False)
    table = goals.goals_table(tmp_path)
    assert table.loc["trained here", "A3"] == "the head of cnn"
    assert table.loc["the goal trains"].tolist() == [
        *(
            "lightgbm on frozen yamnet",
            "ensemble on frozen yamnet",
            "all layers of esresnext",
            "all layers of audioclip",
        ),
    ]
    assert table.loc["GPU needed"].tolist() == ["no", "no", "yes", "yes"], "whatever was trained here"


def test_times_count_from_decoded_sound_to_answers_also_from_the_cache(headed: Path, tmp_path: Path) -> None:
    recipe = Recipe.load("street-cnn", [*HEAD, 'protocol.folds=["1"]'])
    (one,) = (run_folder.read_result(place) for _, _, place in run_folder.cells(_ran(recipe, tmp_path / "one")))
    prepared = prepare(recipe, quick=False)
    spent = prepared.embedded.seconds
    embed = one.seconds.embed
    assert embed.fit + embed.predict == pytest.approx(spent), "every clip is in one part"
    assert embed.predict == pytest.approx(spent / 5, rel=0.05)
    assert one.seconds.fit > embed.fit > 0 and one.seconds.predict > embed.predict > 0
    assert one.seconds.fit + one.seconds.predict == pytest.approx(
        read_json(tmp_path / "one/summary.json")["seconds"]["total"]
    )
    validated = run_folder.read_validation(run_folder.cells(tmp_path / "one")[0][2])
    assert validated.seconds.predict > spent / 6
    # All folds and seeds share one computation.
    cells = [run_folder.read_result(place).seconds for _, _, place in run_folder.cells(headed)]
    total = read_json(headed / "summary.json")["seconds"]
    assert len(cells) == 10
    assert total["embed"]["fit"] == pytest.approx(spent)
    assert total["predict"] == pytest.approx(sum(cell.predict for cell in cells))
    heads = sum(cell.fit + cell.predict - cell.embed.fit - cell.embed.predict for cell in cells)
    assert total["total"] == pytest.approx(spent + heads)
    page = re.sub("<.*?>", "", (headed / "report.html").read_text(encoding="utf-8"))
    assert "of these the embeddings of test clips, cached" in page


def _ran(recipe: Recipe, folder: Path) -> Path:
    bare_run(recipe, folder, refit=False)
    return folder


def test_speed_is_measured_over_several_batches(trained: Path) -> None:
    for _, _, place in run_folder.cells(trained):
        speed = read_json(place / "metrics_throughput.json")
        assert speed["batches"] >= 3 and speed["segments"] == 32 * speed["batches"]
        assert speed["segments"] > 0.15 * speed["segments_per_second"], "about a third of a second of work"
