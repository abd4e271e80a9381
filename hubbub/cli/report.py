"""`hubbub report` and `hubbub compare`: the figures of runs, as tables and pages."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hubbub.cli import bench
from hubbub.cli.options import Debug, Out, err, out
from hubbub.errors import HubbubError

__all__ = ["compare", "report"]


def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="First compute the figures again from the predictions: do they agree?")
    ] = False,
    goals: Annotated[
        bool, typer.Option("--goals", help="System A's comparison: its four recipes, as far as they have been run.")
    ] = False,
    out_dir: Out = Path("runs"),
    debug: Debug = False,
) -> None:
    """Write a run's page again and print its figures.

    Example: hubbub report runs/demo
    """
    from hubbub.report import goals as goals_
    from hubbub.report import page
    from hubbub.report import summary as tables

    if not runs and not goals:
        raise HubbubError("name a run folder, for example: hubbub report runs/demo, or ask for --goals.")
    failed = False
    for folder in runs or []:
        if not os.path.isfile(folder / "summary.json"):
            raise HubbubError(
                f"{folder} has no summary.json: it is not a finished run. Give a run folder, or finish the run with "
                "hubbub bench."
            )
        bench.print_summary(tables.read_json(folder / "summary.json"))
        if verify and (differences := tables.verify(folder)):
            failed = True
            for line in differences:
                err.print(f"does not agree: {line}", style="red", soft_wrap=True)
            continue
        if verify:
            out.print("verified: summary.json agrees with the predictions")
        out.print(f"page: {page.write(folder)}")
    if len(runs or []) > 1:
        bench.print_overview(runs or [])
    if goals:
        frame = goals_.goals(out_dir)
        table = Table("", title="system A: UrbanSound8K, test fold 10 alone")
        for goal in frame.columns:
            table.add_column(goal, overflow="fold")
        for row in frame.itertuples():
            table.add_row(*row)
        out.print(table)
    if failed:
        raise typer.Exit(1)


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, two or more.")],
    page: Annotated[Path, typer.Option("--out", help="The page; all figures go beside it as .json.")] = Path(
        "comparison.html"
    ),
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare what is not comparable, on the clips in common, labelled so.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Which of several runs is better, and which differences are noise.

    Example: hubbub compare runs/esc50-yamnet runs/esc50-logreg
    """
    from hubbub.report import compare as room
    from hubbub.report import compare_page

    result = room.compare(runs, anyway=anyway)
    for line in result["warnings"]:
        out.print(line, style="yellow", soft_wrap=True)
    ranking = compare_page.ranking(result)
    table = Table(title=ranking.caption)
    for head in ranking.heads[:6]:
        table.add_column(head, overflow="fold", no_wrap=head == "run")
    for row in ranking.rows:
        table.add_row(*row[:6])
    out.print(table)
    pairs = compare_page.pairs(result)
    for name, verdict, difference, interval, *tests in pairs.rows:
        out.print(f"{name}: {difference} ({interval}), {verdict}", soft_wrap=True)
        said = ", ".join(f"{head} {test}" for head, test in zip(pairs.heads[4:], tests, strict=True))
        out.print(f"    {said}", soft_wrap=True)
    out.print(compare_page.headline(result), soft_wrap=True)
    out.print(f"page: {compare_page.write(result, page)}", soft_wrap=True)
