"""Carries out a search: which segments, in which order, with which scores."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hubbub.archive.nearest import Nearest
from hubbub.archive.search import Filters, Hits, around, by_score, like
from hubbub.archive.session import State
from hubbub.data.archive_file import ArchiveError
from hubbub.serve.explore.questions import Search

__all__ = ["Found", "find"]

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """Segments, the best first, their scores (None where the order has none), and how many pass the filters."""

    segments: list[int]
    scores: list[float | None]
    total: int


def find(state: State, search: Search, text: Array | None = None) -> Found:
    """The segments that a search is for; `text` `[1, D]` is the embedding of its text.

    Raises `ArchiveError` for a segment, site or class that does not exist, a class without scores, and an embedding of
    another network.
    """
    if search.by == "these":
        return _these(state, search)
    mask = _filters(search).mask(state.archive) & _labelled(state, search)
    total = int(mask.sum())
    seen = np.array(search.skip, dtype=np.int64)
    mask[seen[seen < len(mask)]] = False
    if search.by in ("place", "random"):
        rows = np.flatnonzero(mask)
        if search.by == "random":
            rows = np.random.default_rng().permutation(rows)
        return Found(rows[: search.limit].tolist(), [None] * min(search.limit, len(rows)), total)
    hits = _by_sound(state, search, mask, text) if search.by in ("like", "text") else _by_class(state, search, mask)
    return Found(hits.segments.tolist(), _rounded(hits.scores), total)


def _rounded(scores: npt.NDArray[np.floating]) -> list[float | None]:
    return [None if np.isnan(score) else round(float(score), 4) for score in scores]


def _these(state: State, search: Search) -> Found:
    for segment in search.like:
        state.archive.place(segment)
    wanted = dict.fromkeys(search.like)
    for segment in search.skip:
        wanted.pop(segment, None)
    rows = list(wanted)[: search.limit]
    scores = None if search.class_ is None else state.scores_of(search.class_)
    return Found(rows, _rounded(np.full(len(rows), np.nan) if scores is None else scores[rows]), len(set(search.like)))


def _filters(search: Search) -> Filters:
    if (search.from_ is None) != (search.to is None):
        raise ArchiveError("a time of day has a beginning and an end: give both from and to, or neither.")
    between = (search.from_, search.to) if search.from_ is not None and search.to is not None else None
    since, until = (one.replace(tzinfo=None) if one else None for one in (search.since, search.until))
    return Filters(tuple(search.sites), since, until, between)


def _labelled(state: State, search: Search) -> Mask:
    """The segments with the label that a search asks for, `[S]`."""
    mask = np.ones(state.archive.segments, dtype=bool)
    if search.labelled == "any":
        return mask
    labels = state.labels
    known = labels.y[:, [state.column(search.class_)]] if search.class_ is not None else labels.y
    wanted = {
        "yes": (known == 1).any(axis=1),
        "no": (known == 0).all(axis=1) & (known.shape[1] > 0),
        "unsure": labels.unsure,
        "unknown": ~((known >= 0).any(axis=1) | labels.unsure),
    }[search.labelled]
    mask[:] = search.labelled == "unknown"
    there = labels.segments < len(mask)
    mask[labels.segments[there]] = wanted[there]
    return mask


def _by_sound(state: State, search: Search, mask: Mask, text: Array | None) -> Hits:
    for segment in (*search.like, *search.unlike):
        state.archive.place(segment)
    width, vectors = state.archive.about.width, state.archive.vectors
    given = [vectors.take(search.like)] if search.by == "like" else []
    for one in search.examples if search.by == "like" else []:
        if len(one.values) != width:
            raise ArchiveError(f"an example has {len(one.values)} numbers, and the archive's network makes {width}.")
        given.append(np.array([one.values], np.float32))
    if text is not None:
        given.append(text)
    examples = np.concatenate(given) if given else np.zeros((0, width), np.float32)
    nearest = Nearest(state.archive.folder, vectors)
    return like(nearest, examples, vectors.take(search.unlike), mask, search.limit)


def _by_class(state: State, search: Search, mask: Mask) -> Hits:
    if search.class_ is None:
        raise ArchiveError("an order by scores needs a class. Choose one.")
    scores = state.scores_of(search.class_)
    if scores is None:
        raise ArchiveError(
            f"there are no scores of '{search.class_}' yet. Label some segments that hold it, and some that do not."
        )
    if search.by == "lowest":
        hits = by_score(-scores, mask, search.limit)
        return Hits(hits.segments, -hits.scores)
    return (
        by_score(scores, mask, search.limit)
        if search.by == "highest"
        else around(scores, search.value, mask, search.limit)
    )
