"""Features as system C keeps them: arrays in one NPZ file, what made them and the class numbers as JSON beside it.

`features.npz` holds the log-mel spectrogram of every segment as the recipe's front end makes it, before it is padded,
scaled or coloured: that is done again in training, so a network trained from the file sees the numbers it would see
from sound. Nothing in these files is executed when they are read.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub import files, windows
from hubbub.data import cache, made
from hubbub.data.cache import Waves
from hubbub.data.clips import Clips, ClipsError, build
from hubbub.progress import track
from hubbub.recipe import Recipe

__all__ = ["ARRAYS", "LABELS", "METADATA", "open_features", "read", "write"]

ARRAYS, METADATA, LABELS = "features.npz", "metadata.json", "label_mapping.json"

#: What is kept of each clip, column by column.
_COLUMNS = ("clip", "label", "fold", "group", "split_hint")


def write(clips: Clips, recipe: Recipe, folder: Path) -> None:
    """Write the features of a recipe's clips into `folder`, whole or not at all.

    `features.npz`: `features` `[S, bands, frames]` float32 and `times` `[S, 2]`, start and end of each [s]; by clip
    `clip`, `label`, `fold`, `group`, `split_hint` and `content`, a hash of its sound. Those of clip i are
    `features[offsets[i] : offsets[i + 1]]`. Raises `ClipsError` for recipes without a log-mel front end, or that score
    other segments than they train on.
    """
    if recipe.frontend.name != "logmel":
        raise ClipsError(
            f"frontend.name is '{recipe.frontend.name}'; features are made by 'logmel': take such a recipe."
        )
    if recipe.evaluate.hop:
        raise ClipsError(
            "evaluate.hop scores other segments than are trained on, and features hold one kind: unset it."
        )
    if clips.kind != "sound":
        raise ClipsError(f"{clips.name} holds {clips.kind}; features are made of sound. Name a data set of sound.")
    waves = cache.decode(clips, recipe.audio.rate_hz)
    times = [windows.spans(int(n), waves.rate_hz, recipe.windows.length, recipe.windows.hop) for n in waves.lengths]
    offsets = np.cumsum([0, *map(len, times)])
    facts = {name: getattr(clips, name) for name in ("name", "licence", "citation", "notes", "synthetic", "listed")}
    facts |= {"missing": clips.missing, "straddling": sorted(clips.straddling)}
    settings = recipe.model_dump(mode="json", include={"audio", "windows", "frontend"})
    table = clips.table.assign(group=made.sources(clips))
    columns: dict[str, npt.ArrayLike] = {name: table[name].to_numpy(str) for name in _COLUMNS}
    with files.whole_folder(folder) as temporary:
        np.savez(
            temporary / ARRAYS,
            features=_features(temporary / "features.npy", waves, recipe, offsets),
            times=np.concatenate(times),
            offsets=offsets,
            content=np.array(waves.contents),
            allow_pickle=False,
            **columns,
        )
        (temporary / "features.npy").unlink()
        files.write_json(temporary / METADATA, {**facts, "made": settings})
        files.write_json(temporary / LABELS, {label: number for number, label in enumerate(clips.labels)})


def _features(file: Path, waves: Waves, recipe: Recipe, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The log-mel spectrogram of every segment, in a file: they may be more than memory holds."""
    import torch

    from hubbub.features import FrontEnd

    frontend = FrontEnd(recipe.frontend, recipe.audio.rate_hz)
    assert frontend.logmel
    length, hop, pad = recipe.windows.length, recipe.windows.hop, recipe.windows.pad
    shape = (int(offsets[-1]), frontend.n_mels, frontend.logmel.frames(length))
    features = np.lib.format.open_memmap(file, "w+", np.float32, shape)
    for clip in track(range(len(waves)), "features", len(waves)):
        segments = torch.from_numpy(np.array(windows.cut(waves.wave(clip), length, hop, pad)))
        features[offsets[clip] : offsets[clip + 1]] = frontend.logmel(segments).numpy()
    return features


def open_features(file: Path, *, labels: tuple[str, ...] = ()) -> Clips:
    """A `features.npz` that `write` made -> its clips. Raises `ClipsError` where it is not whole."""
    try:
        facts = json.loads((file.parent / METADATA).read_text(encoding="utf-8"))
        named = json.loads((file.parent / LABELS).read_text(encoding="utf-8"))
        with _opened(file) as kept:
            table = pd.DataFrame({name: kept[name] for name in _COLUMNS}).assign(path=str(file))
        settings, straddling = facts.pop("made"), frozenset(facts.pop("straddling"))
        known = {**facts, "missing": tuple(facts["missing"]), "notes": tuple(facts["notes"])}
        name = known.pop("name")
    except (OSError, KeyError, ValueError) as error:
        raise ClipsError(
            f"{file} is not a file of features with its {METADATA} and {LABELS} beside it ({error}). "
            "Make it again: hubbub data features."
        ) from error
    clips = build(name, table, labels=labels or tuple(named), kind="spectrograms", made=settings, straddling=straddling)
    return replace(clips, **known)


def read(file: Path, clips: pd.Series) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], str]]:
    """The features of some clips by their ids: `[S, bands, frames]`, times `[S, 2]` [s], and the hash of the sound."""
    with _opened(file) as kept:
        features, offsets, times, contents = (kept[name] for name in ("features", "offsets", "times", "content"))
        place = {clip: number for number, clip in enumerate(kept["clip"])}
    for clip in clips:
        part = slice(offsets[place[clip]], offsets[place[clip] + 1])
        yield features[part], times[part], str(contents[place[clip]])


def contents(file: Path) -> dict[str, str]:
    """The hash of each clip's sound, by its id."""
    with _opened(file) as kept:
        return dict(zip(kept["clip"].tolist(), kept["content"].tolist(), strict=True))


@contextmanager
def _opened(file: Path) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
    try:
        with np.load(file, allow_pickle=False) as kept:
            yield kept
    except (zipfile.BadZipFile, EOFError) as error:
        raise ClipsError(f"{file} is not whole ({error}). Make it again: hubbub data features.") from error
