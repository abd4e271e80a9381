"""The picture of a day: what is drawn where, read from an SVG's texts and a PNG's colours."""

import re
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hubbub.inference.day_overview import DayOverview
from hubbub.report.day_plot import plot_day


def day(rates: dict[str, dict[int, float]], listened: dict[int, float], **facts: object) -> DayOverview:
    """An overview of rates in minutes an hour and of seconds listened to."""
    seconds = np.array([float(listened.get(hour, 0)) for hour in range(24)])
    active = [[row.get(hour, 0) / 60 * seconds[hour] for hour in range(24)] for row in rates.values()]
    first = date(2024, 5, 14)
    known = {"first": first, "last": first, "dated": 3, "undated": 1, "zones": (timedelta(hours=2), None)}
    return DayOverview(tuple(rates), np.array(active).reshape(-1, 24), seconds, **{**known, **facts})  # type: ignore[arg-type]


def texts(overview: DayOverview, path: Path) -> list[str]:
    """The texts of the picture as an SVG, which notes each in a comment."""
    plot_day(overview, path)
    return [text.strip() for text in re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"), re.DOTALL)]


def test_the_picture_holds_rates_hours_days_and_zones(tmp_path: Path) -> None:
    overview = day({"dog": {5: 12, 6: 0.5}, "a $b$": {6: 0.01}}, {5: 600, 6: 7_200})
    found = texts(overview, tmp_path / "day.svg")
    for text in ("dog", r"a $b$", "12", "0.5", "<0.1", "2.0", "0.2", "hour of the clock (UTC+2, zone not known)"):
        assert text.replace("<", "&lt;") in found or text in found
    assert any(text.startswith("2024-05-14: 3 recordings with a known time, 1 without") for text in found)
    assert [text for text in found if text.isdecimal()].count("23") == 1
    assert "2024-05-14 to 2024-05-20: " in " ".join(texts(day({}, {5: 1}, last=date(2024, 5, 20)), tmp_path / "b.svg"))


@pytest.mark.parametrize("rates", [{}, {"dog": {5: 60}}, {f"class {k}": {5: 60 / (k + 1)} for k in range(60)}])
def test_any_number_of_classes_can_be_drawn(rates: dict[str, dict[int, float]], tmp_path: Path) -> None:
    found = texts(day(rates, {5: 20}), tmp_path / "day.svg")
    assert ("no events" in found) == (not rates)
    assert any("40 classes of 60" in text for text in found) == (len(rates) == 60)
    assert sum(text.startswith("class ") for text in found) == (40 if len(rates) == 60 else 0)


def test_hours_without_sound_are_grey_and_hours_without_events_white(tmp_path: Path) -> None:
    listened = dict.fromkeys(range(12), 600.0)
    plot_day(day({"dog": {0: 60}, "cat": {0: 60}, "owl": {0: 60}}, listened), tmp_path / "day.png")
    image = np.asarray(Image.open(tmp_path / "day.png").convert("L"), float)
    rows = image[round(image.shape[0] * 0.25) : round(image.shape[0] * 0.45)]
    middle = image.shape[1] // 2
    heard, silent = rows[:, middle // 2 : middle - 60], rows[:, middle + 60 :]
    assert np.median(heard) == 255 and np.median(silent) < 245
