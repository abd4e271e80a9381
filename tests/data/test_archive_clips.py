"""An archive's labels as clips: one label or several, groups, caveats."""

from pathlib import Path

import pytest

from hubbub.archive.archive import Archive
from hubbub.data.archive_file import ArchiveError
from hubbub.data.clips import ClipsError
from hubbub.data.open import open_data
from tests.helpers.archives import label, tone_archive


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tone_archive(tmp_path, 2)[0])


def test_one_class_a_segment_gives_clips_of_one_label(archive: Archive) -> None:
    label(archive, [(n, Path(archive.place(n).path).stem.split("-")[0], "yes") for n in range(6)])
    clips = open_data(str(archive.folder), group="file")
    assert not clips.multilabel
    assert sorted(clips.table["label"]) == ["high", "high", "low", "low", "middle", "middle"]
    assert clips.table["path"].map(lambda path: Path(path).is_file()).all()
    assert clips.table["group"].nunique() == 6
    assert any(note.startswith("CHOSEN SEGMENTS: 6 of 6") for note in clips.notes)
    assert open_data(str(archive.folder), multilabel=True).multilabel


def test_several_classes_or_none_give_label_sets(archive: Archive) -> None:
    label(archive, [(0, "low", "yes"), (0, "hum", "yes"), (1, None, "nothing"), (2, "low", "yes")])
    clips = open_data(str(archive.folder))
    assert clips.multilabel
    assert clips.table["labels"].map(set).tolist() == [{"low", "hum"}, set(), {"low"}]


def test_a_class_that_came_later_is_unknown_in_label_sets(archive: Archive) -> None:
    label(archive, [(0, "low", "yes"), (1, None, "nothing")])
    label(archive, [(2, "hum", "yes")])
    clips = open_data(str(archive.folder))
    assert clips.table["unknown"].map(set).tolist() == [{"hum"}, {"hum"}, set()]
    assert any(note.startswith("ADDED LATER: 2 segments were heard before hum existed") for note in clips.notes)


def test_what_is_left_out_is_said(archive: Archive) -> None:
    label(archive, [(0, "low", "yes"), (1, "low", "yes"), (5, "high", "yes")])
    label(archive, [(2, None, "unsure"), (3, "low", "no")])
    archive.database.execute("UPDATE files SET state = 'gone' WHERE first = 5")
    clips = open_data(str(archive.folder))
    assert len(clips) == 2
    said = " ".join(clips.notes)
    for reason in ("UNSURE: 1 segment", "PARTLY HEARD: 1 segment", "RECORDINGS GONE: 1 labelled segment"):
        assert reason in said


def test_what_an_archive_has_not_is_refused(archive: Archive) -> None:
    with pytest.raises(ArchiveError, match="no labelled segment"):
        open_data(str(archive.folder))
    label(archive, [(0, "low", "yes")])
    with pytest.raises(ClipsError, match="has no columns and no background"):
        open_data(str(archive.folder), background=True)
