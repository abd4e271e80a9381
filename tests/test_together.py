"""Predictions of several runs, joined: the geometric mean, what `hubbub score` makes of it, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hubbub
from benchmarks.together import TogetherError, geometric_mean, joined
from hubbub.report import run_folder
from hubbub.report.summary import as_arrays

STORED = Path(__file__).parent / "files" / "stored" / "run"


def test_the_geometric_mean_sums_to_one_and_a_certain_score_weighs_more() -> None:
    found = geometric_mean([np.array([[0.5, 0.3, 0.2]]), np.array([[0.02, 0.49, 0.49]])])
    roots = np.sqrt([0.5 * 0.02, 0.3 * 0.49, 0.2 * 0.49])
    assert found == pytest.approx(roots[None] / roots.sum())
    assert found.argmax() == 1
    assert geometric_mean([np.array([[0.7, 0.3]])] * 3) == pytest.approx(np.array([[0.7, 0.3]]))
    assert geometric_mean([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])]) == pytest.approx(np.array([[0.5, 0.5]]))


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """A run and another whose clip probabilities lie in the reverse order."""
    found = [shutil.copytree(STORED, tmp_path / name) for name in ("a", "b")]
    labels = _labels(run_folder.predictions(STORED))
    _change(found[1], lambda table: table.assign(**{one: table[labels[-1 - k]] for k, one in enumerate(labels)}))
    return found


def _labels(table: pd.DataFrame) -> list[str]:
    return list(as_arrays(table)[2])


def _change(run: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    for _, _, place in run_folder.cells(run):
        run_folder.write_predictions(place, change(run_folder.read_predictions(place)))


def test_a_run_is_joined_clip_by_clip(runs: list[Path]) -> None:
    table, (own, other) = joined(runs), [run_folder.predictions(run) for run in runs]
    own, other = (rows[rows["level"] == "clip"].set_index("clip") for rows in (own, other))
    labels = _labels(own)
    assert list(table.columns) == ["clip", "fold", *labels]
    assert sorted(table["clip"]) == sorted(own.index)
    expected = np.sqrt(own[labels] * other[labels])
    expected = expected.div(expected.sum(axis=1), axis=0)
    assert table.set_index("clip")[labels].to_numpy() == pytest.approx(expected.loc[table["clip"]].to_numpy(), abs=1e-6)


def test_hubbub_scores_the_joined_table(runs: list[Path], tmp_path: Path) -> None:
    table = joined(runs)
    truth = run_folder.predictions(runs[0]).query("level == 'clip'").set_index("clip")["label"]
    clips = pd.DataFrame({"file": table["clip"] + ".wav", "label": truth.loc[table["clip"]].to_numpy()})
    for file in clips["file"]:
        (tmp_path / file).touch()
    clips.to_csv(tmp_path / "clips.csv", index=False)
    table.to_csv(tmp_path / "both.csv", index=False)
    run = hubbub.score(tmp_path / "both.csv", tmp_path / "clips.csv", out=tmp_path / "runs", quiet=True)
    right = table.set_index("clip")[_labels(run_folder.predictions(runs[0]))].idxmax(axis=1) == truth.loc[table["clip"]]
    assert run.summary.clip.accuracy.mean == pytest.approx(right.mean())


def test_other_data_classes_or_clips_are_refused(runs: list[Path]) -> None:
    one, other = runs
    for alone in ([one], [one, one]):
        with pytest.raises(TogetherError, match="each given once"):
            joined(alone)
    with pytest.raises(TogetherError, match="not a finished run"):
        joined([one, one.parent])

    environment = json.loads((other / "environment.json").read_text())
    environment["data"]["manifest"] = "f" * 64
    (other / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(TogetherError, match=r"data differ .*manifest ffffffffffff"):
        joined(runs)
    shutil.copy(one / "environment.json", other / "environment.json")

    kept = run_folder.read_predictions(run_folder.cells(other)[0][2])
    last, clip = _labels(kept)[-1], kept["clip"].iloc[0]
    for change, message in (
        (lambda table: table.rename(columns={last: "whale"}), r"classes differ \(.*whale"),
        (lambda table: table[table["clip"] != clip], f"differ in 1 clip \\({clip}\\)"),
        (lambda table: table.assign(label=table["label"].where(table["clip"] != clip, last)), "labels differ"),
    ):
        _change(other, lambda _, change=change: change(kept))  # type: ignore[misc]
        with pytest.raises(TogetherError, match=message):
            joined(runs)
