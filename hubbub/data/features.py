"""Feature files as in system C: arrays in one NPZ file, settings and class numbers as JSON beside it.

`features.npz` holds the log-mel spectrogram of every segment from the recipe's front end, before padding, scaling and
colouring. Training applies these, so a network gets the same inputs as from sound. Reading the files executes nothing.
"""

import json
import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from hubbub.audio import windows
from hubbub.config import sections
from hubbub.config.recipe import Recipe
from hubbub.data import cache
from hubbub.data.cache import Waves
from hubbub.data.clips import Clips, ClipsError, build, refuse_label_sets
from hubbub.data.manifest import sources
from hubbub.errors import HubbubError
from hubbub.runtime import files
from hubbub.runtime.progress import track

__all__ = [
    *("ARRAYS", "LABELS", "LATER", "METADATA"),
    *("open_features", "read_features", "read_hashes", "read_shape", "write_features"),
]

ARRAYS, METADATA, LABELS = "features.npz", "metadata.json", "label_mapping.json"

#: Of the three files, in `metadata.json`; where it says none, this one.
FORMAT = 1

#: Settings of the front end that are applied in training, to whatever the file holds.
LATER = ("frames", "scale", "size", "colours", "standardise")

#: The columns of the clip table that the file holds.
_COLUMNS = ("clip", "label", "fold", "group", "split_hint")


class _Format(BaseModel):
    """What `metadata.json` of any format says."""

    model_config = ConfigDict(strict=True)

    format: int = FORMAT


class _Facts(_Format):
    """`metadata.json`: facts about the data set, and `made`, the settings that the features were computed with.

    It also says what the values are (`features`), and which of the recipe's settings training applies (`later`).
    """

    name: str
    licence: str
    citation: str
    synthetic: bool
    listed: int
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    straddling: frozenset[str]
    made: dict[str, dict[str, Any]]


def write_features(clips: Clips, recipe: Recipe, folder: Path) -> None:
    """Write the features of a recipe's clips into `folder`, whole or not at all.

    `features.npz` holds `features` `[S, bands, frames]` float32 and `times` `[S, 2]`, their start and end [s]; per clip
    `clip`, `label`, `fold`, `group`, `split_hint` and `content`, a hash of its sound. Clip i has
    `features[offsets[i] : offsets[i + 1]]`. Raises `ClipsError` for recipes without a log-mel front end, or that score
    other segments than they train on.
    """
    if recipe.frontend.name != "logmel":
        raise ClipsError(
            f"frontend.name is '{recipe.frontend.name}', and features need 'logmel'. Take a recipe with that."
        )
    if recipe.evaluate.hop:
        raise ClipsError(
            "evaluate.hop scores other segments than are trained on, and a feature file holds one kind: unset it."
        )
    if clips.kind != "sound":
        raise ClipsError(f"{clips.name} holds {clips.kind}; features are made from sound. Name a data set of sounds.")
    refuse_label_sets(clips, "a file of features")
    waves = cache.decode_clips(clips, recipe.audio.rate_hz)
    times = [windows.spans(int(n), waves.rate_hz, recipe.windows.length, recipe.windows.hop) for n in waves.lengths]
    offsets = np.cumsum([0, *map(len, times)])
    facts = {name: getattr(clips, name) for name in ("name", "licence", "citation", "notes", "synthetic", "listed")}
    facts |= {"missing": clips.missing, "straddling": sorted(clips.straddling)}
    made = recipe.model_dump(mode="json", include={"audio", "windows", "frontend"})
    later = {name: made["frontend"].pop(name) for name in LATER}
    # Under the protocol `csv` the hint is the name of a clip's list; only "train" has a meaning in the file.
    hints = clips.table["split_hint"].where(clips.table["split_hint"] == "train", "")
    table = clips.table.assign(group=sources(clips), split_hint=hints)
    columns: dict[str, npt.ArrayLike] = {name: table[name].to_numpy(str) for name in _COLUMNS}
    with files.whole_folder(folder, METADATA) as temporary:
        features = _features(temporary / "features.npy", waves, recipe, offsets)
        facts["features"] = {
            "shape": list(features.shape), "axes": ["segment", "mel band, the lowest first", "frame"],
            "dtype": str(features.dtype), "values": _describe_values(recipe.frontend),
            "smallest": float(features.min()), "largest": float(features.max()),
        }  # fmt: skip
        np.savez(
            temporary / ARRAYS,
            features=features,
            times=np.concatenate(times),
            offsets=offsets,
            content=np.array(waves.contents),
            allow_pickle=False,
            **columns,
        )
        (temporary / "features.npy").unlink()
        files.write_json(temporary / METADATA, {"format": FORMAT, **facts, "made": made, "later": later})
        files.write_json(temporary / LABELS, {label: number for number, label in enumerate(clips.labels)})


def _describe_values(frontend: sections.FrontEnd) -> str:
    """What a value of the log-mel spectrogram is."""
    if frontend.log == "offset":
        return f"ln(mel + {frontend.offset:g})"
    least = f", cut off {frontend.top_db:g} dB below the segment's loudest cell" if frontend.top_db else ""
    return f"dB relative to {'the loudest cell of the segment' if frontend.ref == 'max' else '1'}{least}"


def _features(file: Path, waves: Waves, recipe: Recipe, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The log-mel spectrogram of every segment, memory-mapped: they may exceed memory."""
    import torch

    from hubbub.audio.frontend import FrontEnd

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
    """Open a `features.npz` that `write_features` made -> its clips. Raises `ClipsError` where it is damaged."""
    with _readable(file):
        for part in (file, file.parent / METADATA, file.parent / LABELS):
            if not os.path.isfile(part):  # reading a pipe would block
                raise ValueError(f"{part.name}: it is not a file")
        written = (file.parent / METADATA).read_text(encoding="utf-8")
        if (found := _Format.model_validate_json(written).format) != FORMAT:
            raise ClipsError(
                f"{file.parent / METADATA} is of format {found}, and this version reads format {FORMAT}. Update "
                "hubbub: pip install --upgrade hubbub; or make the features again: hubbub data features."
            )
        facts = _Facts.model_validate_json(written)
        named = tuple(json.loads((file.parent / LABELS).read_text(encoding="utf-8")))
        if not all(isinstance(label, str) for label in named):
            raise ValueError(f"{LABELS} holds labels that are not text")
        columns = _arrays(file, _COLUMNS)
        if len({len(column) for column in columns.values()}) != 1:
            raise ValueError(f"{', '.join(_COLUMNS)} differ in length")
        table = pd.DataFrame(columns).assign(path=str(file))
        settings = {section: facts.made[section] for section in ("audio", "windows", "frontend")}
    clips = build(
        facts.name, table, labels=labels or named, kind="spectrograms", settings=settings,
        straddling=facts.straddling,
    )  # fmt: skip
    return replace(clips, **facts.model_dump(exclude={"format", "name", "straddling", "made"}))


def read_features(
    file: Path, clips: pd.Series
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], str]]:
    """For each clip id its features `[S, bands, frames]`, times `[S, 2]` [s], and the hash of the sound."""
    arrays = _checked(file)
    place = {clip: number for number, clip in enumerate(arrays["clip"])}
    for clip in clips:
        part = slice(arrays["offsets"][place[clip]], arrays["offsets"][place[clip] + 1])
        yield arrays["features"][part], arrays["times"][part], str(arrays["content"][place[clip]])


def read_hashes(file: Path) -> dict[str, str]:
    """Clip id -> hash of its sound. Raises `ClipsError` where the file is damaged."""
    arrays = _checked(file)
    return dict(zip(arrays["clip"].tolist(), arrays["content"].tolist(), strict=True))


def _checked(file: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of a file but the labels, checked. Raises `ClipsError`."""
    with _readable(file):
        arrays = _arrays(file, ("features", "offsets", "times", "content", "clip"))
        features, clips = arrays["features"], len(arrays["clip"])
        arrays["offsets"] = offsets = cache.offsets_of(arrays["offsets"], clips, len(features))
        if (offsets[1:] == offsets[:-1]).any() or len(set(arrays["clip"].tolist())) != clips:
            raise ValueError("a clip has no features, or is there twice")
        if len(arrays["content"]) != clips or arrays["times"].shape != (len(features), 2):
            raise ValueError("its arrays do not fit each other")
        arrays["features"] = features.astype(np.float32, copy=False)
        if not np.isfinite(arrays["features"]).all():
            raise ValueError("its features are not finite numbers")
    return arrays


def read_shape(file: Path) -> tuple[int, int]:
    """Bands and frames of a file's features. Raises `ClipsError` where it is damaged."""
    with _readable(file), _zip(file) as opened:
        bands, frames = _described(opened, "features")[1:]
    return bands, frames


def _zip(file: Path) -> zipfile.ZipFile:
    if not file.is_file():
        raise ValueError("it is not a file")  # reading a pipe or a device might never end
    return zipfile.ZipFile(file)


#: The kind of each array's values (numpy's letter) and its number of dimensions; others are one-dimensional text.
_KINDS = {"features": ("f", 3), "times": ("f", 2), "offsets": ("iu", 1)}


def _described(opened: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    """The shape of an array by its header, checked against its size in the file. As nothing is compressed or pickled, a
    bad header cannot force a large allocation."""
    member = opened.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError("it is compressed, which hubbub data features does not do")
    with opened.open(member) as source:
        version = np.lib.format.read_magic(source)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        found, _, dtype = read_header(source)
        kinds, dimensions = _KINDS.get(name, ("U", 1))
        if dtype.kind not in kinds or len(found) != dimensions or min(found) < 0:
            raise ValueError(f"'{name}' is {dtype} {list(found)}")
        if math.prod(found) * dtype.itemsize != member.file_size - source.tell():
            raise ValueError(f"'{name}' has another size than its header says")
    if min(found) == 0:
        raise ValueError(f"'{name}' is empty")
    return found


def _arrays(file: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """These arrays of a file, their shapes and kinds checked."""
    with _zip(file) as opened:
        for name in names:
            _described(opened, name)
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in names}


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except HubbubError:
        raise
    except Exception as error:  # damage may show anywhere: in zipfile, numpy, json, pandas
        why = str(error) or type(error).__name__
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            why = f"{METADATA}: {'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
        raise ClipsError(
            f"{file} is not an intact file of features with its {METADATA} and {LABELS} beside it ({why}). "
            "Make it again: hubbub data features."
        ) from error
