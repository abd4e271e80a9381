"""`hubbub speed`: how fast a classifier works on this machine."""

from typing import Annotated

import typer
from rich import box
from rich.table import Table

from hubbub.cli.options import Debug, Device, Fast, log, model_or_default, out

__all__ = ["speed"]


def speed(
    model: Annotated[
        str | None,
        typer.Argument(help="A run folder, a saved or exported classifier, 'small' or 'yamnet'. Default: 'small'."),
    ] = None,
    files: Annotated[
        list[str] | None, typer.Argument(help="Sound files, folders or patterns. Default: synthetic clips.")
    ] = None,
    fast: Fast = False,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Measure how fast a classifier works on this machine, with your recordings or with synthetic ones.

    Example: hubbub speed runs/demo recordings
    """
    from hubbub.audio.find_files import find
    from hubbub.inference.speed import measure_speed

    name = model_or_default(model)
    found = find(files).files if files else []
    measured = measure_speed(name, found, device or "auto", log=log, fast=fast)
    out.print(f"{name}: {measured.engine}; {measured.sound}", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("work")
    table.add_column("speed", justify="right")
    table.add_column("times real time", justify="right")
    table.add_row("load the classifier and its libraries", f"{measured.load_s:.2f} s", "")
    table.add_row("a 5 s file, from command to answer", f"{measured.cold_s:.2f} s", "")
    table.add_row("decode, resample and cut, one thread", "", f"{measured.decode_rate:,.0f}")
    network = f"{measured.segments_per_s:,.0f} segments/s"
    table.add_row("network, segments to probabilities", network, f"{measured.network_rate:,.0f}")
    rate = f"{measured.files_per_s:,.1f} files/s" if measured.files_per_s else ""
    table.add_row("all together, files to answers", rate, f"{measured.rate:,.0f}")
    out.print(table)
    out.print(f"24 hours of sound take about {_duration(24 * 3600 / measured.rate)}")


def _duration(seconds: float) -> str:
    for unit, size in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
