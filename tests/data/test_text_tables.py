"""text_tables: a list is read in whatever way it was saved, and what is no list says so."""

import os
from pathlib import Path

import pytest

from hubbub.data.clip_lists import from_csv
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.open import open_data
from hubbub.data.text_tables import read
from tests.helpers.sounds import rows, sounds

PLAIN = ("path,label", "a.wav,dog", "b.wav,cat", '"c, too.wav",dog')


@pytest.fixture
def place(tmp_path: Path) -> Path:
    sounds(tmp_path, "a.wav", "b.wav", "c, too.wav", "deep/d.wav", "Grünfink.wav", seconds=2)
    return tmp_path


def labels(clips: Clips) -> dict[str, str]:
    return dict(zip(map(os.path.basename, clips.table["path"]), clips.table["label"], strict=True))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("separator", "name"), [(",", "l.csv"), (";", "l.csv"), ("\t", "l.tsv"), ("\t", "l.TXT")])
def test_lists_are_read_as_they_are_saved(place: Path, encoding: str, end: str, separator: str, name: str) -> None:
    lines = [line if '"' in line else line.replace(",", separator) for line in PLAIN]
    lines[3] = lines[3].replace('",', f'"{separator}')
    (place / name).write_bytes(end.join(lines).encode(encoding))
    assert labels(open_data(str(place / name))) == {"a.wav": "dog", "b.wav": "cat", "c, too.wav": "dog"}


def test_the_line_that_excel_writes_above_the_header_is_none(place: Path) -> None:
    file = rows(place / "l.csv", "sep=;", "path;label", "a.wav;dog", "c, too.wav;cat")
    assert labels(from_csv(file)) == {"a.wav": "dog", "c, too.wav": "cat"}


def test_blank_rows_count_for_nothing_but_the_numbers_of_rows(place: Path) -> None:
    file = rows(place / "l.csv", "", "path, label ,", "", "a.wav,dog,", " , ", ",,", "\u200b", "b.wav,cat", ",,", "")
    table = read(file)
    assert list(table.columns) == ["path", "label"] and list(table.index) == [4, 8]
    assert labels(from_csv(file)) == {"a.wav": "dog", "b.wav": "cat"}


def test_names_stay_names(place: Path) -> None:
    clips = from_csv(rows(place / "l.csv", "path,label", "a.wav,NA", "b.wav,None", "deep/d.wav,1"))
    assert clips.labels == ("1", "NA", "None") and len(clips.notes) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is no utf-8 text"),
        (b"path,label\na.wav,gr\xfcn\n", "is no utf-8 text: save it as CSV in UTF-8"),
        ("path,label\na.wav,dog\n".encode("utf-16-le"), "NUL characters: save it as CSV in UTF-8"),
        (b"path,label\na.wav,x,dog\n", r"row 2 has 3 cells and row 1 has 2: remove lines above the header, and quote"),
        (b"\n# mine\npath,label\na.wav,dog\n", r"row 3 has 2 cells and row 2 has 1: remove lines above the header"),
        (b'path,label\n"a.wav,dog\nb.wav,cat\n', "a quotation mark that is not closed"),
        (b'path,label\n"a"b.wav,dog\n', "expected after"),
        (b"path,label\n" + b"x" * 10_000_000, "field larger than field limit"),
        (b"path,label,path\na.wav,dog,b.wav\n", "two columns called 'path'"),
        (b"path,label\n\n", "lists no clips"),
        (b"path,label\n,dog\n", r"1 row names no file \(row 2\)"),
        (b"path,label\ndeep,dog\n", r"1 rows name a folder \(row 2: deep\)"),
        (b"path,label\n.,dog\n", r"1 rows name a folder \(row 2: \.\)"),
        (b"path,label\n" + b"x" * 300 + b".wav,dog\n", "1 of 1 listed files are missing"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused(place: Path, content: bytes, message: str) -> None:
    (place / "l.csv").write_bytes(content)
    with pytest.raises(ClipsError, match=message):
        open_data(str(place / "l.csv"))


def test_what_is_no_file_is_not_waited_for(place: Path) -> None:
    os.mkfifo(place / "pipe.csv")
    os.symlink("/dev/zero", place / "zero.csv")
    for name in ("pipe.csv", "zero.csv"):
        with pytest.raises(ClipsError, match="a pipe or device"):
            open_data(str(place / name))


def test_backslashes_and_other_forms_of_accents_find_the_file(place: Path) -> None:
    import unicodedata

    other = unicodedata.normalize("NFD", "Grünfink.wav")
    clips = from_csv(rows(place / "l.csv", "path,label", "deep\\d.wav,dog", f"{other},finch"))
    assert labels(clips) == {"d.wav": "dog", "Grünfink.wav": "finch"} and len(clips.notes) == 1
    with pytest.raises(ClipsError, match="leaves"):
        from_csv(rows(place / "l.csv", "path,label", "..\\..\\d.wav,dog"))


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b"])
def test_a_spreadsheet_under_another_name_is_called_so(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "l.csv").write_bytes(start + bytes(100))
    with pytest.raises(ClipsError, match="it is a spreadsheet or an archive: open it and save it as CSV in UTF-8"):
        from_csv(tmp_path / "l.csv")


def test_other_encodings_are_named_with_a_way_out(tmp_path: Path) -> None:
    file = rows(tmp_path / "l.csv", "path,label", "a.wav,k\u00e4uz", encoding="cp1252")
    with pytest.raises(ClipsError, match=r"no utf-8 text: save it as CSV in UTF-8 \(Excel: CSV UTF-8\)"):
        from_csv(file)


def test_bars_separate_cells_too(place: Path) -> None:
    assert labels(from_csv(rows(place / "l.csv", "path|label", "deep/d.wav|dog"))) == {"d.wav": "dog"}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("l.xlsx", r"Tables end in \.csv, .*: save it as a CSV with the columns path and label"),
        ("l.zip", "Unpack it, and name the folder"),
        ("l.tar.gz", "Unpack it, and name the folder"),
        ("l.wav", "It is one recording: name the folder that holds one folder per class"),
    ],
)
def test_other_files_get_advice_of_their_own(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(ClipsError, match=advice):
        open_data(str(tmp_path / name))
