"""Label sets of AudioSet's segment lists and of FSD50K's ground truth, as published.

Layouts: https://research.google.com/audioset/download.html and https://zenodo.org/records/4060432. Nothing here looks
for recordings.
"""

import csv
import re
from pathlib import Path

import pandas as pd

from hubbub.data import text_tables
from hubbub.data.label_sets import LabelSets, build
from hubbub.data.values import ClipsError, clean
from hubbub.errors import count, did_you_mean, examples

__all__ = ["from_audioset", "from_fsd50k", "is_audioset", "is_fsd50k"]

_SEGMENTS = ["YTID", "start_seconds", "end_seconds", "positive_labels"]
_FSD50K = {"fname", "labels", "mids"}
_MIDS = re.compile(r"/[a-z]/\w+(,\s*/[a-z]/\w+)*")


def is_audioset(file: Path) -> bool:
    """Whether a table is a list of AudioSet's segments: its comments name the columns."""
    try:
        return any(_named_columns(line) == _SEGMENTS for _, line in text_tables.lines(file)[:10])
    except ClipsError:
        return False


def is_fsd50k(file: Path) -> bool:
    """Whether a table is FSD50K's `dev.csv` or `eval.csv`: by its columns, with `vocabulary.csv` beside it."""
    try:
        return set(text_tables.read(file).columns) >= _FSD50K and (file.parent / "vocabulary.csv").is_file()
    except ClipsError:
        return False


def from_audioset(segments: Path, names: Path) -> LabelSets:
    """The label sets of a list of segments, with the class names of `class_labels_indices.csv`.

    `path` and `group` are the video's id, `start` and `end` [s] the segment's place in the video: they do not apply
    to files that are cut to their segment. A class that is not listed for a segment counts as absent, as AudioSet's own
    evaluation has it; many are missing. Raises `ClipsError` for rows and labels that are not as published.
    """
    named = _rows(names)
    if not named or [clean(cell) for cell in named[0][1]] != ["index", "mid", "display_name"]:
        raise ClipsError(f"{names} does not begin with index,mid,display_name. Name class_labels_indices.csv.")
    name_of = {clean(row[1]): clean(row[2]) for _, row in named[1:] if len(row) == 3}
    rows = []
    for number, cells in _rows(segments):
        if cells[0].startswith("#"):
            continue
        if len(cells) != 4 or not _MIDS.fullmatch(clean(cells[3])):
            raise ClipsError(
                f"{segments}: row {number} is no segment of AudioSet. Write the video, start and end in seconds, and "
                'the labels in quotation marks: --PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"'
            )
        video, start, end, mids = map(clean, cells)
        labels = _names_of(segments, number, [clean(mid) for mid in mids.split(",")], name_of, names)
        rows.append((number, video, start, end, video, labels))
    columns = ["row", "path", "start", "end", "group", "labels"]
    return build(str(segments), pd.DataFrame(rows, columns=columns).set_index("row"), tuple(name_of.values()))


def from_fsd50k(file: Path, folder: str = "") -> LabelSets:
    """The label sets of FSD50K's `dev.csv` or `eval.csv`, with the classes of the `vocabulary.csv` beside it.

    `path` is the file in `folder` (default: `FSD50K.dev_audio` for `dev.csv`), `fold` the published part: train, val or
    test. Each clip is an upload to Freesound of its own, so groups are "". A class that is not listed counts as absent.
    Raises `ClipsError` for rows and labels that are not as published.
    """
    vocabulary = file.parent / "vocabulary.csv"
    listed = _rows(vocabulary)
    if odd := [number for number, row in listed if len(row) != 3]:
        raise ClipsError(
            f"{vocabulary}: row {odd[0]} has not the three cells number, label and mid. Take the published file."
        )
    name_of = {clean(row[2]): clean(row[1]) for _, row in listed}
    table = text_tables.read(file)
    if missing := sorted(_FSD50K - set(table.columns)):
        raise ClipsError(f"{file} has no column '{missing[0]}'. {did_you_mean(missing[0], map(str, table.columns))}")
    sets = []
    for number, names, mids in zip(table.index, table["labels"], table["mids"], strict=True):
        labels = _names_of(file, number, [clean(mid) for mid in mids.split(",")], name_of, vocabulary)
        if sorted(labels) != sorted(clean(name) for name in names.split(",")):
            raise ClipsError(
                f"{file}: row {number} has the labels {names} and the mids of {', '.join(labels)}. Correct one of them."
            )
        sets.append(labels)
    base = folder or f"FSD50K.{file.stem}_audio"
    rows = pd.DataFrame(
        {
            "path": [f"{base}/{clean(name)}.wav" for name in table["fname"]],
            "fold": table.get("split", "test"),
            "labels": sets,
        },
        index=table.index,
    )
    return build(str(file), rows, tuple(name_of.values()))


def _named_columns(line: str) -> list[str]:
    return [cell.strip() for cell in line.lstrip("# ").split(",")]


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """The cells of each line that is not blank, with its number. Raises `ClipsError` where it is no text."""
    return [(number, next(csv.reader([line], skipinitialspace=True))) for number, line in text_tables.lines(file)]


def _names_of(file: Path, row: int, mids: list[str], name_of: dict[str, str], names: Path) -> list[str]:
    if strange := [mid for mid in mids if mid not in name_of]:
        raise ClipsError(
            f"{file}: row {row} has {count(len(strange), 'label')} that {names.name} does not name "
            f"({examples(strange)}). Take both files from one release."
        )
    return [name_of[mid] for mid in mids]
