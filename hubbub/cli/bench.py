"""`hubbub bench`: run recipes and suites, print their figures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from hubbub.cli.options import (
    Address,
    AllowLeaky,
    AllowMissing,
    Cpus,
    Debug,
    Device,
    Engine,
    Folds,
    Gpus,
    Jobs,
    Name,
    Out,
    Quick,
    Seeds,
    Settings,
    as_settings,
    err,
    log,
    out,
)
from hubbub.errors import HubbubError
from hubbub.runtime import distributed

if TYPE_CHECKING:
    from hubbub.experiment.run import Ended
    from hubbub.experiment.steps import RunPlan
    from hubbub.report.results import Summary

__all__ = ["bench", "exit_if_failed", "print_overview", "print_places", "print_results", "print_summary", "run_grid"]


def bench(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE...", help="Names of recipes or suites (hubbub recipes lists them), or TOML files."
        ),
    ],
    folds: Folds = None,
    seeds: Seeds = None,
    name: Name = None,
    quick: Quick = False,
    engine: Engine = "local",
    jobs: Jobs = None,
    address: Address = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="ray: URL that cells write to, if the machines do not share the run folders."),
    ] = None,
    allow_missing: AllowMissing = False,
    allow_leaky: AllowLeaky = False,
    settings: Settings = None,
    out_dir: Out = Path("runs"),
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Train and test recipes on all their folds and seeds; an interrupted run continues.

    Example: hubbub bench esc50-yamnet

    Example: hubbub bench esc50-attention --quick
    """
    from hubbub.experiment import suite
    from hubbub.report.run_folder import run_name

    extra = as_settings(settings, device, folds, seeds, allow_missing, allow_leaky)
    runs = suite.runs_of(names, out_dir, name=name, settings=extra, quick=quick)

    def run() -> "list[Ended]":
        from hubbub.experiment.run import run_all  # slow to import: after the recipes are checked

        if engine == "local":
            from hubbub.experiment.local import local_engine

            return run_all(runs, local_engine(runs, jobs, log), log)
        from hubbub.experiment import ray

        distributed.require_one_process("a grid with --engine ray")
        return run_all(runs, ray.Ray(address, cpus=cpus, gpus=gpus, storage=storage), log)

    ends = run_grid(runs, run)
    print_results(ends)
    for one in names:
        if suite.is_suite(one):
            place = out_dir / run_name(one, quick, name)
            out.print(suite.write_overview(place, [e for e in ends if e.run.folder.parent == place]), soft_wrap=True)
    exit_if_failed(ends, debug)


def run_grid(runs: "Sequence[RunPlan]", run: "Callable[[], list[Ended]]") -> "list[Ended]":
    """Calls `run` in the first process of those that `runs` need. Under torchrun all others work for it, and exit."""
    for one in runs:
        distributed.check_world_size(one.recipe.train.nodes, one.recipe.train.devices)
    with distributed.process_group(runs[0].recipe.train.nodes, runs[0].recipe.train.devices) as is_first_rank:
        if not is_first_rank:
            from hubbub.train.worker import run_worker

            run_worker()
            raise typer.Exit
        return run()


def exit_if_failed(ends: "Sequence[Ended]", debug: bool) -> None:
    """Prints what failed. Exits with status 2 where no run could begin, else with 1 where steps failed."""
    if _report_failures(ends, debug):
        none_started = all(ended.failed and ended.failed[0].step.kind == "begin" for ended in ends)
        raise typer.Exit(2 if none_started else 1)


def print_results(ends: "Sequence[Ended]") -> None:
    """Prints the figures of one finished run, or an overview of several."""
    finished = [ended for ended in ends if ended.summary]
    if len(finished) == 1 and finished[0].summary:
        print_summary(finished[0].summary)
        print_places(finished[0].run.folder)
    elif finished:
        print_overview([ended.run.folder for ended in finished])


def _report_failures(ends: "Sequence[Ended]", debug: bool) -> int:
    """Prints why steps failed on standard error; returns how many did."""
    failed = [(ended, done) for ended in ends for done in ended.failed]
    for ended, done in failed:
        error = done.error
        reason = (
            str(error) if isinstance(error, HubbubError) else f"{type(error).__name__}: {error} (--debug shows where)"
        )
        err.print(f"failed: {ended.run.folder}, {done.step}: {reason}", style="red", soft_wrap=True)
        if debug:
            err.print("".join(getattr(error, "__notes__", [])), soft_wrap=True)
    if failed:
        err.print("finished parts are kept; the same command tries the rest again")
    return len(failed)


def print_places(folder: Path) -> None:
    """Prints where a run's folder and page are."""
    from hubbub.report.run_folder import page_file

    out.print(f"run folder: {folder}   page: {page_file(folder)}")


def print_overview(folders: Sequence[Path]) -> None:
    """Prints one row for each run: clip accuracy, its spread, clip macro-F1, segment accuracy, minutes."""
    from hubbub.experiment import suite

    frame = suite.overview(folders)
    shown = frame.drop(columns=["cells", "read first"])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="accuracy and macro-F1 of clips, accuracy of segments")
    short = ("run", "clips", "sd folds", "sd seeds", "F1", "segm.", "min")
    for name, head in zip(shown.columns, short, strict=True):  # heads may wrap, figures may not
        table.add_column(head, min_width=max(map(len, frame[name])), overflow="fold")
    for row in shown.itertuples(index=False):
        table.add_row(*row)
    out.print(table)
    for reasons, runs in frame.groupby("read first", sort=False)["run"]:
        if reasons:
            out.print(f"{', '.join(map(str, runs))}: {reasons!s}", style="yellow", soft_wrap=True)


def print_summary(summary: "Summary") -> None:
    """Prints a run's figures: a row for each cell, then a row for each metric."""
    from hubbub.report.results import LEVELS
    from hubbub.report.summary import NAMES, fold_table

    out.print(f"\n{summary.recipe}", style="bold")
    out.print(summary.protocol)
    for reason in summary.why_not_comparable:
        out.print(reason, style="yellow", soft_wrap=True)
    frame = fold_table(summary)
    table = Table(*frame.columns)
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row))
    out.print(table)
    table = Table("figure", "level", "mean", "sd over folds", "sd over seeds", "pooled", "95 %")
    for level in LEVELS:
        for metric, name in NAMES.items():
            figure = summary.level(level).figure(metric)
            interval = " to ".join(f"{v:.4f}" for v in figure.ci95) if figure.ci95 else "-"
            values = (figure.mean, figure.sd, figure.sd_seeds, figure.pooled)
            table.add_row(name, level, *("-" if v is None else f"{v:.4f}" for v in values), interval)
    out.print(table)
