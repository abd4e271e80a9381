"""`hubbub index`: recordings into an archive, to search, label and train in."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubbub.cli.options import Address, Cpus, Debug, Device, Engine, Gpus, log, out
from hubbub.errors import count, examples

if TYPE_CHECKING:
    from hubbub.archive.index import Indexed

__all__ = ["index"]


def index(
    recordings: Annotated[Path, typer.Argument(help="The folder that holds the recordings.")],
    to: Annotated[Path, typer.Option("--to", help="The archive's folder: a new one, or one to add to.")],
    model: Annotated[
        str | None,
        typer.Option("--model", help="The classifier whose backbone embeds. Default: yamnet; later the archive's."),
    ] = None,
    site: Annotated[
        str | None,
        typer.Option(
            "--site",
            help="A regular expression for paths, with the site in parentheses. Default: the path's first folder.",
        ),
    ] = None,
    engine: Engine = "local",
    address: Address = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = None,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Embed all recordings of a folder once, so that they can be searched, labelled and trained on.

    A second call adds what is new. Nothing is written into the recordings' folder.

    Example: hubbub index recordings --to archive
    """
    from hubbub.archive.archive import Archive
    from hubbub.archive.index import index as run

    cluster = None
    if engine == "ray":
        from hubbub.archive.ray import ray_engine

        cluster = ray_engine(address, cpus, gpus)
    done = run(recordings, to, model=model, site=site, device=device or "auto", engine=cluster, log=log)
    for line in _lines(done):
        out.print(line, soft_wrap=True)
    held = Archive(to).summary()
    segments = f"{count(held['segments'], 'segment')} of {held['segment_s']:.2f} s"
    out.print(
        f"{to}: {count(held['recordings'], 'recording')}, {held['hours']:.2f} h, {segments}. Next: hubbub explore {to}",
        soft_wrap=True,
    )


def _lines(done: "Indexed") -> list[str]:
    """What was done, a line each."""
    from hubbub.audio.find_files import describe

    changes = done.changes
    numbers = {
        "added": done.added, "known": changes.known, "moved": changes.moved, "copies of others": changes.copied,
        "changed, and indexed again": changes.changed, "gone (their labels are kept)": changes.gone,
    }  # fmt: skip
    lines = [f"recordings: {', '.join(f'{number:,} {what}' for what, number in numbers.items() if number) or 'none'}"]
    lines += [f"left out: {line}" for line in describe(done.left_out)]
    if done.unreadable:
        reasons = (f"{file} ({why.rstrip('.')})" for file, why in done.unreadable.items())
        lines.append(f"left out: {count(len(done.unreadable), 'recording')} that cannot be read: {examples(reasons)}")
    return lines
