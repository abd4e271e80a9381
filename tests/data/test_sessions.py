"""sessions: clips of one recording are told by the names that phones, recorders and data sets give."""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from hubbub.data import sessions
from hubbub.data.clips import ClipsError
from hubbub.data.sessions import by_pattern, guess

Home = Callable[[str, str], Path]


def guessed(ids: Sequence[str]) -> dict[str, str]:
    """The group of each clip in class folders; the same in any order of the clips."""
    found = guess(ids, [name.split("/")[0] for name in ids])
    groups = dict(zip(ids, found.groups, strict=True))
    mixed = random.Random(0).sample(list(ids), len(ids))
    again = guess(mixed, [name.split("/")[0] for name in mixed])
    assert dict(zip(mixed, again.groups, strict=True)) == groups and again.note == found.note
    return groups


def parts(groups: dict[str, str]) -> set[frozenset[str]]:
    """The sets of clips that count as one recording, of two clips at least."""
    members: dict[str, set[str]] = {}
    for clip, group in groups.items():
        members.setdefault(group, set()).add(clip)
    return {frozenset(clips) for clips in members.values() if len(clips) > 1}


def in_classes(*names: str, classes: Sequence[str] = ("cat", "dog")) -> list[str]:
    return [f"{label}/{name}" for label in classes for name in names]


def test_esc50_in_class_folders_is_grouped_by_source(home: Home) -> None:
    rows = pd.read_csv(home("data", "esc50") / "meta" / "esc50.csv", dtype=str)
    found = guess(list(rows["category"] + "/" + rows["filename"]), list(rows["category"]))
    rows["group"] = found.groups
    assert (rows.groupby("src_file")["group"].nunique() == 1).all(), "a source is split"
    assert rows["group"].nunique() == rows["src_file"].nunique()
    assert found.alone == () and len(found.examples) == 3


@pytest.mark.parametrize("folder", ["class", "fold"])
def test_urbansound8k_is_grouped_by_freesound_recording(folder: str, home: Home) -> None:
    rows = pd.read_csv(home("data", "urbansound8k") / "metadata" / "present.csv", dtype=str)
    found = guess(list("fold" * (folder == "fold") + rows[folder] + "/" + rows["slice_file_name"]), list(rows["class"]))
    assert found.groups == tuple(rows["fsID"])


def test_names_of_emodb_tell_nothing(home: Home) -> None:
    names = sorted(path.name for path in (home("data", "emodb") / "wav").iterdir())
    ids = [f"{name[5]}/{name}" for name in names]
    found = guess(ids, [name[0] for name in ids])
    assert found.groups == tuple(ids) and found.pattern == "" and found.note.startswith("NO GROUPS")


@pytest.mark.parametrize(
    "names",
    [
        in_classes(*(f"x{i}.wav" for i in range(20))),
        [f"{label}/{label}{i}.wav" for label in ("dog", "glass breaking") for i in range(1, 21)],
        [f"{label}/{label.replace(' ', '_')}-{i:03d}.wav" for label in ("dog", "glass breaking") for i in range(1, 21)],
        in_classes(*(f"Recording {i}.m4a" for i in range(12))),
        in_classes("Recording 12.m4a", "Neue Aufnahme 5.m4a", "New Recording 3.m4a", "Neue Aufnahme.m4a"),
        in_classes(*(f"IMG_40{i}.mov" for i in range(10, 20))),
        in_classes(*(f"DR0000_00{i}.wav" for i in range(10, 20))),
        in_classes(*"abcdef"),
        in_classes("one.wav", "two.wav", "three.wav"),
        [f"{label}/{place}_{i}.wav" for label, place in (("dog", "yard"), ("cat", "hall")) for i in range(9)],
        ["dog/a.wav"],
        [],
    ],
)
def test_running_numbers_alone_make_no_sessions(names: list[str]) -> None:
    assert guessed(names) == {name: name for name in names}
    note = guess(names, [name.split("/")[0] for name in names]).note
    assert note.startswith("NO GROUPS") and "say so: --group PATTERN" in note and "a column group" in note


def test_the_prefix_before_a_running_number_is_the_session() -> None:
    names = [f"{label}/{place}_{i:02d}.wav" for label, place in
             (("dog", "Kitchen"), ("dog", "yard"), ("cat", "kitchen"), ("cat", "hall")) for i in range(4)]  # fmt: skip
    groups = guessed(names)
    assert Counter(groups.values()) == {"Kitchen": 8, "yard": 4, "hall": 4}, "one place, two classes, one session"
    note = guess(names, [name.split("/")[0] for name in names]).note
    assert note.startswith("GUESSED GROUPS: clips are of one recording by what comes before a running number")
    assert "4 clips named like 'cat/hall_00.wav' count as one recording 'hall', 4 clips named like" in note
    assert "give --group file (each file is a recording of its own) or --group PATTERN" in note


@pytest.mark.parametrize(
    ("one", "other", "more"),
    [
        ("street_01_part3.wav", "street_01_part12.wav", ("street_02_part1.wav", "park_01_part1.wav")),
        ("rec7_003.wav", "rec7_041.wav", ("rec8_003.wav", "rec9_1.wav")),
        ("night-a_0010.000-0012.500.wav", "night-a_0012.500-0015.000.wav", ("night-b_0010.000-0012.500.wav",)),
        ("New Recording 3 (2).m4a", "New Recording 3.m4a", ("New Recording 4.m4a", "Recording 5.m4a")),
        ("walk 2 take A.wav", "walk 2 take B.wav", ("walk 3 take A.wav",)),
        ("--PJHxphWEs_30.000_40.000.wav", "--PJHxphWEs_40.000_50.000.wav", ("a1b2c3_30.000_40.000.wav",)),
        ("AUD-20230514-WA0007.opus", "AUD-20230514-WA0012.opus", ("AUD-20230515-WA0001.opus",)),
        ("12345__ann__bark.wav", "12399__ann__meow-2.wav", ("777__bob_2__x.wav", "778__cy__y.wav")),
        ("7-3-0.wav", "7-4-11.wav", ("8-3-0.wav", "9-1-0.wav")),
        ("garden/x1.wav", "garden/y.wav", ("attic/x1.wav", "cellar/2.wav")),
        ("site A/night 1/x.wav", "site A/night 1/y.wav", ("site A/night 2/x.wav", "site B/night 1/x.wav")),
    ],
)  # fmt: skip
def test_pieces_of_one_recording_are_one_group(one: str, other: str, more: tuple[str, ...]) -> None:
    groups = guessed(in_classes(one, other, *more))
    assert groups[f"dog/{one}"] == groups[f"dog/{other}"]
    assert all(groups[f"dog/{another}"] != groups[f"dog/{one}"] for another in more)


def test_a_recording_in_two_class_folders_is_one_and_so_is_its_whole() -> None:
    groups = guessed(["dog/rec7_1.wav", "cat/rec7_2.wav", "cat/rec7.wav", "dog/rec8_1.wav", "cat/rec9_1.wav"])
    assert parts(groups) == {frozenset({"dog/rec7_1.wav", "cat/rec7_2.wav", "cat/rec7.wav"})}


def test_numbers_that_each_class_counts_anew_are_recordings_of_their_class() -> None:
    groups = guessed(in_classes(*(f"{n}_{i:02d}.wav" for n in (1, 2) for i in range(3))))
    assert Counter(groups.values()) == {"cat/1": 3, "cat/2": 3, "dog/1": 3, "dog/2": 3}


@pytest.mark.parametrize(
    "form",
    [
        "{y}{mo}{d}_{h}{m}00.WAV",
        "{y}{mo}{d}{h}{m}00.wav",
        "PXL_{y}{mo}{d}_{h}{m}00123.mp4",
        "WhatsApp Audio {y}-{mo}-{d} at {h}.{m}.00.ogg",
        "SiteA_{y}{mo}{d}_{h}{m}00.wav",
        "{d}-{mo}-{y} {h}-{m}.wav",
        "{y}-{mo}-{d}T{h}:{m}:00Z.flac",
    ],
)
def test_time_stamps_within_ten_minutes_are_one_session(form: str) -> None:
    def named(minute: int, day: str = "14") -> str:
        return form.format(y="2023", mo="05", d=day, h=f"{10 + minute // 60:02d}", m=f"{minute % 60:02d}")

    dogs, cats = [named(minute) for minute in (0, 9, 19, 40)], [named(5), named(0, "15")]
    groups = guessed([*(f"dog/{name}" for name in dogs), *(f"cat/{name}" for name in cats)])
    chain = {f"dog/{name}" for name in dogs[:3]} | {f"cat/{cats[0]}"}
    assert parts(groups) == {frozenset(chain)}
    found = guess(list(groups), [name.split("/")[0] for name in groups])
    assert "by time stamps that follow each other within 10 minutes" in found.note
    assert groups[f"dog/{dogs[0]}"].endswith("2023-05-14 10:00")


def test_sites_before_time_stamps_are_sessions_where_classes_have_two() -> None:
    names = [f"{site}_20230514_{hour}0000.wav" for site in ("SiteA", "SiteB") for hour in (10, 20)]
    assert set(guessed(in_classes(*names)).values()) == {"SiteA", "SiteB"}
    names = [f"{site}/20230514_{hour}0000.wav" for site in ("SiteA", "SiteB") for hour in (10, 20)]
    assert set(guessed(in_classes(*names)).values()) == {"SiteA", "SiteB"}


def test_a_half_past_noon_is_told_from_midnight() -> None:
    names = [f"WhatsApp Audio 2023-05-14 at {time}.ogg" for time in ("12.30.00 AM", "12.35.00 PM", "12.31.00 PM")]
    groups = guessed([*(f"dog/{name}" for name in names), "cat/1.wav", "cat/2.wav"])
    assert parts(groups) == {frozenset(f"dog/{name}" for name in names[1:])}


def test_folders_of_a_split_or_of_the_class_are_no_sessions() -> None:
    names = [f"{part}/{label}/x{i}.wav" for part in ("train", "test", "fold3") for label in "ab" for i in range(3)]
    assert guess(names, [name.split("/")[1] for name in names]).pattern == ""
    names = [f"{label}/audio/x{i}.wav" for label in ("cat", "dog") for i in range(3)]
    assert guess(names, [name.split("/")[0] for name in names]).pattern == ""


def test_a_class_of_one_session_keeps_its_files_apart_and_is_named() -> None:
    names = [f"class{c}/{place}_{i}.wav" for c in range(5) for place in ("hall", "yard") for i in range(3)]
    names += [f"cow/stable_{i}.wav" for i in range(3)]
    found = guess(names, [name.split("/")[0] for name in names])
    assert found.groups[-3:] == tuple(names[-3:]) and found.alone == ("cow",)
    assert "The names of all 'cow' are alike, so each file there counts as a recording of its own" in found.note
    groups = Counter(found.groups)
    assert groups["hall"] == groups["yard"] == 15


def test_two_parts_of_one_listed_file_alone_are_no_guess() -> None:
    assert guess(["a.wav", "a.wav", "b.wav"], ["dog", "cat", "cat"]).pattern == ""


# Patterns


IDS = ["dog/kitchen_01.wav", "dog/kitchen_02.wav", "cat/hall_1.wav", "cat/hall.wav"]


def test_a_pattern_names_the_recording_by_its_group_or_whole_match() -> None:
    groups, notes = by_pattern(IDS, r"([^/]+)_\d+\.")
    assert groups == ["kitchen", "kitchen", "hall", "cat/hall.wav"]
    assert notes[0].startswith("NO GROUP: 1 file of 4 does not match --group ")
    assert by_pattern(IDS, "hall|kitchen") == (["kitchen", "kitchen", "hall", "hall"], ())


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "this is no regular expression (missing ), unterminated subpattern"),
        ("speakr", "no clip's path matches, e.g. cat/hall.wav, cat/hall_1.wav"),
        ("wav", "all 4 files would be one recording, 'wav', so nothing could be tested"),
        ("(x)?", "no clip's path matches"),
        ("a{99999999999}", "this is no regular expression"),
    ],
)  # fmt: skip
def test_a_pattern_that_cannot_group_is_refused_with_advice(pattern: str, why: str) -> None:
    with pytest.raises(ClipsError, match=re.escape(why)) as told:
        by_pattern(IDS, pattern)
    assert str(told.value).startswith(f"--group {pattern}: ")
    assert r"the pattern ([^/]+)_\d+\. gives 'kitchen'. 'file' makes each file" in str(told.value)


def test_a_pattern_that_takes_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "PATTERN_S", 0.5)
    with pytest.raises(ClipsError, match=r"takes more than 0\.5 s\. Leave out repetitions of repetitions"):
        by_pattern(["a" * 60 + "!"], "(a+)+$")
