"""The README and the docs say what is there: files, commands, figures."""

import re
from pathlib import Path

import pytest

from hubbub.config.recipe import shipped
from hubbub.experiment import suite

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_tree_names_every_module_and_no_other() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## The tree")[1]
    named = set(re.findall(r"^      (\S+\.py) ", tree, re.MULTILINE))
    skipped = {"__main__.py", *(f"{room}/__init__.py" for room in ("augment", "data", "features", "models", "serve"))}
    there = {p.relative_to(ROOT / "hubbub").as_posix() for p in (ROOT / "hubbub").rglob("*.py")}
    assert named == there - skipped


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_and_recipe_in_the_docs_exists(page: Path) -> None:
    from hubbub.cli.data import app as data_app
    from hubbub.cli.hub import app as hub_app
    from hubbub.cli.main import app

    commands = {c.name or c.callback.__name__ for c in app.registered_commands} | {"data"}
    data = {c.name for c in data_app.registered_commands}
    hub = {f"hub {c.name}" for c in hub_app.registered_commands}
    text = page.read_text(encoding="utf-8")
    for command, word in re.findall(r"^\s*(?:\$ )?hubbub (\w[\w-]*) ?((?:hub )?\S*)", text, re.MULTILINE):
        assert command in commands
        if command == "data":
            assert word in data | hub
        if command in ("bench", "train") and not word.endswith(".toml"):
            assert word in shipped() or (command == "bench" and word in suite.shipped())
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / target).exists(), target


def test_the_test_command_of_the_readme_is_what_ci_runs() -> None:
    assert "    make test " in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
