"""Joins the predictions of several runs: the geometric mean of their probabilities for each clip, which sum to one.

    python -m benchmarks.together runs/esc50-yamnet-views runs/esc50-small --out both.csv
    hubbub score both.csv --data esc50

Nothing is fitted or chosen. A run with several seeds counts once: its seeds are averaged first, in the same way. Runs
of other data, test folds, classes or clips are refused. `hubbub score` reads the table and gives figures and a page.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.errors import HubbubError, count, examples
from hubbub.report import run_folder
from hubbub.report.summary import as_arrays
from hubbub.runtime import files

FACTS = ["clip", "fold", "label"]


class TogetherError(HubbubError):
    """Runs whose predictions cannot be joined."""


def joined(runs: Sequence[Path]) -> pd.DataFrame:
    """A row a clip: `clip`, `fold`, and one column of probabilities a class. Raises `TogetherError`."""
    if len({run.resolve() for run in runs}) < max(len(runs), 2):
        raise TogetherError("joining needs two runs or more, each given once.")
    tables = [_clips(run) for run in runs]
    for run, table in zip(runs[1:], tables[1:], strict=True):
        if differences := _differences(runs[0], tables[0], run, table):
            raise TogetherError(f"{run} cannot be joined with {runs[0]}: {differences}.")
    first = tables[0]
    mean = geometric_mean([table.loc[first.index].to_numpy() for table in tables])
    return pd.DataFrame(mean, index=first.index, columns=first.columns).reset_index().drop(columns="label")


def geometric_mean(scores: Sequence[npt.NDArray[np.floating]]) -> npt.NDArray[np.float64]:
    """The geometric mean of several probabilities `[N, K]`, each row scaled to a sum of one."""
    logs = np.mean([np.log(np.maximum(one, np.finfo(np.float32).tiny)) for one in scores], axis=0)
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _clips(run: Path) -> pd.DataFrame:
    """The probabilities of a run's test clips, by clip, fold and label. Raises `TogetherError`."""
    if not run_folder.is_finished(run):
        raise TogetherError(f"{run} is not a finished run. Finish it with hubbub bench, or name another.")
    rows = run_folder.predictions(run)
    rows = rows[rows["level"] == "clip"].reset_index(["fold", "seed"])
    labels = list(as_arrays(rows)[2])
    seeds = [own.set_index(FACTS)[labels] for _, own in rows.groupby("seed", sort=False)]
    mean = geometric_mean([own.loc[seeds[0].index].to_numpy() for own in seeds])
    return pd.DataFrame(mean, index=seeds[0].index, columns=labels)


def _differences(one: Path, clips: pd.DataFrame, other: Path, others: pd.DataFrame) -> str:
    """In what two runs differ that must be the same; empty where nothing does."""
    data = [run_folder.read_environment(run).data for run in (one, other)]
    if len({(facts.name, facts.manifest) for facts in data}) > 1:
        named = " and ".join(f"{facts.name}, manifest {facts.manifest[:12]}" for facts in data)
        return f"their data differ ({named})"
    if list(clips.columns) != list(others.columns):
        return f"their classes differ ({examples(sorted({*clips.columns} ^ {*others.columns})) or 'in their order'})"
    if odd := sorted({*clips.index} ^ {*others.index}):
        return (
            f"their test clips, folds or labels differ in {count(len({row[0] for row in odd}), 'clip')} ({odd[0][0]})"
        )
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of finished runs")
    parser.add_argument("--out", type=Path, required=True, help="the table to write (.csv)")
    given = parser.parse_args()
    try:
        table = joined(given.runs)
    except HubbubError as error:
        parser.exit(1, f"error: {error}\n")
    files.write_csv(given.out, table)
    print(f"wrote {given.out}: {len(table):,} clips, {len(table.columns) - 2} classes, {len(given.runs)} runs")


if __name__ == "__main__":
    main()
