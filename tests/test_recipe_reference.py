"""docs/recipe-reference.md is what the settings say of themselves."""

import runpy
from pathlib import Path

from hubbub.config.recipe import Recipe

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "recipe-reference.md"


def test_the_page_is_current() -> None:
    generated = runpy.run_path(str(DOCS / "make_reference.py"))["reference"]()
    assert PAGE.read_text(encoding="utf-8") == generated, "the descriptions have changed: run make docs"


def test_every_section_and_every_field_has_a_row_with_a_meaning() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, section in Recipe.model_fields.items():
        if name in ("title", "quick", "tune", "teacher"):
            continue
        table = text.split(f"## [{name}]\n")[1].partition("\n## ")[0]
        for field in section.annotation.model_fields:  # type: ignore[union-attr]
            row = next(line for line in table.splitlines() if line.startswith(f"| `{field}` |"))
            assert all(cell.strip() for cell in row.strip("|").split(" | ")), row
