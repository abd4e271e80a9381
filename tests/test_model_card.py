"""docs/model-card.md shows the figures of docs/results/, and the shipped file is the one that they are about."""

import json
import runpy
import shutil
from pathlib import Path

import pandas as pd
import pytest

from hubbub.classifier.saved import read_card
from hubbub.runtime import files

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "docs" / "results", ROOT / "docs" / "model-card.md"
SHIPPED = ROOT / "hubbub" / "models" / "shipped" / "small"
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(ROOT / "docs"))
    MAKE = runpy.run_path(str(ROOT / "docs" / "make_card.py"), run_name="make_card")


def test_the_card_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == MAKE["page"](text), "docs/results/ has changed: run make docs"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Rows of `small`, made from those of YAMNet."""
    for name, other in (("esc50-small", "esc50-yamnet"), ("emodb-small", "emodb-yamnet")):
        row = json.loads((RESULTS / f"{other}.json").read_text())
        files.write_json(tmp_path / f"{name}.json", row | {"recipe": name, "command_seconds": 7200.0})
    shutil.copy(RESULTS / "esc50-yamnet.csv.gz", tmp_path / "esc50-small.csv.gz")
    shutil.copy(RESULTS / "emodb-yamnet.json", tmp_path)
    rates = [{"sounds": "mains hum", "count": 50, "unknown": 0.98}]
    files.write_json(tmp_path / "small-unknown.json", {"model": "small", "date": "2026-11-27", "rates": rates})
    return tmp_path


def test_each_figure_of_the_rows_stands_in_the_card(results: Path) -> None:
    text = MAKE["figures"](results)
    decided = pd.read_csv(results / "esc50-small.csv.gz")
    assert "| all | 0.8760 +- 0.0164 | 0.8712 |" in text
    assert "| mains hum | 50 | 0.980 |" in text
    assert "| EmoDB, 2 s | `emodb-yamnet` | 0.6141 +- 0.0701 |" in text
    assert f"| 2.00 | {2 * MAKE['WATTS'] / 1000:.3f} |" in text
    own = decided[decided["label"] == "rooster"]
    assert f"| rooster | {len(own)} | {(own['predicted'] == 'rooster').mean():.3f} |" in text
    assert all(f"| {label} | " in text for label in decided["label"].unique())


def test_what_is_not_measured_has_no_table(tmp_path: Path) -> None:
    assert MAKE["figures"](tmp_path) == ""


def test_the_shipped_file_is_the_one_that_was_measured_and_holds_the_card() -> None:
    row, card = json.loads((RESULTS / "esc50-small.json").read_text()), read_card(SHIPPED)["card"]
    assert f"clip accuracy {row['clip']['accuracy']['mean']:.4f}" in card["evaluated"]
    assert row["protocol"] in card["evaluated"]
    text = PAGE.read_text(encoding="utf-8")
    within = slice(text.index(MAKE["BEGIN"]), text.index(MAKE["END"]))
    assert text[within] in card["model_card"], "the file holds other figures: run benchmarks.ship again"
    assert {"us8k-small.json", "emodb-small.json", "small-unknown.json"} <= {file.name for file in RESULTS.iterdir()}
