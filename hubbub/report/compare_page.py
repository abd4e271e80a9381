"""The page of a comparison: one HTML file that needs nothing but itself, and the tables that the command line prints.

What `compare` found, in words; it computes nothing. `templates/comparison.html` says how it looks.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hubbub.report import compare, page
from hubbub.report.compare import CompareError, in_words
from hubbub.report.page import Table
from hubbub.runtime import files

__all__ = ["headline", "pairs", "ranking", "write"]

#: What `compare.TESTS` are called.
NAMES = dict(zip(compare.TESTS, ("bootstrap p", "McNemar", "corrected t", "Wilcoxon"), strict=True))
VERDICTS = {True: "within noise", False: "more than noise", None: "not known"}


def write(result: Mapping[str, Any], out: Path) -> Path:
    """Write the page of `compare`'s result to `out`, beside it all figures as `.json`, and return `out`."""
    if out.suffix != ".html":
        raise CompareError(f"{out} is no name for a page: give one that ends in .html; the figures go beside it.")
    names = [run["name"] for run in result["runs"]]
    facts = {
        "title": in_words(names) if len(names) == 2 else f"{len(names)} runs compared",
        "result": result,
        "headline": headline(result),
        "warnings": [page.tagged(line) for line in result["warnings"]],
        "ranking": ranking(result),
        "pairs": pairs(result),
        "folds": _fold_table(result),
        "axis": _axis(result),
        "level": compare.LEVEL,
    }
    files.write_json(out.with_suffix(".json"), result)
    files.write_text(out, page.render("comparison.html", facts))
    return out


def headline(result: Mapping[str, Any]) -> str:
    """The comparison in a sentence; labelled where the runs are not comparable."""
    best, *others = result["runs"]
    highest = best["clip"]["accuracy"]["pooled"]
    equal = [r["name"] for r in others if r["clip"]["accuracy"]["pooled"] == highest]
    others = [r for r in others if r["name"] not in equal]
    near, behind = ([r["name"] for r in others if r["standing"].startswith(s)] for s in ("within", "behind"))
    said = "" if result["comparable"] else "NOT COMPARABLE: "
    if equal:
        said += f"{in_words([best['name'], *equal])} have the same clip accuracy"
        said += ", the highest" if others else ""
    else:
        said += f"{best['name']} has the highest clip accuracy"
    if near:
        said += f"; {in_words(near)} {'is' if len(near) == 1 else 'are'} within noise of {'them' if equal else 'it'}"
    if behind:
        said += f"; {in_words(behind)} {'is' if len(behind) == 1 else 'are'} behind by more than noise"
    if others and not near and not behind:
        said += "; all clips come from one source recording, so what is noise cannot be known"
    return f"{said}."


def ranking(result: Mapping[str, Any]) -> Table:
    """Every run, the highest first: its figures over the compared clips and where it stands."""
    rows = []
    for run in result["runs"]:
        figures = run["clip"]["accuracy"]
        spreads = (_number(figures[key]) for key in ("sd", "sd_seeds", "mean"))
        said = (_number(figures["pooled"]), _interval(figures["ci95"]), *spreads)
        macro = _number(run["clip"]["macro_f1"]["pooled"])
        rows.append((run["name"], run["standing"], *said, macro, str(len(run["seeds"]))))
    heads = (
        *("run", "standing", "clip accuracy", "95 %", "sd over folds", "sd over seeds", "mean of folds"),
        *("macro-F1", "seeds"),
    )
    return Table("The runs, the highest clip accuracy first", heads, rows, words=(1,))


def pairs(result: Mapping[str, Any]) -> Table:
    """Every pair: its difference, interval, verdict and the adjusted p of each test that could be made."""
    rows, made = [], [name for name in NAMES if any(pair["tests"][name] for pair in result["pairs"])]
    for pair in result["pairs"]:
        tests = (_p(pair["tests"][name]) for name in made)
        discordant = f"{pair['only_first']:,} : {pair['only_second']:,}"
        figures = (f"{pair['difference']:+.4f}", _interval(pair["ci95"], "+.3f"))
        rows.append(
            (f"{pair['first']} over {pair['second']}", VERDICTS[pair["within_noise"]], *figures, *tests, discordant)
        )
    heads = ("pair", "verdict", "difference", "95 %", *(NAMES[name] for name in made), "alone right")
    return Table("The pairs: differences of clip accuracy", heads, rows, words=(1,))


def _fold_table(result: Mapping[str, Any]) -> Table | None:
    """The difference in every fold; None where the runs have not the same folds."""
    folds = list(result["pairs"][0]["folds"])
    rows = [
        (f"{pair['first']} over {pair['second']}", *(f"{pair['folds'][fold]:+.4f}" for fold in folds))
        for pair in result["pairs"]
    ]
    return Table("Differences of clip accuracy in each test fold", ("pair", *folds), rows) if folds else None


def _axis(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each run's interval in hundredths of the width that they all share; nothing where there are none."""
    known = [(run["name"], run["clip"]["accuracy"]) for run in result["runs"] if run["clip"]["accuracy"]["ci95"]]
    ends = [end for _, figures in known for end in figures["ci95"]]
    if not ends or max(ends) == min(ends):
        return []
    low, wide = min(ends), max(ends) - min(ends)
    return [
        {"name": name, "said": f"{figures['pooled']:.4f} ({_interval(figures['ci95'])})"}
        | {
            key: round(2 + 96 * (value - low) / wide, 2)
            for key, value in zip(("left", "right", "at"), (*figures["ci95"], figures["pooled"]), strict=True)
        }
        for name, figures in known
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(ends: Sequence[float] | None, form: str = ".3f") -> str:
    return f"{ends[0]:{form}} to {ends[1]:{form}}" if ends else "-"


def _p(test: Mapping[str, float] | None) -> str:
    return "-" if test is None else "<0.001" if test["p_holm"] < 0.001 else f"{test['p_holm']:.3f}"
