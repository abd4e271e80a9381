"""Known data sets: their clip tables, folds, groups, licences and citations.

ESC-50 and ESC-10 (Piczak 2015), UrbanSound8K (Salamon, Jacoby & Bello 2014), EmoDB (Burkhardt et al. 2005) and the
synthesised `street`. The original layouts and the flat ones of mirrors both work.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import soundfile

from hubbub.config.titles import DATA_TITLES
from hubbub.data import entries, layouts, synthetic, synthetic_models
from hubbub.data.clips import Clips, ClipsError, build
from hubbub.data.layouts import ESC50_NAME, URBANSOUND8K_NAME
from hubbub.data.locate import find_sounds
from hubbub.errors import count, did_you_mean, examples
from hubbub.runtime import download, files, homes
from hubbub.runtime.progress import track

__all__ = ["DATASETS", "DataSet", "check_names", "check_published", "open_known", "recognised"]

_FOLD_FOLDER = re.compile(r"fold\d+", re.IGNORECASE)


@dataclass(frozen=True)
class DataSet:
    """Facts about a published data set: its folder in a data home, number of clips and classes, folds, lengths [s]."""

    folder: str
    clips: int
    classes: int
    folds: tuple[str, ...]
    seconds: tuple[float, float]
    licence: str
    citation: str
    read: Callable[[Path], pd.DataFrame]
    straddling: frozenset[str] = frozenset()
    synthetic: bool = False


def _find_folder(folder: str) -> Path:
    """The data set's folder in a data home; only `hubbub data get` downloads it. Raises `ClipsError` if missing."""
    found = homes.find("data", folder)
    if found is None:
        asset = download.ASSETS[folder]
        raise ClipsError(
            f"{folder} is in none of the data homes {', '.join(map(str, homes.homes()))}. "
            f"Fetch it: hubbub data get {folder} ({asset.licence}), "
            f"or set HUBBUB_HOME to a folder that has data/{folder}."
        )
    return found


def _first(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise ClipsError(f"{folder} has none of {', '.join(names)}. Unpack the data set there as published.")


def _rows(name: str, folder: Path) -> pd.DataFrame:
    """The rows of the list of ESC-50 or UrbanSound8K. Raises `ClipsError` where it lacks a column."""
    rows = pd.read_csv(layouts.list_of(name, folder), dtype=str)
    for column in layouts.LISTS[name][1]:
        if column not in rows.columns:
            raise ClipsError(f"{name}: the list has no column '{column}'. {did_you_mean(column, rows.columns)}")
    return rows


def check_names(name: str, rows: pd.DataFrame, column: str, pattern: str, advice: str) -> None:
    """Raises `ClipsError` where a file name gives another fold, class or source than its row, by `pattern`'s groups."""
    by_name = rows[column].astype(str).str.extract(pattern)
    wrong = rows.index[(by_name.fillna("") != rows[list(by_name)].astype(str)).any(axis=1)]
    if len(wrong):
        raise ClipsError(
            f"{name}: {len(wrong)} file names disagree with their row ({examples(rows[column][wrong])}). {advice}"
        )


def _esc50(folder: Path) -> pd.DataFrame:
    rows = _rows("esc50", folder)
    check_names("esc50", rows, "filename", ESC50_NAME, "Fetch the original list again.")
    sounds = {Path(place).name: path for place, path in reversed(find_sounds(folder).items())}
    stems = rows["filename"].str.rsplit(".", n=1).str[0]
    return pd.DataFrame(
        {
            "clip": stems,
            "path": [str(sounds.get(s, "")) for s in stems],
            "label": rows["category"],
            "fold": rows["fold"],
            "group": rows["src_file"],
            "esc10": rows["esc10"] == "True",
        }
    )


def _esc10(folder: Path) -> pd.DataFrame:
    rows = _esc50(folder)
    return rows[rows["esc10"]]


def _urbansound8k(folder: Path) -> pd.DataFrame:
    rows = _rows("urbansound8k", folder)
    check_names("urbansound8k", rows, "slice_file_name", URBANSOUND8K_NAME, "Fetch the original list again.")
    sounds: dict[str, Path] = {}
    for place, path in reversed(find_sounds(folder).items()):
        above, name = Path(place).parent.name, Path(place).name
        sounds[f"{above.lower()}/{name}" if _FOLD_FOLDER.fullmatch(above) else name] = path
    stems = rows["slice_file_name"].str.rsplit(".", n=1).str[0]
    in_folds = "fold" + rows["fold"] + "/" + stems
    return pd.DataFrame(
        {
            "clip": stems,
            "path": [str(sounds.get(one, sounds.get(s, ""))) for one, s in zip(in_folds, stems, strict=True)],
            "label": rows["class"],
            "fold": rows["fold"],
            "group": rows["fsID"],
        }
    )


# The sixth character of a file name is the German word's initial: Wut, Langeweile, Ekel, Angst, Freude, Trauer.
_EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "N": "neutral",
    "T": "sadness",
}


def _emodb(folder: Path) -> pd.DataFrame:
    sounds = find_sounds(_first(folder, "wav", "."))
    stems = sorted(sounds)
    odd = [s for s in stems if len(s) != 7 or s[5] not in _EMOTIONS or not s[:2].isdigit()]
    if odd:
        raise ClipsError(f"emodb: {len(odd)} files are not named as EmoDB names them ({examples(odd)}). Remove them.")
    return pd.DataFrame(
        {
            "clip": stems,
            "path": [str(sounds[s]) for s in stems],
            "label": [_EMOTIONS[s[5]] for s in stems],
            "fold": [s[:2] for s in stems],
            "group": [s[:2] for s in stems],
        }
    )


def _synthesised() -> Path:
    """The folder of `street`, a cache entry named by a hash of the code that synthesises it."""
    code = "".join(files.sha256(file) for file in (synthetic.__file__, synthetic_models.__file__))
    name = f"street-{hashlib.sha256(code.encode()).hexdigest()[:16]}"

    def write(folder: Path) -> None:
        synthetic.write(folder, progress=lambda items, total: track(items, "synthesising", total))

    return entries.entry(homes.cache_dir() / name, write, lambda folder: folder)


def _street(folder: Path) -> pd.DataFrame:
    rows = pd.read_csv(folder / "street.csv", dtype=str)
    return pd.DataFrame(
        {
            "clip": rows["clip"],
            "path": [str(folder / file) for file in rows["file"]],
            "label": rows["label"],
            "fold": rows["fold"],
            "group": rows["source"],
        }
    )


# Freesound recordings with takes in two official folds, found by grouping esc50.csv by src_file.
_ESC_STRADDLING = frozenset({"131943", "134049", "209698", "234879"})
_FIVE = ("1", "2", "3", "4", "5")
_ESC50, _US8K, _EMODB = (download.ASSETS[name] for name in ("esc50", "urbansound8k", "emodb"))

DATASETS: dict[str, DataSet] = {
    "esc50": DataSet(
        "esc50", 2000, 50, _FIVE, (5.0, 5.0), _ESC50.licence, _ESC50.citation, _esc50,
        straddling=_ESC_STRADDLING,
    ),
    "esc10": DataSet("esc50", 400, 10, _FIVE, (5.0, 5.0), "CC BY 3.0", _ESC50.citation, _esc10),
    "urbansound8k": DataSet(
        "urbansound8k", 8732, 10, tuple(str(k) for k in range(1, 11)), (0.0, 4.1), _US8K.licence,
        _US8K.citation, _urbansound8k, straddling=frozenset({"106905", "132016", "176638", "180937", "77751"}),
    ),
    "emodb": DataSet(
        "emodb", 535, 7, ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16"), (0.9, 10.0),
        _EMODB.licence, _EMODB.citation, _emodb,
    ),
    "street": DataSet(
        "street", 400, 10, _FIVE, (4.0, 4.0), "CC0", "none: synthesised by hubbub (hubbub/data/synthetic.py)",
        _street, synthetic=True,
    ),
}  # fmt: skip


def _one_length(paths: Iterable[str]) -> float | None:
    """The length [s] of all sounds if they have the same length, else None."""
    try:
        lengths = {soundfile.info(path).duration for path in paths}
    except (soundfile.SoundFileError, TypeError):  # decoding reports what is wrong
        return None
    return lengths.pop() if len(lengths) == 1 else None


def check_published(
    known: DataSet, name: str, rows: pd.DataFrame, where: str, *, allow_missing: bool = False
) -> tuple[str, ...]:
    """Check rows against the published folds and number of clips -> notes. Raises `ClipsError`."""
    odd = sorted(set(rows["fold"].astype(str)) - set(known.folds))
    if odd:
        raise ClipsError(
            f"{name}: fold '{odd[0]}' is not an official fold ({', '.join(known.folds)}). Fetch the list again."
        )
    if len(rows) >= known.clips:
        return ()
    if not allow_missing:
        raise ClipsError(
            f"{name}: {len(rows)} clips are listed in {where}, {known.clips} were published. Fetch the rest, or go on "
            "without them by --allow-missing; every result will say so."
        )
    return (f"PARTIAL DATA: {len(rows):,} of {known.clips:,} published clips are listed",)


def _unlisted(rows: pd.DataFrame, folder: Path) -> tuple[str, ...]:
    """A line on the recordings in a folder that the list does not name; empty where there are none."""
    used = set(rows["path"])
    others = [place for place, path in find_sounds(folder).items() if str(path) not in used]
    return (f"{count(len(others), 'recording')} that the list does not name: {examples(others)}",) if others else ()


def recognised(place: str | Path) -> tuple[str, Path] | None:
    """The known data set that a folder holds, or whose published list a file is, and its folder; None for all others.

    Raises `ClipsError` for a folder that holds several, and for recordings named as a known data set names them whose
    list is not there.
    """
    place = Path(place)
    if os.path.isfile(place):
        return layouts.of_list(place)
    if not os.path.isdir(place):
        return None
    found = layouts.known_in(place)
    copies = [(name, home) for name, homes in found.items() for home in homes]
    if len(copies) > 1:
        each = examples(f"{DATA_TITLES[name]} in {home}" for name, home in copies)
        raise ClipsError(f"{place} holds {len(copies)} known data sets: {each}. Name the folder of one.")
    return copies[0] if copies else None


def open_known(
    name: str, labels: tuple[str, ...] = (), *, allow_missing: bool = False, folder: Path | None = None
) -> Clips:
    """Open one of `DATASETS` from `folder`, by default that of a data home. Raises `ClipsError` where it differs from
    what was published."""
    known, given = DATASETS[name], folder
    if folder is None:
        folder = _synthesised() if known.synthetic else _find_folder(known.folder)
    try:
        rows = known.read(folder)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise ClipsError(f"{name}: the list in {folder} cannot be read: {error}.") from error
    notes = check_published(known, name, rows, str(folder), allow_missing=allow_missing)
    if known.synthetic:
        notes = ("SYNTHETIC: sounds made by hubbub, not recorded", *notes)
    if name == "emodb" and (seconds := _one_length(rows["path"])):
        notes += (f"ANOTHER VERSION: every utterance lasts {seconds:.3f} s here; the original ones differ in length",)
    clips = build(
        name, rows, labels=labels, allow_missing=allow_missing, where=str(folder), licence=known.licence,
        citation=known.citation, synthetic=known.synthetic, straddling=known.straddling, notes=notes,
        fold_source="official", left_out=_unlisted(rows, folder) if given and name in layouts.LISTS else (),
        read_as=f"{given} is {DATA_TITLES[name]}: official folds and groups" if given else "",
    )  # fmt: skip
    if len(clips.labels) != known.classes and not allow_missing:
        raise ClipsError(f"{name}: {len(clips.labels)} classes are listed, {known.classes} were published.")
    return clips
