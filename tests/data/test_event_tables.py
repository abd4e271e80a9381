"""event_tables: events and scores of frames from tables, and which recordings their names mean."""

from pathlib import Path

import numpy as np
import pytest

from hubbub.data.event_tables import TimedEvent, match, read_events, read_frames
from hubbub.data.values import ClipsError
from tests.helpers.sounds import rows, sounds

# Events


def test_events_are_read_with_the_lengths_of_the_sounds_beside_them(tmp_path: Path) -> None:
    sounds(tmp_path, "site/a.wav", "site/b.wav", seconds=3.0)
    table = rows(tmp_path / "truth.csv", "file,start,end,label", "site/a.wav,0.5,1,dog", 'a.wav,0:00:02,"2,5",rain')
    found = read_events(table)
    assert found.events == {"site/a.wav": [TimedEvent("dog", 0.5, 1.0), TimedEvent("rain", 2.0, 2.5)]}
    assert found.seconds == {"site/a.wav": pytest.approx(3.0)} and found.labels == ("dog", "rain")


def test_a_folder_of_tables_holds_recordings_without_events_too(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", seconds=3.0)
    rows(tmp_path / "a.txt", "0.5\t1.25\tdog")
    (tmp_path / "b.txt").write_text("")
    found = read_events(tmp_path)
    assert found.events == {"a.wav": [TimedEvent("dog", 0.5, 1.25)], "b.wav": []}


def test_names_alone_will_do(tmp_path: Path) -> None:
    """Tables of a machine that is not here, and a table that is named after its recording."""
    table = rows(tmp_path / "found.tsv", "filename\tonset\toffset\tevent_label", "D:\\day\\a.wav\t1\t2\tdog")
    assert read_events(table).events == {"D:\\day\\a.wav": [TimedEvent("dog", 1.0, 2.0)]}
    track = rows(tmp_path / "night.labels.txt", "1\t2\tdog")
    found = read_events(track, with_sounds=False)
    assert found.events == {"night": [TimedEvent("dog", 1.0, 2.0)]} and not found.seconds


def test_overlapping_events_of_a_class_are_one_and_a_note_says_so(tmp_path: Path) -> None:
    lines = ("file,start,end,label", "a.wav,0,2,dog", "a.wav,1,3,dog", "a.wav,1,1.5,rain", "a.wav,3,4,dog")
    found = read_events(rows(tmp_path / "t.csv", *lines))
    assert found.events["a.wav"] == [
        *(TimedEvent("dog", 0.0, 3.0), TimedEvent("rain", 1.0, 1.5)),
        TimedEvent("dog", 3.0, 4.0),  # it only touches
    ]
    assert found.notes == (
        "OVERLAPS JOINED: 1 event overlaps another of its class in the same recording; together they are one",
    )


def test_points_in_time_are_left_out_and_times_after_the_end_are_cut(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", seconds=3.0)
    lines = ("file,start,end,label", "a.wav,1,1,dog", "a.wav,2,9,dog")
    notes = read_events(rows(tmp_path / "t.csv", *lines)).notes
    assert [note.partition(":")[0] for note in notes] == ["LEFT OUT", "SPANS CUT"]
    assert read_events(rows(tmp_path / "t.csv", *lines)).events["a.wav"] == [TimedEvent("dog", 2.0, pytest.approx(3.0))]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("file,start,end,label", "a.wav,4,5,dog"), "not within the file, which lasts 3 s"),
        (("file,start,end,label", "x.wav,2,1,dog"), "row 2 ends before it starts"),
        (("file,start,end,label", "a.wav,,1,dog"), "1 annotation without start"),
        (("name,colour", "a.wav,red"), "no table of events"),
    ],
)
def test_a_table_without_sense_is_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    sounds(tmp_path, "a.wav", seconds=3.0)
    with pytest.raises(ClipsError, match=message):
        read_events(rows(tmp_path / "t.csv", *lines))


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipsError, match="is not there"):
        read_events(tmp_path / "truth.csv")


def test_a_recording_with_two_tables_is_refused(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", seconds=3.0)
    rows(tmp_path / "a.txt", "0.5\t1.25\tdog")
    rows(tmp_path / "all.csv", "file,start,end,label", "a.wav,1,2,dog")
    with pytest.raises(ClipsError, match=r"a\.wav is annotated by a\.txt and by all\.csv"):
        read_events(tmp_path)


# Scores of frames


def test_overlapping_frames_cover_half_of_their_overlap(tmp_path: Path) -> None:
    lines = ("file,seconds,start,end,label,score,dog,label (class)",)
    lines += tuple(f"a.wav,3,{at},{at + 1},dog,.9,{at / 10},{at / 20}" for at in (0.0, 1.0, 0.5, 1.5))
    found = read_frames(rows(tmp_path / "s.csv", *lines), ("dog", "label"))
    assert found is not None and not found[1]
    (frames,) = found[0].values()
    np.testing.assert_allclose(frames.edges, [0, 0.75, 1.25, 1.75, 2.5])
    np.testing.assert_allclose(frames.scores, [[0, 0], [0.05, 0.025], [0.1, 0.05], [0.15, 0.075]])


def test_scores_may_come_one_file_a_recording(tmp_path: Path) -> None:
    """As sed_scores_eval writes them; a column of no class is named."""
    folder = tmp_path / "scores"
    folder.mkdir()
    for name in "ab":
        rows(folder / f"{name}.tsv", "onset\toffset\train\tdog\tcat", "0\t0.5\t.1\t.2\t.3", "0.5\t0.8\t.4\t.5\t.6")
    found = read_frames(folder, ("dog", "rain"))
    assert found is not None and list(found[0]) == ["a", "b"]
    np.testing.assert_allclose(found[0]["b"].scores, [[0.2, 0.1], [0.5, 0.4]])
    assert found[1] == ("NOT SCORED: 1 column that no annotation names: cat",)


def test_a_table_of_events_holds_no_scores(tmp_path: Path) -> None:
    assert read_frames(rows(tmp_path / "e.csv", "file,start,end,label,score", "a.wav,0,1,dog,.9"), ("dog",)) is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("0,1,.5,.5", "2,3,.5,.5"), r"the frame of a at 2 s \(row 3\) does not follow the one before"),
        (("0,1,.5,.5", "0,1,.5,.5"), r"at 0 s \(row 3\) is given twice"),
        (("0,1,.5,", "1,2,.5,.5"), "'' in row 2, column 'rain', is no number"),
        (("1,1,.5,.5",), "row 2 is a frame from 1 to 1 s"),
    ],
)
def test_frames_without_sense_are_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(ClipsError, match=message):
        read_frames(rows(tmp_path / "a.csv", "start,end,dog,rain", *lines), ("dog", "rain"))


def test_a_class_without_scores_is_refused(tmp_path: Path) -> None:
    table = rows(tmp_path / "a.csv", "start,end,dog", "0,1,.5")
    with pytest.raises(ClipsError, match=r"no column for 1 class of the annotations \(rain\)"):
        read_frames(table, ("dog", "rain"))


# Names


def test_a_recording_is_known_by_its_name_and_folders() -> None:
    there = ["day1/a.wav", "day2/a.wav", "B.flac"]
    assert match(["/x/day2/a.mp3", "b", "c.wav"], there) == {"/x/day2/a.mp3": "day2/a.wav", "b": "B.flac"}
    with pytest.raises(ClipsError, match=r"a\.wav may be day1/a\.wav or day2/a\.wav"):
        match(["a.wav"], there)
    with pytest.raises(ClipsError, match=r"b and x/b\.wav both mean B\.flac"):
        match(["b", "x/b.wav"], there)
