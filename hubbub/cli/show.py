"""`hubbub show`: what a network consists of."""

from typing import Annotated

import typer
from rich import box
from rich.table import Table

from hubbub.cli.options import Debug, Settings, out

__all__ = ["show"]


def show(
    what: Annotated[
        str,
        typer.Argument(
            help="A recipe, a TOML, a run folder, a saved or exported classifier, 'small', 'yamnet' or hf:ORG/NAME."
        ),
    ],
    depth: Annotated[int, typer.Option("--depth", min=1, help="How deep into the network layers are listed.")] = 2,
    classes: Annotated[
        int | None, typer.Option("--classes", min=2, help="A recipe's number of classes. Default: that of its data.")
    ] = None,
    settings: Settings = None,
    debug: Debug = False,
) -> None:
    """Show a network's layers, output shapes, parameters, multiply-adds and memory; no weights are needed.

    Example: hubbub show us8k-audioclip
    """
    from hubbub.report.model_summary import summarise_model

    found = summarise_model(what, settings or [], depth=depth, classes=classes)
    out.print(found.title, style="bold", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=found.layers.caption, title_justify="left")
    for number, head in enumerate(found.layers.heads):
        words = number == 0 or number in found.layers.words
        table.add_column(head, justify="left" if words else "right", overflow="fold", no_wrap=number > 1)
    for row in found.layers.rows:
        table.add_row(*row)
    out.print(table)
    for name, text in found.facts.items():
        out.print(f"{name}: {text}", soft_wrap=True)
