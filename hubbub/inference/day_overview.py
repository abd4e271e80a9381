"""When classes occur: minutes of events an hour of listening, for each hour of the clock, over all days together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.audio.recorded import Recorded
from hubbub.classifier.prediction import Event

__all__ = ["DayOverview", "Listened", "day_overview"]

Hours = npt.NDArray[np.float64]
_HOUR_S, _HOURS = 3_600, 24


@dataclass(frozen=True)
class Listened:
    """A recording that was classified: when it began (None: not known), its length [s], and its events."""

    recorded: Recorded | None
    seconds: float
    events: Sequence[Event]

    @classmethod
    def of_saved(cls, answer: Mapping[str, Any]) -> "Listened":
        """The same of what `FileResult.to_dict` gave."""
        recorded = None
        if "recorded" in answer:
            at = datetime.fromisoformat(answer["recorded"])
            recorded = Recorded(at.replace(tzinfo=None), at.utcoffset(), "name")
        return cls(recorded, answer["seconds"], [Event(**event) for event in answer["events"]])


@dataclass(frozen=True, eq=False)
class DayOverview:
    """Events by hour of the clock, classes with the longest ones first.

    `active_s` `[K, 24]` is the length [s] of each class's events in each hour, `listened_s` `[24]` that of the sound.
    `dated` recordings with a known time, from the days `first` to `last`, are in it, and `undated` ones are not.
    `zones` are those of the clocks (None: not known).
    """

    labels: tuple[str, ...]
    active_s: Hours
    listened_s: Hours
    first: date | None
    last: date | None
    dated: int
    undated: int
    zones: tuple[timedelta | None, ...]

    @property
    def minutes_an_hour(self) -> Hours:
        """Minutes of events in an hour of sound `[K, 24]`; NaN in hours of which there is no sound."""
        listened = np.where(self.listened_s > 0, self.listened_s, np.nan)
        return self.active_s / listened * 60


def day_overview(recordings: Iterable[Listened]) -> DayOverview:
    """The overview of recordings. What crosses an hour is split; events end with their recording at the latest."""
    active: dict[str, Hours] = {}
    listened, undated = np.zeros(_HOURS), 0
    dated: list[Recorded] = []
    ends: list[datetime] = []
    for recording in recordings:
        if recording.recorded is None:
            undated += 1
            continue
        dated.append(recording.recorded)
        at = recording.recorded.at
        ends.append(at + timedelta(seconds=recording.seconds))
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        first_s = (at - midnight).total_seconds()
        _add(listened, first_s, first_s + recording.seconds)
        for event in recording.events:
            hours = active.setdefault(event.label, np.zeros(_HOURS))
            _add(hours, first_s + event.start, first_s + min(event.end, recording.seconds))
    labels = tuple(sorted(active, key=lambda label: (-active[label].sum(), label)))
    zones = sorted({one.offset for one in dated if one.offset is not None})
    unknown = (None,) if any(one.offset is None for one in dated) else ()
    return DayOverview(
        labels,
        np.array([active[label] for label in labels]).reshape(-1, _HOURS),
        listened,
        min((one.at.date() for one in dated), default=None),
        max((end.date() for end in ends), default=None),
        len(dated),
        undated,
        (*zones, *unknown),
    )


def _add(hours: Hours, start_s: float, end_s: float) -> None:
    """Add a time from `start_s` to `end_s` after midnight [s] to the hours that it covers."""
    while start_s < end_s:
        hour = int(start_s // _HOUR_S)
        stop = min(end_s, float((hour + 1) * _HOUR_S))
        hours[hour % _HOURS] += stop - start_s
        start_s = stop
