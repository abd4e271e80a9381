"""paths: what data, recipes and people call things never leads out of the folder that it is for."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.data import write_images
from hubbub.data.open import open_data
from hubbub.data.splits import SplitError
from hubbub.errors import HubbubError
from hubbub.experiment.run import run_recipe
from hubbub.experiment.steps import ExperimentError
from hubbub.report import page, run_folder
from hubbub.report.verify import verify
from hubbub.runtime.names import safe_name
from tests.helpers.command_line import run_hubbub
from tests.helpers.runs import bare_run
from tests.helpers.sounds import sounds

TINY = [
    *("windows.length=8000", "windows.hop=8000", "frontend.n_mels=16", "network.width=4"),
    *("head.name=logreg", "head.pool=mean", "head.c=[1.0]"),
]


def listed(folder: Path, folds: list[str], **columns: list[str]) -> Path:
    """A list of two half-second clips of each of two classes in each fold."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (fold, label, take) in enumerate((f, k, t) for f in folds for k in ("hum", "hiss") for t in "ab"):
        rng, times = np.random.default_rng(number), np.arange(8000) / 16000
        wave = np.sin(2 * np.pi * 220 * times) if label == "hum" else rng.standard_normal(8000) * 0.3
        soundfile.write(folder / f"{number}.wav", 0.5 * wave + 0.01 * rng.standard_normal(8000), 16000)
        rows.append({"path": f"{number}.wav", "label": label, "fold": fold, "group": f"g{number}{take}"})
    table = pd.DataFrame(rows)
    for name, values in columns.items():
        table[name] = (values * len(table))[: len(table)]
    table.to_csv(folder / "list.csv", index=False)
    return folder / "list.csv"


def below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def bench(csv: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    settings = [f"--set={one}" for one in (f"data.name={json.dumps(str(csv))}", *TINY)]
    return run_hubbub("bench", "street-cnn", *settings, "--jobs", "1", *more)


@pytest.mark.slow
def test_folds_that_are_paths_write_and_delete_nothing_outside_the_run(tmp_path: Path) -> None:
    """With folders in the way of every such path, each with a file where a cell would put its own."""
    world = tmp_path / "a" / "b" / "c"
    hostile = ["../../../../victim", "..", ".", str(tmp_path / "victim"), "a\\..\\..\\b"]
    hostile += ["new\nline", "n" * 300, "🐶", "CON"]
    csv = listed(tmp_path / "data", hostile)
    for place in (tmp_path, tmp_path / "a", tmp_path / "a" / "b", world):
        victim = place / "victim" / "seed-42" / "kept.txt"
        victim.parent.mkdir(parents=True)
        victim.write_text("kept")
    before = below(tmp_path)
    done = bench(csv, "--out", str(world / "runs"), "--name", "x")
    assert done.returncode == 0, done.stderr
    after = below(tmp_path)
    assert {name: content for name, content in after.items() if not name.startswith("a/b/c/runs/x/")} == before
    run = world / "runs" / "x"
    assert len(run_folder.cells(run)) == len(hostile) and verify(run) == []
    assert {place.parent.parent for _, _, place in run_folder.cells(run)} == {run}
    assert [e["fold"] for e in json.loads((run / "summary.json").read_text())["folds"]] == sorted(hostile)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """A finished run of three folds with names that earlier versions wrote as they are."""
    place = tmp_path_factory.mktemp("plain")
    csv = listed(place / "data", ["1", "New York", "Köln"])
    recipe = Recipe.load("street-cnn", [f"data.name={json.dumps(str(csv))}", *TINY])
    run_recipe(recipe, place / "runs" / "x", refit=False)
    return recipe, place / "runs" / "x"


def test_run_folders_of_earlier_versions_load_and_go_on(plain: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, run = plain
    assert (run / "test-1").is_dir() and not (run / "test-New York").exists()
    old = shutil.copytree(run, tmp_path / "old")
    for fold in ("New York", "Köln"):
        os.rename(old / f"test-{safe_name(fold)}", old / f"test-{fold}")
    assert verify(old) == []
    shutil.rmtree(old / "test-Köln" / "seed-42")
    (old / "test-Köln" / "kept").touch()
    before = {p: p.stat().st_mtime_ns for p in (old / "test-New York").rglob("*") if p.is_file()}
    bare_run(recipe, old, refit=False)
    assert (old / "test-Köln" / "seed-42" / "metrics_test.json").is_file() and verify(old) == []
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert sorted(p.name for p in old.glob("test-*")) == ["test-1", "test-Köln", "test-New York"]


@pytest.mark.parametrize("link", ["test-1", "test-1/seed-42", "test-1/seed-42/checkpoints", "refit"])
@pytest.mark.parametrize("kept", ["kept", "seed-42/kept"])
def test_a_link_out_of_a_run_is_not_followed_when_it_goes_on(
    link: str, kept: str, plain: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, run = plain
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copy / "test-1")
    (tmp_path / "victim" / kept).parent.mkdir(parents=True)
    (tmp_path / "victim" / kept).touch()
    (copy / link).parent.mkdir(parents=True, exist_ok=True)
    (copy / link).symlink_to(tmp_path / "victim")
    before = below(tmp_path)
    with pytest.raises(ExperimentError, match=r"is a link out of the run's folder.*Remove the link"):
        bare_run(recipe, copy)
    assert below(tmp_path) == before


def test_a_run_into_a_folder_of_something_else_is_refused(plain: tuple[Recipe, Path], tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1.doc").write_text("years of work")
    before = below(tmp_path)
    with pytest.raises(ExperimentError, match=r"thesis holds chapter-1\.doc, and is not a run\. Give another --name"):
        bare_run(plain[0], tmp_path / "thesis")
    assert below(tmp_path) == before


@pytest.mark.parametrize("twins", [("Berlin", "berlin"), ("K\u00f6ln", "Ko\u0308ln"), ("A", "\uff21")])
def test_folds_that_some_file_systems_would_mix_are_one_fold(twins: tuple[str, str], tmp_path: Path) -> None:
    clips = open_data(str(listed(tmp_path, ["1", *twins])))
    assert clips.folds == ("1", twins[0]) and any(note.startswith("FOLDS JOINED: ") for note in clips.notes)


def test_groups_that_some_file_systems_would_mix_are_refused_as_folds(tmp_path: Path) -> None:
    sounds(tmp_path / "pets", *(f"{kind}/{number}.wav" for kind in ("Cat", "cat", "dog") for number in range(3)))
    recipe = Recipe.load("street-cnn", [f"data.name={json.dumps(str(tmp_path / 'pets'))}", *TINY, "protocol.kind=logo"])
    with pytest.raises(SplitError, match=r"'Cat/0\.wav' and 'cat/0\.wav' differ only in case .* Write them alike"):
        bare_run(recipe, tmp_path / "run")


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "..", ".", "", " ", "/tmp/x", "CON", "nul.txt", "x.", "x ", "-x", "a\nb", "n" * 300]
)
@pytest.mark.parametrize("command", ["bench", "train", "tune", "lr-find"])
def test_a_name_that_is_none_is_refused_and_nothing_is_written(command: str, name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [command, "street-cnn", f"--name={name}", "--out", str(tmp_path / "runs")])
    assert isinstance(done.exception, RecipeError)
    assert "cannot name a folder" in str(done.exception) and "--out sets" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["..toml", "con.toml", "a\\b.toml", "x .toml"])
def test_a_recipe_file_whose_name_is_none_is_refused(name: str, tmp_path: Path) -> None:
    from hubbub.experiment import suite

    (tmp_path / name).write_text(Recipe.load("street-cnn").to_toml(), encoding="utf-8")
    (tmp_path / "all.toml").write_text(f'title = "t"\nrecipes = ["street-cnn", {json.dumps(name)}]\n', encoding="utf-8")
    for given in (name, "all.toml"):
        with pytest.raises(RecipeError, match=r"cannot name the run's folder: .* Give --name, or rename the file"):
            suite.runs_of([str(tmp_path / given)], tmp_path / "runs")


def test_folds_with_any_letters_can_be_asked_for() -> None:
    from hubbub.cli.options import as_settings

    folds = ["it's", 'a"b', "a\\..\\b", "../x", "é"]
    recipe = Recipe.load("street-cnn", as_settings(None, None, folds=",".join(folds)))
    assert recipe.protocol.folds == tuple(folds)


@pytest.mark.parametrize("column", ["clip", "fold", "label", "group"])
def test_pictures_of_clips_that_are_called_like_paths_stay_in_their_folder(column: str, tmp_path: Path) -> None:
    hostile = ["../../../victim", "..", str(tmp_path / "victim"), "a\\b", "n" * 300, "CON", "🐶", "a.", "new\nline"]
    if column == "label":  # these two are refused
        hostile = [name for name in hostile if len(name) < 300 and "\n" not in name]
    names = [f"{hostile[n % len(hostile)]}{n}" for n in range(12)] if column == "clip" else hostile
    csv = listed(tmp_path / "data", ["1", "2", "3"], **{column: names})
    (tmp_path / "victim").mkdir()
    before = below(tmp_path)
    pictures = write_images.write(Recipe.load("us8k-resnet18", [f"data.name={json.dumps(str(csv))}"]), tmp_path / "out")
    after = below(tmp_path)
    assert {name: content for name, content in after.items() if not name.startswith("out/")} == before
    assert len(open_data(str(pictures))) == len(open_data(str(csv)))


# Damaged files of a run

#: `report` alone needs no throughput, and only it shows samples.
NOT_ALWAYS_READ = ("samples.json", "metrics_throughput.json")
FILES = [
    *("summary.json", "environment.json", "recipe.toml", "test-1/seed-42/metrics_test.json"),
    *("test-1/seed-42/predictions.parquet", "test-1/seed-42/metrics_throughput.json", "gradcam/samples.json"),
]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'"x"', b"[" * 20_000, None])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_a_run_is_named_with_what_to_do(
    plain: tuple[Recipe, Path], tmp_path: Path, name: str, content: bytes | None
) -> None:
    run = plain[1]
    broken = shutil.copytree(run, tmp_path / "broken")
    if content is None:
        (broken / name).unlink()
    else:
        (broken / name).write_bytes(content)
    page = ["--out", str(tmp_path / "page.html")]
    for command in (
        ["report", str(broken)],
        ["report", "--verify", str(broken)],
        ["compare", str(broken), str(run), *page],
    ):
        done = CliRunner().invoke(app, command)
        if done.exception is None:
            assert name.endswith(NOT_ALWAYS_READ) and (command[1] != "--verify" or "samples" in name), command
            continue
        said = str(done.exception) if isinstance(done.exception, HubbubError) else done.stderr
        assert isinstance(done.exception, HubbubError | SystemExit), (command, done.exception)
        assert Path(name).name in said, (command, said)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("summary.json", lambda held: held.pop("comparable")),
        ("summary.json", lambda held: held["folds"].clear()),
        ("summary.json", lambda held: held["folds"][0].update(seed=7)),
        ("summary.json", lambda held: held["clip"].pop("roc_auc")),
        ("summary.json", lambda held: held["segment"]["macro_f1"].update(mean=None)),
        ("summary.json", lambda held: held["seconds"].pop("fit")),
        ("summary.json", lambda held: held.update(unknown={"by": "energy"})),
        ("environment.json", lambda held: held["test_folds"].clear()),
        ("test-1/seed-42/metrics_test.json", lambda held: held.pop("test_opened")),
        ("test-1/seed-42/metrics_test.json", lambda held: held.update(clips="many")),
        ("test-1/seed-42/metrics_test.json", lambda held: held["confidence"].update(clip=0)),
        ("test-1/seed-42/metrics_test.json", lambda held: held["confidence"].update(other=1)),
        ("test-1/seed-42/metrics_test.json", lambda held: held["seconds"].clear()),
    ],
)
def test_a_file_of_a_run_that_lacks_something_is_named(
    plain: tuple[Recipe, Path], tmp_path: Path, name: str, spoil: Callable[[Any], object]
) -> None:
    broken = shutil.copytree(plain[1], tmp_path / "broken")
    held = json.loads((broken / name).read_text())
    spoil(held)
    (broken / name).write_text(json.dumps(held))
    with pytest.raises(HubbubError, match=re.escape(f"{broken / name} is damaged")):
        page.write_page(broken)


def test_the_advice_about_a_damaged_file_can_be_followed(plain: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, run = plain
    broken = shutil.copytree(run, tmp_path / "broken")
    (broken / "summary.json").write_bytes(b"")
    with pytest.raises(HubbubError, match=r"summary\.json is damaged or missing .*bench .* writes it again"):
        run_folder.read_summary(broken)
    bare_run(recipe, broken, refit=False)
    assert verify(broken) == []
    (broken / "test-1" / "seed-42" / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(HubbubError, match=r"Remove .*test-1/seed-42, and the hubbub bench .* makes this cell again"):
        verify(broken)
    shutil.rmtree(broken / "test-1" / "seed-42")
    bare_run(recipe, broken, refit=False)
    assert verify(broken) == []
    (broken / "test-1" / "seed-42" / "metrics_test.json").write_bytes(b"")
    with pytest.raises(HubbubError, match=r"seed-42/metrics_test\.json is damaged"):
        bare_run(recipe, broken, refit=False)
