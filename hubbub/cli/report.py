"""`hubbub report` and `hubbub compare`: tables and pages of runs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from hubbub.cli import bench
from hubbub.cli.options import Debug, Out, err, out
from hubbub.errors import HubbubError

if TYPE_CHECKING:
    import pandas as pd

    from hubbub.report.results import Summary

__all__ = ["compare", "report"]


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or folders of runs such as a suite's.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="First recompute the figures from the predictions and compare them.")
    ] = False,
    show_goals: Annotated[
        bool,
        typer.Option(
            "--goals", help="The comparison of system A: those of its four recipes that have been run; also as files."
        ),
    ] = False,
    out_dir: Out = Path("runs"),
    debug: Debug = False,
) -> None:
    """Write a run's page again and print its figures.

    Example: hubbub report runs/demo
    """
    from hubbub.report import run_folder
    from hubbub.report.goals import goals_table, write_goals
    from hubbub.report.page import write_page

    if not runs and not show_goals:
        raise HubbubError("name a run folder, for example: hubbub report runs/demo, or add --goals.")
    failed, folders = False, _finished_runs(runs or [])
    for folder in folders:
        summary = run_folder.read_summary(folder)
        bench.print_summary(summary)
        if folder in (runs or []):  # of a suite's runs, the tables are on their pages
            bench.print_tables(summary)
        if verify and not _agrees(folder, summary):
            failed = True
            continue
        out.print(f"page: {write_page(folder)}", soft_wrap=True)
    if len(folders) > 1:
        bench.print_overview(folders)
    if show_goals:
        _print_goals(frame := goals_table(out_dir))
        out.print(f"files: {', '.join(map(str, write_goals(frame, out_dir)))}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _agrees(folder: Path, summary: "Summary") -> bool:
    """Whether a run's figures are those of its predictions; prints which are not, what could not be compared, and which
    versions and what of the machine are others now."""
    from hubbub.experiment.run_events import verify_events
    from hubbub.report import run_folder
    from hubbub.report.verify import changes_since, has_other_intervals
    from hubbub.report.verify import verify as differences_of

    differences, left_out = differences_of(folder), []
    try:
        differences += verify_events(folder)
    except HubbubError as error:
        left_out.append(f"the figures of events, whose annotations cannot be read: {error}")
    if has_other_intervals(summary):
        left_out.append("the 95 % intervals, which an earlier version computed by another method")
    for line in differences:
        err.print(f"does not agree: {line}", style="red", soft_wrap=True)
    if not differences:
        out.print("verified: the summary agrees with the predictions")
    for line in left_out:
        out.print(f"not compared: {line}", soft_wrap=True)
    for line in changes_since(run_folder.read_environment(folder)):
        out.print(f"other than in the run: {line}", soft_wrap=True)
    return not differences


def _print_goals(frame: "pd.DataFrame") -> None:
    """Prints the comparison of the goals, within 80 columns; below it each goal's run and what to read first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="system A: UrbanSound8K, test fold 10 alone")
    table.add_column("", no_wrap=True)
    for goal in frame.columns:
        table.add_column(goal)
    for row in frame.drop(index=["run", "read first"]).itertuples():
        table.add_row(*row)
    out.print(table)
    for goal in frame.columns:
        run, first = str(frame.at["run", goal]), str(frame.at["read first", goal])
        out.print(f"{goal}: {run}", soft_wrap=True)
        if first not in ("", "-"):
            out.print(f"    read first: {first}", style="yellow", soft_wrap=True)


def _finished_runs(runs: list[Path]) -> list[Path]:
    """The finished runs in these folders: runs, or folders of runs such as a suite's. Raises `HubbubError`."""
    from hubbub.report import run_folder
    from hubbub.report.reading import SUMMARY

    found = []
    for folder in runs:
        if not (own := run_folder.finished_runs(folder)):
            what = f"it has no {SUMMARY}, nor has a folder in it" if os.path.isdir(folder) else "there is no folder"
            raise HubbubError(
                f"{folder} is not a finished run ({what}). Give a run folder, or a suite's; the command that began a "
                "run finishes it."
            )
        found += own
    return found


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, two or more.")],
    page: Annotated[
        Path, typer.Option("--out", help="The page; a .json file with all figures is written beside it.")
    ] = Path("comparison.html"),
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway", help="Compare runs that are not comparable, on the clips they share; the result says so."
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Compare runs: which is better, and which differences are only chance.

    Example: hubbub compare runs/esc50-yamnet runs/esc50-logreg
    """
    from hubbub.report.compare import compare_runs
    from hubbub.report.compare_page import headline, pair_table, ranking_table, write_comparison

    result = compare_runs(runs, anyway=anyway)
    for line in result.warnings:
        out.print(line, style="yellow", soft_wrap=True)
    ranking = ranking_table(result)
    table = Table(title=ranking.caption)
    for head in ranking.heads[:6]:
        table.add_column(head, overflow="fold", no_wrap=head == "run")
    for row in ranking.rows:
        table.add_row(*row[:6])
    out.print(table)
    pairs = pair_table(result)
    for name, verdict, difference, interval, *tests in pairs.rows:
        out.print(f"{name}: {difference} ({interval}), {verdict}", soft_wrap=True)
        results = ", ".join(f"{head} {test}" for head, test in zip(pairs.heads[4:], tests, strict=True))
        out.print(f"    {results}", soft_wrap=True)
    out.print(headline(result), soft_wrap=True)
    out.print(f"page: {write_comparison(result, page)}", soft_wrap=True)
