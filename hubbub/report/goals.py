"""The goals table: System A's comparison, filled from finished runs."""

from pathlib import Path

import pandas as pd

from hubbub.config.recipe import Recipe
from hubbub.report import run_folder
from hubbub.report.caveats import tags
from hubbub.report.level_results import LevelName
from hubbub.report.summary import NAMES
from hubbub.runtime import files
from hubbub.runtime.escape import escape_markdown, escape_table

__all__ = ["goals_table", "write_goals"]

#: System A's goals and the recipes that pursue them.
GOALS = {
    "A1": "us8k-yamnet-lgbm",
    "A1-V5": "us8k-yamnet-ensemble",
    "A2": "us8k-esresnext",
    "A3": "us8k-audioclip",
}
_GOAL_ROWS = [
    *("run", "segment accuracy", "segment macro-F1", "clip accuracy", "clip macro-F1", "segments a second"),
    *("seconds of training", "best epoch", "trainable parameters", "trained here", "the goal trains", "GPU needed"),
    "read first",
]


def goals_table(runs: Path) -> pd.DataFrame:
    """System A's comparison table from the run folders in `runs`: a column a goal, a row a fact, all as text.

    A goal whose recipe has no finished run there says how to run it; a quick run stands in for a full one, marked.
    `GPU needed` is about the goal as its recipe has it, whatever was trained here.
    """
    return pd.DataFrame({goal: _goal(runs, recipe) for goal, recipe in GOALS.items()})


def _goal(runs: Path, recipe: str) -> pd.Series:
    done = [runs / name for name in (recipe, f"{recipe}-quick") if run_folder.is_finished(runs / name)]
    goal = Recipe.load(recipe)
    needed = {"the goal trains": _trained(goal), "GPU needed": "yes" if _fine_tunes(goal) else "no"}
    if not done:
        return pd.Series({"run": f"not yet: hubbub bench {recipe}"} | needed, index=_GOAL_ROWS).fillna("-")
    summary, settings = run_folder.read_summary(done[0]), run_folder.read_recipe(done[0])
    test = run_folder.read_result(run_folder.cells(done[0])[0][2])
    levels: tuple[LevelName, ...] = ("segment", "clip")
    facts = {
        f"{level} {NAMES[metric]}": f"{summary.level(level).figure(metric).mean:.4f}"
        for level in levels
        for metric in ("accuracy", "macro_f1")
    }
    trained, epoch = test.trainable_parameters, test.choice.get("epoch")
    facts |= {
        "run": done[0].name,
        "segments a second": "-" if summary.segments_per_second is None else f"{summary.segments_per_second:,.1f}",
        "seconds of training": "-" if summary.seconds is None else f"{summary.seconds.fit:,.0f}",
        "best epoch": "-" if epoch is None else str(epoch),
        "trainable parameters": "-" if trained is None else f"{trained:,}",
        "trained here": _trained(settings),
        "read first": tags(summary.why_not_comparable),
    }
    return pd.Series(facts | needed, index=_GOAL_ROWS)


def write_goals(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Writes the comparison of the goals as `goals.csv`, `goals.json` and `goals.md`; returns their paths.

    In CSV and JSON a goal is a row or an object, and its figures are numbers; Markdown is the table as it is printed.
    """
    paths = [folder / f"goals.{ending}" for ending in ("csv", "json", "md")]
    by_goal = {goal: {str(fact): _value(text) for fact, text in table[goal].items()} for goal in table.columns}
    rows = pd.DataFrame([{"goal": goal, **facts} for goal, facts in by_goal.items()], dtype=object)
    files.write_csv(paths[0], escape_table(rows))
    files.write_json(paths[1], by_goal)
    cells = [["", *table.columns], ["---"] * (1 + len(table.columns)), *map(list, table.itertuples())]
    lines = ["| " + " | ".join(escape_markdown(str(cell)) for cell in row) + " |" for row in cells]
    files.write_text(paths[2], "\n".join(lines) + "\n")
    return paths


def _value(text: str) -> str | float | int | None:
    """`1,024` -> 1024, `0.7440` -> 0.744, `-` -> None; any other text stays."""
    if text == "-":
        return None
    plain = text.replace(",", "")
    try:
        return int(plain) if plain.isdecimal() else float(plain)
    except ValueError:
        return text


def _fine_tunes(recipe: Recipe) -> bool:
    """Whether a recipe trains all layers of its network; `auto` does where there is an accelerator."""
    return recipe.head.name == "none" and recipe.network.mode != "head"


def _trained(recipe: Recipe) -> str:
    """What a recipe trains, in words."""
    if recipe.head.name != "none":
        return f"{recipe.head.name} on frozen {recipe.network.name}"
    return f"{'all layers' if _fine_tunes(recipe) else 'the head'} of {recipe.network.name}"
