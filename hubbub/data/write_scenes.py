"""Write scenes that are mixed from the clips of any data set: WAV files, and tables of what is in them.

Each scene is mixed from recordings of one fold, and recordings that the data set's own folds split are used in one fold
only: a classifier that is tested on scenes of a fold has each none of their sources.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hubbub.audio import decode
from hubbub.audio.sound import MAX_RATE_HZ, MIN_RATE_HZ
from hubbub.config.data import Protocol
from hubbub.data import cache, folds, made_scenes, manifest, near_duplicates, scenes
from hubbub.data.clips import Clips, refuse_label_sets
from hubbub.data.open import open_data
from hubbub.data.scenes import Scene, ScenesError, SceneSettings, Stretch
from hubbub.errors import count, did_you_mean, examples
from hubbub.runtime import files
from hubbub.runtime.names import safe_name
from hubbub.runtime.processes import cores
from hubbub.runtime.progress import track

__all__ = ["write"]

#: Sound is decoded at this rate [Hz] to find copies, where folds are made.
_RATE_HZ = 16_000


def write(
    name: str,
    folder: Path,
    asked: SceneSettings,
    classes: Sequence[str] = (),
    background: Sequence[str] = (),
    rate_hz: int | None = None,
    *,
    allow_missing: bool = False,
) -> Path:
    """Write scenes of a data set's clips -> their annotation table, for `open_data`.

    `classes` are those of the events (default: all but the `background`), `background` those that lie under them
    (default: noise), `rate_hz` the scenes' rate (default: that of most clips). Files are
    `FOLDER/audio/foldN/scene-M.wav`, 16 bit; existing ones stay. Raises `ScenesError` for classes and folds that cannot
    be used, `ClipsError` for unreadable sounds, `ManifestError` where the folder holds other files.
    """
    if rate_hz is not None and not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise ScenesError(f"a rate of {rate_hz} Hz (--rate) is not from {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,}.")
    clips, events = _chosen(open_data(name, allow_missing=allow_missing), classes, background)
    clips = _with_folds(clips)
    found = manifest.in_parallel(lambda row: _analyse(clips, row), clips, "finding what sounds")
    stretches = [one for each in found for one in each.stretches if one.label in events]
    under = [one for each in found for one in _longest(each.stretches) if one.label in background]
    silent = [clip for clip, each in zip(clips.table["clip"], found, strict=True) if not each.stretches]
    _refuse_few(clips, events, stretches, background, under)
    if silent:
        clips = replace(
            clips, notes=(*clips.notes, f"LEFT OUT: {count(len(silent), 'silent clip')} ({examples(silent)})")
        )
    rate_hz = rate_hz or int(pd.Series([each.rate_hz for each in found]).mode()[0])
    planned = scenes.plan(stretches, under, asked)
    content = hashlib.sha256("".join(each.content for each in found).encode()).hexdigest()
    facts = _facts(clips, background, planned, asked) | {"rate_hz": rate_hz, "sounds": content}
    with manifest.generating(folder, facts):
        with ThreadPoolExecutor(cores()) as pool:
            writing = pool.map(lambda scene: _save(scene, rate_hz, folder / _file(scene)), planned)
            list(track(writing, "mixing", len(planned)))
        files.write_csv(folder / made_scenes.SCENES, pd.DataFrame(map(_row, planned)))
        sources = pd.DataFrame([row for scene in planned for row in _sources(scene)])
        files.write_csv(folder / made_scenes.SOURCES, sources)
        files.write_text(folder / made_scenes.README, _readme(clips, facts))
        is_event = sources["role"] == "event"
        files.write_csv(folder / made_scenes.EVENTS, sources.loc[is_event, ["file", "start", "end", "label"]])
    return folder / made_scenes.EVENTS


@dataclass(frozen=True)
class _Analysed:
    """What sounds in a clip, the rate of its file, and a hash of its samples."""

    stretches: tuple[Stretch, ...]
    rate_hz: int
    content: str


def _chosen(clips: Clips, classes: Sequence[str], background: Sequence[str]) -> tuple[Clips, tuple[str, ...]]:
    """The clips of these classes, without augmented copies, and the classes of events."""
    refuse_label_sets(clips, "hubbub data scenes")
    if clips.kind != "sound" or clips.mixed:
        what = "scenes already" if clips.mixed else clips.kind
        raise ScenesError(f"{clips.name} holds {what}. Scenes are mixed from clips: name a data set of sounds.")
    for option, names in (("--classes", classes), ("--background", background)):
        for label in names:
            if label not in clips.labels:
                raise ScenesError(
                    f"{clips.name} has no class '{label}' ({option}). {did_you_mean(label, clips.labels)}"
                )
    if both := sorted(set(classes) & set(background)):
        raise ScenesError(
            f"'{both[0]}' is named by --classes and by --background. A class is either events or background: leave it "
            "out of one."
        )
    events = tuple(label for label in clips.labels if label in (classes or clips.labels) and label not in background)
    if not events:
        raise ScenesError(f"{clips.name}: --background names all classes, so none is left for events. Name fewer.")
    table = clips.table.assign(group=manifest.sources(clips))
    rows = table["label"].isin([*events, *background]) & (table["split_hint"] == "")
    return replace(clips, table=table[rows].reset_index(drop=True), labels=events), events


def _with_folds(clips: Clips) -> Clips:
    """The clips with folds, which are made where there are none. No recording is in two of them: clips of one that the
    given folds part are used in its first fold."""
    if not clips.folds:
        sound = cache.decode_clips(clips, _RATE_HZ)
        clips, joined = near_duplicates.join_groups(clips, near_duplicates.find(sound, list(clips.table["group"])))
        clips, _ = folds.make_folds(clips, Protocol(kind="grouped"))
        clips = replace(clips, notes=(*clips.notes, *joined))
    table = clips.table[clips.table["fold"] != ""]
    own = table["group"].where(table["group"] != "", table["clip"])
    whole = table["fold"] == table["fold"].groupby(own).transform("first")
    notes = []
    if lost := len(clips) - len(table):
        notes.append(f"LEFT OUT: {count(lost, 'clip')} without a fold")
    if parted := int((~whole).sum()):
        named = examples(dict.fromkeys(own[~whole]))
        notes.append(f"LEFT OUT: {count(parted, 'clip')} of recordings that the folds split ({named})")
    table = table[whole].assign(group=own[whole]).reset_index(drop=True)
    return replace(clips, table=table, straddling=frozenset(), notes=(*clips.notes, *notes))


def _analyse(clips: Clips, row: int) -> _Analysed:
    clip = clips.table.iloc[row]
    wave, rate_hz = decode.decode(clip["path"], clip["start"], clip["end"])
    begin = float(np.nan_to_num(clip["start"]))
    names = clip["clip"], clip["path"], clip["label"], clip["group"], clip["fold"]
    found = (Stretch(*names, begin + start, begin + end) for start, end in scenes.sounding(wave, rate_hz))
    return _Analysed(tuple(found), rate_hz, hashlib.sha256(wave.tobytes()).hexdigest())


def _longest(stretches: Sequence[Stretch]) -> Iterator[Stretch]:
    """The longest stretch of a clip, if it is long enough for a background."""
    longest = max(stretches, key=lambda one: one.seconds, default=None)
    if longest and longest.seconds >= scenes.BACKGROUND_S:
        yield longest


def _refuse_few(
    clips: Clips,
    events: Sequence[str],
    stretches: Sequence[Stretch],
    background: Sequence[str],
    under: Sequence[Stretch],
) -> None:
    for fold in clips.folds:
        there = {one.label for one in stretches if one.fold == fold}
        if absent := [label for label in events if label not in there]:
            raise ScenesError(
                f"{clips.name}: fold {fold} has no clip that sounds of {count(len(absent), 'class', 'classes')} "
                f"({examples(absent)}). Every class needs one in every fold: name the others by --classes, or add "
                "recordings."
            )
        if background and all(one.fold != fold for one in under):
            raise ScenesError(
                f"{clips.name}: in fold {fold} no clip of the background ({examples(background)}) sounds for "
                f"{scenes.BACKGROUND_S:g} s. Name other classes by --background, or leave it out for noise."
            )


def _facts(clips: Clips, background: Sequence[str], planned: Sequence[Scene], asked: SceneSettings) -> dict[str, Any]:
    """What `made.json` says of the scenes."""
    placed = [event for scene in planned for event in scene.events]
    used = len({event.stretch.clip for event in placed})
    note = (
        f"MADE SCENES: {count(len(planned), 'scene')} of {asked.length_s:g} s, mixed by hubbub from "
        f"{count(used, 'clip')} of {clips.name}; each is in {len(placed) / used:.1f} events of its fold, so scenes are "
        "not independent and intervals are too narrow"
    )
    settings: dict[str, Any] = {
        "hours": asked.hours, "length_s": asked.length_s, "overlap": asked.overlap, "snr_db": list(asked.snr_db),
        "reverb": asked.reverb, "background": list(background),
    }  # fmt: skip
    noted = replace(clips, notes=(*clips.notes, note))
    facts = manifest.manifest_of(noted, made_scenes.KIND, made_scenes.EVENTS, (), asked.seed)
    folders = {Path(_file(scene)).parent.as_posix(): scene.fold for scene in planned}
    return settings | facts | {"folds": folders}


def _save(scene: Scene, rate_hz: int, path: Path) -> None:
    from scipy.io import wavfile

    if path.is_file():
        return
    wave = scenes.mix(scene, rate_hz, lambda one: decode.load(one.path, rate_hz, one.start, one.end))
    with files.whole_file(path) as temporary:
        wavfile.write(temporary, rate_hz, np.round(wave * np.iinfo(np.int16).max).astype(np.int16))


def _file(scene: Scene) -> str:
    """A scene's path from the folder of all."""
    return f"audio/fold{safe_name(scene.fold)}/{scene.name}.wav"


def _row(scene: Scene) -> dict[str, Any]:
    return {
        "file": _file(scene),
        "fold": scene.fold,
        "seconds": scene.seconds,
        "events": len(scene.events),
        "at_once": scene.at_once,
        "background": scene.background[0].label if scene.background else "noise",
        "rt60_s": scene.rt60_s,
        "peak_db": scene.peak_db,
    }


def _sources(scene: Scene) -> Iterator[dict[str, Any]]:
    """What a scene was mixed from: its events, then the pieces of its background."""
    pieces, at = [], 0.0
    for one in scene.background:
        pieces.append(("background", one, at, min(at + one.seconds, scene.seconds), None))
        at += one.seconds - scenes.CROSSFADE_S
    events = [("event", event.stretch, event.onset, event.offset, event.snr_db) for event in scene.events]
    for role, one, start, end, snr_db in (*events, *pieces):
        yield {
            "file": _file(scene), "fold": scene.fold, "role": role, "start": round(start, 3), "end": round(end, 3),
            "label": one.label, "snr_db": snr_db, "clip": one.clip, "source": one.source,
            "source_start": round(one.start, 3), "source_end": round(one.end, 3),
        }  # fmt: skip


def _readme(clips: Clips, facts: dict[str, Any]) -> str:
    background = ", ".join(facts["background"]) or "noise that hubbub made"
    return f"""# Scenes made of {clips.name}

hubbub {facts["hubbub"]} mixed these scenes (`hubbub data scenes`). They are made, not recorded: clips of {clips.name}
at known times over a background of {background}.

Licence of the clips, which holds for the scenes too: {clips.licence}
Citation: {clips.citation}

- `audio/`: the scenes, 16 bit, in a folder for each fold. Their clips are of this fold; no recording is in two folds.
- `{made_scenes.EVENTS}`: the events: start and end in the scene [s], and class. What echoes in a room after the end of
  an event is not part of it.
- `{made_scenes.SCENES}`: of each scene its fold, length [s], number of events, how many sound at once at most,
  background, reverberation time [s] (0: no room), and peak [dB to full scale].
- `{made_scenes.SOURCES}`: of each event and each piece of background the clip, its recording, and the part that was
  used [s from the start of the file]; of events the level over the background [dB].
- `{manifest.MANIFEST}`: the settings, and what is known of the clips.

Classes: {", ".join(clips.labels)}

Train and test with these folds: hubbub train FOLDER
"""
