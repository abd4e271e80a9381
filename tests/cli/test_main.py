"""The command line, run as a person runs it: what it prints, and the status it ends with."""

import csv
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.cli.main import app
from hubbub.config.recipe import Recipe
from hubbub.runtime.catalogue import ASSETS
from tests.helpers import command_line

RATE = 16_000


def hubbub(*words: object, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    done = command_line.run_hubbub(*words, **environment)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "run"
    TorchClassifier(Recipe.load("street-cnn", ["network.width=4"]), ("dog", "rain"), seed=0).save(folder / "classifier")
    return folder


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    rows = []
    for k in range(24):
        label, fold = "ab"[k % 2], str(k // 8)
        soundfile.write(folder / f"{k}.wav", rng.normal(0, 0.1, RATE), RATE)
        rows.append({"path": f"{k}.wav", "label": label, "fold": fold, "group": f"g{k // 4}"})
    pd.DataFrame(rows).to_csv(folder / "list.csv", index=False)
    return folder


def commands() -> list[list[str]]:
    def below(group: typer.Typer, above: list[str]) -> list[list[str]]:
        found = [[*above, c.name or c.callback.__name__] for c in group.registered_commands]
        for inner in group.registered_groups:
            found += below(inner.typer_instance, [*above, inner.name])
        return found

    return below(app, [])


def help_of(command: Any, path: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Every command with the texts that its `--help` must hold: of itself, of its options and of its commands."""
    texts = [command.help or "", *(getattr(option, "help", None) or "" for option in command.params)]
    for name, one in getattr(command, "commands", {}).items():
        texts.append((one.help or "").partition("\n\n")[0])
        yield from help_of(one, [*path, name])
    yield path, texts


HELP = list(help_of(typer.main.get_command(app), []))


@pytest.mark.parametrize(("path", "texts"), HELP, ids=[" ".join(["hubbub", *path]) for path, _ in HELP])
def test_the_help_shows_every_text_whole(path: list[str], texts: list[str]) -> None:
    """Rich takes `[word]` for markup and prints nothing in its place: such text must be escaped or reworded."""
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "1000", "TERM": "dumb"}).output
    assert all(texts)
    for text in texts:
        for paragraph in text.split("\n\n"):
            assert " ".join(paragraph.split()) in " ".join(shown.split()), paragraph


def test_the_help_groups_commands_by_what_they_are_for() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    names = re.findall(r"^. ([a-z][a-z-]*) {2,}|^.─ ([A-Z][a-z ]+) ─", shown, re.MULTILINE)
    order = [name or group for name, group in names]
    assert order == [
        *("Options", "Use a classifier", "classify", "listen", "serve", "explain", "export", "publish", "speed"),
        *("Unlabelled recordings", "index", "explore", "search"),
        *("Train and evaluate", "train", "bench", "demo", "recipes", "show", "report", "compare", "score"),
        *("tune", "lr-find"),
        *("Data", "data"),
    ]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert re.search(r"Example: hubbub " + " ".join(command), done.output)


def test_classify_prints_a_table_json_or_csv(model: Path, sounds: Path) -> None:
    header, row = hubbub("classify", sounds / "0.wav", "--model", model).stdout.splitlines()
    assert header.split() == ["seconds", "class", "score", "file", "(next)"]
    assert re.match(rf" +1\.00  (dog|rain) +[01]\.\d\d  {re.escape(str(sounds / '0.wav'))}  \((dog|rain) ", row)
    content = json.loads(hubbub("classify", sounds / "0.wav", "--model", model, "--json").stdout)
    assert set(content["scores"]) == {"dog", "rain"}
    rows = list(csv.DictReader(hubbub("classify", sounds, "--model", model, "--csv").stdout.splitlines()))
    assert len(rows) == 24
    assert list(rows[0]) == ["file", "start", "end", "label", "score", "clock"]


def test_classify_goes_on_past_a_bad_file_and_ends_with_status_1(model: Path, sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_text("text")
    done = hubbub("classify", tmp_path / "bad.wav", sounds / "1.wav", "--model", model, "--json", status=1)
    first, second = map(json.loads, done.stdout.splitlines())
    assert set(first) == {"file", "error"}
    assert second["file"].endswith("1.wav")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bench", "esc50-yamnett"], "Did you mean 'esc50-yamnet'"),
        (["bench", "street-cnn", "--set", "train.epoch=3"], "there is no train.epoch. Did you mean 'epochs'"),
        (["bench", "street-cnn", "--set", "epochs"], "section.field=value"),
        (["bench", "street-cnn", "--folds", "9"], "street has no fold '9'"),
        (["data", "check", "esc5"], "Did you mean 'esc50'"),
        (["data", "get", "esc51"], "Did you mean 'esc50'"),
        (["data", "images", "us8k-yamnet-lgbm", "nowhere"], "has no log-mel front end"),
        (["data", "augment", "street", "nowhere", "--variants", "orig,specAugment1"], "specAugment1: masks hide"),
        (["classify", "x.wav", "--model", "nowhere"], "nowhere is not a folder"),
        (["explain", "nowhere", "x.wav"], "nowhere is not a folder"),
        (["report", "nowhere"], "nowhere is not a finished run (there is no folder)"),
    ],
)
def test_an_unusable_request_is_one_message_and_status_2(words: list[str], message: str, tmp_path: Path) -> None:
    done = hubbub(*words, status=2)
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("serve m", "--max-mb"),
        ("serve m", "--max-seconds"),
        ("listen -", "--seconds"),
        ("listen -", "--threshold"),
        ("listen -", "--release"),
        ("listen -", "--gap"),
        ("classify a.wav", "--threshold"),
        ("classify a.wav", "--min-duration"),
        ("classify a.wav", "--cpus"),
        ("bench street-cnn", "--gpus"),
        ("train street-cnn", "--lr"),
        ("data split list.csv out", "--val-ratio"),
    ],
)
def test_an_option_that_is_no_number_is_refused(command: str, option: str, value: str) -> None:
    with pytest.raises(Exception, match=f"^{option} {value}: give a finite|^Input should be (greater|less) than"):
        app([*command.split(), option, value], standalone_mode=False)


def test_debug_shows_where_it_came_from() -> None:
    assert "Traceback" in hubbub("report", "nowhere", "--debug", status=1).stderr


def test_pictures_and_augmented_sounds_from_list_to_check(sounds: Path, tmp_path: Path) -> None:
    data = ["--set", f'data.name="{sounds / "list.csv"}"', "--set", "frontend.size=[32,32]"]
    done = hubbub("data", "images", "us8k-resnet18", tmp_path / "pictures", "--variants", "orig,noisy", *data)
    assert done.stdout.strip() == str(tmp_path / "pictures" / "spectrograms.csv")
    assert "48 clips" in hubbub("data", "check", done.stdout.strip()).stdout
    done = hubbub("data", "augment", sounds / "list.csv", tmp_path / "augmented", "--variants", "d")
    assert "96 clips" in hubbub("data", "check", done.stdout.strip()).stdout


@pytest.mark.slow
def test_a_folder_of_ones_own_recordings_from_list_to_answer(sounds: Path, tmp_path: Path) -> None:
    """Own labels end to end: check, split, audit of the lists, bench, report, classify."""
    assert "no problems found" in hubbub("data", "check", sounds / "list.csv").stdout
    done = hubbub("data", "split", sounds / "list.csv", tmp_path / "lists", "--val-ratio", "0.34")
    assert f'data.root = "{sounds}"' in done.stdout
    train, val = (pd.read_csv(tmp_path / "lists" / f"{part}.csv") for part in ("train", "val"))
    assert len(train) + len(val) == 24
    assert not set(train["group"]) & set(val["group"])
    lists = [f'protocol.{part}=["{tmp_path}/lists/{part}.csv"]' for part in ("train", "val")]
    lists += [f'protocol.test=["{tmp_path}/lists/val.csv"]', 'protocol.kind="csv"', f'data.root="{sounds}"']
    leaking = [word for setting in lists for word in ("--set", setting)]
    assert "source recordings" in hubbub("data", "leaks", "street-cnn", *leaking, status=1).stdout
    settings = [
        *(f'data.name="{sounds / "list.csv"}"', "train.epochs=1", "network.width=2", "windows.length=8000"),
        "windows.hop=8000",
    ]
    options = [word for setting in settings for word in ("--set", setting)]
    done = hubbub("bench", "street-cnn", *options, "--out", tmp_path, "--name", "own")
    assert "24" in (tmp_path / "own" / "summary.json").read_text()
    assert "clip accuracy" in done.stdout
    assert str(tmp_path / "own" / "report.html") in hubbub("report", tmp_path / "own").stdout
    answer = hubbub("classify", sounds / "3.wav", "--model", tmp_path / "own", "--json").stdout
    assert set(json.loads(answer)["scores"]) == {"a", "b"}


def test_train_runs_one_split(sounds: Path, tmp_path: Path) -> None:
    settings = [
        *(f'data.name="{sounds / "list.csv"}"', "network.width=2", "windows.length=8000", "windows.hop=8000"),
    ]
    options = [word for setting in settings for word in ("--set", setting)]
    words = ["--fold", "1", "--seed", "3", "--epochs", "1", "--lr", "0.01", "--batch-size", "8", "--out", tmp_path]
    hubbub("train", "street-cnn", *options, *words, "--no-refit")
    run = tmp_path / "list-street-cnn-fold1"
    assert (run / "test-1" / "seed-3" / "metrics_test.json").is_file()
    assert not (run / "classifier").exists()
    recipe = Recipe.load(run / "recipe.toml").train
    assert (recipe.epochs, recipe.learning_rate, recipe.batch_size, recipe.seeds) == (1, 0.01, 8, (3,))


def test_a_run_that_is_refused_is_an_error_and_names_no_folder(tmp_path: Path) -> None:
    (tmp_path / "mine" / "dog").mkdir(parents=True)
    soundfile.write(tmp_path / "mine" / "dog" / "a.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    done = hubbub("train", tmp_path / "mine", "--from-scratch", "--out", tmp_path / "runs", status=2)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: mine has clips of 1 class (dog). Two classes are needed")
    assert "failed" not in done.stderr and "runs" not in done.stderr and not done.stdout


def test_data_list_and_recipes_name_what_there_is() -> None:
    listed = hubbub("data", "list").stdout
    for name in ("esc50", "esc10", "urbansound8k", "emodb", "street"):
        assert name in listed
    rows = {line.split("│")[1].strip(): line for line in listed.splitlines() if "│" in line}
    for asset in ASSETS.values():  # weights, with the licence of each
        assert asset.kind == "data" or asset.licence in rows[asset.name]
    assert "us8k-yamnet-lgbm" in hubbub("recipes").stdout


def test_data_synth_writes_a_set_that_opens(tmp_path: Path) -> None:
    hubbub("data", "synth", tmp_path / "city", "--clips", "50", "--seed", "4")
    rows = pd.read_csv(tmp_path / "city" / "street.csv")
    assert len(rows) == 50
    assert (tmp_path / "city" / rows["file"][0]).is_file()


def test_data_get_offline_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    environment = {"HUBBUB_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    done = hubbub("data", "get", "yamnet", status=2, **environment)
    assert "https://storage.googleapis.com/audioset/yamnet.h5" in done.stderr
    assert str(tmp_path / "weights" / "yamnet.h5") in done.stderr.replace("\n", "")


def test_explain_shows_what_was_heard_and_says_its_scores(model: Path, sounds: Path, tmp_path: Path) -> None:
    folder = tmp_path / "why"
    done = hubbub("explain", model, sounds / "0.wav", "--label", "rain", "--out", folder)
    lines = done.stdout.splitlines()
    assert lines[0] == "rain, by Grad-CAM"
    scores = json.loads((folder / "explanation.json").read_text())["scores"]
    for name, words in (
        ("original", "the recording"),
        ("listened", "the part that the model used"),
        ("rest", "the rest"),
    ):
        assert f"{scores[name]['rain']:.3f}  {words}" in lines
    assert lines[-1] == f"images and sounds: {folder}"
    assert (folder / "clip.png").is_file() and (folder / "listened.wav").is_file()


def test_explain_refuses_a_class_that_the_model_does_not_know(model: Path, sounds: Path) -> None:
    said = hubbub("explain", model, sounds / "0.wav", "--label", "rein", status=2).stderr
    assert "the classifier knows no 'rein'. Did you mean 'rain'?" in said.replace("\n", " ")


def test_version() -> None:
    from hubbub import __version__

    assert hubbub("--version").stdout.strip() == __version__


@pytest.mark.parametrize("words", [("classify", "--model", "", "."), ("listen", "--model", "", "x.wav"), ("serve", "")])
def test_an_empty_model_is_not_taken_for_none(words: tuple[str, ...]) -> None:
    # A shell's "$MODEL" that is not set: YAMNet would answer in its place.
    assert "the model's name is empty" in hubbub(*words, status=2).stderr
