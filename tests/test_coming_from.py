"""docs/coming-from.md: every command, option, recipe and setting in its tables exists."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter

from hubbub.config.augment import Augment
from hubbub.config.recipe import Recipe
from hubbub.config.sections import Section
from hubbub.experiment import suite
from hubbub.runtime import catalogue
from tests.helpers.command_line import parsed

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
SYSTEMS = dict(re.findall(r"^## ([A-E])\. .*?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
SECTIONS = {name for name in Recipe.model_fields if name not in ("title", "quick")}


def rows_of(system: str) -> list[tuple[str, str]]:
    """The two cells of each row of a system's table."""
    return re.findall(r"^\| (.+?) \| (.+) \|$", SYSTEMS[system], re.MULTILINE)[1:]


def _spans() -> list[str]:
    """What the right cells of all tables name in code letters."""
    return sorted(
        {span for system in SYSTEMS for _, ours in rows_of(system) for span in re.findall(r"`([^`]+)`", ours)}
    )


SUITES = suite.shipped()
COMMANDS = [span for span in _spans() if span.startswith("hubbub ")]
SETTINGS = [span for span in _spans() if span.partition(".")[0] in SECTIONS and "/" not in span]


@cache
def _models(section: str) -> dict[str, Any]:
    model = Recipe.model_fields[section].annotation
    kinds = [model, *getattr(model, "__args__", ())]
    return next(k for k in kinds if isinstance(k, type) and issubclass(k, Section)).model_fields


def _field(dotted: str) -> Any:
    """The field `section.field`, or `augment.gain.db`; `KeyError` where there is none."""
    section, name, *rest = dotted.split(".")
    field = _models(section)[name]
    for part in rest:
        kind = next(k for k in field.annotation.__args__ if isinstance(k, type) and issubclass(k, Section))
        field = kind.model_fields[part]
    return field


def test_every_system_has_a_table_with_two_filled_cells_a_row() -> None:
    assert sorted(SYSTEMS) == list("ABCDE")
    for system in SYSTEMS:
        rows = rows_of(system)
        assert len(rows) > 20
        assert all(theirs.strip() and ours.strip(" -") for theirs, ours in rows)
        assert len({theirs for theirs, _ in rows}) == len(rows), "one row for each of their things"


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one_that_the_command_line_takes(line: str) -> None:
    command, given = parsed(line)
    for name in given.get("names") or [given.get("recipe", "")]:
        if name in SUITES and command == "bench":
            continue
        if name and not str(name).endswith(".toml"):
            Recipe.load(name, given.get("settings") or [])


@pytest.mark.parametrize("said", SETTINGS)
def test_every_setting_exists_and_may_have_the_value_that_is_named(said: str) -> None:
    dotted, equals, value = (part.strip() for part in said.partition("="))
    field = _field(dotted)
    if not equals:
        return
    if value.endswith(' s"'):  # seconds, which the recipe's rate makes samples
        held = Recipe.load("us8k-yamnet-lgbm", [f"{dotted}={value}"])
        assert dict(held.windows)[dotted.partition(".")[2]] == float(value.strip('"').split()[0]) * held.audio.rate_hz
        return
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    TypeAdapter(kind).validate_python(tomllib.loads(f"v = {value}")["v"])


def test_every_download_that_is_named_is_in_the_catalogue() -> None:
    for line in COMMANDS:
        if found := re.match(r"hubbub data get (\S+)$", line):
            assert found[1] in catalogue.ASSETS


def test_every_augmentation_of_a_recipe_is_named() -> None:
    """Nothing that [augment] offers for the five systems is left out of the tables."""
    recipes = ("us8k-esresnext", "us8k-audioclip", "us8k-resnet18", "esc50-resnet50", "emodb-resnet50")
    used = {name for recipe in recipes for name in Augment.model_fields if getattr(Recipe.load(recipe).augment, name)}
    named = {span.split(".")[1] for span in SETTINGS if span.startswith("augment.")}
    assert used <= named


def test_every_figure_file_that_is_named_is_one_that_a_run_leaves() -> None:
    guide = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8").replace("{val,test}", "test")
    for span in _spans():
        if span.startswith(("CELL/", "RUN/")):
            name = span.rstrip("/").rpartition("/")[2].replace("_val.", "_test.")
            assert name in guide or name in guide.replace("{best,last}", "best") or name == "last.ckpt", span
