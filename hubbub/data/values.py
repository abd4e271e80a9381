"""Clean the text in a clip table's cells: empty cells, labels, names of recordings and folds.

Labels are repaired only where that is safe (blanks at the ends, invisible characters, one form of accents). Repairs and
likely mistakes give a note.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import pandas as pd

from hubbub.errors import HubbubError, count, did_you_mean, examples

__all__ = [
    "HINTS",
    "UNLABELLED",
    "ClipsError",
    "clean",
    "check_hints",
    "in_order",
    "is_number",
    "merge_spellings",
    "clean_labels",
    "describe_rows",
    "refuse_undecodable",
    "text",
    "without_unlabelled",
]

#: Values of `split_hint`: no hint, or that the clip may only train.
HINTS = ("", "train")
#: What data sets write for clips without a label, where labels are numbers.
UNLABELLED = "-1"
_LONGEST = 255  # characters of a label
_INVISIBLE = dict.fromkeys([0xAD, 0x180E, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F),
                            *range(0x2066, 0x206A)])  # fmt: skip
#: Characters of the category "letter" that are shown as a blank.
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"
#: What programs write for an empty cell. NA and None are not among them: classes may have these names.
_GAPS = {"nan", "<na>", "n/a", "#n/a", "null"}
#: A whole number, also as it comes out of a column with gaps (`1.0`) or of a file name (`01`).
_WHOLE = re.compile(r"^0*(\d+?)(\.0+)?$")
_ACCENTS = re.compile("[\u0300-\u036f]")


class ClipsError(HubbubError):
    """A list of clips that contradicts itself, its folder or its data set."""


def clean(value: str) -> str:
    """Text without invisible characters and outer blanks, accents in one form (NFC); "" if nothing is left."""
    if value.isascii() and value.isprintable():
        return value.strip()
    value = unicodedata.normalize("NFC", value).translate(_INVISIBLE)
    shown = [at for at, letter in enumerate(value) if not _is_blank(letter)]
    return value[shown[0] : shown[-1] + 1] if shown else ""


def _is_blank(letter: str) -> bool:
    category = unicodedata.category(letter)
    return category[0] == "Z" or category in ("Cc", "Cf") or letter in _FILLERS


def text(column: pd.Series) -> list[str]:
    """Values as text, missing ones as ""."""
    return ["" if gap else str(value) for value, gap in zip(column, column.isna(), strict=True)]


def clean_folds(table: pd.DataFrame) -> tuple[list[str], tuple[str, ...]]:
    """A table's folds, spellings merged, and notes on them. What programs write for an empty cell counts as no fold."""
    given = ["" if clean(fold).casefold() in _GAPS else fold for fold in text(table["fold"])]
    found, notes = merge_spellings(given, "FOLDS")
    without = [at for at, fold in enumerate(found) if not fold]
    if without and any(found):
        have = "has" if len(without) == 1 else "have"
        notes += (
            f"NO FOLD: {count(len(without), 'clip')} of {len(found):,} {have} none ({describe_rows(table, without)})",
        )
    return found, notes


def describe_rows(table: pd.DataFrame, rows: Sequence[int]) -> str:
    """A few of these rows (by position) for a message: number in the list, if the index has it, and clip."""
    numbered = table.index.name == "row"
    return examples(f"row {table.index[at]}: {table['clip'].iloc[at]}" if numbered else table["clip"].iloc[at]
                    for at in rows)  # fmt: skip


def refuse_undecodable(names: Iterable[str]) -> None:
    """Raises `ClipsError` for file names that are not UTF-8, as they cannot be written to tables."""
    for name in names:
        shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
        if shown != name:
            raise ClipsError(f"{shown}: this name is not UTF-8 text. Rename the file or its folder.")


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names sorted; numerically if all are numbers."""
    names = list(names)
    by_number = all(is_number(name) for name in names)
    return tuple(sorted(names, key=lambda name: (int(name), name) if by_number else (0, name)))


def is_number(name: str) -> bool:
    """Whether a name is a whole number that int() takes."""
    return name.isascii() and name.isdigit() and len(name) < 19


def clean_labels(name: str, table: pd.DataFrame) -> tuple[list[str], tuple[str, ...]]:
    """A table's labels, repaired, and notes on them. Raises `ClipsError` for missing, overlong or multi-line labels."""
    given = text(table["label"])
    cleaned = [clean(label) for label in given]
    if unlabelled := [at for at, label in enumerate(cleaned) if not label]:
        sets = (
            " With --multilabel a clip may hold several labels, or none." if _several([*filter(None, cleaned)]) else ""
        )
        raise ClipsError(
            f"{name}: {count(len(unlabelled), 'clip has', 'clips have')} no label "
            f"({describe_rows(table, unlabelled)}). Label or remove them.{sets}"
        )
    for at, label in enumerate(cleaned):
        if len(label) > _LONGEST or any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in label):
            raise ClipsError(
                f"{name}: the label {label[:40]!r} ({describe_rows(table, [at])}) has {len(label):,} characters or a "
                f"line break or other control character. A class's name is one line of at most {_LONGEST} characters."
            )
    repaired = {old: new for old, new in zip(given, cleaned, strict=True) if old != new}
    notes = [*_several(cleaned), *similar(set(cleaned)), *_gaps(cleaned)]
    if repaired:
        clips = sum(old in repaired for old in given)
        repairs = examples(f"{old!r} is read as '{new}'" for old, new in sorted(repaired.items()))
        notes.insert(0, "LABELS REPAIRED: blanks, invisible characters or another form of accents in "
                        f"{count(clips, 'label')} ({repairs})")  # fmt: skip
    return cleaned, tuple(notes)


def without_unlabelled(table: pd.DataFrame, *, always: bool = False) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows without those of the label -1, which stands for "no label" beside names or numbers from 0 on, and a note
    on these. Beside one other label, -1 is a class, unless `always`. Raises `ClipsError` where nothing is left."""
    labels = [clean(label) for label in text(table["label"])]
    others = set(labels) - {UNLABELLED, ""}
    rows = [at for at, label in enumerate(labels) if label == UNLABELLED]
    if not rows or not (always or (len(others) > 1 and not any(re.fullmatch(r"-\d+", label) for label in others))):
        return table, ()
    if len(rows) == len(labels):
        raise ClipsError(f"all {len(rows):,} clips have the label {UNLABELLED}, which means no label. Label them.")
    note = (
        f"UNLABELLED: {count(len(rows), 'clip')} of {len(labels):,} with the label {UNLABELLED}, which means no label, "
        f"left out ({describe_rows(table, rows)})"
    )
    return table[[label != UNLABELLED for label in labels]], (note,)


def similar(names: set[str]) -> list[str]:
    """A note on labels that differ only in case, accents, inner blanks, `_` or `-`; empty if there are none."""
    families: dict[str, list[str]] = {}
    for name in sorted(names):
        plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", _key(name)))
        plain = _WHOLE.sub(r"\1", plain)
        if any(map(str.isalpha, plain)):  # 1-2 is not 12, and a1-2 is not a12
            plain = re.sub(r"(?<!\d)[\s_-]+|[\s_-]+(?!\d)", "", plain)
        families.setdefault(plain, []).append(name)
    alike = [" and ".join(f"'{name}'" for name in family) for family in families.values() if len(family) > 1]
    return [f"SIMILAR LABELS: {examples(alike)}: probably one class; give both one name"] if alike else []


def _several(names: list[str]) -> list[str]:
    """A note on labels that are lists of other labels."""
    split = {name: [clean(part) for part in re.split("[;,|]", name)] for name in set(names)}
    known: dict[str, int] = {}
    for parts in split.values():
        for part in set(parts):
            known[part] = known.get(part, 0) + 1
    lists = sorted(n for n, parts in split.items() if len(set(parts)) > 1 and all(p and known[p] > 1 for p in parts))
    if not lists:
        return []
    number, quoted = sum(name in lists for name in names), examples(f"'{name}'" for name in lists)
    return [
        f"SEVERAL LABELS IN ONE CELL: {count(number, 'clip')} ({quoted}); a clip has one label here, so each such list "
        "counts as a class of its own; in a table, --multilabel reads them as several labels"
    ]


def _gaps(names: list[str]) -> list[str]:
    odd = sorted({name for name in names if name.casefold() in _GAPS})
    if not odd:
        return []
    clips, quoted = count(sum(name in odd for name in names), "clip"), examples(f"'{name}'" for name in odd)
    return [f"LABELS THAT MAY BE GAPS: {clips} of the class {quoted}, as programs write an empty cell"]


def _key(value: str) -> str:
    """A key for comparing spellings: without case, invisible characters and repeated blanks."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    shown = "".join(letter for letter in folded if unicodedata.category(letter) != "Cf")
    return " ".join(shown.split())


def merge_spellings(column: Sequence[str], what: str) -> tuple[list[str], tuple[str, ...]]:
    """Names of recordings or folds with similar spellings merged, and a note on these. Blank names become "".

    Names are similar if they differ only in case, blanks, invisible characters or a number's outer zeros. The shortest
    name stands for all, or the first of several shortest.
    """
    families: dict[str, list[str]] = {}
    for name in dict.fromkeys(column):
        key = _key(name) if clean(name) else ""
        families.setdefault(_WHOLE.sub(r"\1", key), []).append(name)
    one = {name: min(family, key=len) if key else "" for key, family in families.items() for name in family}
    spellings = [" = ".join(repr(name) for name in family) for key, family in families.items() if key and family[1:]]
    note = (
        f"{what} JOINED: spellings that differ by case, blanks, invisible characters or outer zeros alone count as one "
        f"({examples(spellings)})"
    )
    return [one[name] for name in column], (note,) if spellings else ()


def check_hints(name: str, table: pd.DataFrame) -> list[str]:
    """A table's `split_hint`s. Raises `ClipsError` for others than `HINTS`: a misspelt one would test a copy."""
    found = [clean(hint) for hint in text(table["split_hint"])]
    if odd := [at for at, hint in enumerate(found) if hint not in HINTS]:
        hint, near = found[odd[0]], did_you_mean(found[odd[0]].casefold(), HINTS[1:])
        raise ClipsError(
            f"{name}: unknown split_hint '{hint}' ({describe_rows(table, odd)}). {near} A clip that may only train "
            "says 'train'; all others leave it empty."
        )
    return found
