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
    Data,
    Debug,
    Device,
    Engine,
    Folds,
    From,
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
from hubbub.errors import HubbubError, count
from hubbub.runtime import distributed

if TYPE_CHECKING:
    from hubbub.experiment.run import Ended
    from hubbub.experiment.steps import RunPlan
    from hubbub.report.results import Summary

__all__ = [
    *(
        "bench",
        "exit_if_failed",
        "print_overview",
        "print_places",
        "print_results",
        "print_summary",
        "print_table",
        "print_tables",
    ),
    "run_grid",
]


Names = Annotated[
    list[str],
    typer.Argument(metavar="RECIPE...", help="Names of recipes or suites (hubbub recipes lists them), or TOML files."),
]
Storage = Annotated[
    str | None,
    typer.Option("--storage", help="ray: URL that cells write to, if the machines do not share the run folders."),
]


def bench(
    names: Names,
    data: Data = None,
    folds: Folds = None,
    seeds: Seeds = None,
    found: From = None,
    name: Name = None,
    quick: Quick = False,
    engine: Engine = "local",
    jobs: Jobs = None,
    address: Address = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = None,
    storage: Storage = None,
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

    Example: hubbub bench us8k-resnet18 --data UrbanSound8K

    Example: hubbub bench esc50-resnet18-final --from runs/esc50-resnet18-validation-tune
    """
    from hubbub.config.recipe import Recipe
    from hubbub.data.open import with_data
    from hubbub.experiment import suite
    from hubbub.experiment.carry_over import NOTHING, carry_over

    extra = as_settings(settings, device, folds, seeds, allow_missing, allow_leaky)
    carried = NOTHING
    if found:
        if len(names) > 1 or suite.is_suite(names[0]):
            raise HubbubError(f"--from {found}: its settings are for one recipe. Name one recipe.")
        carried = carry_over(found, Recipe.load(names[0], with_data(names[0], data, extra)), names[0])
    for line in carried.lines:
        log(line)
    runs = suite.runs_of(
        names, out_dir, name=name, settings=[*carried.settings, *extra], quick=quick, data=data,
        sections=carried.sections, log=log,
    )  # fmt: skip

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
    for place in dict.fromkeys(ended.run.folder.parent for ended in ends):
        if place != out_dir:  # a suite's
            out.print(suite.write_overview(place, [e for e in ends if e.run.folder.parent == place]), soft_wrap=True)
    exit_if_failed(ends, debug)


def run_grid(runs: "Sequence[RunPlan]", run: "Callable[[], list[Ended]]") -> "list[Ended]":
    """Calls `run` in the first process of those that `runs` need. Under torchrun all others work for it, and exit."""
    for one in runs:
        distributed.check_world_size(one.recipe.train.nodes, one.recipe.train.devices)
    with distributed.process_group(runs[0].recipe.train.nodes, runs[0].recipe.train.devices) as is_first_rank:
        if is_first_rank:
            return run()
        from hubbub.training.worker import run_worker

        run_worker()
    raise typer.Exit  # outside the block, which closes this process's connections first


def exit_if_failed(ends: "Sequence[Ended]", debug: bool) -> None:
    """Prints what failed. Exits with status 2 where no run could begin, else with 1 where steps failed.

    Raises the `HubbubError` that refused a single run before it had begun.
    """
    refused = ends[0].failed[0] if len(ends) == 1 and ends[0].failed else None
    if refused and refused.step.kind == "begin" and isinstance(refused.error, HubbubError):
        raise refused.error
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
    """Prints which steps failed on standard error; returns how many did. Each reason is printed once.

    Where several things run, the reasons were logged as the steps failed.
    """
    failed = [(ended, done) for ended in ends for done in ended.failed]
    for ended in ends:
        if not ended.failed:
            continue
        first, *others = ended.failed
        begun = first.step.kind != "begin"
        what = f"{ended.run.folder}, {first.step}" if begun else ended.run.folder.name
        what += f" and {len(others)} more" if others else ""
        reason = "the reason is above" if begun or len(ends) > 1 else first.reason
        err.print(f"failed: {what}: {reason}", style="red", soft_wrap=True)
    for _, done in failed:
        if debug:
            err.print("".join(getattr(done.error, "__notes__", [])), soft_wrap=True)
        elif not isinstance(done.error, HubbubError):
            err.print("--debug shows where the error occurred")
            break
    if any(done.step.kind != "begin" for _, done in failed):
        err.print("finished parts are kept; the same command tries the rest again")
    return len(failed)


def print_places(folder: Path) -> None:
    """Prints where a run's folder and page are."""
    from hubbub.report.run_folder import page_file

    out.print(f"page: {page_file(folder)}", soft_wrap=True)


def print_overview(folders: Sequence[Path]) -> None:
    """Prints one row for each run: clip accuracy with its interval, clip macro-F1, segment accuracy, minutes; runs of
    label sets in a table of their own, with macro mAP in place of accuracy."""
    from hubbub.report.caveats import tags
    from hubbub.report.headline import headline, headline_metric
    from hubbub.report.run_folder import read_summary

    summaries = {folder.name: read_summary(folder) for folder in folders}
    for multilabel in (False, True):
        rows = [
            (
                name,
                _number(headline(one)[1].mean),
                _interval(headline(one)[1].ci95),
                _number(one.clip.macro_f1.mean),
                _number(headline(one, "segment")[1].mean),
                f"{one.seconds.minutes:.1f}" if one.seconds else "-",
            )
            for name, one in summaries.items()
            if one.multilabel == multilabel
        ]
        metric, heads = headline_metric(multilabel)[1], ("run", "clips", "95 %", "F1", "segm.", "min")
        if rows:
            print_table(f"{metric} and macro-F1 of clips, {metric} of segments", heads, rows)
    to_read: dict[str, list[str]] = {}
    for name, one in summaries.items():
        to_read.setdefault(tags(one.why_not_comparable), []).append(name)
    for reasons, runs in to_read.items():
        if reasons:
            out.print(f"{', '.join(runs)}: {reasons}", style="yellow", soft_wrap=True)


def print_summary(summary: "Summary") -> None:
    """Prints a run's main figure with its interval, what belongs beside it, and the weakest classes."""
    from hubbub.report.caveats import tags
    from hubbub.report.headline import headline
    from hubbub.report.summary import describe_interval, weakest

    out.print(f"\n{summary.title}", style="bold", soft_wrap=True)
    (metric, main), folds = headline(summary), len({one.fold for one in summary.folds})
    interval = describe_interval(main, summary.recordings)
    out.print(
        f"clip {metric} {_number(main.mean)}" + (f", {interval}" if interval else ", no interval: one recording"),
        style="bold",
        soft_wrap=True,
    )
    of_segments = _number(headline(summary, "segment")[1].mean)
    others = [f"clip macro-F1 {_number(summary.clip.macro_f1.mean)}, segment {metric} {of_segments}"]
    others.append(count(folds, "test fold"))
    for spread, over in ((main.sd, "folds"), (main.sd_seeds, "seeds")):
        others += [f"sd over {over} {spread:.3f}"] if spread is not None else []
    out.print("; ".join(others), soft_wrap=True)
    if summary.why_not_comparable:  # the run logged them in full when they were found
        read_first = f"read first: {tags(summary.why_not_comparable)} (in full on the page)"
        out.print(read_first, style="yellow", soft_wrap=True)
    for line in summary.caveats:
        out.print(line, style="yellow", soft_wrap=True)
    if weak := weakest(summary):
        out.print(f"weakest: {weak}", soft_wrap=True)
    if summary.more_recordings:
        out.print(summary.more_recordings, soft_wrap=True)


def print_tables(summary: "Summary") -> None:
    """Prints a table of all figures of each level, of the classes, and of the cells, each within 80 columns."""
    from hubbub.report.headline import headline, metric_names
    from hubbub.report.level_results import LEVELS, SetClassScores
    from hubbub.report.summary import fold_table

    several = headline(summary)[1].sd_seeds is not None
    spreads = {"sd folds": "sd"} | ({"sd seeds": "sd_seeds"} if several else {})
    for level in LEVELS:
        figures = []
        for metric, name in metric_names(summary.multilabel).items():
            figure = summary.level(level).figure(metric)
            values = (figure.mean, *(getattr(figure, key) for key in spreads.values()), figure.pooled)
            figures.append((name, *map(_number, values), _interval(figure.ci95)))
        print_table(f"{level}s, all folds", (f"{level} figure", "mean", *spreads, "pooled", "95 %"), figures)
    if sets := [one for one in summary.classes if isinstance(one, SetClassScores)]:
        set_heads = ("class", "with", "without", "recordings", "AP", "F1", "recall", "threshold")
        set_rows = [
            (
                one.label,
                *(f"{number:,}" for number in (one.clips, one.without, one.recordings)),
                *(_number(value) for value in (one.average_precision, one.f1, one.recall, one.threshold)),
            )
            for one in sets
        ]
        print_table("classes, clips of all test folds with the class and without it", set_heads, set_rows)
    elif summary.classes:
        heads = ("class", "clips", "recordings", "F1", "recall", "95 % of recall")
        rows = [
            (
                one.label,
                f"{one.clips:,}",
                f"{one.recordings:,}",
                _number(one.f1),
                _number(one.recall),
                _interval(one.recall_ci95, 2),
            )
            for one in summary.classes
        ]
        print_table("classes, clips of all test folds", heads, rows)
    frame = fold_table(summary)
    cells = [
        tuple(_number(value) if isinstance(value, float) else str(value) for value in row)
        for row in frame.itertuples(index=False)
    ]
    short = "mAP" if summary.multilabel else "acc."
    cell_heads = ("test fold", "seed", f"clip {short}", "clip F1", f"segm. {short}", "segm. F1")
    print_table("test folds and seeds", cell_heads, cells)


def print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table whose first column alone may wrap."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=number > 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(ends: tuple[float, float] | None, decimals: int = 3) -> str:
    return "-" if ends is None else f"{ends[0]:.{decimals}f} to {ends[1]:.{decimals}f}"
