"""The page of an audit: a folder with `index.html`, the pictures and the sounds beside it.

The template is `templates/audit.html`, the script `templates/audit.js`. The page's Content-Security-Policy allows this
script alone, by its hash. Names from data reach it as JSON, and it shows them as text.
"""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hubbub.errors import count
from hubbub.metrics import confident_learning, outliers
from hubbub.report.label_audit import AUDIT, REASONS, LabelAudit
from hubbub.report.page import render, split_tag
from hubbub.report.tables import Table
from hubbub.runtime import files
from hubbub.runtime.escape import escape_control

__all__ = ["PAGE", "write_audit_page"]

PAGE = "index.html"
_SCRIPT = Path(__file__).parent / "templates" / "audit.js"
#: Rows of a table that are shown; the CSV files have all.
_MOST = 30
#: Heads of columns of words; the others hold numbers.
_WORDS = {"and", "copy", "label", "label of the copy", "finding"}


def write_audit_page(folder: Path, found: LabelAudit, samples: Sequence[Mapping[str, Any]]) -> Path:
    """Writes the page into a folder that holds the files of `samples`, rows of `found.labels` with `picture`, `sound`,
    `seconds` and `played`; returns its path."""
    from markupsafe import Markup

    script = _SCRIPT.read_text(encoding="utf-8")
    facts = {
        "title": f"{found.name}: audit of the labels",
        "warnings": [split_tag(line) for line in found.notes],
        "found": found.lines,
        "multilabel": found.multilabel,
        "clips": len(samples),
        "parts": _parts(found),
        "data": _data(found, samples),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "share": confident_learning.SHARE,
        "confused": confident_learning.CONFUSED,
        "separated": confident_learning.SEPARATED,
        "neighbours": outliers.NEIGHBOURS,
        "far": outliers.FAR,
    }
    files.write_text(folder / PAGE, render("audit.html", facts))
    return folder / PAGE


def _data(found: LabelAudit, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the script reads: names as the data have them, and as they are shown."""
    clips = [_clip(row) for row in samples]
    listed = repr([(one["clip"], one["label"]) for one in clips])
    key = f"{found.name} {hashlib.sha256(listed.encode(errors='surrogatepass')).hexdigest()[:16]}"
    classes = [{"name": name, "shown": escape_control(name)} for name in found.classes_of_clips]
    return {"key": key, "classes": classes, "multilabel": found.multilabel, "clips": clips}


def _clip(row: Mapping[str, Any]) -> dict[str, Any]:
    names = {name: str(row[name]) for name in ("clip", "path", "label", "suggested", "picture", "sound")}
    times = {name: "" if math.isnan(row[name]) else f"{row[name]:g}" for name in ("start", "end")}
    shown = {name: escape_control(names[name]) for name in ("clip", "label", "suggested")}
    shown |= {"reason": REASONS[row["reason"]], "scores": _scores(row), "times": _times(row)}
    return {**names, **times, "labels": names["label"].split("; "), "shown": shown}


def _scores(row: Mapping[str, Any]) -> str:
    if math.isnan(row["score"]):
        return "" if math.isnan(row["quality"]) else f"quality {row['quality']:.3f}"
    other = row["suggested_score"]
    return f"probability {row['score']:.3f}" + ("" if math.isnan(other) else f", of the suggested label {other:.3f}")


def _times(row: Mapping[str, Any]) -> str:
    part = "" if math.isnan(row["start"]) else f" from {row['start']:g} to {row['end']:g} s"
    only = f", the first {row['played']:.0f} of {row['seconds']:.0f} s" if row["played"] < row["seconds"] else ""
    return part + only


def _parts(found: LabelAudit) -> list[dict[str, Any]]:
    """The sections of tables: id, title, a sentence and the table."""
    copies, far, classes = found.copies, found.outliers, found.classes[found.classes["suspects"] > 0]
    conflicting = f"{int(copies['conflicting'].sum()):,} with different labels"
    checked = [one for one in found.check.findings if one.severity != "note"]
    return [
        {
            "id": "copies",
            "title": "Copies of one sound",
            "words": f"{count(len(copies), 'pair')}, {conflicting}.",
            "table": _table(
                ("clip", "copy", "label", "label of the copy"),
                copies[["clip", "other", "label", "other_label"]].to_numpy(dtype=object).tolist(),
                "copies.csv",
            ),
        },
        {
            "id": "pairs",
            "title": "Classes that may be one",
            "words": f"{count(len(found.pairs), 'pair')} of classes that no head tells apart.",
            "table": _table(
                ("class", "and", "first taken for second", "second taken for first", "AUC"),
                [
                    (
                        str(one.first),
                        str(one.second),
                        f"{one.first_as_second:.0%}",
                        f"{one.second_as_first:.0%}",
                        f"{one.auc:.2f}",
                    )
                    for one in found.pairs.itertuples()
                ],
                "pairs.csv",
            ),
        },
        {
            "id": "by-class",
            "title": "Suspects by class",
            "words": f"{count(len(classes), 'class has', 'classes have')} likely wrong labels.",
            "table": _table(
                ("class", "clips", "recordings", "likely wrong", "share"),
                [
                    (label, f"{clips:,}", f"{recordings:,}", f"{wrong:,}", f"{share:.1%}")
                    for label, clips, recordings, wrong, share in classes.itertuples(index=False)
                ],
                "classes.csv",
            ),
        },
        {
            "id": "outliers",
            "title": "Outliers",
            "words": f"{count(len(far), 'clip')} far from their class and from all others.",
            "table": _table(
                ("clip", "label", "deviations above the median"),
                [(str(one.clip), str(one.label), f"{one.far:.1f}") for one in far.itertuples()],
                "outliers.csv",
            ),
        },
        {
            "id": "check",
            "title": "The files",
            "words": f"{count(len(checked), 'finding')} of hubbub data check. {found.check.told_by_file}",
            "table": _table(("severity", "finding"), [(one.severity, one.sentence) for one in checked], AUDIT),
        },
    ]


def _table(heads: tuple[str, ...], rows: Sequence[Sequence[str]], file: str) -> Table:
    """The first rows of a table that `file` has whole."""
    caption = f"The first {_MOST} of {len(rows):,}; {file} has all" if len(rows) > _MOST else f"Also in {file}"
    texts = tuple(at for at, head in enumerate(heads) if head in _WORDS)
    return Table(caption, heads, [tuple(map(str, row)) for row in rows[:_MOST]], texts)
