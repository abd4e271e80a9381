"""Comparison of runs: which differences of clip accuracy or, of label sets, of macro mAP are more than noise?

The paired bootstrap over source recordings decides, adjusted for the number of pairs (Holm); the other tests of
`metrics.significance` are given beside it. Several seeds of a run are averaged clip by clip. Runs of different
protocols or data are refused, unless the caller insists; the result is then labelled NOT COMPARABLE.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from hubbub.config.recipe import Recipe
from hubbub.data.pretraining import overlap
from hubbub.errors import HubbubError, examples, listed
from hubbub.metrics import significance
from hubbub.report import run_folder
from hubbub.report.compare_results import ComparedNetwork, ComparedRun, Comparison, Pair, PairFigures, PairTest
from hubbub.report.compare_sets import describe_sets, macro_map, set_pairs
from hubbub.report.predicted import Thresholds, as_arrays, cell_thresholds, has_label_sets
from hubbub.report.results import Environment, Summary
from hubbub.report.summary import level_figures
from hubbub.report.verify import verify

__all__ = ["LEVEL", "RESAMPLES", "TESTS", "CompareError", "compare_runs"]

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

    By clip, `table` has `fold`, `group` and `label`, and `right` one column for each seed: was the decision right? For
    label sets, which are not right or wrong as a whole, it has none; `thresholds` are those of their clips.
    """

    name: str
    environment: Environment
    title: str
    reasons: list[str]
    threads: tuple[int, ...]
    rows: pd.DataFrame
    seeds: list[int]
    table: pd.DataFrame
    right: pd.DataFrame
    thresholds: Thresholds
    network: ComparedNetwork | None

    @property
    def multilabel(self) -> bool:
        """Whether clips may hold several classes, or none."""
        return has_label_sets(self.rows)


def compare_runs(folders: Sequence[Path], *, anyway: bool = False) -> Comparison:
    """All figures of a comparison, the best run first; `docs/compare.md` describes them.

    Raises `CompareError` for fewer than two runs, one run twice, a run that is not finished or whose summary does not
    follow from its predictions, runs of one label a clip beside runs of label sets, or of other classes than these,
    runs without a clip in common, and, unless `anyway`, runs of different protocols, data
    or test clips. With `anyway` the clips in common are compared and the result says NOT COMPARABLE.
    """
    runs = _load(folders)
    _refuse_mixed(runs)
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
    if sets := has_label_sets(rows):
        facts["label"] = describe_sets(rows).to_numpy()
    correct = np.nan if sets else scores.argmax(axis=1) == targets
    right = facts.assign(right=correct).pivot(index="clip", columns="seed", values="right")
    seeds = list(dict.fromkeys(facts["seed"]))
    summary, environment = run_folder.read_summary(folder), run_folder.read_environment(folder)
    return Run(
        name=name,
        environment=environment,
        title=summary.title,
        reasons=summary.why_not_comparable,
        threads=tuple(sorted({count for cell in run_folder.threads(folder) for count in cell.threads})),
        rows=rows,
        seeds=seeds,
        table=facts.drop_duplicates("clip").set_index("clip")[["fold", "group", "label"]].loc[right.index],
        right=right[[] if sets else seeds],
        thresholds=cell_thresholds(folder, "clip") if sets else {},
        network=_network(run_folder.read_recipe(folder), environment, summary),
    )


def _network(recipe: Recipe, environment: Environment, summary: Summary) -> ComparedNetwork | None:
    """The network of a run; None for predictions of another program."""
    if environment.scored:
        return None
    size, past = environment.size, overlap(recipe.network, environment.data.name)
    return ComparedNetwork(
        parameters=size.parameters if size else None,
        embedding=size.embedding if size else None,
        segment_s=recipe.windows.length / recipe.audio.rate_hz,
        segments_per_second=summary.segments_per_second,
        learnt_from=past.learnt_from,
        overlap=past.overlap,
        source=past.source,
    )


def _refuse_mixed(runs: Sequence[Run]) -> None:
    """Raises `CompareError` unless all runs have one label a clip, or all have label sets of the same classes."""
    sets, others = ([run.name for run in runs if run.multilabel == wanted] for wanted in (True, False))
    if sets and others:
        raise CompareError(
            f"the clips of {listed(sets)} have label sets and the clips of {listed(others)} have one label each: their "
            "figures are of different kinds and cannot be compared. Give runs of one kind."
        )
    classes = {run.name: set(as_arrays(run.rows)[2]) for run in runs if run.multilabel}
    for name, own in classes.items():
        if other := sorted(own ^ classes[runs[0].name]):
            raise CompareError(
                f"{runs[0].name} and {name} have different classes ({examples(other)}): their macro mAP are means over "
                "other classes and cannot be compared. Give runs of the same classes."
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
    folds = table["fold"] if all(run.table.loc[table.index, "fold"].equals(table["fold"]) for run in runs) else None
    if runs[0].multilabel:
        rows = {run.name: run.rows[run.rows["clip"].isin(table.index)] for run in runs}
        main = {name: macro_map(own) for name, own in rows.items()}
        if not np.isfinite(list(main.values())).all():
            raise CompareError(
                "the compared clips have no class that some of them hold and others do not: there is no macro mAP to "
                "compare. Give runs with more clips in common."
            )
        runs = sorted(runs, key=lambda run: -main[run.name])
        found = set_pairs({run.name: rows[run.name] for run in runs}, table["group"], folds, RESAMPLES)
    else:
        right = {run.name: run.right.loc[table.index].astype(float) for run in runs}
        runs = sorted(runs, key=lambda run: -right[run.name].mean(axis=1).to_numpy().mean())
        found = _accuracy_pairs({run.name: right[run.name] for run in runs}, table["group"], folds)
    tested = len(table) / folds.nunique() if folds is not None else runs[0].environment.data.clips
    pairs = [_pair(figures, tested / max(runs[0].environment.data.clips - tested, 1)) for figures in found]
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
                seeds=run.seeds,
                standing=_standing(run.name, runs[0].name, pairs),
                network=run.network,
                clip=level_figures(run.rows[run.rows["clip"].isin(table.index)], run.environment, run.thresholds),
            )
            for run in runs
        ],
        pairs=pairs,
    )


def _accuracy_pairs(right: Mapping[str, pd.DataFrame], groups: pd.Series, folds: pd.Series | None) -> list[PairFigures]:
    """The difference of clip accuracy of each pair of runs; `right` says what each had right, `[clips, seeds]`."""
    names = list(combinations(right, 2))
    shares = {name: seeds.mean(axis=1) for name, seeds in right.items()}
    differences = [shares[first] - shares[second] for first, second in names]
    draws = significance.resample(np.stack([d.to_numpy() for d in differences], axis=1), groups, RESAMPLES)
    resampled = [None] * len(names) if draws is None else list(draws.T)
    return [
        PairFigures(
            first,
            second,
            difference=float(difference.mean()),
            by_fold={} if folds is None else _by_fold(difference, folds),
            resampled=drawn,
            # McNemar's test is about two sets of decisions: of several seeds, the first.
            alone=significance.mcnemar(right[first].iloc[:, 0].to_numpy() > 0, right[second].iloc[:, 0].to_numpy() > 0),
        )
        for (first, second), difference, drawn in zip(names, differences, resampled, strict=True)
    ]


def _by_fold(difference: pd.Series, folds: pd.Series) -> dict[str, float]:
    means = difference.groupby(folds, sort=False).mean().round(12)
    return {str(fold): float(mean) for fold, mean in means.items()}


def _pair(figures: PairFigures, ratio: float) -> Pair:
    """Two runs' difference and its tests; `ratio` is that of test clips to training clips of a fold."""
    drawn, by_fold = figures.resampled, figures.by_fold
    p_values = {
        "bootstrap": None if drawn is None else significance.p_value(drawn),
        "mcnemar": None if figures.alone is None else figures.alone[2],
        "corrected_t": significance.corrected_t(list(by_fold.values()), ratio),
        "wilcoxon": significance.wilcoxon(list(by_fold.values())),
    }
    interval = None if drawn is None else significance.interval(drawn)
    return Pair(
        difference=figures.difference,
        ci95=(interval[0], interval[1]) if interval else None,
        only_first=None if figures.alone is None else figures.alone[0],
        only_second=None if figures.alone is None else figures.alone[1],
        folds=by_fold,
        tests={name: None if value is None else PairTest(p=value) for name, value in p_values.items()},
        first=figures.first,
        second=figures.second,
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
    if single := [run.name for run in runs if len(run.seeds) == 1]:
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
