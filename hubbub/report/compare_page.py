"""The page of a comparison, one self-contained HTML file, and the tables that the command line prints.

The template is `templates/comparison.html`. This module computes no figures.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubbub.errors import listed
from hubbub.report import compare
from hubbub.report.compare import CompareError
from hubbub.report.compare_results import Comparison, PairTest
from hubbub.report.page import render, split_tag
from hubbub.report.tables import Table
from hubbub.runtime import files

__all__ = ["headline", "network_table", "pair_table", "ranking_table", "write_comparison"]

#: The names of `compare.TESTS`.
NAMES = dict(zip(compare.TESTS, ("bootstrap p", "McNemar", "corrected t", "Wilcoxon"), strict=True))
VERDICTS = {True: "within noise", False: "more than noise", None: "not known"}


def write_comparison(result: Comparison, out: Path) -> Path:
    """Writes the page of a comparison to `out` and all its figures as `.json` beside it, and returns `out`."""
    if out.suffix != ".html":
        raise CompareError(f"{out} is not a page's name: it must end in .html. The figures are written beside it.")
    names = [run.name for run in result.runs]
    facts = {
        "title": listed(names) if len(names) == 2 else f"{len(names)} runs compared",
        "result": result,
        "headline": headline(result),
        "warnings": [split_tag(line) for line in result.warnings],
        "ranking": ranking_table(result),
        "networks": network_table(result),
        "sources": {run.name: run.network.source for run in result.runs if run.network and run.network.source},
        "pairs": pair_table(result),
        "folds": _fold_table(result),
        "axis": _axis(result),
        "level": compare.LEVEL,
    }
    files.write_json(out.with_suffix(".json"), result.as_json())
    files.write_text(out, render("comparison.html", facts))
    return out


def headline(result: Comparison) -> str:
    """The comparison in a sentence; labelled where the runs are not comparable."""
    best, *others = result.runs
    highest = best.main.pooled
    equal = [run.name for run in others if _is_equal(run.main.pooled, highest)]
    others = [run for run in others if run.name not in equal]
    near, behind = ([run.name for run in others if run.standing.startswith(s)] for s in ("within", "behind"))
    text = "" if result.comparable else "NOT COMPARABLE: "
    if equal:
        text += f"{listed([best.name, *equal])} have the same clip {result.metric}"
        text += ", the highest" if others else ""
    else:
        text += f"{best.name} has the highest clip {result.metric}"
    if near:
        text += f"; {listed(near)} {'is' if len(near) == 1 else 'are'} within noise of {'them' if equal else 'it'}"
    if behind:
        text += f"; {listed(behind)} {'is' if len(behind) == 1 else 'are'} behind by more than noise"
    if others and not near and not behind:
        text += "; all clips come from one source recording, so the noise cannot be estimated"
    return f"{text}."


def _is_equal(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and math.isclose(one, other, abs_tol=1e-12))


def ranking_table(result: Comparison) -> Table:
    """Every run, the highest first: its figures over the compared clips and its standing."""
    rows = []
    for run in result.runs:
        main = run.main
        figures = (_number(main.pooled), _interval(main.ci95))
        spreads = (_number(value) for value in (main.sd, main.sd_seeds, main.mean))
        macro = _number(run.clip.macro_f1.pooled)
        rows.append((run.name, run.standing, *figures, *spreads, macro, str(len(run.seeds))))
    heads = (
        *("run", "standing", f"clip {result.metric}", "95 %", "sd over folds", "sd over seeds", "mean of folds"),
        *("macro-F1", "seeds"),
    )
    return Table(f"The runs, the highest clip {result.metric} first", heads, rows, words=(1,))


def network_table(result: Comparison) -> Table | None:
    """The networks of the runs: what they cost, and what their weights had learnt from; None for predictions alone."""
    rows = []
    for run in result.runs:
        if (one := run.network) is None:
            continue
        speed = one.segments_per_second
        rows.append(
            (
                run.name,
                "-" if one.parameters is None else f"{one.parameters:,}",
                "-" if one.embedding is None else f"{one.embedding:,}",
                f"{one.segment_s:.3g}",
                "-" if speed is None else f"{speed:,.1f}",
                "-" if speed is None else f"{speed * one.segment_s:,.0f}",
                one.learnt_from,
                one.overlap,
            )
        )
    heads = (
        *("run", "parameters", "embedding", "segment [s]", "segments/s", "times real time"),
        *("weights learnt from", "overlap with these clips"),
    )
    return Table("The networks: cost, and what their weights knew", heads, rows, words=(6, 7)) if rows else None


def pair_table(result: Comparison) -> Table:
    """Every pair: difference, interval, verdict and the adjusted p of each test that could be computed."""
    rows, computed = [], [name for name in NAMES if any(pair.tests[name] for pair in result.pairs)]
    for pair in result.pairs:
        tests = (_p(pair.tests[name]) for name in computed)
        figures = (f"{pair.difference:+.4f}", _interval(pair.ci95, "+.3f"))
        alone = [] if result.multilabel else [f"{pair.only_first:,} : {pair.only_second:,}"]
        rows.append((pair.name, VERDICTS[pair.within_noise], *figures, *tests, *alone))
    decisions = [] if result.multilabel else ["alone right"]
    heads = ("pair", "verdict", "difference", "95 %", *(NAMES[name] for name in computed), *decisions)
    return Table(f"The pairs: differences of clip {result.metric}", heads, rows, words=(1,))


def _fold_table(result: Comparison) -> Table | None:
    """The difference in every fold; None where the runs do not have the same folds."""
    folds = list(result.pairs[0].folds)
    rows = [(pair.name, *(f"{pair.folds[fold]:+.4f}" for fold in folds)) for pair in result.pairs]
    return Table(f"Differences of clip {result.metric} in each test fold", ("pair", *folds), rows) if folds else None


def _axis(result: Comparison) -> list[dict[str, Any]]:
    """Each run's interval in per cent of the axis that all share; empty where there are no intervals."""
    known = [(run.name, run.main.pooled, ci95) for run in result.runs if (ci95 := run.main.ci95)]
    ends = [end for _, _, ci95 in known for end in ci95]
    if not ends or max(ends) == min(ends):
        return []
    low, width = min(ends), max(ends) - min(ends)
    return [
        {"name": name, "text": f"{pooled:.4f} ({_interval(ci95)})"}
        | {
            key: round(2 + 96 * (value - low) / width, 2)
            for key, value in zip(("left", "right", "at"), (*ci95, pooled), strict=True)
        }
        for name, pooled, ci95 in known
        if pooled is not None
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(ends: Sequence[float] | None, form: str = ".3f") -> str:
    return f"{ends[0]:{form}} to {ends[1]:{form}}" if ends else "-"


def _p(test: PairTest | None) -> str:
    return "-" if test is None else "<0.001" if test.p_holm < 0.001 else f"{test.p_holm:.3f}"
