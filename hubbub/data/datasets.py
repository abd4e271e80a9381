"""Known data sets: their clip tables, folds, groups, licences and citations.

ESC-50 and ESC-10 (Piczak 2015), UrbanSound8K (Salamon, Jacoby & Bello 2014), EmoDB (Burkhardt et al. 2005) and the
synthesised `street`. The original layouts and the flat ones of mirrors both work.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import soundfile

from hubbub.data import entries, synthetic, synthetic_models
from hubbub.data.clips import Clips, ClipsError, build
from hubbub.data.locate import find_sounds
from hubbub.errors import did_you_mean, examples
from hubbub.runtime import download, files, homes
from hubbub.runtime.progress import track

__all__ = ["DATASETS", "URBANSOUND8K_NAME", "DataSet", "check_names", "check_published", "open_known"]

#: UrbanSound8K's file names: the Freesound recording, the class number, and two counters.
URBANSOUND8K_NAME = r"^(?P<fsID>\d+)-(?P<classID>\d+)-\d+-\d+\."


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


def _require(name: str, rows: pd.DataFrame, *columns: str) -> None:
    for column in columns:
        if column not in rows.columns:
            raise ClipsError(f"{name}: the list has no column '{column}'. {did_you_mean(column, rows.columns)}")


def check_names(name: str, rows: pd.DataFrame, column: str, pattern: str, advice: str) -> None:
    """Raises `ClipsError` where a file name gives another fold, class or source than its row, by `pattern`'s groups."""
    by_name = rows[column].astype(str).str.extract(pattern)
    wrong = rows.index[(by_name.fillna("") != rows[list(by_name)].astype(str)).any(axis=1)]
    if len(wrong):
        raise ClipsError(
            f"{name}: {len(wrong)} file names disagree with their row ({examples(rows[column][wrong])}). {advice}"
        )


def _esc50(folder: Path) -> pd.DataFrame:
    rows = pd.read_csv(_first(folder, "meta/esc50.csv", "esc50.csv"), dtype=str)
    _require("esc50", rows, "filename", "fold", "target", "category", "esc10", "src_file", "take")
    pattern = r"^(?P<fold>\d)-(?P<src_file>[^-]+)-(?P<take>[A-Z])-(?P<target>\d+)\."
    check_names("esc50", rows, "filename", pattern, "Fetch the original list again.")
    sounds = find_sounds(_first(folder, "audio", "."))
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
    rows = pd.read_csv(_first(folder, "metadata/UrbanSound8K.csv", "UrbanSound8K.csv"), dtype=str)
    _require("urbansound8k", rows, "slice_file_name", "fsID", "fold", "classID", "class")
    check_names("urbansound8k", rows, "slice_file_name", URBANSOUND8K_NAME, "Fetch the original list again.")
    sounds = find_sounds(_first(folder, "audio", "."))
    stems = rows["slice_file_name"].str.rsplit(".", n=1).str[0]
    keys = "fold" + rows["fold"] + "/" + stems
    return pd.DataFrame(
        {
            "clip": stems,
            "path": [str(sounds.get(k, "")) for k in keys],
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
        "esc50", 2000, 50, _FIVE, (5.0, 5.0), _ESC50.licence, _ESC50.citation, _esc50, straddling=_ESC_STRADDLING
    ),
    "esc10": DataSet("esc50", 400, 10, _FIVE, (5.0, 5.0), "CC BY 3.0", _ESC50.citation, _esc10),
    "urbansound8k": DataSet(
        "urbansound8k", 8732, 10, tuple(str(k) for k in range(1, 11)), (0.0, 4.1), _US8K.licence, _US8K.citation,
        _urbansound8k, straddling=frozenset({"106905", "132016", "176638", "180937", "77751"}),
    ),
    "emodb": DataSet(
        "emodb", 535, 7, ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16"), (0.9, 10.0), _EMODB.licence,
        _EMODB.citation, _emodb,
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


def open_known(name: str, labels: tuple[str, ...] = (), *, allow_missing: bool = False) -> Clips:
    """Open one of `DATASETS` from a data home. Raises `ClipsError` where it differs from what was published."""
    known = DATASETS[name]
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
        fold_source="official",
    )  # fmt: skip
    if len(clips.labels) != known.classes and not allow_missing:
        raise ClipsError(f"{name}: {len(clips.labels)} classes are listed, {known.classes} were published.")
    return clips
