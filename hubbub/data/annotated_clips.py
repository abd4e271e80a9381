"""Clips from annotated recordings: an annotation table, or a folder of recordings with their tables.

One clip an annotation, with the recording as its group; what is left out, and why, is in the notes.
"""

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from hubbub.audio import decode
from hubbub.audio.find_files import LOST, describe, search
from hubbub.data import annotated_chunks, annotation_notes, annotations, grouping, values
from hubbub.data.annotation_sources import Sounds, Source, locate, stems
from hubbub.data.annotation_windows import BACKGROUND, Length, WindowRule, background, label_windows
from hubbub.data.clips import COLUMNS, Clips, ClipsError, build
from hubbub.data.multilabel_lists import SINGLE, SetRule
from hubbub.data.recordings import groups, identity, recordings, within_files
from hubbub.errors import count, examples

__all__ = ["from_annotations", "from_annotated_folder"]


@dataclass(frozen=True)
class Asked:
    """How windows are labelled, whether a class `background` is added, which classes there are, whether recordings may
    be missing, what says which clips are of one recording (`grouping.assign`), and whether recordings are cut into
    chunks of `chunk_s` [s] with label sets."""

    rule: WindowRule = field(default_factory=WindowRule)
    background: bool = False
    labels: tuple[str, ...] = ()
    allow_missing: bool = False
    group: str = ""
    sets: SetRule = SINGLE
    chunk_s: float = 10.0

    @property
    def group_column(self) -> str:
        """The column of groups that is asked for, if it is one."""
        return "" if self.group == grouping.FILE else self.group


def from_annotations(
    file: Path,
    columns: Mapping[str, str] | None = None,
    root: Path | None = None,
    asked: Asked = Asked(),
) -> Clips | None:
    """The clips of an annotation table; None where the file is none.

    One clip an annotation, `group` the recording. Recordings are looked for below `root` (default: the table's folder).
    Raises `ClipsError` for annotations that contradict themselves or their recordings.
    """
    given = annotations.read(file, columns, asked.group_column, untimed=asked.sets.asked)
    if given is None:
        return None
    if given.problem:
        raise given.problem
    sounds = Sounds(root or file.parent)
    source = locate(given, sounds)
    *_, name = stems(file)
    if not source.found and not any(given.table["recording"]):
        raise ClipsError(
            f"{file} names no recording, and below {sounds.base} none is called {name}. Put the table beside its "
            "recording under the same name, or name the recording's folder: --set data.root=FOLDER"
        )
    return _clips(name, sounds, [source], asked)


def from_annotated_folder(
    folder: Path,
    columns: Mapping[str, str] | None = None,
    asked: Asked = Asked(),
) -> Clips | None:
    """The clips of a folder of recordings with annotation tables beside or below; None where no table fits one.

    Recordings without a table are left out, and a note says so. Raises `ClipsError` where two tables are about one
    recording, and where folders of classes and tables cannot be told apart.
    """
    sounds = Sounds(folder)
    sources, idle, others = [], [], []
    there = search(folder, (*decode.EXTENSIONS, *annotations.ENDINGS))
    for file in map(Path, there.files):
        if file.suffix.lower() not in annotations.ENDINGS:
            continue
        given = annotations.read(file, columns, asked.group_column, untimed=asked.sets.asked)
        if given is None:
            others.append(file.relative_to(folder).as_posix())
            continue
        source = locate(given, sounds)
        if source.found and given.problem:
            raise given.problem
        if source.found:
            sources.append(source)
        elif len(given.table):
            idle.append(file)
    if not sources:
        return None
    tables: dict[Hashable, Path] = {}
    for source in sources:
        for path in source.found:
            if other := tables.get(identity(path)):
                raise ClipsError(
                    f"{folder}: {Path(path).name} is annotated by {other.relative_to(folder)} and by "
                    f"{source.given.file.relative_to(folder)}. Name one of them as the data set, or move the "
                    "other away."
                )
            tables[identity(path)] = source.given.file
    rest = [path for path in sounds.files if identity(str(path)) not in tables]
    _refuse_classes(folder, rest, list(tables.values()))
    notes = []
    if rest and asked.sets.asked and asked.sets.empty == "none":
        sources.append(
            Source(annotations.Annotations(folder, "", sources[0].given.table.iloc[:0]), [], [*map(str, rest)], {})
        )
    elif rest:
        named = examples(path.relative_to(folder).as_posix() for path in rest)
        notes.append(
            f"LEFT OUT: {count(len(rest), 'recording')} without annotations ({named}); an empty table says "
            "that nothing is in a recording" + ", and --empty none says it of all" * asked.sets.asked
        )
    if idle:
        named = examples(file.relative_to(folder).as_posix() for file in idle)
        notes.append(f"LEFT OUT: {count(len(idle), 'table')} whose recordings are not here: {named}")
    notes += [f"LEFT OUT: {line}" for line in describe(there.left_out, LOST)]
    left_out = describe({reason: names for reason, names in there.left_out.items() if reason not in LOST})
    if others:
        left_out.append(
            f"{count(len(others), 'text or table', 'texts or tables')} without annotations: {examples(others)}"
        )
    clips = _clips(folder.absolute().name or "root", sounds, sources, asked, notes)
    return replace(clips, left_out=tuple(left_out))


def _refuse_classes(folder: Path, rest: list[Path], tables: list[Path]) -> None:
    """Raises `ClipsError` where most recordings lie in folders like those of classes and have no table."""
    classes = sorted({path.relative_to(folder).parts[0] for path in rest if path.parent != folder})
    if len(classes) > 1 and len(rest) > len(tables):
        raise ClipsError(
            f"{folder} holds annotations ({examples(f.relative_to(folder) for f in tables)}) and {len(rest)} "
            f"recordings without, in folders that may be classes ({examples(classes)}). Name one of the tables as the "
            "data set, or move the tables away if the folders are the classes."
        )


def _clips(name: str, sounds: Sounds, sources: Sequence[Source], asked: Asked, notes: Sequence[str] = ()) -> Clips:
    """The clips of located annotations, and the notes on them."""
    checked = [_checked(source, sounds.base) for source in sources]
    files = list(dict.fromkeys(path for source in sources for path in source.found))
    first = dict(zip(files, (files[at] for at in recordings(files)), strict=True))
    table = pd.concat([rows for rows, _, _ in checked], ignore_index=True)
    table["path"] = table["path"].map(first)
    missing = pd.concat([lost for _, lost, _ in checked], ignore_index=True)
    files = list(dict.fromkeys(first.values()))
    lengths = {path: _length(path) for path in files}
    on_rows = [
        *annotation_notes.machine(sources),
        *notes,
        *(note for source, (_, _, own) in zip(sources, checked, strict=True) for note in (*source.given.notes, *own)),
    ]
    if asked.sets.asked:
        searched = {path: _searched(path, sources, first) for path in files}
        return _chunked(name, sounds.base, table, missing, lengths, searched, asked, on_rows)
    by_file = {str(path): rows for path, rows in table.groupby("path")}
    labelled = {
        path: label_windows(rows.loc[rows["end"] > rows["start"], ["start", "end", "label"]], lengths[path], asked.rule)
        for path, rows in by_file.items()
    }
    found = pd.concat([one.clips.assign(path=path) for path, one in labelled.items()] or [table], ignore_index=True)
    notes = [
        *annotation_notes.summary(table, found, files, asked.rule),
        *on_rows,
        *annotation_notes.contradictions(table, labelled),
        *annotation_notes.nothing([_relative(path, sounds.base) for path in files if path not in by_file]),
    ]
    if found.empty and missing.empty:
        raise ClipsError(f"{name}: no clip is left of {count(len(table), 'annotation')}. {'. '.join(notes[1:])}.")
    labels = asked.labels
    if asked.background:
        if BACKGROUND in set(table["label"]):
            raise ClipsError(f"{name}: a class is called '{BACKGROUND}' already. Rename it, or leave background off.")
        busy = {
            path: _busy(by_file.get(path, table.iloc[:0]), path, sources, first, lengths[path].seconds)
            for path in files
        }
        added, on_background = _background(found, busy, lengths, asked.rule)
        found, notes = pd.concat([found, added], ignore_index=True), [*notes, on_background]
        labels = (*labels, BACKGROUND) if labels and BACKGROUND not in labels else labels
    rows, on_groups = _rows(found, missing, table, sounds.base)
    clips = _built(
        name, rows, sounds.base, asked, labels=labels, notes=(*notes, *on_groups), grouped=any(table["group"])
    )
    if asked.group_column and any(asked.group_column in source.given.columns for source in sources):
        return clips
    return grouping.regroup(clips, asked.group)


def _built(name: str, rows: pd.DataFrame, base: Path, asked: Asked, *, grouped: bool, **facts: Any) -> Clips:
    return build(
        name, rows, allow_missing=asked.allow_missing, group_source="given" if grouped else "file",
        where=f"{base} (--set data.root=FOLDER names another folder)", **facts,
    )  # fmt: skip


def _chunked(
    name: str,
    base: Path,
    table: pd.DataFrame,
    missing: pd.DataFrame,
    lengths: Mapping[str, Length],
    searched: Mapping[str, list[tuple[float, float]]],
    asked: Asked,
    on_rows: Sequence[str],
) -> Clips:
    """The clips with label sets of located annotations: chunks of their recordings."""
    if asked.background:
        raise ClipsError(
            f"{name}: with --multilabel, parts of recordings without any class are clips already. Leave --background "
            "(data.background) out."
        )
    found = annotated_chunks.cut(table, searched, lengths, asked.rule, asked.chunk_s, asked.labels)
    if not found.labels and lengths:
        raise ClipsError(f"{name}: no event is left of {count(len(table), 'annotation')}. {'. '.join(on_rows)}".strip())
    rows, idle = found.table, [path for path in lengths if path not in set(table["path"])]
    named = [_relative(path, base) for path in rows["path"]]
    rows = rows.assign(
        clip=[f"{one}@{a:.3f}-{b:.3f}" for one, a, b in zip(named, rows["start"], rows["end"], strict=True)],
        group=[group or one for group, one in zip(rows["group"], named, strict=True)],
    )
    lost = pd.DataFrame({"clip": list(dict.fromkeys(missing["clip"])), "path": "", "group": ""})
    lost["labels"] = lost["unknown"] = [()] * len(lost)
    notes = (
        found.notes[0],
        *on_rows,
        *found.notes[1:],
        *annotation_notes.nothing([_relative(path, base) for path in idle]),
    )
    both, labels = pd.concat([rows, lost], ignore_index=True), found.labels
    clips = _built(name, both, base, asked, labels=labels, notes=notes, timed=found.timed, grouped=any(table["group"]))
    return clips if any(table["group"]) and not asked.group else grouping.regroup(clips, asked.group)


def _checked(source: Source, base: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """A table's annotations with `path`, those whose recording is missing, and notes on what was left out."""
    given, notes = source.given, []
    table = given.table.assign(path=source.paths, file=given.file.name)
    table["clip"] = [
        _relative(path, base) if path else text for path, text in zip(source.paths, table["recording"], strict=True)
    ]
    same = table.duplicated(["clip", "start", "end", "label"])
    if same.any():
        notes.append(
            f"REPEATED ROWS: {count(int(same.sum()), 'row')} of {given.file.name} like others; each counts once"
        )
    table = table[~same]
    there = table[table["path"] != ""]
    point = there["start"] == there["end"]
    if point.any():
        named = examples(f"row {row}: {label}" for row, label in there.loc[point, "label"].items())
        notes.append(f"LEFT OUT: {count(int(point.sum()), 'label')} of {given.file.name} at a point in time ({named})")
    notes += within_files(str(given.file), there[~point])
    numbered = there.assign(row=there.index)
    return numbered, table[table["path"] == ""].assign(row=-1), notes


def _length(path: str) -> Length:
    with decode.open_sound(path) as sound:
        seconds = sound.seconds if sound.seconds is not None else sum(map(len, sound.blocks)) / sound.rate_hz
        return Length(seconds, sound.rate_hz)


def _busy(
    table: pd.DataFrame, path: str, sources: Sequence[Source], first: Mapping[str, str], seconds: float
) -> pd.DataFrame:
    """The spans of a recording that are annotated, or that nobody searched."""
    searched = _searched(path, sources, first)
    outside, reach = [], 0.0
    for start, end in sorted([*searched, (seconds, seconds)] if searched else []):
        if start > reach:
            outside.append((reach, start))
        reach = max(reach, end)
    return pd.concat([table[["start", "end"]], pd.DataFrame(outside, columns=["start", "end"], dtype=float)])


def _searched(path: str, sources: Sequence[Source], first: Mapping[str, str]) -> list[tuple[float, float]]:
    """The spans of a recording that were searched; none where all of it was."""
    return [span for one in sources for at, spans in one.regions.items() if first.get(at) == path for span in spans]


def _background(
    found: pd.DataFrame, busy: Mapping[str, pd.DataFrame], lengths: Mapping[str, Length], rule: WindowRule
) -> tuple[pd.DataFrame, str]:
    """Clips of background, and a note on them."""
    most = int(found.groupby("label")["windows"].sum().max()) if len(found) else 0
    spans, taken, there = background(list(busy.values()), [lengths[path] for path in busy], rule, most)
    rows = [(start, end, BACKGROUND, path) for path, of_one in zip(busy, spans, strict=True) for start, end in of_one]
    note = (
        f"BACKGROUND: {taken:,} of {there:,} windows without annotations, from {sum(map(bool, spans)):,} of "
        f"{count(len(busy), 'recording')}; at most as many as the largest class has, none within "
        f"{rule.window_s / 2:g} s of an annotation"
    )
    return pd.DataFrame(rows, columns=["start", "end", "label", "path"]), note


def _rows(
    found: pd.DataFrame, missing: pd.DataFrame, table: pd.DataFrame, base: Path
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The clip table, and notes on groups. A clip without a group in its table gets that of another part of its
    recording, or the recording's name."""
    rows = found.sort_values(["path", "start", "end"], kind="stable", ignore_index=True)
    named = [_relative(path, base) for path in rows["path"]]
    given = table["group"].reindex(rows["row"]).fillna("").tolist()  # background belongs to no row
    given, on_spellings = values.merge_spellings(given, "GROUPS")
    given, on_overlaps = groups(given, pd.factorize(rows["path"])[0].tolist(), rows[["start", "end"]])
    rows["group"] = [group or name for group, name in zip(given, named, strict=True)]
    rows["clip"] = named
    both = pd.concat([rows, missing], ignore_index=True)
    spans = both[["clip", "start", "end"]].itertuples(index=False)
    both["clip"] = [f"{clip}@{start:.3f}-{end:.3f}" for clip, start, end in spans]
    return both.drop_duplicates("clip").reindex(columns=list(COLUMNS)), (*on_spellings, *on_overlaps)


def _relative(path: str, base: Path) -> str:
    return os.path.relpath(path, base).replace(os.sep, "/")
