"""AudioSet's lists of segments and FSD50K's ground truth are data sets, wherever their recordings lie."""

from pathlib import Path

import pytest

from hubbub.data.clips import Clips, ClipsError
from hubbub.data.open import data_recipe, open_clips, open_data
from tests.data.test_label_set_layouts import DEV, NAMES, VOCABULARY
from tests.helpers.sounds import sounds

SEGMENTS = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=3, num_segs=3, num_unique_labels=4, num_positive_labels=5
# YTID, start_seconds, end_seconds, positive_labels
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
-0RWZT-miFs, 42.000, 52.000, "/m/03v3yw,/m/0k4j"
b0RFKhbpFJA, 0.000, 10.000, "/m/09x0r"
"""


@pytest.fixture
def audioset(tmp_path: Path) -> Path:
    (tmp_path / "eval_segments.csv").write_text(SEGMENTS, encoding="utf-8")
    (tmp_path / "class_labels_indices.csv").write_text(NAMES, encoding="utf-8")
    return tmp_path / "eval_segments.csv"


def spans(clips: Clips) -> dict[str, tuple[float, float]]:
    table = clips.table.fillna({"start": -1.0, "end": -1.0})
    return {Path(p).name: (a, b) for p, a, b in zip(table["path"], table["start"], table["end"], strict=True)}


def test_audiosets_segments_are_found_by_the_names_that_downloads_give_them(audioset: Path) -> None:
    sounds(audioset.parent / "wav", "Y--PJHxphWEs.wav", "-0RWZT-miFs_42000_52000.flac", seconds=10)
    sounds(audioset.parent, "b0RFKhbpFJA_0.wav", seconds=10)
    clips = open_data(str(audioset))
    assert spans(clips) == dict.fromkeys(
        ("Y--PJHxphWEs.wav", "-0RWZT-miFs_42000_52000.flac", "b0RFKhbpFJA_0.wav"), (-1, -1)
    )
    assert clips.labels == ("Speech", "Gush", "Keys jangling", "Car, moving", "Sound effect, synthetic")
    assert clips.table["labels"].tolist() == [("Speech", "Gush"), ("Keys jangling", "Car, moving"), ("Speech",)]
    assert clips.table["clip"].tolist() == clips.table["group"].tolist() == [
        "--PJHxphWEs", "-0RWZT-miFs", "b0RFKhbpFJA"
    ]  # fmt: skip
    assert any(note.startswith("NEVER PRESENT: ") for note in clips.notes)


def test_a_list_without_the_names_of_its_classes_says_which_file_to_add(audioset: Path) -> None:
    (audioset.parent / "class_labels_indices.csv").unlink()
    with pytest.raises(ClipsError, match=r"Put AudioSet's class_labels_indices\.csv beside it"):
        open_data(str(audioset))


def test_of_a_whole_video_its_segment_is_taken(audioset: Path) -> None:
    sounds(audioset.parent, "--PJHxphWEs.wav", "-0RWZT-miFs.wav", seconds=55)
    sounds(audioset.parent, "b0RFKhbpFJA.wav", seconds=10)
    clips = open_data(str(audioset))
    assert spans(clips) == {"--PJHxphWEs.wav": (30, 40), "-0RWZT-miFs.wav": (42, 52), "b0RFKhbpFJA.wav": (-1, -1)}


def test_videos_that_are_gone_need_to_be_allowed_and_classes_may_be_ordered(audioset: Path) -> None:
    sounds(audioset.parent, "--PJHxphWEs.wav", seconds=10)
    with pytest.raises(ClipsError, match="2 of 3 listed files are missing"):
        open_data(str(audioset))
    labels = ("Gush", "Speech", "Car, moving", "Keys jangling")
    clips = open_data(str(audioset), allow_missing=True, labels=labels)
    assert clips.labels == labels and clips.table["labels"].tolist() == [("Gush", "Speech")]
    with pytest.raises(ClipsError, match="unknown label 'Car, moving'"):
        open_data(str(audioset), allow_missing=True, labels=("Gush", "Speech", "Keys jangling"))
    with pytest.raises(ClipsError, match="says which clips are of one recording"):
        open_data(str(audioset), group="file")


@pytest.mark.parametrize(
    "place", ["FSD50K.dev_audio", "FSD50K.ground_truth/dev", "FSD50K.ground_truth/FSD50K.dev_audio"]
)
def test_fsd50ks_ground_truth(tmp_path: Path, place: str) -> None:
    truth = tmp_path / "FSD50K.ground_truth"
    truth.mkdir()
    (truth / "vocabulary.csv").write_text(VOCABULARY, encoding="utf-8")
    (truth / "dev.csv").write_text(DEV, encoding="utf-8")
    sounds(tmp_path / place, "64760.wav", "16399.wav", "4244.wav")
    clips = open_data(str(truth / "dev.csv"))
    assert clips.table["clip"].tolist() == ["64760", "16399", "4244"] and clips.folds == ("train", "val")
    assert clips.table["labels"].tolist() == [("Electric_guitar", "Guitar", "Music"), ("Rain", "Water"), ("Rain",)]
    assert clips.labels == ("Electric_guitar", "Guitar", "Music", "Rain", "Water", "Wind")
    assert clips.fold_source == "official"


def test_fsd50ks_evaluation_part_is_test_data(tmp_path: Path) -> None:
    (tmp_path / "vocabulary.csv").write_text(VOCABULARY, encoding="utf-8")
    (tmp_path / "dev.csv").write_text(DEV, encoding="utf-8")
    (tmp_path / "eval.csv").write_text('fname,labels,mids\n7,"Rain,Water","/m/06mb1,/m/0838f"\n', encoding="utf-8")
    sounds(tmp_path / "FSD50K.dev_audio", "64760.wav", "16399.wav", "4244.wav")
    sounds(tmp_path / "FSD50K.eval_audio", "7.wav")
    clips = open_clips(data_recipe(str(tmp_path / "dev.csv"), [f"data.test={tmp_path / 'eval.csv'}"]))
    assert clips.table["fold"].tolist() == ["train"] * 3 + ["test"] and (clips.targets() >= 0).all()
