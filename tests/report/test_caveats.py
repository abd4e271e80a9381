"""caveats: few recordings, seeds that change nothing, what a learning curve says; a summary of an earlier version."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.report.caveats import few_recordings, more_recordings, seeds_agree, tags
from tests.helpers.files import read_json

STORED = Path(__file__).parents[1] / "files" / "stored" / "run"


def test_few_recordings_name_the_classes_to_record() -> None:
    said = few_recordings({"dog": 3, "siren": 4, "rain": 17}, 24)
    assert said == (
        "FEW RECORDINGS: 24 independent recordings in the test parts, so the interval is wide. "
        "Record more of: dog (3), siren (4)"
    )
    assert few_recordings({"dog": 3, "rain": 90}, 93) == (
        "FEW RECORDINGS: 1 class has fewer than 5 independent recordings in the test parts. Record more of: dog (3)"
    )
    assert few_recordings({"dog": 25, "rain": 25}, 50) is None


def test_where_all_classes_have_some_the_smallest_are_named_first() -> None:
    counts = {f"class {k}": 9 - k % 4 for k in range(7)}
    said = few_recordings(counts, 40)
    assert said is not None and "class 3 (6), class 2 (7)" in said and said.endswith("and 2 more classes")


def table(seeds: dict[int, float]) -> pd.DataFrame:
    rows = {"clip": ["a", "b"], "level": "clip", "group": ["a", "b"], "label": "x", "start": 0.0, "end": 1.0}
    tables = {
        ("1", seed): pd.DataFrame(rows | {"x": [share, 0.5], "y": [1 - share, 0.5]}) for seed, share in seeds.items()
    }
    return pd.concat(tables, names=["fold", "seed", "row"])


def test_seeds_that_predict_alike_are_said_to() -> None:
    assert seeds_agree(table({1: 0.7})) is None
    assert seeds_agree(table({1: 0.7, 2: 0.7, 3: 0.71})) is None
    said = seeds_agree(table({1: 0.7, 2: 0.7}))
    assert said is not None and said.startswith("SAME IN ALL SEEDS: all 2 seeds gave the same predictions")


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (0.84, "more recordings would help"),
        (0.815, "may help a little"),
        (0.8, "will hardly help"),
        (0.7, "hardly help"),
    ],
)
def test_the_last_doubling_decides_whether_more_would_help(last: float, words: str) -> None:
    rows = [(fold, size, share) for fold in ("1", "2") for size, share in ((160, 0.7), (320, 0.8), (640, last))]
    said = more_recordings(pd.DataFrame(rows, columns=["fold", "recordings", "clip_accuracy"]))
    assert said is not None and words in said
    assert f"With 640 instead of 320 training recordings, validation accuracy went from 0.800 to {last:.3f}" in said


def test_a_curve_of_one_point_says_nothing() -> None:
    assert more_recordings(None) is None
    one = pd.DataFrame({"fold": ["1"], "recordings": [20], "clip_accuracy": [0.5]})
    assert more_recordings(one) is None


def test_intervals_of_an_earlier_version_are_not_compared_and_figures_are(tmp_path: Path) -> None:
    run = shutil.copytree(STORED, tmp_path / "run")
    done = CliRunner().invoke(app, ["report", str(run), "--verify"])
    assert done.exit_code == 0, done.output
    assert "not compared: the 95 % intervals, which an earlier version computed by another method" in done.output
    assert "(bootstrap)" in done.output
    summary = read_json(run / "summary.json")
    summary["clip"]["macro_f1"]["pooled"] += 0.01
    (run / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    assert CliRunner().invoke(app, ["report", str(run), "--verify"]).exit_code == 1


def test_tables_fit_eighty_columns(tmp_path: Path) -> None:
    run = shutil.copytree(STORED, tmp_path / "run")
    lines = CliRunner().invoke(app, ["report", str(run)], env={"COLUMNS": "80"}).output.splitlines()
    rows = [line for line in lines if line.lstrip().startswith(("balanced accuracy", "accuracy", "macro-F1"))]
    assert len(rows) == 6 and all(len(row) <= 80 for row in rows)
    assert np.all([" to " in row for row in rows])


def test_below_the_figure_stand_tags_each_once_and_what_the_figures_themselves_show(tmp_path: Path) -> None:
    never = [f"NEVER TESTED: class '{label}' is in no test part: it has one recording" for label in "ab"]
    assert tags([*never, "SYNTHETIC: sounds made by hubbub"]) == "NEVER TESTED; SYNTHETIC"
    run = shutil.copytree(STORED, tmp_path / "run")
    summary = read_json(run / "summary.json")
    summary |= {"why_not_comparable": [*never, "QUICK: a reduced run"], "caveats": ["FEW RECORDINGS: record more"]}
    (run / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    lines = CliRunner().invoke(app, ["report", str(run)]).output.splitlines()
    assert "read first: NEVER TESTED; QUICK (in full on the page)" in lines and "FEW RECORDINGS: record more" in lines
    assert not any("is in no test part" in line for line in lines)
