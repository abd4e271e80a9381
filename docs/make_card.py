"""Writes the figures of docs/model-card.md from docs/results/: `python docs/make_card.py`, part of `make docs`.

What is not measured yet has no line in a table.
"""

import json
from pathlib import Path

import pandas as pd
from make_results import RESULTS, Row, rows

PAGE = Path(__file__).with_name("model-card.md")
BEGIN, END = "<!-- The figures are written by docs/make_card.py. -->\n", "<!-- End of the figures. -->\n"
FOLDS, BACKBONE = "esc50-small", ("us8k-small", "emodb-small")
#: Rows that stand beside those of `small` as a backbone.
BESIDE = ("us8k-yamnet-logreg", "us8k-street-cnn", "emodb-yamnet", "emodb-street-cnn")
#: What two busy cores of a server take, with their share of memory, power supply and cooling [W]: an assumption.
WATTS = 40


def figures(results: Path = RESULTS) -> str:
    """All tables of figures."""
    found = rows(results)
    parts = [_folds(found), _classes(results / f"{FOLDS}.csv.gz"), _backbone(found), _unknown(results), _spent(found)]
    return "\n".join(filter(None, parts))


def page(text: str, results: Path = RESULTS) -> str:
    """The page with the current figures between its two markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{figures(results)}\n{end}{after}"


def _table(title: str, heads: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    """A titled table; empty without lines."""
    shown = [heads, tuple("---" for _ in heads), *lines]
    return f"### {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in shown) if lines else ""


def _accuracy(row: Row) -> str:
    figure = row.clip["accuracy"]
    return f"{figure.mean:.4f}" + ("" if figure.sd is None else f" +- {figure.sd:.4f}")


def _folds(found: dict[str, Row]) -> str:
    if FOLDS not in found:
        return ""
    row = found[FOLDS]
    lines = [(one.fold, f"{one.clip['accuracy']:.4f}", f"{one.clip['macro_f1']:.4f}") for one in row.folds]
    lines.append(("all", _accuracy(row), f"{row.clip['macro_f1'].mean:.4f}"))
    return _table("ESC-50, five folds", ("test fold", "clip accuracy", "clip macro-F1"), lines)


def _classes(decided: Path) -> str:
    """Recall and precision of each class over the test clips of all folds, the weakest first."""
    if not decided.is_file():
        return ""
    table = pd.read_csv(decided, dtype=str)
    right = table[table["label"] == table["predicted"]].groupby("label").size()
    true, given = table.groupby("label").size(), table.groupby("predicted").size()
    counts = pd.DataFrame({"clips": true, "right": right, "given": given}).loc[true.index].fillna(0)
    counts = counts.assign(recall=counts["right"] / counts["clips"]).sort_values("recall", kind="stable")
    lines = [
        (str(name), f"{one.clips:.0f}", f"{one.recall:.3f}", f"{one.right / one.given:.3f}" if one.given else "-")
        for name, one in counts.iterrows()
    ]
    return _table("Each class, the weakest first", ("class", "clips", "recall", "precision"), lines)


def _backbone(found: dict[str, Row]) -> str:
    named = [found[name] for name in (*BACKBONE, *BESIDE) if name in found]
    named = sorted(named, key=lambda row: (row.data, -row.score)) if set(BACKBONE) & set(found) else []
    lines = [(row.task.removeprefix("small as a backbone: "), f"`{row.recipe}`", _accuracy(row)) for row in named]
    return _table("As a backbone: frozen, with a linear head", ("task", "recipe", "clip accuracy"), lines)


def _unknown(results: Path) -> str:
    path = results / "small-unknown.json"
    rates = json.loads(path.read_text(encoding="utf-8"))["rates"] if path.is_file() else []
    lines = [(rate["sounds"], str(rate["count"]), f"{rate['unknown']:.3f}") for rate in rates]
    return _table('How often it says "unknown"', ("sounds", "number", "share"), lines)


def _spent(found: dict[str, Row]) -> str:
    """Measured hours of the commands, and the energy that they stand for."""
    lines = []
    for row in (found[name] for name in (FOLDS, *BACKBONE) if name in found):
        seconds = row.command_seconds or (row.seconds.minutes * 60 if row.seconds else 0)
        lines.append((f"`{row.command}`", f"{seconds / 3600:.2f}", f"{seconds / 3600 * WATTS / 1000:.3f}"))
    return _table("Time and energy", ("command", "hours, measured", f"kWh, if {WATTS} W are assumed"), lines)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")
