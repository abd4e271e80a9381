"""day_overview: minutes of events an hour of listening, by hour of the clock, worked out by hand."""

import json
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from hubbub.audio.recorded import Recorded
from hubbub.classifier.prediction import Event, Prediction
from hubbub.inference.day_overview import DayOverview, Listened, day_overview
from hubbub.inference.result import FileResult

HOUR = timedelta(hours=1)


def at(time: str, seconds: float, *events: tuple[str, float, float], offset: timedelta | None = None) -> Listened:
    recorded = Recorded(datetime.fromisoformat(time), offset, "name")
    return Listened(recorded, seconds, [Event(label, start, end, 0.9) for label, start, end in events])


def row(day: DayOverview, label: str) -> dict[int, float]:
    """A class's rates that are not 0, by hour."""
    rates = day.minutes_an_hour[day.labels.index(label)]
    return {hour: pytest.approx(rates[hour]) for hour in np.flatnonzero(np.nan_to_num(rates))}


def test_minutes_are_of_an_hour_of_listening() -> None:
    # 10 minutes of sound at 5 h, of which a dog barks for 2: 12 minutes an hour.
    day = day_overview([at("2024-05-14T05:20:00", 600, ("dog", 60, 180))])
    assert row(day, "dog") == {5: 12}
    assert day.listened_s.tolist() == [0] * 5 + [600] + [0] * 18
    # Hours without sound are not 0, but not known.
    assert np.flatnonzero(np.isnan(day.minutes_an_hour[0])).tolist() == [*range(5), *range(6, 24)]


def test_an_event_that_crosses_an_hour_is_split() -> None:
    # From 5:50 for 20 minutes; the rain lasts from 5:58 to 6:05.
    day = day_overview([at("2024-05-14T05:50:00", 1_200, ("rain", 480, 900))])
    assert day.listened_s[5:7].tolist() == [600, 600]
    assert day.active_s[0, 5:7].tolist() == [120, 300]
    assert row(day, "rain") == {5: 12, 6: 30}


def test_midnight_and_several_days_are_pooled() -> None:
    day = day_overview(
        [
            at("2024-05-14T23:59:00", 120, ("owl", 30, 90)),
            at("2024-05-16T23:59:30", 30),
            at("2024-05-10T00:00:00", 60, ("owl", 0, 60)),
        ]
    )
    assert (day.listened_s[23], day.listened_s[0]) == (90, 120)
    assert row(day, "owl") == {23: 20, 0: 45}
    assert (day.first, day.last, day.dated, day.undated) == (date(2024, 5, 10), date(2024, 5, 17), 3, 0)


def test_a_recording_of_two_days_fills_every_hour_twice() -> None:
    day = day_overview([at("2024-05-14T12:00:00.500", 48 * 3_600, ("sea", 0, 48 * 3_600))])
    assert day.listened_s == pytest.approx(np.full(24, 7_200))
    assert day.minutes_an_hour[0] == pytest.approx(np.full(24, 60))


def test_events_end_with_their_recording() -> None:
    # The last segment is padded: its event seems to last longer than the sound.
    day = day_overview([at("2024-05-14T12:00:00", 2.5, ("dog", 2, 4), ("cat", 3, 4))])
    assert day.active_s[:, 12].tolist() == [0.5, 0]


def test_recordings_without_a_time_are_counted_and_left_out() -> None:
    unknown = Listened(None, 600, [Event("cat", 0, 600, 0.9)])
    day = day_overview([unknown, at("2024-05-14T12:00:00", 60, ("dog", 0, 6)), unknown])
    assert (day.labels, day.dated, day.undated) == (("dog",), 1, 2)
    none = day_overview([unknown])
    assert (none.dated, none.undated, none.first, none.labels, none.minutes_an_hour.shape) == (0, 1, None, (), (0, 24))


def test_classes_come_with_the_longest_first_and_clocks_by_zone() -> None:
    day = day_overview(
        [
            at("2024-05-14T12:00:00", 60, ("b", 0, 6), ("a", 0, 6), ("c", 0, 10), offset=2 * HOUR),
            at("2024-12-14T12:00:00", 60, ("c", 0, 1), offset=HOUR),
            at("2024-12-14T13:00:00", 60),
            at("2024-05-15T12:00:00", 60, offset=2 * HOUR),
        ]
    )
    assert day.labels == ("c", "a", "b") and day.zones == (HOUR, 2 * HOUR, None)
    # The hour is that of the place, in summer time as in winter time.
    assert row(day, "c") == {12: pytest.approx(11 / 180 * 60)}


@pytest.mark.parametrize("offset", [None, timedelta(0), 5.5 * HOUR, -3.5 * HOUR])
def test_what_was_saved_counts_as_what_was_found(offset: timedelta | None) -> None:
    found = at("2024-05-14T05:59:59.250", 2, ("dog", 0.5, 1.5), offset=offset)
    nothing = np.zeros((0, 2))
    prediction = Prediction({"dog": 1.0}, 2.0, nothing, nothing.astype(int), nothing.astype("f4"), tuple(found.events))
    saved = Listened.of_saved(json.loads(FileResult("a.wav", prediction, recorded=found.recorded).to_json()))
    assert saved == found
    assert Listened.of_saved(json.loads(FileResult("a.wav", prediction).to_json())).recorded is None
    assert day_overview([saved]).active_s[0, 5:7].tolist() == [0.25, 0.75]
