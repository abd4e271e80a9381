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
from hubbub.data.archive_file import ArchiveError
from hubbub.errors import did_you_mean

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["Filters", "Hits", "around", "by_score", "embed_example", "embed_text", "embed_wave", "like"]

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


def embed_example(model: "Classifier", file: str | Path, start: float = 0.0, end: float | None = None) -> Array:
    """A part of a recording [s] -> the mean embedding of its windows, `[1, D]`. Raises `AudioError`."""
    from hubbub.audio import decode

    return embed_wave(model, decode.load(file, model.rate_hz, start or None, end))


def embed_wave(model: "Classifier", wave: Array) -> Array:
    """A wave `[T]` at the classifier's rate -> the mean embedding of its windows, `[1, D]`."""
    segments = model.cut(wave)
    found = [model.segment_embeddings(segments[at : at + model.batch]) for at in range(0, len(segments), model.batch)]
    return np.concatenate(found).mean(axis=0, keepdims=True)


def embed_text(archive: Archive, texts: Sequence[str]) -> Array:
    """What CLAP's tower of texts makes of some texts, `[n, D]`. Raises `ArchiveError` where the archive's network
    understands none."""
    from hubbub.classifier.load import load
    from hubbub.errors import HubbubError
    from hubbub.models.zero_shot import ZeroShotHead

    try:
        classifier = load(archive.about.model, labels=list(texts), template="{}")
    except HubbubError as error:
        raise ArchiveError(
            f"the archive was indexed with {archive.about.model}, which understands no words ({error}). Index the "
            "recordings with a network that does: hubbub index RECORDINGS --to FOLDER --model clap"
        ) from error
    head = getattr(classifier, "head", None)
    assert isinstance(head, ZeroShotHead) and head.vectors is not None
    return np.asarray(head.vectors, dtype=np.float32)
