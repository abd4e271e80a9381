"""Runs side by side: which of their differences are more than noise?

Made from finished run folders alone. A difference is one of pooled clip accuracy; whether it is noise is decided by the
paired bootstrap over source recordings, adjusted for the number of pairs, and the other tests of `paired` stand beside
it. Several seeds of a run are averaged clip by clip: how often a clip was right. Runs of different protocols or data
are refused unless one insists, and are then labelled. This room does not know how a network was trained, nor how a page
shows what it finds.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.errors import HubbubError, examples
from hubbub.metrics import classification, significance
from hubbub.report import run_folder
from hubbub.report import summary as report

__all__ = ["LEVEL", "RESAMPLES", "TESTS", "CompareError", "compare", "in_words"]

#: Draws of the bootstrap: p is at least 2 / (draws + 1), which must survive being multiplied by the number of pairs.
RESAMPLES = 10_000
#: A difference whose adjusted p is at least this is within noise.
LEVEL = 0.05
#: With fewer source recordings a bootstrap's intervals are known to be too narrow.
FEW_GROUPS = 30
TESTS = ("bootstrap", "mcnemar", "corrected_t", "wilcoxon")
_FILES = ("summary.json", "environment.json", "recipe.toml")


class CompareError(HubbubError):
    """Runs that cannot be compared."""


@dataclass(frozen=True)
class Run:
    """A finished run: `rows` are its clips' predictions as `report.predictions` gives them.

    By clip, `table` has `fold`, `group` and `label`, and `right` a column a seed: was the decision right?
    """

    name: str
    environment: dict[str, Any]
    title: str
    reasons: list[str]
    threads: tuple[int, ...]
    rows: pd.DataFrame
    table: pd.DataFrame
    right: pd.DataFrame


def compare(folders: Sequence[Path], *, anyway: bool = False) -> dict[str, Any]:
    """All figures of a comparison, the best run first, ready for JSON; `docs/compare.md` describes them.

    Raises CompareError for fewer than two runs, one run twice, a run that is not finished or whose summary does not
    follow from its predictions, runs without a clip in common, and, unless `anyway`, runs of different protocols, data
    or test clips; with it the clips in common are compared and the result says NOT COMPARABLE.
    """
    runs = _load(folders)
    reasons = _reasons(runs)
    if reasons and not anyway:
        raise CompareError(
            f"these runs cannot be compared: {'; '.join(reasons)}. Give runs of one protocol on the same data, or say "
            "--anyway to compare the clips in common, labelled NOT COMPARABLE."
        )
    return _figures(runs, _common(runs), reasons)


def _load(folders: Sequence[Path]) -> list[Run]:
    if len(folders) < 2:
        raise CompareError("a comparison needs two runs or more, for example: hubbub compare runs/a runs/b.")
    for folder in folders:
        if missing := [name for name in _FILES if not os.path.isfile(folder / name)]:
            raise CompareError(
                f"{folder} has no {missing[0]}: it is not a finished run. Finish it with hubbub bench, or name another."
            )
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise CompareError(f"{folder} is given twice: name each run once.")
    alike = len({place.name for place in places}) < len(places)
    return [_open(folder, str(folder) if alike else place.name) for folder, place in zip(folders, places, strict=True)]


def _open(folder: Path, name: str) -> Run:
    for _, _, place in report.cells(folder):
        if not (place / "predictions.parquet").is_file():
            raise CompareError(f"{place} has no predictions.parquet: {folder} is not whole. Run it again.")
    if wrong := report.verify(folder):
        raise CompareError(
            f"{folder}: summary.json does not follow from the predictions: {wrong[0]}. Make it again with the hubbub "
            "bench that made the run; finished cells stay."
        )
    predicted = run_folder.predictions(folder)
    rows = predicted[predicted["level"] == "clip"]
    targets, scores, _ = run_folder.arrays(rows)
    facts = pd.DataFrame({key: rows[key].to_numpy() for key in ("clip", "group", "label")})
    facts = facts.assign(**{key: rows.index.get_level_values(key) for key in ("fold", "seed")})
    right = facts.assign(right=scores.argmax(axis=1) == targets).pivot(index="clip", columns="seed", values="right")
    summary = report.read_json(folder / "summary.json")
    return Run(
        name=name,
        environment=report.read_json(folder / "environment.json"),
        title=summary["recipe"],
        reasons=summary["why_not_comparable"],
        threads=tuple(sorted({count for one in report.threads(folder) for count in one["threads"]})),
        rows=rows,
        table=facts.drop_duplicates("clip").set_index("clip")[["fold", "group", "label"]].loc[right.index],
        right=right[list(dict.fromkeys(facts["seed"]))],
    )


def _reasons(runs: Sequence[Run]) -> list[str]:
    """What the runs do not share, a line a fact."""
    lines = []
    for fact, value in (
        ("protocols", lambda run: run.environment["protocol"]),
        ("data", lambda run: f"{run.environment['data']['name']}, manifest {run.environment['data']['manifest'][:12]}"),
        ("test folds", lambda run: ", ".join(run.environment["test_folds"])),
    ):
        owners: dict[str, list[str]] = {}
        for run in runs:
            owners.setdefault(value(run), []).append(run.name)
        if len(owners) > 1:
            lines.append(f"different {fact}: " + " against ".join(f"{v} ({in_words(n)})" for v, n in owners.items()))
    if len({frozenset(run.table.index) for run in runs}) > 1:
        counts = ", ".join(f"{run.name} {len(run.table):,}" for run in runs)
        lines.append(f"different test clips: {counts}; {len(_shared(runs)):,} in common")
    return lines


def _shared(runs: Sequence[Run]) -> pd.Index:
    shared = runs[0].table.index
    for run in runs[1:]:
        shared = shared.intersection(run.table.index)
    return shared.sort_values()


def _common(runs: Sequence[Run]) -> pd.DataFrame:
    """The table of the clips that every run was tested on; the same truth in all, and at least one clip."""
    shared = _shared(runs)
    if not len(shared):
        raise CompareError("the runs have no test clip in common: there is nothing to compare.")
    table = runs[0].table.loc[shared]
    for run in runs[1:]:
        other = run.table.loc[shared, "label"] != table["label"]
        if other.any():
            clip = shared[other][0]
            raise CompareError(
                f"clip {clip} is '{table['label'][clip]}' in {runs[0].name} and '{run.table['label'][clip]}' in "
                f"{run.name}: runs with different truths cannot be compared."
            )
    return table


def _figures(runs: Sequence[Run], table: pd.DataFrame, reasons: Sequence[str]) -> dict[str, Any]:
    right = {run.name: run.right.loc[table.index].astype(float) for run in runs}
    often = {name: seeds.mean(axis=1).to_numpy() for name, seeds in right.items()}
    runs = sorted(runs, key=lambda run: -often[run.name].mean())
    pairs = list(combinations([run.name for run in runs], 2))
    columns = [often[run.name] for run in runs] + [often[first] - often[second] for first, second in pairs]
    draws = significance.resample(np.stack(columns, axis=1), table["group"], RESAMPLES)
    spreads = [None] * len(columns) if draws is None else list(draws.T)
    folds = table["fold"] if all(run.table.loc[table.index, "fold"].equals(table["fold"]) for run in runs) else None
    compared = [
        _pair(right[first], right[second], spread, folds, runs[0].environment["data"]["clips"])
        | {"first": first, "second": second}
        for (first, second), spread in zip(pairs, spreads[len(runs) :], strict=True)
    ]
    _adjust(compared)
    groups = int(table["group"].nunique())
    warnings = _warnings(runs, reasons, groups) + _only_over_recordings(compared)
    return {
        "comparable": not reasons,
        "why_not_comparable": list(reasons),
        "warnings": warnings,
        "protocols": list(dict.fromkeys(run.environment["protocol"] for run in runs)),
        "data": list(dict.fromkeys(run.environment["data"]["name"] for run in runs)),
        "clips": len(table),
        "recordings": groups,
        "resamples": RESAMPLES,
        "runs": [
            {
                "name": run.name,
                "recipe": run.title,
                "seeds": run.right.columns.tolist(),
                "standing": _standing(run.name, runs[0].name, compared),
                "clip": _own(run, table.index, spread),
            }
            for run, spread in zip(runs, spreads, strict=False)
        ],
        "pairs": compared,
    }


def _own(run: Run, clips: pd.Index, spread: npt.NDArray[np.float64] | None) -> dict[str, Any]:
    """A run's figures over the compared clips, as `summary.json` has them; the interval is of accuracy alone."""
    rows = run.rows[run.rows["clip"].isin(clips)]
    entries = [
        {"fold": fold, "seed": seed, **classification.evaluate(*run_folder.arrays(cell)[:2])}
        for (fold, seed), cell in rows.groupby(level=["fold", "seed"], sort=False)
    ]
    pooled = [classification.evaluate(*run_folder.arrays(own)[:2]) for _, own in rows.groupby(level="seed", sort=False)]
    intervals = dict.fromkeys(classification.METRICS) | {
        "accuracy": None if spread is None else significance.interval(spread)
    }
    return classification.aggregate(entries, pooled, intervals)


def _pair(
    first: pd.DataFrame,
    second: pd.DataFrame,
    spread: npt.NDArray[np.float64] | None,
    folds: pd.Series | None,
    clips: int,
) -> dict[str, Any]:
    """Two runs' difference and its tests; `first` and `second` say what was right, `[clips, seeds]`."""
    difference = first.mean(axis=1) - second.mean(axis=1)
    # McNemar's test is about two sets of decisions: of several seeds, the first.
    ours, theirs, p = significance.mcnemar(first.iloc[:, 0].to_numpy() > 0, second.iloc[:, 0].to_numpy() > 0)
    by_fold = {} if folds is None else difference.groupby(folds, sort=False).mean().round(12).to_dict()
    tested = clips if folds is None else len(folds) / folds.nunique()
    ratio = tested / max(clips - tested, 1)
    tests = {
        "bootstrap": None if spread is None else significance.p_value(spread),
        "mcnemar": p,
        "corrected_t": significance.corrected_t(list(by_fold.values()), ratio),
        "wilcoxon": significance.wilcoxon(list(by_fold.values())),
    }
    return {
        "difference": float(difference.mean()),
        "ci95": None if spread is None else significance.interval(spread),
        "only_first": ours,
        "only_second": theirs,
        "folds": by_fold,
        "tests": {name: None if value is None else {"p": value} for name, value in tests.items()},
    }


def _adjust(pairs: Sequence[dict[str, Any]]) -> None:
    """Holm's adjustment of each test over all pairs, and what it says of noise."""
    for name in TESTS:
        made = [pair["tests"][name] for pair in pairs if pair["tests"][name] is not None]
        for test, value in zip(made, significance.holm([test["p"] for test in made]), strict=True):
            test["p_holm"] = float(value)
    for pair in pairs:
        decisive = pair["tests"]["bootstrap"]
        pair["within_noise"] = None if decisive is None else decisive["p_holm"] >= LEVEL


def _standing(name: str, best: str, pairs: Iterable[Mapping[str, Any]]) -> str:
    if name == best:
        return "highest"
    noise = next(pair["within_noise"] for pair in pairs if (pair["first"], pair["second"]) == (best, name))
    return {True: "within noise of the highest", False: "behind", None: "not known"}[noise]


def _warnings(runs: Sequence[Run], reasons: Sequence[str], groups: int) -> list[str]:
    lines = [f"NOT COMPARABLE: {reason}" for reason in reasons]
    owners: dict[str, list[str]] = {}
    for run in runs:
        for reason in [*run.reasons, *run.environment["data"]["warnings"]]:
            owners.setdefault(reason, []).append(run.name)
    lines += [
        f"{line} ({'all runs' if len(names) == len(runs) else in_words(names)})" for line, names in owners.items()
    ]
    counts: dict[str, list[str]] = {}
    for run in runs:
        if run.threads:  # of a head, or a run of an earlier version, it is not said
            counts.setdefault(" and ".join(map(str, run.threads)), []).append(run.name)
    if len(counts) > 1:
        said = ", ".join(f"{count} ({in_words(names)})" for count, names in counts.items())
        lines.append(
            f"DIFFERENT THREADS: trained with {said} processor threads; a part of the difference may be theirs"
        )
    if groups < FEW_GROUPS:
        lines.append(f"FEW RECORDINGS: {groups} alone; intervals are narrower and p-values smaller than they should be")
    if single := [run.name for run in runs if run.right.shape[1] == 1]:
        names = "all runs" if len(single) == len(runs) else in_words(single)
        lines.append(f"ONE SEED: how far another training would differ is not measured ({names})")
    return lines


def _only_over_recordings(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Pairs whose difference the tested recordings show and the folds do not."""
    doubted = [
        f"{pair['first']} over {pair['second']} (corrected t, p {pair['tests']['corrected_t']['p_holm']:.3f})"
        for pair in pairs
        if pair["within_noise"] is False
        and pair["tests"]["corrected_t"] is not None
        and pair["tests"]["corrected_t"]["p_holm"] >= LEVEL
    ]
    return [f"NOT SEEN OVER FOLDS: more than noise over recordings alone: {examples(doubted)}"] if doubted else []


def in_words(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
