"""Files of arrays and pictures with flipped bytes and torn ends: they are read, or refused with an error of ours."""

import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile
from PIL import Image
from pyarrow import parquet

from hubbub.audio import image_files
from hubbub.audio.image_files import ImageError
from hubbub.data.clips import ClipsError
from hubbub.data.features import (
    ARRAYS,
    LABELS,
    METADATA,
    open_features,
    read_features,
    read_hashes,
    read_shape,
)
from hubbub.data.open import open_data
from hubbub.errors import HubbubError

RNG = np.random.default_rng(0)
#: What parsers take for the start or the end of something.
TELLING = (b"\x00", b"\xff", b"(", b"{", b"'", b"9", b"-", b"\n", b"PK")
PICTURES = {"PNG": {}, "JPEG": {}, "BMP": {}, "TIFF": {"compression": "tiff_lzw"}, "WEBP": {}}


def damaged(whole: bytes, count: int = 300) -> list[bytes]:
    """Copies with bytes flipped at random, most of them near the ends, where headers are; and torn ones."""
    rng, found = np.random.default_rng(1), []
    for number in range(count):
        spoilt = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            near = min(len(whole), 200 if number % 3 else len(whole))
            place = int(rng.integers(near)) if number % 2 else len(whole) - 1 - int(rng.integers(near))
            new = TELLING[rng.integers(len(TELLING))] if number % 5 else bytes([spoilt[place] ^ (1 << rng.integers(8))])
            spoilt[place : place + len(new)] = new
        found.append(bytes(spoilt))
    return found + [whole[: int(cut)] for cut in np.linspace(0, len(whole) - 1, 40)]


def refused(file: Path, read: Callable[[Path], object], contents: list[bytes]) -> int:
    """How many of some contents are refused; any other error fails."""
    count = 0
    for number, content in enumerate(contents):
        file.write_bytes(content)
        try:
            read(file)
        except HubbubError as error:
            assert len(str(error)) > 20
            count += 1
        except Exception as error:
            raise AssertionError(f"number {number}: {content[:200]!r}") from error
    return count


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", PICTURES)
def test_pictures(tmp_path: Path, kind: str) -> None:
    picture = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(picture, kind, **PICTURES[kind])
    file = tmp_path / f"p.{kind.lower()}"
    assert refused(file, image_files.read_image, [picture.getvalue()]) == 0
    assert refused(file, image_files.read_image, damaged(picture.getvalue())) > 20
    refused(file, image_files.is_grey, damaged(picture.getvalue()))


def headed(header: str) -> bytes:
    """A `.npy` file of four numbers, with a header of one's own."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + np.ones(4, np.float32).tobytes()


HEADERS = [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2",  # TokenError
    "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 5000,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1000000000000000)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000000000000, 2)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -2)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0, 2)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2, 1)}",
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 2)}",
    "{'descr': '<c8', 'fortran_order': False, 'shape': (2, 1)}",
    "{'descr': [1, 2], 'fortran_order': False, 'shape': (2, 2)}",
    "{1: 2, 'shape': (2, 2)}",
    "[]",
    "__import__('os').abort()",
]


def test_npy(tmp_path: Path) -> None:
    whole = headed("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }")
    file = tmp_path / "s.npy"
    assert refused(file, image_files.read_spectrogram, [whole]) == 0
    assert refused(file, image_files.read_spectrogram, damaged(whole)) > 100
    contents = [headed(header) for header in HEADERS]
    assert refused(file, image_files.read_spectrogram, contents) == len(HEADERS)


def features(folder: Path) -> Path:
    """As `write_features` gives them."""
    columns = {"clip": list("abcd"), "label": list("xyxy"), "fold": list("1122"), "group": list("abcd")}
    np.savez(
        folder / ARRAYS,
        features=RNG.normal(size=(6, 3, 5)).astype(np.float32),
        times=RNG.normal(size=(6, 2)),
        offsets=np.array([0, 1, 3, 5, 6]),
        content=np.array(list("efgh")),
        split_hint=np.array([""] * 4),
        **{name: np.array(values) for name, values in columns.items()},
    )
    facts = dict.fromkeys(("name", "licence", "citation"), "none") | {"synthetic": True, "listed": 4}
    facts |= {"missing": [], "notes": [], "straddling": [], "made": {"audio": {}, "windows": {}, "frontend": {}}}
    (folder / METADATA).write_text(json.dumps(facts))
    (folder / LABELS).write_text(json.dumps({"x": 0, "y": 1}))
    return folder / ARRAYS


def read_all(file: Path) -> None:
    clips = open_features(file.parent / ARRAYS)
    read_shape(file.parent / ARRAYS)
    read = list(read_features(file.parent / ARRAYS, clips.table["clip"]))
    assert [len(values) for values, _, _ in read] == [1, 2, 2, 1]


@pytest.mark.parametrize("name", [ARRAYS, METADATA, LABELS])
def test_npz_and_what_lies_beside_it(tmp_path: Path, name: str) -> None:
    features(tmp_path)
    file, whole = tmp_path / name, (tmp_path / name).read_bytes()
    assert refused(file, read_all, [whole]) == 0
    assert refused(file, read_all, [*damaged(whole), b"[" * 50_000, b"[]", b"{}", b"7", b"null"]) > 40


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("what", ["audio", "mel_spectrogram"])
def test_tables_of_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, what: str) -> None:
    monkeypatch.setenv("HUBBUB_CACHE", str(tmp_path / "cache"))
    sound = io.BytesIO()
    soundfile.write(sound, RNG.normal(0, 0.1, 100), 8_000, format="WAV")
    cell = {"bytes": sound.getvalue(), "path": "a.wav"} if what == "audio" else RNG.normal(size=(3, 4)).tolist()
    table = pa.Table.from_pandas(pd.DataFrame({what: [cell] * 4, "label": list("xyxy"), "fold": list("1212")}))
    (tmp_path / "set" / "train").mkdir(parents=True)
    file = tmp_path / "set" / "train" / f"data.{ending}"
    if ending == "parquet":
        parquet.write_table(table, file)
    else:
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    whole = file.read_bytes()
    assert refused(file, lambda _: open_data(str(tmp_path / "set")), [whole]) == 0
    assert refused(file, lambda _: open_data(str(tmp_path / "set")), damaged(whole)) > 20


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    features(tmp_path)
    (tmp_path / ARRAYS).unlink()
    os.mkfifo(tmp_path / ARRAYS)
    (tmp_path / "zeros.npy").symlink_to("/dev/zero")
    (tmp_path / "gone.npy").symlink_to(tmp_path / "nowhere.npy")
    for path in (tmp_path, tmp_path / ARRAYS, tmp_path / "zeros.npy", tmp_path / "gone.npy"):
        for read in (image_files.read_image, image_files.is_grey, image_files.read_spectrogram):
            with pytest.raises(ImageError, match="is not a file"):
                read(path)
    for read in (open_features, read_shape, read_hashes):
        with pytest.raises(ClipsError, match="it is not a file"):
            read(tmp_path / ARRAYS)
