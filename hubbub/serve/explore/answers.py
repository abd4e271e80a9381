"""What a page shows of an archive, as JSON: segments with what was said of them, classes, the archive's facts."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from hubbub.archive import estimate
from hubbub.archive.archive import Archive
from hubbub.archive.backbone import knows_texts
from hubbub.archive.labels import Said
from hubbub.archive.session import Session, State
from hubbub.runtime.escape import escape_control
from hubbub.serve.limits import Limits

__all__ = [
    "archive_facts",
    "classes",
    "estimates",
    "identity",
    "map_values",
    "name_of",
    "segment",
    "segment_facts",
    "segments",
]


def segments(
    session: Session,
    state: State,
    numbers: Sequence[int],
    scores: Sequence[float | None] | None = None,
    how: Mapping[int, Mapping[str, Any]] | str = "list",
) -> list[dict[str, Any]]:
    """Segments for tiles; `how` they were found: for all, or `how`, `weight` and `reason` of each."""
    said = session.said(numbers)
    shown = []
    for at, number in enumerate(numbers):
        found = {"how": how} if isinstance(how, str) else how[number]
        score = scores[at] if scores is not None else None
        shown.append(segment(state, number, said[number]) | {"score": score, **found})
    return shown


def segment(state: State, number: int, said: Sequence[Said]) -> dict[str, Any]:
    """A segment: its place, and what people said of it."""
    place = state.archive.place(number)
    yes = [one.name for one in said if one.value == "yes"]
    return {
        "segment": number, "file": escape_control(place.path), "start": place.start, "end": place.end,
        "site": place.site, "clock": place.clock, "here": bool(state.archive.here[number]),
        "score": None, "how": "list", "weight": None, "reason": "",
        "yes": yes, "no": [one.name for one in said if one.value == "no"],
        "nothing": not yes and any(one.value == "nothing" for one in said),
        "unsure": bool(said) and said[-1].value == "unsure",
        "said": [{"class": one.name, "value": one.value, "who": one.who, "at": one.at} for one in said],
    }  # fmt: skip


def segment_facts(session: Session, state: State, number: int) -> dict[str, Any]:
    """A segment, its scores of all classes, and everything that was said about it."""
    (shown,) = segments(session, state, [number])
    scores = {name: found[number] for name in state.labels.classes if (found := state.scores_of(name)) is not None}
    rows = session.query(
        "SELECT class, value, who, at, how, undoes IS NOT NULL FROM labels WHERE segment = ? ORDER BY id", (number,)
    )
    names = ("class", "value", "who", "at", "how", "undo")
    return {
        **shown,
        "scores": {name: round(float(score), 4) for name, score in scores.items() if not np.isnan(score)},
        "history": [dict(zip(names, (*row[:5], bool(row[5])), strict=True)) for row in rows],
    }


def classes(session: Session, state: State) -> dict[str, Any]:
    """The classes with their counts, and where the head is."""
    labels, rows = state.labels, []
    for column, name in enumerate(labels.classes):
        scores, known = state.scores_of(name), labels.y[:, column]
        rows.append(
            {
                "name": name, "yes": int((known == 1).sum()), "no": int((known == 0).sum()),
                "scored": scores is not None, "found": 0 if scores is None else int((scores >= 0.5).sum()),
            }
        )  # fmt: skip
    return {
        "classes": rows,
        "labelled": int((labels.y >= 0).any(axis=1).sum()),
        "unsure": int(labels.unsure.sum()),
        "nothing": int(((labels.y == 0).all(axis=1) & (labels.y.shape[1] > 0)).sum()),
        "automatic": session.automatic,
        "training": session.training,
        "trained": state.up_to_date,
        "seconds": round(state.seconds, 3),
        "trouble": hide(session, state.trouble),
        "version": state.version,
    }


def estimates(session: Session, state: State) -> list[dict[str, Any]]:
    """What random draws say of each class."""
    found = session.read(estimate.estimates, state.labels, int(state.archive.here.sum()))
    return [one.to_dict() for one in found]


def map_values(state: State, name: str | None) -> dict[str, Any]:
    """Of each segment, the score of a class in thousandths and what is known of it; without a class, which class it is
    known to hold."""
    labels, number = state.labels, state.archive.segments
    scores, known = np.full(number, -1), np.full(number, -1)
    there = labels.segments < number
    rows, y = labels.segments[there], labels.y[there]
    if name is not None:
        known[rows] = y[:, state.column(name)]
        if (found := state.scores_of(name)) is not None:
            scores = np.where(np.isnan(found), -1, np.round(1000 * found)).astype(int)
    elif y.shape[1]:
        known[rows] = np.where((y == 1).any(axis=1), (y == 1).argmax(axis=1), -1)
    return {"scores": scores.tolist(), "known": known.tolist()}


def archive_facts(session: Session, state: State, limits: Limits) -> dict[str, Any]:
    """The archive, its network and the limits of uploads."""
    archive = state.archive
    held = archive.summary()
    times = archive.started[~np.isnat(archive.started)]
    since, until = ("", "") if not len(times) else (str(times.min())[:16], str(times.max())[:16])
    return {
        "archive": name_of(archive), "id": identity(archive),
        "recordings": held["recordings"],
        "missing": sum(number for name, number in held["states"].items() if name in ("gone", "changed")),
        "hours": held["hours"], "segments": held["segments"], "segment_s": held["segment_s"],
        "sites": [site for site in held["sites"] if site], "since": since, "until": until,
        "model": os.path.basename(archive.about.model), "texts": knows_texts(archive.about.model),
        "limits": {"max_mb": limits.max_mb, "max_seconds": limits.max_seconds},
        "version": state.version, "hubbub": metadata.version("hubbub"),
    }  # fmt: skip


def hide(session: Session, text: str) -> str:
    """A message without the folders of the archive and of its recordings."""
    for folder in sorted(filter(None, {str(session.folder), *session.folders()}), key=len, reverse=True):
        text = text.replace(f"{folder}/", "").replace(folder, "the archive")
    return re.sub(r"(?<![\w.])/(?:[^\s/'\"]+/)+", "", text)


def name_of(archive: Archive) -> str:
    """The archive's name: that of its folder."""
    return os.path.basename(os.path.abspath(archive.folder))


def identity(archive: Archive) -> str:
    """The same text for the same archive, by which a page knows what it holds for it."""
    return hashlib.sha256(os.path.realpath(archive.folder).encode(errors="surrogateescape")).hexdigest()[:16]
