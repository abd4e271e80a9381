"""Suites: several recipes over the same folds and seeds, run as one grid.

A suite is a TOML file with `title`, `recipes` and optionally `seeds` and `folds`, which override the recipes' own. Each
recipe has its own run folder below the suite's.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, ValidationError

from hubbub.config import recipe
from hubbub.config.other_names import explain_name
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.config.sections import Distinct, Section, Seed
from hubbub.config.settings import as_setting, read_toml
from hubbub.config.titles import data_title
from hubbub.data.open import with_data
from hubbub.errors import HubbubError, did_you_mean
from hubbub.experiment.prepare import Log
from hubbub.experiment.run import Ended
from hubbub.experiment.steps import RunPlan
from hubbub.report import run_folder
from hubbub.report.caveats import tags
from hubbub.report.compare import compare_runs
from hubbub.report.compare_page import write_comparison
from hubbub.report.headline import headline_metric
from hubbub.report.level_results import LevelName
from hubbub.runtime import files
from hubbub.runtime.escape import escape_table
from hubbub.runtime.names import safe_name

__all__ = ["Suite", "SuiteError", "is_suite", "overview", "runs_of", "shipped", "write_overview"]


class SuiteError(HubbubError):
    """A suite that cannot be read or names what does not exist."""


class Suite(Section):
    """Recipes, and the seeds and folds they are run over where those are not their own."""

    title: str = Field(description="one line for people")
    recipes: tuple[str, ...] = Field(min_length=1, description="shipped recipes' names, or TOML files beside the suite")
    seeds: Distinct[Seed] | None = Field(None, min_length=1, description="instead of the recipes' own")
    folds: Distinct[str] | None = Field(None, min_length=1, description="test folds, instead of all")
    optional: bool = Field(False, description="leave out recipes whose weights are not here and cannot be downloaded")


@cache
def shipped() -> Mapping[str, str]:
    """Names and titles of the suites in the package."""
    places = resources.files("hubbub.config").joinpath("recipes", "suites").iterdir()
    found = {p.name.removesuffix(".toml"): tomllib.loads(p.read_text(encoding="utf-8"))["title"] for p in places}
    return dict(sorted(found.items()))


def is_suite(name: str) -> bool:
    """Whether a name or TOML file is a suite; all others are recipes."""
    path = Path(name)
    if path.suffix != ".toml" or not os.path.isfile(path):
        return name in shipped()
    try:
        return "recipes" in read_toml(path.read_bytes(), name)
    except (RecipeError, OSError):
        return False  # reading it as a recipe reports what is wrong


def runs_of(
    names: Sequence[str],
    out: Path,
    *,
    name: str | None = None,
    settings: Sequence[str] = (),
    quick: bool = False,
    data: str | Path | None = None,
    sections: Mapping[str, Any] | None = None,
    log: Log = lambda line: None,
) -> list[RunPlan]:
    """The runs of recipes and suites by name or file, in `out`/RECIPE, or `out`/SUITE/RECIPE for those of a suite; in
    `out`/DATA-RECIPE or `out`/DATA-SUITE/RECIPE where `data` or `settings` name other data.

    `name` replaces the first part of a single recipe or suite. `settings` are `--set` settings for each recipe; they
    override the seeds and folds of a suite; `sections` replace those of a recipe, whose folder then ends in `-tuned`.
    Quick runs keep the seeds and folds of `[quick]`. `log` gets a line for each recipe that a suite leaves out. Raises
    `SuiteError` for an invalid suite and `RecipeError` for an invalid recipe.
    """
    if name is not None and len(names) > 1:
        raise SuiteError(f"--name names one run, and {len(names)} were given. Leave it out, or run one at a time.")
    _refuse_unknown([one for one in names if not is_suite(one)])
    found = []
    for one in names:
        place = out / run_folder.run_name(one, quick, name, "-tuned" if sections else "")
        if not is_suite(one):
            held = Recipe.load(one, with_data(one, data, settings, quick=quick), quick=quick, sections=sections)
            if name is None and _on_other_data(held, one, quick):
                place = _named_after_data(place, held)
            found.append(RunPlan(held, place, quick))
            continue
        suite, beside = _read(one), Path(one).parent
        own = [] if quick else _settings(suite)
        members = [str(beside / m) if m.endswith(".toml") else m for m in suite.recipes]
        _refuse_unknown(members, f"suite {one}: ")
        given = (*own, *settings)
        held_by = {m: Recipe.load(m, with_data(m, data, given, quick=quick), quick=quick) for m in members}
        if suite.optional:
            held_by = _with_weights(one, held_by, log)
        if name is None and any(_on_other_data(held, member, quick) for member, held in held_by.items()):
            place = _named_after_data(place, next(iter(held_by.values())))
        found += [RunPlan(held, place / run_folder.run_name(member), quick) for member, held in held_by.items()]
    return found


def _on_other_data(held: Recipe, name: str, quick: bool) -> bool:
    return held.data.name != Recipe.load(name, quick=quick).data.name


def _named_after_data(place: Path, held: Recipe) -> Path:
    return place.with_name(f"{safe_name(data_title(held.data.name))}-{place.name}")


def _with_weights(name: str, recipes: Mapping[str, Recipe], log: Log) -> dict[str, Recipe]:
    """The recipes whose weights are here or are downloaded now. Raises `SuiteError` where there are none."""
    from hubbub.models.weights import find_weights  # imports torch

    found = {}
    for member, held in recipes.items():
        try:
            find_weights(held)
        except HubbubError as error:
            log(f"left out: {member}: {error}")
        else:
            found[member] = held
    if not found:
        raise SuiteError(f"suite {name}: the weights of none of its recipes are here, for the reasons above.")
    return found


def _refuse_unknown(names: Sequence[str], where: str = "") -> None:
    """Raises `RecipeError` with all unknown names at once."""
    known = {*recipe.shipped(), *([] if where else shipped())}
    unknown = [n for n in names if n not in known and not n.endswith(".toml")]
    if unknown:
        what = "recipes" if where else "recipes or suites"
        near = {n: explain_name(n, Recipe) or did_you_mean(n, known) for n in unknown}
        lines = (f"'{n}' is none of the shipped {what}, nor a .toml file. {near[n]}" for n in unknown)
        raise RecipeError(where + " ".join(lines))


def _read(name: str) -> Suite:
    path = Path(name)
    place = (
        path
        if path.suffix == ".toml"
        else resources.files("hubbub.config").joinpath("recipes", "suites", f"{name}.toml")
    )
    try:
        return Suite.model_validate(read_toml(place.read_bytes(), f"suite {name}"))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        why = did_you_mean(field, Suite.model_fields) if first["type"] == "extra_forbidden" else first["msg"]
        raise SuiteError(f"suite {name}: {field}: {why}") from error


def _settings(suite: Suite) -> list[str]:
    given = {"train.seeds": suite.seeds, "protocol.folds": suite.folds}
    return [as_setting(field, list(values)) for field, values in given.items() if values]


def overview(folders: Sequence[Path]) -> pd.DataFrame:
    """One row a run: its figures over folds and seeds, its duration, and its caveats; all as text. Where some runs are
    of label sets and others are not, each kind lacks the figures of the other ("-")."""
    return pd.DataFrame([_row(folder) for folder in folders]).fillna("-")


def _row(folder: Path) -> dict[str, str]:
    summary = run_folder.read_summary(folder)
    metric, name = headline_metric(summary.multilabel)

    def figure(level: LevelName, metric: str, part: str) -> str:
        value = getattr(summary.level(level).figure(metric), part)
        return "-" if value is None else f"{value:.4f}"

    return {
        "run": folder.name,
        "cells": str(len(summary.folds)),
        f"clip {name}": figure("clip", metric, "mean"),
        "sd folds": figure("clip", metric, "sd"),
        "sd seeds": figure("clip", metric, "sd_seeds"),
        "clip macro-F1": figure("clip", "macro_f1", "mean"),
        f"segment {name}": figure("segment", metric, "mean"),
        "minutes": f"{summary.seconds.minutes:.1f}" if summary.seconds else "-",
        "read first": tags(summary.why_not_comparable),
    }


def write_overview(folder: Path, ends: Sequence[Ended]) -> str:
    """Writes the suite's overview table and, where its runs can be compared, the comparison; describes both."""
    finished = [ended.run.folder for ended in ends if ended.summary]
    if not finished:
        return "no run was finished"
    table, page = folder / "overview.csv", folder / "comparison.html"
    files.write_csv(table, escape_table(overview(finished)))
    if len(finished) < 2:
        return f"table: {table}"
    try:
        write_comparison(compare_runs(finished), page)
    except HubbubError as error:
        return f"table: {table}   not compared: {error}"
    return f"table: {table}   comparison: {page}"
