"""label_lists: hub data sets whose rows hold several labels."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from hubbub.data.clips import ClipsError
from hubbub.data.open import open_data


def saved(folder: Path, columns: dict[str, pa.Array], features: dict[str, object] | None = None) -> str:
    """A folder with a parquet file of four sounds and these columns."""
    folder.mkdir(exist_ok=True)
    sounds = []
    for seed in range(4):
        buffer = io.BytesIO()
        soundfile.write(buffer, np.random.default_rng(seed).normal(0, 0.1, 800), 8000, format="WAV")
        sounds.append({"bytes": buffer.getvalue(), "path": f"{seed}.wav"})
    table = pa.table({"audio": pa.array(sounds), **columns})
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, folder / "train-00000-of-00001.parquet")
    return str(folder)


LISTS = [["dog", "rain"], ["rain"], [], ["dog"]]


def test_a_column_of_lists_is_label_sets_if_asked(tmp_path: Path) -> None:
    name = saved(tmp_path / "set", {"labels": pa.array(LISTS), "speaker": ["x", "x", "y", "z"]})
    with pytest.raises(
        ClipsError, match=r"the column 'labels' holds several labels a clip\. Read them by --multilabel"
    ):
        open_data(name)
    with pytest.raises(ClipsError, match="1 clip has no label"):
        open_data(name, multilabel=True)
    clips = open_data(name, multilabel=True, empty="none")
    assert clips.table["labels"].tolist() == [("dog", "rain"), ("rain",), (), ("dog",)]
    assert clips.labels == ("dog", "rain") and clips.table["group"].tolist() == ["x", "x", "y", "z"]
    assert len(open_data(name, multilabel=True, empty="unlabelled")) == 3
    assert open_data(name, multilabel=True, empty="none", labels=("rain", "dog")).targets()[0].tolist() == [1, 1]


@pytest.mark.parametrize(
    "wrapped", [{"feature": {"names": ["dog", "rain", "owl"]}}, [{"names": ["dog", "rain", "owl"]}]]
)
def test_numbers_in_lists_are_named_by_the_schema(tmp_path: Path, wrapped: object) -> None:
    numbers = pa.array([[0, 1], [1], [1, 0], [0]])
    name = saved(tmp_path / "set", {"label": numbers}, {"label": wrapped})
    clips = open_data(name, multilabel=True)
    assert clips.labels == ("dog", "rain", "owl") and clips.table["labels"].tolist()[:2] == [("dog", "rain"), ("rain",)]
    assert any(note.startswith("NEVER PRESENT: no clip holds the class 'owl'") for note in clips.notes)
    saved(tmp_path / "set", {"label": pa.array([[0], [3], [1], [1]])}, {"label": wrapped})
    with pytest.raises(ClipsError, match="the label 3 is none of its 3 classes"):
        open_data(name, multilabel=True)


def test_names_come_before_audiosets_ids(tmp_path: Path) -> None:
    ids = pa.array([["/m/1", "/m/2"], ["/m/2"], ["/m/1"], ["/m/1"]])
    names = pa.array([["Dog", "Rain, heavy"], ["Rain, heavy"], ["Dog"], ["Dog"]])
    clips = open_data(saved(tmp_path / "set", {"labels": ids, "human_labels": names}), multilabel=True)
    assert clips.labels == ("Dog", "Rain, heavy")


def test_cells_of_text_and_columns_of_classes_are_read_as_in_tables(tmp_path: Path) -> None:
    text = saved(tmp_path / "text", {"label": ["dog;rain", "rain", "dog", "dog"]})
    assert open_data(text, multilabel=True).table["labels"].tolist()[0] == ("dog", "rain")
    assert "--multilabel" in " ".join(open_data(text).notes)
    columns = saved(tmp_path / "columns", {"dog": [1, 0, 1, None], "rain": [True, True, False, False]})
    clips = open_data(columns)
    assert clips.targets().tolist() == [[1, 1], [0, 1], [1, 0], [-1, 0]]
    assert any(note.startswith("CLASS COLUMNS: 2 columns of 0 and 1 ('dog', 'rain')") for note in clips.notes)
