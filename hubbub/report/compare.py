"""Comparison of runs: which differences of clip accuracy are more than noise?

The paired bootstrap over source recordings decides, adjusted for the number of pairs (Holm); the other tests of
`metrics.significance` are given beside it. Several seeds of a run are averaged clip by clip. Runs of different
protocols or data are refused, unless the caller insists; the result is then labelled NOT COMPARABLE.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.errors import HubbubError, examples
from hubbub.metrics import significance
from hubbub.report import run_folder
from hubbub.report.compare_results import ComparedRun, Comparison, Pair, PairTest
from hubbub.report.results import Environment
from hubbub.report.summary import as_arrays, level_figures, verify

__all__ = ["LEVEL", "RESAMPLES", "TESTS", "CompareError", "compare_runs", "listed"]

#: Bootstrap resamples: p is at least 2 / (resamples + 1), and Holm multiplies it by up to the number of pairs.
RESAMPLES = 10_000
#: A difference whose adjusted p is at least this is within noise.
LEVEL = 0.05
#: With fewer source recordings, bootstrap intervals are known to be too narrow.
FEW_GROUPS = 30
TESTS = ("bootstrap", "mcnemar", "corrected_t", "wilcoxon")


class CompareError(HubbubError):
    """Runs that cannot be compared."""


@dataclass(frozen=True)
class Run:
    """A finished run: `rows` are its clips' predictions as `run_folder.predictions` gives them.

    By clip, `table` has `fold`, `group` and `label`, and `right` one column for each seed: was the decision right?
    """

    name: str
    environment: Environment
    title: str
    reasons: list[str]
    threads: tuple[int, ...]
    rows: pd.DataFrame
    table: pd.DataFrame
    right: pd.DataFrame


def compare_runs(folders: Sequence[Path], *, anyway: bool = False) -> Comparison:
    """All figures of a comparison, the best run first; `docs/compare.md` describes them.

    Raises `CompareError` for fewer than two runs, one run twice, a run that is not finished or whose summary does not
    follow from its predictions, runs without a clip in common, and, unless `anyway`, runs of different protocols, data
    or test clips. With `anyway` the clips in common are compared and the result says NOT COMPARABLE.
    """
    runs = _load(folders)
    reasons = _reasons(runs)
    if reasons and not anyway:
        raise CompareError(
            f"these runs cannot be compared: {'; '.join(reasons)}. Give runs of one protocol on the same data, or use "
            "--anyway to compare the clips in common, labelled NOT COMPARABLE."
        )
    return _figures(runs, _common(runs), reasons)


def _load(folders: Sequence[Path]) -> list[Run]:
    if len(folders) < 2:
        raise CompareError("a comparison needs two runs or more, for example: hubbub compare runs/a runs/b.")
    for folder in folders:
        if missing := run_folder.missing_file(folder):
            raise CompareError(
                f"{folder} has no {missing}: it is not a finished run. Finish it with hubbub bench, or name another."
            )
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise CompareError(f"{folder} is given twice: name each run once.")
    alike = len({place.name for place in places}) < len(places)
    return [_open(folder, str(folder) if alike else place.name) for folder, place in zip(folders, places, strict=True)]


def _open(folder: Path, name: str) -> Run:
    if missing := run_folder.missing_predictions(folder):
        raise CompareError(f"{missing.parent} has no {missing.name}: {folder} is incomplete. Run it again.")
    if wrong := verify(folder):
        raise CompareError(
            f"{folder}: the summary does not follow from the predictions: {wrong[0]}. Write it again with the hubbub "
            "bench that made the run; finished cells stay."
        )
    predicted = run_folder.predictions(folder)
    rows = predicted[predicted["level"] == "clip"]
    targets, scores, _ = as_arrays(rows)
    facts = pd.DataFrame({key: rows[key].to_numpy() for key in ("clip", "group", "label")})
    facts = facts.assign(**{key: rows.index.get_level_values(key) for key in ("fold", "seed")})
    right = facts.assign(right=scores.argmax(axis=1) == targets).pivot(index="clip", columns="seed", values="right")
    summary = run_folder.read_summary(folder)
    return Run(
        name=name,
        environment=run_folder.read_environment(folder),
        title=summary.title,
        reasons=summary.why_not_comparable,
        threads=tuple(sorted({count for cell in run_folder.threads(folder) for count in cell.threads})),
        rows=rows,
        table=facts.drop_duplicates("clip").set_index("clip")[["fold", "group", "label"]].loc[right.index],
        right=right[list(dict.fromkeys(facts["seed"]))],
    )


def _reasons(runs: Sequence[Run]) -> list[str]:
    """The facts in which the runs differ, a line each; scored predictions are of a data set, not of its sounds."""
    lines, trained = [], [run for run in runs if not run.environment.scored]
    for fact, of, value in (
        ("data sets", runs if trained != runs else [], lambda run: run.environment.data.name),
        ("protocols", trained, lambda run: run.environment.protocol),
        ("data", trained, lambda run: f"{run.environment.data.name}, manifest {run.environment.data.manifest[:12]}"),
        ("test folds", trained, lambda run: ", ".join(run.environment.test_folds)),
    ):
        owners: dict[str, list[str]] = {}
        for run in of:
            owners.setdefault(value(run), []).append(run.name)
        if len(owners) > 1:
            lines.append(f"different {fact}: " + " against ".join(f"{v} ({listed(n)})" for v, n in owners.items()))
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
    # A run that hubbub trained may know better which clips are of one recording.
    first = next((run for run in runs if not run.environment.scored), runs[0])
    table = first.table.loc[shared]
    for run in runs:
        other = run.table.loc[shared, "label"] != table["label"]
        if other.any():
            clip = shared[other][0]
            raise CompareError(
                f"clip {clip} is '{table['label'][clip]}' in {first.name} and '{run.table['label'][clip]}' in "
                f"{run.name}: runs with different truths cannot be compared."
            )
    return table


def _figures(runs: Sequence[Run], table: pd.DataFrame, reasons: Sequence[str]) -> Comparison:
    right = {run.name: run.right.loc[table.index].astype(float) for run in runs}
    shares = {name: seeds.mean(axis=1).to_numpy() for name, seeds in right.items()}
    runs = sorted(runs, key=lambda run: -shares[run.name].mean())
    names = list(combinations([run.name for run in runs], 2))
    columns = [shares[first] - shares[second] for first, second in names]
    draws = significance.resample(np.stack(columns, axis=1), table["group"], RESAMPLES)
    resampled = [None] * len(columns) if draws is None else list(draws.T)
    folds = table["fold"] if all(run.table.loc[table.index, "fold"].equals(table["fold"]) for run in runs) else None
    clips = runs[0].environment.data.clips
    pairs = [
        _pair((first, right[first]), (second, right[second]), differences, folds, clips)
        for (first, second), differences in zip(names, resampled, strict=True)
    ]
    _adjust(pairs)
    groups = int(table["group"].nunique())
    return Comparison(
        comparable=not reasons,
        why_not_comparable=list(reasons),
        warnings=_warnings(runs, reasons, groups) + _only_over_recordings(pairs),
        protocols=list(dict.fromkeys(run.environment.protocol for run in runs)),
        data=list(dict.fromkeys(run.environment.data.name for run in runs)),
        clips=len(table),
        recordings=groups,
        resamples=RESAMPLES,
        runs=[
            ComparedRun(
                name=run.name,
                recipe=run.title,
                seeds=run.right.columns.tolist(),
                standing=_standing(run.name, runs[0].name, pairs),
                clip=level_figures(run.rows[run.rows["clip"].isin(table.index)], run.environment),
            )
            for run in runs
        ],
        pairs=pairs,
    )


def _pair(
    first: tuple[str, pd.DataFrame],
    second: tuple[str, pd.DataFrame],
    differences: npt.NDArray[np.float64] | None,
    folds: pd.Series | None,
    clips: int,
) -> Pair:
    """Two runs' difference and its tests; `first` and `second` are a name and what was right, `[clips, seeds]`."""
    (first_name, first_right), (second_name, second_right) = first, second
    difference = first_right.mean(axis=1) - second_right.mean(axis=1)
    # McNemar's test is about two sets of decisions: of several seeds, the first.
    only_first, only_second, p = significance.mcnemar(
        first_right.iloc[:, 0].to_numpy() > 0, second_right.iloc[:, 0].to_numpy() > 0
    )
    by_fold = {} if folds is None else difference.groupby(folds, sort=False).mean().round(12).to_dict()
    tested = clips if folds is None else len(folds) / folds.nunique()
    ratio = tested / max(clips - tested, 1)
    p_values = {
        "bootstrap": None if differences is None else significance.p_value(differences),
        "mcnemar": p,
        "corrected_t": significance.corrected_t(list(by_fold.values()), ratio),
        "wilcoxon": significance.wilcoxon(list(by_fold.values())),
    }
    interval = None if differences is None else significance.interval(differences)
    return Pair(
        difference=float(difference.mean()),
        ci95=(interval[0], interval[1]) if interval else None,
        only_first=only_first,
        only_second=only_second,
        folds=by_fold,
        tests={name: None if value is None else PairTest(p=value) for name, value in p_values.items()},
        first=first_name,
        second=second_name,
    )


def _adjust(pairs: Sequence[Pair]) -> None:
    """Sets Holm's adjustment of each test over all pairs, and each pair's verdict."""
    for name in TESTS:
        tests = [test for pair in pairs if (test := pair.tests[name]) is not None]
        for test, value in zip(tests, significance.holm([test.p for test in tests]), strict=True):
            test.p_holm = float(value)
    for pair in pairs:
        decisive = pair.tests["bootstrap"]
        pair.within_noise = None if decisive is None else decisive.p_holm >= LEVEL


def _standing(name: str, best: str, pairs: Iterable[Pair]) -> str:
    if name == best:
        return "highest"
    noise = next(pair.within_noise for pair in pairs if (pair.first, pair.second) == (best, name))
    return {True: "within noise of the highest", False: "behind", None: "not known"}[noise]


def _warnings(runs: Sequence[Run], reasons: Sequence[str], groups: int) -> list[str]:
    lines = [f"NOT COMPARABLE: {reason}" for reason in reasons]
    owners: dict[str, list[str]] = {}
    for run in runs:
        for reason in [*run.reasons, *run.environment.data.warnings]:
            owners.setdefault(reason, []).append(run.name)
    lines += [f"{line} ({'all runs' if len(names) == len(runs) else listed(names)})" for line, names in owners.items()]
    counts: dict[str, list[str]] = {}
    for run in runs:
        if run.threads:  # heads and runs of earlier versions have none
            counts.setdefault(" and ".join(map(str, run.threads)), []).append(run.name)
    if len(counts) > 1:
        groups_of_runs = ", ".join(f"{count} ({listed(names)})" for count, names in counts.items())
        lines.append(
            f"DIFFERENT THREADS: trained with {groups_of_runs} processor threads, which may explain a part of the "
            "difference"
        )
    if groups < FEW_GROUPS:
        lines.append(f"FEW RECORDINGS: only {groups}; intervals are narrower and p-values smaller than they should be")
    if single := [run.name for run in runs if run.right.shape[1] == 1]:
        names = "all runs" if len(single) == len(runs) else listed(single)
        lines.append(f"ONE SEED: the spread over repeated trainings is not measured ({names})")
    return lines


def _only_over_recordings(pairs: Sequence[Pair]) -> list[str]:
    """The warning about pairs whose difference is significant over recordings, but not over folds."""
    doubted = [
        f"{pair.name} (corrected t, p {test.p_holm:.3f})"
        for pair in pairs
        if pair.within_noise is False and (test := pair.tests["corrected_t"]) is not None and test.p_holm >= LEVEL
    ]
    return [f"NOT SEEN OVER FOLDS: more than noise over recordings alone: {examples(doubted)}"] if doubted else []


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
