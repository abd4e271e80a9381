"""confounds: classes that differ as files are found, others are not; by luck alone hardly ever."""

import numpy as np
import pandas as pd
import pytest

from hubbub.data import confounds
from hubbub.data.confounds import FAMILIES, property_tests
from hubbub.data.findings import PropertyTest

NAMES = [family.name for family in FAMILIES]


def recordings(classes: int, each: int, clips: int = 1, seed: int = 0) -> pd.DataFrame:
    """Recordings whose properties do not depend on the class; those of one recording are alike."""
    rng = np.random.default_rng(seed)
    count = classes * each
    table = pd.DataFrame(
        {
            "label": [f"class {number % classes}" for number in range(count)],
            "group": [f"recording {number}" for number in range(count)],
            "rate_hz": rng.choice([44_100, 48_000], count),
            "channels": rng.choice([1, 2], count),
            "coding": rng.choice(["WAV PCM_16", "WAV PCM_24", "OGG VORBIS"], count),
            "band": rng.choice([1.0, 0.7, 0.5], count),
            "encoded": rng.choice([0.0, 1.0], count),
            "offset": np.where(rng.random(count) < 0.1, 0.02, 0.0),
            "floor_db": rng.normal(-50, 10, count),
            "level_db": rng.normal(-25, 8, count),
            "peak_db": rng.normal(-6, 4, count),
            "seconds": rng.uniform(1, 9, count),
            "silent": np.zeros(count),
        }
    )
    return table.loc[table.index.repeat(clips)].reset_index(drop=True)


def alarms(tests: list[PropertyTest]) -> dict[str, tuple[str, ...]]:
    return {test.family: test.classes for test in tests if test.alarming}


@pytest.mark.parametrize(
    ("family", "column", "value"),
    [
        ("file format", "rate_hz", 22_050),
        ("file format", "channels", 4),
        ("file format", "coding", "MP3 MPEG_LAYER_III"),
        ("band limit", "band", 0.36),
        ("DC offset", "offset", 0.011),
        ("loudness", "level_db", 5.0),
        ("length or silence", "seconds", 0.5),
    ],
)
@pytest.mark.parametrize(("classes", "each"), [(2, 8), (10, 16), (50, 20)])
def test_a_class_that_differs_in_one_property_is_found(
    family: str, column: str, value: object, classes: int, each: int
) -> None:
    table = recordings(classes, each)
    table.loc[table["label"] == "class 1", column] = value
    found = alarms(property_tests(table))
    assert list(found) == [family]
    assert found[family] == (("class 0", "class 1") if classes == 2 else ("class 1",))


def test_half_of_the_classes_against_the_other_half_is_found() -> None:
    table = recordings(10, 16)
    table["rate_hz"] = np.where(table["label"] < "class 5", 22_050, 44_100)
    (found,) = (test for test in property_tests(table) if test.family == "file format")
    assert found.alarming and found.accuracy > 0.15 and found.p < 0.01


def test_luck_alarms_hardly_ever() -> None:
    """Forty small data sets without differences: at 1 % each, 3 alarms have a probability of 1 %."""
    sizes = [(2, 3), (2, 8), (3, 8), (5, 16), (10, 4)]
    every = [property_tests(recordings(*sizes[seed % 5], seed=seed)) for seed in range(40)]
    tests = [test for each in every for test in each]
    assert len(tests) == 280 and sum(test.alarming for test in tests) < 3
    guessed = np.mean([test.accuracy - test.chance for test in tests])
    assert abs(guessed) < 0.05, "a tree that does not see a recording is no better than a guess"


def test_many_clips_of_a_few_recordings_prove_nothing() -> None:
    """Two recordings of a class can differ by luck, however many clips are cut from them."""
    table = recordings(2, 2, clips=100)
    table["rate_hz"] = np.where(table["label"] == "class 1", 22_050, 44_100)
    (found, *_) = property_tests(table)
    assert found.recordings == 4 and not found.alarming and found.p > 0.01
    assert alarms(property_tests(table.assign(group=[str(row) for row in table.index])))  # were they independent


def test_classes_of_one_recording_take_no_part() -> None:
    table = recordings(3, 8)
    table.loc[table["label"] == "class 2", "group"] = "one session"
    table.loc[table["label"] == "class 2", "rate_hz"] = 8_000
    found = property_tests(table)
    assert not alarms(found) and found[0].chance == 0.5 and found[0].recordings == 16
    assert property_tests(table[table["label"] != "class 0"]) == []


def test_speakers_who_say_all_classes_count_once_for_each() -> None:
    table = recordings(4, 10)
    table["group"] = [f"speaker {row // 4}" for row in table.index]
    table.loc[table["label"] == "class 3", "level_db"] += 60
    found = property_tests(table)
    assert found[0].recordings == 40 and alarms(found) == {"loudness": ("class 3",)}


def test_the_same_data_give_the_same_figures() -> None:
    table = recordings(5, 10)
    assert property_tests(table) == property_tests(table.sample(frac=1, random_state=1))
    assert [test.family for test in property_tests(table)] == NAMES
    assert {column for family in confounds.FAMILIES for column in family.columns} <= set(table.columns)
