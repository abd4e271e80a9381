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

from hubbub.cli import bench, classify, data, explain, export, hub, listen, report, serve, tune
from hubbub.cli.options import Debug, Device, Out, as_settings, err, log, out
from hubbub.errors import HubbubError
from hubbub.runtime import distributed
from hubbub.runtime.escape import escape_control

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="From labelled recordings of sounds to a classifier one can trust. Start with: hubbub demo",
)
data.app.add_typer(hub.app, name="hub")
app.add_typer(data.app, name="data")
app.command("bench")(bench.bench)
app.command("train")(bench.train)
app.command("tune")(tune.tune)
app.command("classify")(classify.classify)
app.command("lr-find")(tune.lr_find)
app.command("explain")(explain.explain)
app.command("report")(report.report)
app.command("compare")(report.compare)
app.command("export")(export.export)
app.command("listen")(listen.listen)
app.command("serve")(serve.serve)


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
    from hubbub.cli import demo as main_job

    main_job.run(out_dir, as_settings(None, device), log=log)


@app.command()
def recipes() -> None:
    """List the shipped recipes, and the suites of them.

    Example: hubbub recipes
    """
    from hubbub.config import recipe
    from hubbub.experiment import suite

    for kind, titles in (("recipe", recipe.shipped()), ("suite", suite.shipped())):
        table = Table(kind, "what it is")
        for name, title in titles.items():
            table.add_row(name, title)
        out.print(table)


class _Spelt(logging.Formatter):
    """What is logged, as it is shown on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return escape_control(super().format(record))


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
        if line := distributed.error_line(error):
            err.print(line, style="red", soft_wrap=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        if not distributed.this_process().rank:
            err.print("stopped; the same command goes on where it was")
        raise SystemExit(130) from None
