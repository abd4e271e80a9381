"""Names from data are only text, wherever people see them."""

import csv
import io
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.report import page, plots
from hubbub.report.tables import Table
from hubbub.runtime.escape import escape_cell, escape_control, escape_markdown, escape_table, single_line

#: What nobody should call a class, and people do.
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    r"$\frac{1}{$",
    "$x$",
    "_hidden",
    "[red]red[/red] :smile:",
    "\x1b[31mred\x1b[0m",
    "\u202egnp.wav",
    "a\x00b",
    "two\nlines\tand a tab",
    "=1+1",
    "\udcff",
)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            " =1",
            "\t=1",
            "\r=1",
            "\n=1",
            "\ta",
            "\rb",
            "\u3000\uff1d1",
            "\uff0b1",
            "\uff0d1",
            "\uff20a",
        ),
        *("\u200b=1", "\ufeff=1", "\x00=1", "\xa0-1", "-2+3+cmd|' /C calc'!A0", "\ufe621"),
    ],
)
def test_what_begins_a_formula_stands_behind_an_apostrophe(text: str) -> None:
    assert escape_cell(text).startswith("'") and escape_cell(text)[1:] == escape_control(text)


@pytest.mark.parametrize("text", ["", "-", "dog", "a=b", "'=1", "1-2", "a\n=1", "é", "犬", "_x", "#1", " dog"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert escape_cell(text) == text


def test_a_text_in_markdown_stays_in_its_cell_and_is_no_markup() -> None:
    assert escape_markdown("a|b\n<script>\x1b") == r"a\|b &lt;script>\x1b"
    assert escape_markdown("washing_machine, 0.5") == "washing_machine, 0.5"


def test_numbers_and_what_is_missing_stay_so_in_a_table() -> None:
    table = escape_table(
        pd.DataFrame({"=head": ["=1", "dog"], "score": [-0.5, float("nan")], "n": [-1, 2], "x": [None, "-"]})
    )
    found = list(csv.reader(io.StringIO(table.to_csv(index=False))))
    assert found == [["'=head", "score", "n", "x"], ["'=1", "-0.5", "-1", ""], ["dog", "", "2", "-"]]


@given(st.text())
def test_nothing_unseen_is_left(text: str) -> None:
    assert not re.search(
        r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", escape_control(text)
    )
    assert len(single_line(escape_control(text)).splitlines()) <= 1 or "\r" in text or "\n" in text
    escape_control(text).encode()


class Reader(HTMLParser):
    """What a browser would make of a page: its elements and attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_only_shows_them() -> None:
    def read(names: tuple[str, ...]) -> Reader:
        table = Table(names[0], names, [names, names], words=tuple(range(len(names))))
        facts: dict[str, Any] = {
            "title": names[0],
            "headline": names[1],
            "warnings": [(names[2], names[3])],
            "level": 0.05,
        }
        facts["axis"] = [{"name": names[5], "text": names[6], "left": 1, "right": 3, "at": 2}]
        facts |= {"ranking": table, "networks": table, "pairs": table, "folds": table, "result": RESULT}
        facts["sources"] = {names[7]: names[8]}
        reader = Reader()
        reader.feed(page.render("comparison.html", facts))
        return reader

    hostile, tame = read(HOSTILE), read(tuple("abcdefghijklmno"))
    assert hostile.tags == tame.tags
    assert hostile.attributes == tame.attributes
    for name in HOSTILE:
        assert escape_control(name) in hostile.text
    assert not set("\x1b\u202e\x00\udcff") & set(hostile.text)
    assert "'=1+1" in hostile.text


RESULT = {
    "clips": 10,
    "recordings": 3,
    "resamples": 100,
    "metric": "accuracy",
    "multilabel": False,
    "data": HOSTILE[:2],
    "protocols": HOSTILE[2:],
}


def test_a_terminal_is_shown_them_as_text() -> None:
    code = (
        "from rich.table import Table; from hubbub.cli.options import out, err; names = eval(input())\n"
        "table = Table(*names[:1], title=names[9]); [table.add_row(name) for name in names]\n"
        "[(out.print(name), err.print(name, style='red')) for name in names]; out.print(table)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=repr(HOSTILE).encode(),
        env={
            "FORCE_COLOR": "1",
            "TERM": "xterm-256color",
            "COLUMNS": "120",
            "PATH": "",
            "PYTHONPATH": ":".join(sys.path),
        },
        capture_output=True,
        check=True,
    )
    text = done.stdout.decode()
    assert "[red]red[/red] :smile:" in text and r"\x1b[31mred\x1b[0m" in text and r"\u202egnp.wav" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)  # rich's own colours
    assert "\x1b" not in plain and "\u202e" not in plain and "\x00" not in plain
    assert "\x1b[31mred" not in text
    assert r"\x1b[31mred\x1b[0m" in done.stderr.decode()


def test_pictures_show_them_as_they_are(tmp_path: Path) -> None:
    """Whatever classes are called, the pictures are drawn; a name that looks like a formula is drawn as a text."""
    rng, count = np.random.default_rng(0), len(HOSTILE)
    targets = np.arange(4 * count) % count
    scores = rng.dirichlet(np.ones(count), len(targets)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*legend.*")
        plots.confusion(targets, scores, HOSTILE, tmp_path / "confusion.png")
        plots.roc(targets, scores, HOSTILE, tmp_path / "roc.png")
        some = [0, 5, 6, 7, 9]
        kept = np.isin(targets, some)
        few = tuple(HOSTILE[k] for k in some)
        plots.roc(np.searchsorted(some, targets[kept]), scores[kept][:, some], few, tmp_path / "few.png")
        plots.importance(dict.fromkeys(HOSTILE, 1 / count), tmp_path / "importance.png")
        times, hz = np.arange(4) / 10, np.linspace(0, 8000, 5)
        for name in HOSTILE:
            plots.heatmap(
                -np.ones((5, 4), np.float32), np.ones((5, 4), np.float32), times, hz, tmp_path / "h.png", name
            )
    assert len(list(tmp_path.iterdir())) == 5
