"""Open any data set: a known name, a list, a folder, images, features, or a name on a hub."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from hubbub.audio.decode import EXTENSIONS
from hubbub.audio.find_files import near
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.config.settings import as_setting
from hubbub.data import (
    annotations,
    corrections,
    features,
    grouping,
    layouts,
    made_scenes,
    manifest,
    recordings,
    text_tables,
    values,
)
from hubbub.data.annotated_clips import Asked, from_annotated_folder, from_annotations
from hubbub.data.annotation_windows import WindowRule
from hubbub.data.archive_clips import from_archive
from hubbub.data.archive_file import is_archive
from hubbub.data.clip_lists import from_csv, from_folder
from hubbub.data.clips import Clips, ClipsError, limit
from hubbub.data.combine import of_folds, refuse_mixed, timed_of, with_test
from hubbub.data.datasets import DATASETS, open_known, recognised
from hubbub.data.hub import dataset
from hubbub.data.images import lists_images, open_images
from hubbub.data.label_sets import Empty
from hubbub.data.multilabel_lists import SetRule, from_published, is_published, refuse_rule
from hubbub.data.splits import PARTS, SplitError
from hubbub.errors import did_you_mean

__all__ = [
    "QUICK",
    *("clip_settings", "data_recipe", "data_settings", "known_data", "open_clips", "open_data", "open_section"),
    "with_data",
]

#: What a small run of one's own data is reduced to: clips of each class and fold, and two folds.
QUICK = {"data.limit": 8, "protocol.k": 2}
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")


def clip_settings(
    group: str | None = None,
    test: str | None = None,
    background: bool = False,
    allow_missing: bool = False,
    multilabel: bool = False,
    empty: str | None = None,
    corrected_by: str | Path | None = None,
) -> list[str]:
    """The options that say how data are read, as `--set` settings."""
    given = {
        "data.group": group,
        "data.test": test,
        "data.background": background or None,
        "data.allow_missing": allow_missing or None,
        "data.multilabel": multilabel or None,
        "data.empty": empty,
        "data.corrections": None if corrected_by is None else str(corrected_by),
    }
    return [as_setting(field, value) for field, value in given.items() if value is not None]


def data_recipe(name: str, settings: Sequence[str] = ()) -> Recipe:
    """The data set `name` as a recipe, with `--set` settings, for what opens data and trains nothing. Raises
    `RecipeError` for a setting that does not change the clips."""
    for setting in settings:
        if (section := setting.partition(".")[0].strip()) not in ("data", "windows", "audio"):
            raise RecipeError(
                f"--set {setting}: nothing is trained here, so [{section}] changes nothing. Leave it out; [data], "
                "[windows] and [audio] say how data are read."
            )
    return Recipe.of({"title": name, "data": {"name": name}, "protocol": {"kind": "auto"}}).with_settings(settings)


def open_section(recipe: Recipe, name: str = "") -> Clips:
    """Open the data set of a recipe's section `[data]`, with its corrections; or `name` with its other settings."""
    data, windows, rate_hz = recipe.data, recipe.windows, recipe.audio.rate_hz
    corrected = "" if name else data.corrections
    clips = open_data(
        name or data.name, columns=data.columns, root=data.root, labels=data.labels, allow_missing=data.allow_missing,
        most=None if corrected else data.limit, group=data.group, overlap=data.overlap, background=data.background,
        window_s=windows.length / rate_hz, hop_s=windows.hop / rate_hz, multilabel=data.multilabel,
        separator=data.separator, empty=data.empty, chunk_s=data.chunk_s,
    )  # fmt: skip
    if corrected:  # before any clip is left out
        clips = corrections.correct(clips, Path(corrected))
        return limit(clips, data.limit) if data.limit else clips
    return clips


def open_data(
    name: str,
    *,
    columns: dict[str, str] | None = None,
    root: str = "",
    labels: tuple[str, ...] = (),
    allow_missing: bool = False,
    most: int | None = None,
    group: str = "",
    overlap: float = 0.5,
    background: bool = False,
    window_s: float = 0.975,
    hop_s: float = 0.48,
    multilabel: bool = False,
    separator: str = "",
    empty: Empty = "refuse",
    chunk_s: float = 10.0,
) -> Clips:
    """Open a known data set's name, a table, features, a hub data set, a folder with one folder per class, or
    annotations: a table, or a folder of recordings with their tables.

    `most` limits the clips per class and fold; `group` says which clips are of one recording, where the data do not
    (`grouping.assign`). The rest is about annotations: windows of `window_s` every `hop_s` [s] belong to a label that
    fills the share `overlap` of them; `background` adds a class of windows without annotations.

    With `multilabel` a clip may hold several labels or none: those of a cell, between `separator`, or of several rows;
    annotated recordings are cut into clips of `chunk_s`. `empty` says what a clip without any label means. One column a
    class, AudioSet's and FSD50K's lists are read so without it. Raises `ClipsError` or `StoreError`.
    """
    sets = SetRule(multilabel, separator, empty)
    asked = Asked(WindowRule(window_s, hop_s, overlap), background, labels, allow_missing, group, sets, chunk_s)
    if is_archive(name):
        return _open_archive(name, asked, bool(columns or root or background), most)
    if not name:
        raise ClipsError("the data set has no name. Give a known one (hubbub data list), a CSV file or a folder.")
    known = known_data(name, root) if not columns else None
    if group and (known or Path(name).suffix.lower() == ".npz"):
        raise ClipsError(f"{name} says which clips are of one recording. Leave --group (data.group) out.")
    annotated = None if known else _open_annotated(name, columns, root, asked)
    if annotated:
        clips = annotated
    elif background:
        raise ClipsError(f"{name} is not annotated, so no background can be taken from it. Leave background off.")
    elif known:
        clips = open_known(known[0], labels, allow_missing=allow_missing, folder=known[1])
    elif Path(name).suffix.lower() == ".npz":
        clips = features.open_features(Path(name), labels=labels)
    elif Path(name).suffix.lower() in text_tables.ENDINGS:
        clips = _open_csv(Path(name), columns, Path(root) if root else None, asked)
    elif dataset.is_hub_name(name):
        clips = dataset.open_hub(name, labels=labels, allow_missing=allow_missing, group=group, sets=sets)
    elif os.path.isdir(name):
        clips = from_folder(Path(name), labels=labels, group=group)
    elif os.path.exists(name):
        raise ClipsError(f"{name} is no table of clips and no folder of them. {_instead(Path(name))}")
    else:
        beside, close = near(name), did_you_mean(name, DATASETS)
        raise ClipsError(
            f"'{name}' is not a data set, a CSV file, a file of features or a folder. "
            f"{beside if beside.startswith('Did you mean') else close}"
        )
    if not clips.multilabel:
        refuse_rule(name, sets)
    return limit(clips, most) if most else clips


def known_data(name: str, root: str = "") -> tuple[str, Path | None] | None:
    """The known data set that a name, a folder or a published list stands for, and its folder; None for other data.

    The folder is None for that of a data home. `root` is the folder where a name is given. Raises `ClipsError` for a
    folder that holds several.
    """
    if name in DATASETS:
        return name, Path(root) if root else None
    return None if root else recognised(name)


def data_settings(recipe: Recipe, data: str | Path, *, quick: bool = False) -> list[str]:
    """`--set` settings that put other data in a recipe: a known name, a folder, a table or a name on a hub.

    Where they are the recipe's own data set, in a data home or in a folder, its protocol stays. Other data are
    evaluated by the protocol that they allow (`protocol.kind = "auto"`), and `quick` takes `QUICK` of data that are not
    known: the recipe's own small form may be too small for data without folds.
    """
    data = str(data)
    own = recipe.data.name
    known = known_data(data) if own not in DATASETS else _copy_of(own, data) or known_data(data)
    name, folder = known or (data, None)
    changed: dict[str, Any] = {"data.name": name, "data.root": str(folder or "")}
    if name != own:
        changed |= {"data.labels": [], "data.held_out": [], "data.test": "", "protocol.kind": "auto"}
        changed |= {f"protocol.{part}": [] for part in ("folds", "train", "val", "test")}
        if recipe.tune and recipe.tune.folds:
            changed["tune.folds"] = []
        changed |= QUICK if quick and not known else {}
    return [as_setting(field, value) for field, value in changed.items()]


def with_data(recipe: str, data: str | Path | None, settings: Sequence[str], *, quick: bool = False) -> list[str]:
    """The settings that put `data` in a recipe by its name, before the others, which may change them."""
    return [*([] if data is None else data_settings(Recipe.load(recipe), data, quick=quick)), *settings]


def _copy_of(name: str, data: str) -> tuple[str, Path] | None:
    """A known data set and where its only copy in a folder, or beside its list, is; None where there is none."""
    if os.path.isfile(data):
        found = recognised(data)
        return (name, found[1]) if found and found[0] == DATASETS[name].folder else None
    homes = layouts.known_in(Path(data)).get(DATASETS[name].folder, []) if os.path.isdir(data) else []
    return (name, homes[0]) if len(homes) == 1 else None


def _open_archive(name: str, asked: Asked, more: bool, most: int | None) -> Clips:
    """The labelled segments of an archive."""
    if more:
        raise ClipsError(f"{name} is an archive, which has no columns and no background. Leave those settings out.")
    clips = from_archive(Path(name), labels=asked.labels, group=asked.group, multilabel=asked.sets.asked)
    return limit(clips, most) if most else clips


def _instead(file: Path) -> str:
    """What to give instead of a file that is no data set."""
    ending = file.suffix.lower()
    if ending in _ARCHIVES:
        return "Unpack it, and name the folder."
    if ending in EXTENSIONS:
        return "It is one recording: name the folder that holds one folder per class, or a CSV with path and label."
    return f"Tables end in {', '.join(text_tables.ENDINGS)}: save it as a CSV with the columns path and label."


def _open_annotated(name: str, columns: dict[str, str] | None, root: str, asked: Asked) -> Clips | None:
    """The clips of an annotation table or a folder of annotated recordings; None where `name` is neither."""
    if dataset.is_hub_name(name):
        return None
    if not columns and (scenes := made_scenes.table_in(Path(name))):
        clips = from_annotations(scenes, None, Path(root) if root else None, asked)
        return made_scenes.with_sources(clips, scenes, Path(root or scenes.parent)) if clips else None
    if Path(name).suffix.lower() in annotations.ENDINGS and os.path.isfile(name):
        return from_annotations(Path(name), columns, Path(root) if root else None, asked)
    return from_annotated_folder(Path(name), columns, asked) if os.path.isdir(name) else None


def _open_csv(file: Path, columns: dict[str, str] | None, root: Path | None, asked: Asked) -> Clips:
    """Open a list of sounds or images, with the facts of `made.json` where hubbub made them."""
    labels, allow_missing, group = asked.labels, asked.allow_missing, asked.group
    if is_published(file) and not columns:
        if group:
            raise ClipsError(f"{file} says which clips are of one recording. Leave --group (data.group) out.")
        return from_published(file, root, labels, allow_missing)
    if lists_images(file):
        if columns:
            raise ClipsError(f"{file} lists images, whose columns have fixed names. Leave [data.columns] out.")
        if group:
            raise ClipsError(f"{file} lists images, whose column `source` names the recording. Leave --group out.")
        return open_images(file, root=root, labels=labels, allow_missing=allow_missing)
    facts = manifest.read_beside(file)
    labels = labels or (tuple(facts["labels"]) if facts else ())
    clips = from_csv(file, columns, root=root, labels=labels, allow_missing=allow_missing, group=group, sets=asked.sets)
    return manifest.with_manifest(clips, facts)


def open_clips(recipe: Recipe) -> Clips:
    """The recipe's clips. Under the protocol `csv`, `split_hint` names the part whose file lists each clip.

    A clip in two of these files keeps both rows, so that the audit finds it.
    """
    data, protocol = recipe.data, recipe.protocol
    opened = partial(open_section, recipe)
    if data.test:
        return with_test(opened(), opened(data.test))
    if protocol.kind == "fixed":
        return of_folds(opened(), {*protocol.train, *protocol.val, *protocol.test})
    if protocol.kind == "kfold" and protocol.train:
        clips = opened()
        out = [fold for fold in clips.folds if fold not in protocol.train]
        note = f"PART OF THE FOLDS: fold {', '.join(out)} took no part, neither in training nor in testing"
        return of_folds(replace(clips, notes=(*clips.notes, note) if out else clips.notes), set(protocol.train))
    if protocol.kind != "csv":
        return opened()
    if data.corrections:
        raise SplitError("protocol.kind = 'csv' reads one list a part. Correct the labels in these lists.")
    files = {
        part: names for part, names in zip(PARTS, (protocol.train, protocol.val, protocol.test), strict=True) if names
    }
    parts = {part: opened(names[0]) for part, names in files.items()}
    tables = [c.table.assign(split_hint=part, clip=part + ":" + c.table["clip"]) for part, c in parts.items()]
    first = next(iter(parts.values()))
    kinds, known = {c.kind for c in parts.values()}, [c.settings for c in parts.values() if c.settings is not None]
    if kinds - {"sound", "images"} or len(kinds) > 1 or any(settings != known[0] for settings in known):
        raise SplitError(
            f"{first.name}: the lists hold {' and '.join(sorted(kinds))}, or images made with other settings. "
            "Give lists of sounds, or of images made with the same settings."
        )
    table = pd.concat(tables, ignore_index=True)
    merged, on_spellings = values.merge_spellings(list(table["group"]), "GROUPS")
    table["group"], on_overlaps = recordings.groups(
        merged, recordings.recordings(list(table["path"])), table[["start", "end"]]
    )
    refuse_mixed(list(parts.values()))
    used = {label for clips in parts.values() for label, rows in clips.rows_of_classes().items() if len(rows)}
    warned = [*on_spellings, *on_overlaps, *values.similar(used)]
    copies = {part: int((c.table["split_hint"] == "train").sum()) for part, c in parts.items() if part != "train"}
    warned += [f"AUGMENTED COPIES: {count:,} in the {part} file" for part, count in copies.items() if count]
    guessed = any(c.group_source == "guessed" for c in parts.values())
    return replace(
        first,
        table=table,
        group_source="guessed" if guessed else first.group_source,
        straddling=first.straddling
        | (grouping.straddling(table.assign(fold=table["split_hint"])) if guessed else set()),
        settings=first.settings if len(known) == len(parts) else None,
        timed=timed_of(list(parts.values())),
        labels=data.labels or tuple(sorted({label for clips in parts.values() for label in clips.labels})),
        listed=sum(clips.listed for clips in parts.values()),
        missing=tuple(clip for clips in parts.values() for clip in clips.missing),
        notes=tuple(dict.fromkeys([*warned, *(note for clips in parts.values() for note in clips.notes)])),
    )
