"""Asks what to label next in an open archive, and keeps the books of random draws.

All draws of an archive together are a random sample of it, as long as none is lost: a draw is noted when it is made,
and one that nobody has answered is asked again before new ones are made.
"""

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubbub.archive import estimate
from hubbub.archive.labels import Statement
from hubbub.archive.session import Session, State

if TYPE_CHECKING:
    from hubbub.archive.choose import Pick

__all__ = ["DRAWN", "ask", "draw"]

#: Who notes draws.
DRAWN = "(drawn)"


def ask(session: Session, count: int, kinds: Sequence[str] = ()) -> "list[Pick]":
    """What to label next, `count` segments or fewer where fewer are left: of some kinds (`choose.MIX`), or of all.

    Segments that are drawn, but known already, are noted and not asked."""
    from hubbub.archive import choose  # with torch

    state = session.state
    shares = {kind: share for kind, share in choose.MIX.items() if kind in kinds or not kinds}
    draws = round(count * shares.get("random", 0) / sum(shares.values()))
    waiting = _unanswered(session, state)
    again = [choose.Pick(segment, "random", weight) for segment, weight in list(waiting.items())[:draws]]
    if len(again) == draws:
        shares.pop("random", None)
    mask = state.archive.here.copy()
    mask[list(waiting)] = False
    mix = {kind: share / sum(shares.values()) for kind, share in shares.items()}
    doubted = [row[0] for row in session.query("SELECT DISTINCT segment FROM labels WHERE how = 'likely-wrong'")]
    new = choose.next_segments(
        state.archive.vectors, _scores(state), state.labels, mask, count - len(again), np.random.default_rng(),
        again=[one for one in doubted if one < len(mask)], mix=mix,
    )  # fmt: skip
    _note(session, [pick for pick in new if pick.reason == "random"])
    return again + [pick for pick in new if not pick.known]


def draw(session: Session, name: str, who: str, count: int) -> list[int]:
    """The draws of a class's latest round that nobody has labelled; of a new round of about `count`, where there are
    none. Raises `ArchiveError` for a class without scores."""
    state = session.state
    scores = state.scores_of(name)
    if left := session.read(estimate.open_draws, state.labels, name):
        return [one for one in left if state.archive.here[one]] or left
    random = np.random.default_rng()
    drawn: list[int] = session.write(estimate.begin_round, name, scores, state.archive.here, who, count, random)
    open_ones = set(session.read(estimate.open_draws, session.state.labels, name))
    return [one for one in drawn if one in open_ones]


def _unanswered(session: Session, state: State) -> dict[int, float]:
    """Draws of segments that are there, and of which nothing is known, and how many segments each stands for."""
    drawn = session.query("SELECT segment, max(weight) FROM labels WHERE how = 'random' GROUP BY segment ORDER BY id")
    known = set(state.labels.segments.tolist())
    here = state.archive.here
    return {one: weight or 1.0 for one, weight in drawn if one not in known and one < len(here) and here[one]}


def _note(session: Session, drawn: "Sequence[Pick]") -> None:
    """Say again of drawn segments what was said of them, as of a draw; or say nothing, as of a draw."""
    said = session.said([pick.segment for pick in drawn])
    statements = [
        Statement(pick.segment, name, value, "random", pick.weight)
        for pick in drawn
        for name, value in [(one.name, one.value) for one in said[pick.segment]] or [(None, "")]
    ]
    if statements:
        session.label(statements, DRAWN, secrets.token_hex(16))


def _scores(state: State) -> npt.NDArray[np.float32] | None:
    """The head's scores of all segments, NaN for those that it has not seen yet."""
    if state.scores is None:
        return None
    return np.pad(state.scores, ((0, state.archive.segments - len(state.scores)), (0, 0)), constant_values=np.nan)
