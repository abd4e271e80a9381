"""Finds segments in an archive: like examples and unlike others, by text, by a class's score, by time and site."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubbub.archive.archive import Archive
from hubbub.archive.nearest import Nearest
from hubbub.archive.vectors import normalised
from hubbub.audio import decode
from hubbub.data.archive_file import ArchiveError
from hubbub.data.archive_labels import label_state
from hubbub.errors import did_you_mean

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["Filters", "Hits", "around", "by_score", "class_scores", "embed_examples", "embed_wave", "like"]

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Hits:
    """Segments, the best first, and their scores: what they mean depends on the search."""

    segments: npt.NDArray[np.int64]
    scores: Array


@dataclass(frozen=True)
class Filters:
    """Which segments are searched: of some sites; that begin in a span of local time, or between two times of day
    (perhaps across midnight). Segments whose time is not known are in no span."""

    sites: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    between: tuple[time, time] | None = None
    exclude: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def mask(self, archive: Archive) -> Mask:
        """The segments that pass, `[S]`; those whose recording is gone never do. Raises `ArchiveError` for a site that
        the archive does not have."""
        mask = archive.here.copy()
        if self.sites:
            known = set(archive.sites.tolist())
            if strange := [site for site in self.sites if site not in known]:
                raise ArchiveError(f"there is no site '{strange[0]}' here. {did_you_mean(strange[0], known)}")
            mask &= np.isin(archive.sites, self.sites)
        if self.since or self.until or self.between:
            mask &= ~np.isnat(archive.started)
        if self.since:
            mask &= archive.started >= np.datetime64(self.since)
        if self.until:
            mask &= archive.started < np.datetime64(self.until)
        if self.between:
            mask &= _between(archive.started, *self.between)
        mask[self.exclude] = False
        return mask


def _between(started: npt.NDArray[np.datetime64], first: time, last: time) -> Mask:
    """Whether times are from one time of day to before another; across midnight where the first is the later one."""
    of_day = (started - started.astype("datetime64[D]")).astype("timedelta64[ms]").astype(np.int64)
    start, end = (1000 * (3600 * one.hour + 60 * one.minute + one.second) for one in (first, last))
    return (of_day >= start) & (of_day < end) if start <= end else (of_day >= start) | (of_day < end)


def like(nearest: Nearest, examples: Array, unlike: Array, mask: Mask, top: int) -> Hits:
    """The segments most like any of the examples `[n, D]`, and not like any of `unlike` `[m, D]`.

    A segment's score is its largest cosine with an example, less the largest with an `unlike` where that is above 0.
    Raises `ArchiveError` without an example.
    """
    if not len(examples):
        raise ArchiveError("a search needs an example. Give one that is like what you look for.")
    candidates = nearest.candidates(normalised(examples), mask, top if not len(unlike) else 10 * top)
    rows = normalised(nearest.vectors.take(candidates))
    scores = (rows @ normalised(examples).T).max(axis=1)
    if len(unlike):
        scores = scores - np.maximum((rows @ normalised(unlike).T).max(axis=1), 0)
    best = np.argsort(-scores, kind="stable")[:top]
    return Hits(candidates[best], scores[best])


def by_score(scores: Array, mask: Mask, top: int) -> Hits:
    """The segments with the highest scores `[S]`."""
    return _best(scores, scores, mask, top)


def around(scores: Array, value: float, mask: Mask, top: int) -> Hits:
    """The segments whose scores `[S]` are closest to a value."""
    return _best(-np.abs(scores - value), scores, mask, top)


def _best(order: Array, scores: Array, mask: Mask, top: int) -> Hits:
    rows = np.flatnonzero(mask)
    best = rows[np.argsort(-order[rows], kind="stable")[:top]]
    return Hits(best, scores[best])


def embed_examples(model: "Classifier", parts: Sequence[tuple[str | Path, float, float | None]]) -> Array:
    """Files, each with start and end [s] of a part of it -> the mean embedding of each part's windows, `[n, D]`.

    Raises `AudioError` for a file that cannot be read and a part that is not in it.
    """
    waves = (decode.load(file, model.rate_hz, start or None, end) for file, start, end in parts)
    means = [embed_wave(model, wave, model.rate_hz) for wave in waves]
    return np.concatenate(means) if means else np.zeros((0, 1), np.float32)


def embed_wave(model: "Classifier", wave: Array, rate_hz: int) -> Array:
    """A wave `[T]` -> the mean embedding of its windows, `[1, D]`. Raises what `Classifier.embed` does."""
    values: Array = model.embed(wave, rate_hz).values
    return values.mean(axis=0, keepdims=True)


def class_scores(archive: Archive, name: str) -> Array:
    """The probability of a class in each segment `[S]`, by a head on the segments that were labelled. Raises
    `ArchiveError` where there is no such class, or none of its segments was labelled."""
    from hubbub.archive import quick_head  # with torch

    known = label_state(archive.database)
    if not known.classes:
        raise ArchiveError(f"{archive.folder} has no classes yet. Label some: hubbub explore {archive.folder}")
    if name not in known.classes:
        raise ArchiveError(f"there is no class '{name}' in {archive.folder}. {did_you_mean(name, known.classes)}")
    column = known.classes.index(name)
    if not (known.y[:, column] == 1).any():
        raise ArchiveError(f"no segment was labelled '{name}' yet. Label some: hubbub explore {archive.folder}")
    return quick_head.scores(archive.vectors, known.segments, known.y)[:, column]
