"""`hubbub bench` and `hubbub train`: run recipes and suites, or one split of a recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    Name,
    Out,
    Quick,
    Seeds,
    Settings,
    as_settings,
    err,
    finite,
    log,
    out,
)
from hubbub.errors import HubbubError
from hubbub.runtime import distributed

if TYPE_CHECKING:
    from hubbub.experiment.run import Ended
    from hubbub.report.results import Summary

__all__ = ["bench", "print_overview", "print_summary", "train"]


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
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, help="local: cells at once. Default: as many as keep the machine busy."),
    ] = None,
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
    for run in runs:
        distributed.check_world_size(run.recipe.train.nodes, run.recipe.train.devices)
    with distributed.process_group(runs[0].recipe.train.nodes, runs[0].recipe.train.devices) as is_first_rank:
        if not is_first_rank:
            from hubbub.train.worker import run_worker

            return run_worker()
        from hubbub.experiment.local import local_engine  # slow to import: after the recipes are checked
        from hubbub.experiment.run import run_all

        if engine == "local":
            where: Any = local_engine(runs, jobs, log)
        else:
            from hubbub.experiment import ray

            distributed.require_one_process("a grid with --engine ray")
            where = ray.Ray(address, cpus=cpus, gpus=gpus, storage=storage)
        ends = run_all(runs, where, log)
    _print_results([ended for ended in ends if ended.summary])
    for one in names:
        if suite.is_suite(one):
            place = out_dir / run_name(one, quick, name)
            out.print(suite.write_overview(place, [e for e in ends if e.run.folder.parent == place]), soft_wrap=True)
    if _report_failures(ends, debug):
        none_started = all(ended.failed and ended.failed[0].step.kind == "begin" for ended in ends)
        raise typer.Exit(2 if none_started else 1)


def _print_results(finished: "Sequence[Ended]") -> None:
    """Prints the figures of one run, or an overview of several."""
    if len(finished) == 1 and finished[0].summary:
        print_summary(finished[0].summary)
        _print_places(finished[0].run.folder)
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


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name (hubbub recipes) or a TOML file.")],
    fold: Annotated[
        str | None, typer.Option("--fold", help="The test fold, which is not used before the end. Default: the first.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of all random numbers.")] = 42,
    epochs: Annotated[int | None, typer.Option("--epochs", help="The most epochs.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", callback=finite, help="The largest learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Segments in a batch.")] = None,
    name: Name = None,
    quick: Quick = False,
    allow_missing: AllowMissing = False,
    allow_leaky: AllowLeaky = False,
    settings: Settings = None,
    out_dir: Out = Path("runs"),
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Train and test a recipe on one fold with one seed.

    Example: hubbub train street-cnn --fold 1 --epochs 5
    """
    from hubbub.config.recipe import Recipe, as_setting
    from hubbub.report.run_folder import run_name
    from hubbub.runtime.names import safe_name

    options = {"train.epochs": epochs, "train.learning_rate": lr, "train.batch_size": batch_size}
    extra = [f"{key}={value}" for key, value in options.items() if value is not None]
    extra = as_settings(settings, device, fold, str(seed), allow_missing, allow_leaky) + extra
    chosen = Recipe.load(recipe, extra, quick=quick)
    if chosen.protocol.kind in ("kfold", "logo") and not chosen.protocol.folds:
        from hubbub.data import splits
        from hubbub.data.open import open_clips

        fold = splits.make_splits(open_clips(chosen), chosen.protocol)[0].name
        chosen = Recipe.load(recipe, [*extra, as_setting("protocol.folds", [fold])], quick=quick)
    folder = out_dir / run_name(recipe, quick, name, f"-fold{safe_name(fold) if fold else ''}-seed{seed}")
    with distributed.process_group(chosen.train.nodes, chosen.train.devices) as is_first_rank:
        if not is_first_rank:
            from hubbub.train.worker import run_worker

            return run_worker()
        from hubbub.experiment.run import run_recipe  # slow to import: after the recipe is checked

        summary = run_recipe(chosen, folder, quick=quick, refit=False, log=log)
    print_summary(summary)
    _print_places(folder)


def _print_places(folder: Path) -> None:
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
