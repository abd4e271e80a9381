"""label_set_layouts: AudioSet's and FSD50K's tables as they are published."""

from pathlib import Path

import pytest

from hubbub.data.clips import ClipsError
from hubbub.data.label_set_layouts import from_audioset, from_fsd50k, is_audioset, is_fsd50k

SEGMENTS = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=3, num_segs=3, num_unique_labels=4, num_positive_labels=5
# YTID, start_seconds, end_seconds, positive_labels
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
-0RWZT-miFs, 420.000, 430.000, "/m/03v3yw,/m/0k4j"
#b0RFKhbpFJA, 30.000, 40.000, "/m/09x0r"
"""
NAMES = """index,mid,display_name
0,/m/09x0r,"Speech"
1,/t/dd00088,"Gush"
2,/m/03v3yw,"Keys jangling"
3,/m/0k4j,"Car, moving"
4,/m/07rwj00,"Sound effect, synthetic"
"""
DEV = """fname,labels,mids,split
64760,"Electric_guitar,Guitar,Music","/m/02sgy,/m/0342h,/m/04rlf",train
16399,"Rain,Water","/m/06mb1,/m/0838f",val
4244,Rain,/m/06mb1,train
"""
VOCABULARY = """0,Electric_guitar,/m/02sgy
1,Guitar,/m/0342h
2,Music,/m/04rlf
3,Rain,/m/06mb1
4,Water,/m/0838f
5,Wind,/m/03m9d0z
"""


@pytest.fixture
def audioset(tmp_path: Path) -> tuple[Path, Path]:
    """A list of segments and the names of its classes."""
    files = tmp_path / "eval_segments.csv", tmp_path / "class_labels_indices.csv"
    for file, text in zip(files, (SEGMENTS.replace("#b0", "b0"), NAMES), strict=True):
        file.write_text(text, encoding="utf-8")
    return files


@pytest.fixture
def fsd50k(tmp_path: Path) -> Path:
    """`dev.csv` with its vocabulary beside it."""
    (tmp_path / "vocabulary.csv").write_text(VOCABULARY, encoding="utf-8")
    (tmp_path / "dev.csv").write_text(DEV, encoding="utf-8")
    return tmp_path / "dev.csv"


def test_audiosets_segments(audioset: tuple[Path, Path]) -> None:
    assert is_audioset(audioset[0]) and not is_audioset(audioset[1])
    found = from_audioset(*audioset)
    assert found.classes == ("Speech", "Gush", "Keys jangling", "Car, moving", "Sound effect, synthetic")
    assert found.table[["path", "start", "end", "group"]].to_numpy().tolist()[:2] == [
        ["--PJHxphWEs", "30.000", "40.000", "--PJHxphWEs"], ["-0RWZT-miFs", "420.000", "430.000", "-0RWZT-miFs"]
    ]  # fmt: skip
    assert [set(labels) for labels in found.table["labels"]] == [
        {"Speech", "Gush"}, {"Keys jangling", "Car, moving"}, {"Speech"}
    ]  # fmt: skip
    (note,) = found.notes
    assert note.startswith("NEVER PRESENT: no clip holds the class 'Sound effect, synthetic'; ")
    assert found.targets().sum(axis=0).tolist() == [2, 1, 1, 1, 0] and found.known().all()


def test_audiosets_rows_that_are_not_as_published_are_refused(audioset: tuple[Path, Path]) -> None:
    segments, names = audioset
    segments.write_text(SEGMENTS + "abc, 0.000, 10.000, Speech\n", encoding="utf-8")
    with pytest.raises(ClipsError, match=r"row 7 is no segment of AudioSet\. Write the video, start and end"):
        from_audioset(segments, names)
    segments.write_text(SEGMENTS + 'abc, 0.000, 10.000, "/m/09x0r,/m/0zzzz"\n', encoding="utf-8")
    with pytest.raises(
        ClipsError, match=r"row 7 has 1 label that class_labels_indices\.csv does not name \(/m/0zzzz\)"
    ):
        from_audioset(segments, names)
    with pytest.raises(ClipsError, match=r"does not begin with index,mid,display_name\. Name class_labels_indices"):
        from_audioset(segments, segments)


def test_fsd50ks_ground_truth(fsd50k: Path) -> None:
    assert is_fsd50k(fsd50k) and not is_audioset(fsd50k)
    found = from_fsd50k(fsd50k)
    assert found.classes == ("Electric_guitar", "Guitar", "Music", "Rain", "Water", "Wind")
    assert found.table["path"].tolist() == [f"FSD50K.dev_audio/{n}.wav" for n in (64760, 16399, 4244)]
    assert found.table["fold"].tolist() == ["train", "val", "train"]
    assert [set(labels) for labels in found.table["labels"]] == [
        {"Electric_guitar", "Guitar", "Music"}, {"Rain", "Water"}, {"Rain"}
    ]  # fmt: skip
    assert [note.partition(": ")[0] for note in found.notes] == ["NEVER PRESENT"]


def test_fsd50ks_evaluation_part_is_the_test_part(fsd50k: Path) -> None:
    part = fsd50k.with_name("eval.csv")
    part.write_text("\n".join(line.rpartition(",")[0] for line in DEV.splitlines()) + "\n", encoding="utf-8")
    found = from_fsd50k(part)
    assert set(found.table["fold"]) == {"test"} and found.table["path"][2] == "FSD50K.eval_audio/64760.wav"
    assert from_fsd50k(part, "clips").table["path"][2] == "clips/64760.wav"


def test_fsd50ks_labels_and_mids_must_agree(fsd50k: Path) -> None:
    fsd50k.write_text(DEV.replace('"Rain,Water"', '"Rain,Wind"'), encoding="utf-8")
    with pytest.raises(ClipsError, match="row 3 has the labels Rain,Wind and the mids of Rain, Water"):
        from_fsd50k(fsd50k)
    fsd50k.write_text(DEV.replace("/m/0838f", "/m/0zzzz"), encoding="utf-8")
    with pytest.raises(ClipsError, match=r"row 3 has 1 label that vocabulary\.csv does not name \(/m/0zzzz\)"):
        from_fsd50k(fsd50k)
    (fsd50k.parent / "vocabulary.csv").write_text("0,Rain\n", encoding="utf-8")
    with pytest.raises(ClipsError, match="row 1 has not the three cells number, label and mid"):
        from_fsd50k(fsd50k)


def test_other_tables_are_neither(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("path,label\na.wav,Dog\n", encoding="utf-8")
    assert not is_fsd50k(file) and not is_audioset(file) and not is_fsd50k(tmp_path / "absent.csv")
