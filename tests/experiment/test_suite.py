"""suite: what is shipped holds, files are read, unknown names are told together, the whole grid ends in one table."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hubbub.config.recipe import Recipe, RecipeError
from hubbub.experiment import suite
from hubbub.experiment.suite import SuiteError
from hubbub.runtime import progress
from hubbub.runtime.catalogue import ASSETS
from tests.helpers.command_line import run_hubbub

SHIPPED = {
    "emodb-attention": 3,
    "esc50-all": 31,
    "esc50-attention": 3,
    "frozen-backbones": 11,
    "us8k-goals": 4,
    "us8k-images": 7,
}
#: So that no weights are looked for.
RANDOM = ["network.weights=none"]


def test_the_shipped_suites() -> None:
    assert list(suite.shipped()) == list(SHIPPED)


@pytest.mark.parametrize(("name", "recipes"), SHIPPED.items())
@pytest.mark.parametrize("quick", [False, True])
def test_a_shipped_suite_holds(name: str, recipes: int, quick: bool, tmp_path: Path) -> None:
    found = suite.runs_of([name], tmp_path, quick=quick, settings=RANDOM)
    assert len({run.folder for run in found}) == recipes
    place = tmp_path / (name + ("-quick" if quick else ""))
    assert all(run.folder.parent == place and run.quick == quick for run in found)
    if name.endswith("attention"):
        assert {run.recipe.network.attention for run in found} == {"none", "se", "cbam"}
        assert all(run.recipe.train.seeds == ((42,) if quick else (42, 123, 999)) for run in found)


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "esc50-all"])
@pytest.mark.parametrize("quick", [False, True])
def test_the_members_of_a_suite_can_be_compared(name: str, quick: bool, tmp_path: Path) -> None:
    """One protocol on the same clips, in full and in the small form."""
    recipes = [run.recipe for run in suite.runs_of([name], tmp_path, quick=quick, settings=RANDOM)]
    assert len({one.protocol.model_dump_json() for one in recipes}) == 1
    assert len({one.data.model_dump_json() for one in recipes}) == 1


def test_every_esc50_recipe_is_in_esc50_all(tmp_path: Path) -> None:
    from hubbub.config.recipe import shipped

    found = {run.folder.name for run in suite.runs_of(["esc50-all"], tmp_path)}
    assert found == {name for name in shipped() if name.startswith("esc50-")}


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_suite_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(Recipe.load("street-cnn", ["train.epochs=3"]).to_toml(), encoding="utf-8")
    text = 'title = "t"\nrecipes = ["mine.toml", "street-yamnet"]\nseeds = [1, 2]\nfolds = ["2"]\n'
    mine, other = suite.runs_of([write(tmp_path / "all.toml", text)], tmp_path / "runs")
    assert mine.folder == tmp_path / "runs" / "all" / "mine" and other.folder.name == "street-yamnet"
    assert mine.recipe.train.epochs == 3
    assert mine.recipe.train.seeds == (1, 2) and mine.recipe.protocol.folds == ("2",)
    (said, _) = suite.runs_of([str(tmp_path / "all.toml")], tmp_path, settings=["train.seeds=[5]"])
    assert said.recipe.train.seeds == (5,)


def test_a_small_run_of_ones_own_data_is_not_too_small(tmp_path: Path) -> None:
    """`[quick]` of ESC-50's recipes takes one clip a class and fold, and a folder has no folds."""
    (tmp_path / "mine").mkdir()
    both, small = ["frozen-backbones", "esc50-yamnet"], {"settings": RANDOM, "quick": True}
    found = [run.recipe for run in suite.runs_of(both, tmp_path, data=tmp_path / "mine", **small)]
    assert {(one.data.limit, one.protocol.k, one.protocol.kind) for one in found} == {(8, 2, "auto")}
    (known,) = suite.runs_of(["esc50-yamnet"], tmp_path, data="emodb", **small)
    assert known.recipe.data.limit == 1


def test_recipes_and_suites_side_by_side(tmp_path: Path) -> None:
    folders = [run.folder for run in suite.runs_of(["street-cnn", "emodb-attention"], tmp_path)]
    assert folders[0] == tmp_path / "street-cnn" and folders[1].parent == tmp_path / "emodb-attention"
    with pytest.raises(SuiteError, match="--name names one run, and 2 were given"):
        suite.runs_of(["street-cnn", "emodb-attention"], tmp_path, name="x")


def test_runs_on_other_data_are_named_after_these(tmp_path: Path) -> None:
    found = suite.runs_of(["frozen-backbones"], tmp_path, settings=RANDOM, data="emodb")
    assert {run.folder.parent for run in found} == {tmp_path / "emodb-frozen-backbones"}
    assert {run.recipe.data.name for run in found} == {"emodb"} and len(found) == SHIPPED["frozen-backbones"]
    (own, *_) = suite.runs_of(["frozen-backbones"], tmp_path, settings=RANDOM, data="esc50")
    assert own.folder == tmp_path / "frozen-backbones" / "esc50-yamnet"


def test_an_optional_suite_leaves_out_recipes_whose_weights_are_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path))
    nowhere = replace(ASSETS["cnn14_audioset"], url="http://127.0.0.1:9/cnn14.pth")
    monkeypatch.setitem(ASSETS, "cnn14_audioset", nowhere)
    file, lines = tmp_path / "mine.toml", list[str]()
    write(file, 'title = "t"\noptional = true\nrecipes = ["esc50-cnn14", "street-small"]\n')
    (found,) = suite.runs_of([str(file)], tmp_path / "runs", log=lines.append)
    assert found.folder.name == "street-small"
    assert len(lines) == 1 and lines[0].startswith("left out: esc50-cnn14: cnn14_audioset could not be downloaded")
    write(file, 'title = "t"\noptional = true\nrecipes = ["esc50-cnn14"]\n')
    with pytest.raises(SuiteError, match="the weights of none of its recipes are here"):
        suite.runs_of([str(file)], tmp_path / "runs")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('title = "t"\nrecipes = ["street-cn", "esc50-ya"]', r"'street-cn' .*'street-cnn'.*'esc50-ya' .*yamnet'"),
        ('title = "t"\nrecipes = []', "recipes: .*at least 1 item"),
        ('title = "t"\nrecipes = ["street-cnn"]\nseed = [1]', "seed: Did you mean 'seeds'"),
        ('title = "t"\nrecipes = ["gone.toml"]', "gone.toml is not a file"),
        ('recipes = ["street-cnn"]', "title"),
    ],
)  # fmt: skip
def test_a_suite_that_does_not_hold_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((SuiteError, RecipeError), match=re.compile(message, re.DOTALL)):
        suite.runs_of([write(tmp_path / "s.toml", text)], tmp_path)


def test_unknown_names_are_told_together() -> None:
    with pytest.raises(RecipeError, match=r"'esc50-atention'.*'esc50-attention'.*'nothing-like-it'.*Known: "):
        suite.runs_of(["esc50-atention", "nothing-like-it"], Path("runs"))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """A suite of two heads, run by the command. Trees: they are not exported, which would take most of the time."""
    place = tmp_path_factory.mktemp("suite")
    tiny = ["data.limit=2", "network.width=4", "head.name=lightgbm", "head.trees=10", 'protocol.folds=["1","2"]']
    for name, pool in (("mean", "mean"), ("both", "mean+max")):
        plan = Recipe.load("street-cnn", [*tiny, f"head.pool={pool}"])
        (place / f"{name}.toml").write_text(plan.to_toml(), encoding="utf-8")
    write(place / "two.toml", 'title = "two heads"\nrecipes = ["mean.toml", "both.toml"]\nseeds = [1, 2]\n')
    done = run_hubbub("bench", place / "two.toml", "--out", place / "runs")
    assert done.returncode == 0, done.stderr
    return place / "runs" / "two", done


def test_a_suite_ends_in_one_table_and_a_comparison(ended) -> None:
    folder, done = ended
    table = pd.read_csv(folder / "overview.csv")
    assert list(table["run"]) == ["mean", "both"] and list(table["cells"]) == [4, 4]
    assert "both" in done.stdout and "comparison.html" in done.stdout
    assert (folder / "comparison.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [line[:5] for line in done.stderr.splitlines() if line.startswith("[")] == [f"[{n}/8]" for n in range(1, 9)]
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert warnings and len(warnings) == len(set(warnings)), "what the runs have in common is said once"
    # read again by report, side by side
    said = run_hubbub("report", folder, "--verify").stdout
    assert said.count("verified") == 2 and "95 %" in said


def test_failures_are_told_at_the_end_with_exit_status_1(ended, tmp_path: Path) -> None:
    folder, _ = ended
    weights = f'network.weights="{tmp_path}/none.safetensors"'
    (tmp_path / "bad.toml").write_text(
        Recipe.load(folder / "mean" / "recipe.toml", [weights]).to_toml(), encoding="utf-8"
    )
    done = run_hubbub("bench", tmp_path / "bad.toml", folder.parents[1] / "mean.toml", "--out", tmp_path)
    assert done.returncode == 1
    assert "failed: " in done.stderr and "none.safetensors" in done.stderr
    assert (tmp_path / "mean" / "summary.json").is_file()


def test_the_tally_counts_and_foresees() -> None:
    tally = progress.Tally(slots=2)
    tally.add("a", cells=4, left=3)
    tally.add("b", cells=2, left=2)
    assert tally.left_s() is None and str(tally) == "[1/6]"
    tally.count("a", 10.0, well=True)
    tally.show(running=2, waiting=2)
    # two of a at 10 s, two of b as long as all did, on two at once
    assert tally.left_s() == pytest.approx((2 * 10 + 2 * 10) / 2)
    tally.count("b", 30.0, well=True)
    assert tally.left_s() == pytest.approx((2 * 10 + 1 * 30) / 2)
    tally.count("a", 1.0, well=False)
    tally.show(running=1, waiting=1)
    assert tally.words() == "4 of 6 cells, 1 running, 1 waiting, 1 failed, about 0:00:20 left"
    tally.count("a", 10.0, well=True)
    tally.count("b", 10.0, well=True)
    assert tally.time_left() == "" and str(tally) == "[6/6]"
