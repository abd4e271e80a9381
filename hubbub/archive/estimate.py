"""How many segments of an archive hold a class, and how good its scores are there, by random draws that are labelled.

A round draws segments at random within strata of a class's scores. It keeps the strata as they are then: its figures
are of the head that gave these scores, which has not learned from the draws. Without a round, draws from the whole
archive (`random`) give the number of segments alone. What was labelled for other reasons does not count.
"""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.archive.changes import now
from hubbub.data.archive_file import ArchiveError, transaction
from hubbub.data.archive_labels import LabelState
from hubbub.metrics import draws, strata
from hubbub.metrics.allocation import more_labels
from hubbub.metrics.strata import Estimate, Strata

__all__ = ["ClassEstimate", "Figure", "Stratum", "begin_round", "estimates", "open_draws"]

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
#: From which score on a segment counts as found.
FOUND = 0.5
#: The half width of intervals that is aimed at, as a share.
HALF_WIDTH = 0.05


@dataclass(frozen=True)
class Figure:
    """A figure (None: not known yet), the ends of its 95 % interval, and about how many more random labels bring the
    share behind it to ±.05 (None: that is not known yet)."""

    value: float | None
    low: float
    high: float
    more: int | None = None


@dataclass(frozen=True)
class Stratum:
    """The segments whose scores were from `low` to below `high` when the round began, the draws of them that are
    labelled, how many of those hold the class, and the precision."""

    low: float
    high: float
    segments: int
    labelled: int
    positives: int
    precision: Figure


@dataclass(frozen=True)
class ClassEstimate:
    """What random draws say of a class: the number of segments that hold it, and of a round also the precision and
    recall of scores from .5 on, and the strata, the lowest scores first. Of the `draws`, `open` ones are not labelled
    for the class, and `unsure` ones do not count."""

    name: str
    draws: int
    open: int
    unsure: int
    segments: Figure
    precision: Figure | None = None
    recall: Figure | None = None
    strata: tuple[Stratum, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def begin_round(
    database: sqlite3.Connection,
    name: str,
    scores: Array | None,
    mask: Mask,
    who: str,
    count: int,
    random: np.random.Generator,
) -> list[int]:
    """Draw segments under the `mask` `[S]`, as many in each stratum of a class's `scores` `[S]`, and keep the round, of
    which a class's latest counts. Returns the segments in the order in which to label them, which is random, too.

    Segments that are labelled already are drawn as others are: draws between which someone chose would not be random.
    Raises `ArchiveError` for a class without scores.
    """
    rows = np.flatnonzero(mask)
    if scores is None or not len(rows) or not np.isfinite(scores[rows]).all():
        raise ArchiveError(f"'{name}' has no scores yet. Label some segments that hold it, and some that do not.")
    edges = draws.edges(scores[rows], at=(FOUND,))
    stratum = draws.stratum_of(scores[rows], edges)
    sizes = np.bincount(stratum, minlength=len(edges) + 1)
    drawn = [
        (int(segment), h) for h in range(len(sizes)) for segment in _some(rows[stratum == h], count, sizes, random)
    ]
    order = random.permutation(len(drawn))
    with transaction(database):
        kept = database.execute(
            "INSERT INTO rounds (class, at, who, edges, sizes) VALUES (?, ?, ?, ?, ?)",
            (name, now(), who, json.dumps(edges.tolist()), json.dumps(sizes.tolist())),
        ).lastrowid
        database.executemany("INSERT INTO draws VALUES (?, ?, ?)", [(kept, *one) for one in drawn])
    return [drawn[n][0] for n in order]


def _some(
    rows: npt.NDArray[np.intp], count: int, sizes: npt.NDArray[np.intp], random: np.random.Generator
) -> npt.NDArray[np.intp]:
    return random.choice(rows, min(-(-count // int((sizes > 0).sum())), len(rows)), replace=False)


def open_draws(database: sqlite3.Connection, labels: LabelState, name: str) -> list[int]:
    """The draws of a class's latest round that nobody has labelled for it, in a random order that stays."""
    known = _known(labels, name)
    return [segment for segment, _ in _draws(database, name)[1] if segment not in known]


def estimates(database: sqlite3.Connection, labels: LabelState, segments: int) -> list[ClassEstimate]:
    """The estimates of all classes with a labelled draw, in the order of the classes; `segments` is the number of the
    archive's segments that are there."""
    found = (_of_round(database, labels, name) or _of_archive(labels, name, segments) for name in labels.classes)
    return [one for one in found if one]


def _known(labels: LabelState, name: str) -> dict[int, int]:
    """Whether segments hold a class (1, 0), or that somebody is unsure (-1)."""
    y = labels.y[:, labels.classes.index(name)]
    told = (y >= 0) | labels.unsure
    return dict(zip(labels.segments[told].tolist(), y[told].tolist(), strict=True))


def _draws(
    database: sqlite3.Connection, name: str
) -> tuple[tuple[list[float], list[int]] | None, list[tuple[int, int]]]:
    """Edges and sizes of a class's latest round, and its draws with their strata, in a random order."""
    kept = database.execute(
        "SELECT id, edges, sizes FROM rounds WHERE class = ? ORDER BY id DESC LIMIT 1", (name,)
    ).fetchone()
    if kept is None:
        return None, []
    rows = database.execute(
        "SELECT segment, stratum FROM draws WHERE round = ? ORDER BY segment", (kept[0],)
    ).fetchall()
    order = np.random.default_rng(kept[0]).permutation(len(rows))
    return (json.loads(kept[1]), json.loads(kept[2])), [rows[n] for n in order]


def _of_round(database: sqlite3.Connection, labels: LabelState, name: str) -> ClassEstimate | None:
    facts, drawn = _draws(database, name)
    known = _known(labels, name)
    told = [(h, known[segment]) for segment, h in drawn if segment in known]
    if facts is None or not any(y >= 0 for _, y in told):
        return None
    edges, sizes = facts
    heard = [(h, y == 1) for h, y in told if y >= 0]
    whole = draws.tally(sizes, *zip(*heard, strict=True))
    some = whole.sizes > 0
    counts = Strata(whole.sizes[some], whole.labelled[some], whole.positives[some])
    first = int((np.flatnonzero(some) < np.searchsorted(edges, FOUND, side="right")).sum())
    found, missed = first < some.sum(), first > 0
    bounds, each = [0.0, *edges, 1.0], strata.precision(counts)
    rows = [
        Stratum(bounds[h], bounds[h + 1], sizes[h], int(whole.labelled[h]), int(whole.positives[h]), _figure(each, n))
        for n, h in enumerate(np.flatnonzero(some).tolist())
    ]
    return ClassEstimate(
        name, len(drawn), len(drawn) - len(told), sum(y < 0 for _, y in told), _number(counts),
        _planned(counts, lambda s: strata.precision_above(s, first)) if found else None,
        _planned(counts, lambda s: strata.recall(s, first)) if found and missed else None,
        tuple(rows),
    )  # fmt: skip


def _of_archive(labels: LabelState, name: str, segments: int) -> ClassEstimate | None:
    """The number of segments alone, by draws from the whole archive."""
    drawn, known = ~np.isnan(labels.drawn), labels.y[:, labels.classes.index(name)]
    counted = drawn & (known >= 0)
    if not counted.any():
        return None
    counts = Strata(*np.array([[segments], [counted.sum()], [(known[counted] == 1).sum()]], float))
    unsure = int((drawn & labels.unsure).sum())
    return ClassEstimate(name, int(drawn.sum()), int((drawn & ~counted).sum()) - unsure, unsure, _number(counts))


def _number(counts: Strata) -> Figure:
    """The number of segments that hold the class."""
    size, share = counts.sizes.sum(), _planned(counts, strata.prevalence)
    value = None if share.value is None else float(size * share.value)
    return Figure(value, float(size * share.low), float(size * share.high), share.more)


def _planned(counts: Strata, figure: Callable[[Strata], Estimate]) -> Figure:
    """A figure with the number of labels that it still takes."""
    plan = more_labels(counts, figure, HALF_WIDTH)
    found = _figure(Estimate(*(end[None] for end in figure(counts))), 0)
    return Figure(found.value, found.low, found.high, None if plan is None else int(plan.more.sum()))


def _figure(found: Estimate, n: int) -> Figure:
    value = float(found.value[n])
    return Figure(None if np.isnan(value) else value, float(found.low[n]), float(found.high[n]))
