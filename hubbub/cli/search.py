"""`hubbub search`: segments of an archive that are like examples, that a text describes, or that score as asked."""

import re
from datetime import datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hubbub.cli.options import Debug, Device, err, finite, out
from hubbub.errors import HubbubError, count

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from hubbub.archive.archive import Archive
    from hubbub.archive.search import Hits

__all__ = ["search"]

#: `x.wav`, or a part of it: `x.wav@3-8.5` (seconds).
_PART = re.compile(r"(?P<file>.+)@(?P<start>\d+(?:\.\d+)?)-(?P<end>\d+(?:\.\d+)?)")


def search(
    archive: Annotated[Path, typer.Argument(help="The folder of an archive (hubbub index).")],
    like: Annotated[
        list[str] | None,
        typer.Option("--like", help="A sound file, or a part of one: x.wav@3-8 (seconds). May be repeated."),
    ] = None,
    unlike: Annotated[list[str] | None, typer.Option("--unlike", help="As --like, of what is not meant.")] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="What is looked for, in words; needs an archive made with CLAP.")
    ] = None,
    label: Annotated[str | None, typer.Option("--class", help="A class that was labelled in the archive.")] = None,
    around: Annotated[
        float | None,
        typer.Option("--around", callback=finite, min=0, max=1, help="--class: scores near this, not the highest."),
    ] = None,
    site: Annotated[list[str] | None, typer.Option("--site", help="Only this site. May be repeated.")] = None,
    since: Annotated[datetime | None, typer.Option("--since", help="Only from this local time on.")] = None,
    until: Annotated[datetime | None, typer.Option("--until", help="Only before this local time.")] = None,
    between: Annotated[
        str | None, typer.Option("--between", help="Only between two times of day: 22:00-04:00.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="The number of segments.")] = 20,
    to: Annotated[
        Path | None, typer.Option("--out", help="A folder for the sounds that are found and their table, hits.csv.")
    ] = None,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Find segments in an archive, by examples, words, or the score of a class that was labelled there.

    The score of an example is a cosine, at most 1; that of a class is a probability.

    Example: hubbub search archive --like siren.wav --top 50 --out hits
    """
    from hubbub.archive.archive import Archive
    from hubbub.archive.search import Filters
    from hubbub.archive.write_hits import hits_table, write_hits

    if sum(bool(one) for one in (like or unlike, text, label)) != 1:
        raise HubbubError("a search needs one of --like FILE, --text WORDS and --class NAME.")
    if around is not None and not label:
        raise HubbubError("--around is about the score of a class. Add --class NAME.")
    opened = Archive(archive)
    filters = Filters(tuple(site or ()), since, until, _times(between))
    hits = _find(opened, filters.mask(opened), like or [], unlike or [], text or [], label, around, top, device)
    table = hits_table(opened, hits)
    if to is None:
        shown = Table(*table.columns, box=None, pad_edge=False)
        for row in table.itertuples(index=False):
            shown.add_row(*(f"{one:.2f}" if isinstance(one, float) else str(one) for one in row))
        out.print(shown)
        return
    for line in write_hits(opened, hits, to):
        err.print(f"no sound of {line}", soft_wrap=True)
    out.print(f"{to}: {count(len(table), 'segment')}, and hits.csv", soft_wrap=True)


def _find(
    archive: "Archive",
    mask: "npt.NDArray[np.bool_]",
    like: list[str],
    unlike: list[str],
    text: list[str],
    label: str | None,
    around: float | None,
    top: int,
    device: str | None,
) -> "Hits":
    from hubbub.archive import search
    from hubbub.archive.backbone import embed_texts, load_backbone
    from hubbub.archive.nearest import Nearest

    if label:
        scores = search.class_scores(archive, label)
        return search.by_score(scores, mask, top) if around is None else search.around(scores, around, mask, top)
    nearest = Nearest(archive.folder, archive.vectors)
    if text:
        return search.like(nearest, embed_texts(archive.about.model, text), nearest.vectors.take([]), mask, top)
    model = load_backbone(archive.about.model, device or "auto")
    examples, others = (search.embed_examples(model, [_part(one) for one in given]) for given in (like, unlike))
    return search.like(nearest, examples, others, mask, top)


def _part(given: str) -> tuple[str, float, float | None]:
    """A file, and start and end [s] of the part that is meant; the end is None for the whole of it."""
    match = _PART.fullmatch(given)
    if not match or Path(given).exists():
        return given, 0.0, None
    return match["file"], float(match["start"]), float(match["end"])


def _times(between: str | None) -> tuple[time, time] | None:
    if between is None:
        return None
    try:
        first, last = (time.fromisoformat(one.strip()) for one in between.split("-"))
    except ValueError:
        raise HubbubError(f"--between {between} is not two times of day. Write it so: --between 22:00-04:00") from None
    return first, last
