"""The command line: one function a command; parse, call, print. No logic lives here.

Exit status: 0 done, 1 some inputs failed, 2 unusable request.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hubbub import cli_bench, cli_classify, cli_data, cli_export, cli_hub, cli_listen, cli_serve, cli_tune, ranks
from hubbub.cli_options import Debug, Device, Out, as_settings, err, out, say, say_warnings
from hubbub.errors import HubbubError
from hubbub.shown import spelt_out

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="From labelled recordings of sounds to a classifier one can trust. Start with: hubbub demo",
)
cli_data.app.add_typer(cli_hub.app, name="hub")
app.add_typer(cli_data.app, name="data")
app.command("bench")(cli_bench.bench)
app.command("train")(cli_bench.train)
app.command("tune")(cli_tune.tune)
app.command("classify")(cli_classify.classify)
app.command("lr-find")(cli_tune.lr_find)
app.command("export")(cli_export.export)
app.command()(cli_listen.listen)
app.command()(cli_serve.serve)


def _print_version(asked: bool) -> None:
    if asked:
        from hubbub import __version__

        out.print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before any command."""


@app.command()
def demo(out_dir: Out = Path("runs"), device: Device = None, debug: Debug = False) -> None:
    """The whole way once, on what is at hand: data, training, honest evaluation, report, a sound classified.

    Example: hubbub demo
    """
    from hubbub import demo as main_job

    main_job.run(out_dir, as_settings(None, device), say=say)


@app.command()
def recipes() -> None:
    """List the shipped recipes, and the suites of them.

    Example: hubbub recipes
    """
    from hubbub import recipe, suite

    for kind, titles in (("recipe", recipe.shipped()), ("suite", suite.shipped())):
        table = Table(kind, "what it is")
        for name, title in titles.items():
            table.add_row(name, title)
        out.print(table)


@app.command()
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
    from hubbub import page
    from hubbub import report as tables

    if not runs and not goals:
        raise HubbubError("name a run folder, for example: hubbub report runs/demo, or ask for --goals.")
    failed = False
    for folder in runs or []:
        if not os.path.isfile(folder / "summary.json"):
            raise HubbubError(
                f"{folder} has no summary.json: it is not a finished run. Give a run folder, or finish the run with "
                "hubbub bench."
            )
        cli_bench.print_summary(tables.read_json(folder / "summary.json"))
        if verify and (differences := tables.verify(folder)):
            failed = True
            for line in differences:
                err.print(f"does not agree: {line}", style="red", soft_wrap=True)
            continue
        if verify:
            out.print("verified: summary.json agrees with the predictions")
        out.print(f"page: {page.write(folder)}")
    if len(runs or []) > 1:
        cli_bench.print_overview(runs or [])
    if goals:
        frame = tables.goals(out_dir)
        table = Table("", title="system A: UrbanSound8K, test fold 10 alone")
        for goal in frame.columns:
            table.add_column(goal, overflow="fold")
        for row in frame.itertuples():
            table.add_row(*row)
        out.print(table)
    if failed:
        raise typer.Exit(1)


@app.command()
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
    from hubbub import compare as room
    from hubbub import comparison

    result = room.compare(runs, anyway=anyway)
    for line in result["warnings"]:
        out.print(line, style="yellow", soft_wrap=True)
    ranking = comparison.ranking(result)
    table = Table(title=ranking.caption)
    for head in ranking.heads[:6]:
        table.add_column(head, overflow="fold", no_wrap=head == "run")
    for row in ranking.rows:
        table.add_row(*row[:6])
    out.print(table)
    pairs = comparison.pairs(result)
    for name, verdict, difference, interval, *tests in pairs.rows:
        out.print(f"{name}: {difference} ({interval}), {verdict}", soft_wrap=True)
        said = ", ".join(f"{head} {test}" for head, test in zip(pairs.heads[4:], tests, strict=True))
        out.print(f"    {said}", soft_wrap=True)
    out.print(comparison.headline(result), soft_wrap=True)
    out.print(f"page: {comparison.write(result, page)}", soft_wrap=True)


@app.command()
def explain(
    model: Annotated[str, typer.Argument(help="A run folder, a saved classifier, or 'yamnet'.")],
    file: Annotated[Path, typer.Argument(help="A sound file; or a picture or .npy, for models of such.")],
    label: Annotated[
        str | None, typer.Option("--label", help="The class to explain. Default: the one decided.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for pictures and sounds. Default: explanations/FILE.")
    ] = None,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Show where in a recording a class was found, and let it be heard.

    Example: hubbub explain runs/demo street.wav
    """
    from hubbub import explain as room
    from hubbub.classifier import load
    from hubbub.hearing import GIVEN

    classifier = load(model).to(device or "auto")
    folder = out_dir or Path("explanations") / file.stem
    if file.suffix.lower() in GIVEN:
        card = room.write_given(classifier, file, folder, label)
    else:
        card = room.write(classifier, room.explain(classifier, file, label=label), folder)
    out.print(f"{card['label']}, by {card['method']}")
    for remark in card["remarks"]:
        out.print(remark, style="yellow", soft_wrap=True)
    say_warnings(file, card.get("warnings", ()))
    words = {"original": "as it is", "listened": "what was listened to", "rest": "the rest"}
    for name, scores in card["scores"].items():
        out.print(f"{scores[card['label']]:.3f}  {words[name]}")
    out.print(f"all of it: {folder}", soft_wrap=True)


class _Spelt(logging.Formatter):
    """What is logged, as it is shown on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return spelt_out(super().format(record))


def main() -> None:
    """Run the command line; an error of hubbub's own is one line and exit status 2."""
    # Threads that spin for long while they wait make everything slow as soon as another program needs a core.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if sys.stderr is None:  # a service may be started with it closed
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    handler = logging.StreamHandler()
    handler.setFormatter(_Spelt("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    try:
        app()
    except HubbubError as error:
        if "--debug" in sys.argv:
            raise
        if line := ranks.spoken(error):
            err.print(line, style="red", soft_wrap=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        if not ranks.here().rank:
            err.print("stopped; the same command goes on where it was")
        raise SystemExit(130) from None
