"""The command line. A command only parses its options, calls another wing and prints.

Exit status: 0 done, 1 some inputs failed, 2 the request cannot be carried out, 130 stopped by Ctrl-C.
"""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperCommand

from hubbub.cli import (
    audit,
    bench,
    classify,
    data,
    explain,
    explore,
    export,
    hub,
    index,
    listen,
    publish,
    report,
    score,
    search,
    serve,
    show,
    speed,
    train,
    tune,
)
from hubbub.cli.options import Debug, Device, Out, as_settings, err, log, out
from hubbub.errors import HubbubError
from hubbub.runtime import distributed
from hubbub.runtime.escape import escape_control

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="From labelled recordings of sounds to a classifier that you can trust. Start with: hubbub demo",
)


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


def demo(out_dir: Out = Path("runs"), device: Device = None, debug: Debug = False) -> None:
    """Train and test a first classifier on synthetic sound, write its report and classify a clip. It needs no network.

    Example: hubbub demo
    """
    from hubbub.cli.demo import run_demo

    run_demo(out_dir, as_settings(None, device), log=log)


def recipes() -> None:
    """List the shipped recipes and suites.

    Example: hubbub recipes
    """
    from hubbub.config import recipe
    from hubbub.experiment import suite

    for kind, titles in (("recipe", recipe.shipped()), ("suite", suite.shipped())):
        table = Table(kind, "description")
        for name, title in titles.items():
            table.add_row(name, title)
        out.print(table)


#: The groups of `hubbub --help`, by what a person wants to do; commands in the order of likely use.
GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Use a classifier": {
        "classify": classify.classify,
        "listen": listen.listen,
        "serve": serve.serve,
        "explain": explain.explain,
        "export": export.export,
        "publish": publish.publish,
        "speed": speed.speed,
    },
    "Unlabelled recordings": {
        "index": index.index,
        "explore": explore.explore,
        "search": search.search,
    },
    "Train and evaluate": {
        "train": train.train,
        "bench": bench.bench,
        "demo": demo,
        "recipes": recipes,
        "show": show.show,
        "report": report.report,
        "compare": report.compare,
        "score": score.score,
        "tune": tune.tune,
        "lr-find": tune.lr_find,
    },
}


class _Command(TyperCommand):
    """A command that says of an unknown option which setting it is, where another program calls it that."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # of click, whose classes are private to typer
            option = getattr(error, "option_name", None)
            if option and not {part for one in self.params for part in one.opts} & {option.replace("_", "-")}:
                from hubbub.config.other_names import explain_name
                from hubbub.config.recipe import Recipe

                if near := explain_name(option, Recipe):
                    message = f"No such option: {option}. {near} A setting is given as --set SECTION.FIELD=VALUE."
                    vars(error).update(message=message, possibilities=None)
            raise


for group, commands in GROUPS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=group, cls=_Command)(command)
data.app.command("audit")(audit.data_audit)
data.app.add_typer(hub.app, name="hub")
app.add_typer(data.app, name="data", rich_help_panel="Data")


class _EscapingFormatter(logging.Formatter):
    """Escapes control characters in log lines for the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return escape_control(super().format(record))


def _name_files_in_utf8() -> None:
    """Starts this process again in Python's UTF-8 mode where the locale has names of files in another encoding: there,
    JSON, Parquet and SQLite refuse every name that is not ASCII."""
    if sys.getfilesystemencoding() != "utf-8":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "hubbub.cli", *sys.argv[1:]])


def main() -> None:
    """Runs the command line. A `HubbubError` is printed as one line, and the exit status is 2."""
    _name_files_in_utf8()
    # OpenMP threads that spin while they wait slow everything down as soon as another program needs a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.stderr is None:  # it is closed for some services
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    handler = logging.StreamHandler()
    handler.setFormatter(_EscapingFormatter("%(message)s"))
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
            err.print("stopped; the same command continues")
        raise SystemExit(130) from None
