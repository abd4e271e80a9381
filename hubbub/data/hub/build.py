"""Build a data set of log-mel spectrograms from a recipe's sounds, as a folder for the Hugging Face hub.

`data/train-*.parquet` holds one row per clip: its columns in the clip table, and `mel_spectrogram`, `[bands][frames]`,
the recipe's log-mel spectrogram of the whole clip, neither padded nor scaled to 0..1. A data card and `hubbub.json`
carry the labels, folds, groups and caveats, so that the loaded data set has the same as the sounds.
"""

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hubbub.config import sections
from hubbub.config.recipe import Recipe
from hubbub.data import cache
from hubbub.data.cache import Waves
from hubbub.data.clips import Clips, ClipsError, refuse_label_sets
from hubbub.data.hub.dataset import CARD, FACTS, Facts, SpectrogramSettings
from hubbub.data.hub.tables import MEL
from hubbub.data.open import open_section
from hubbub.runtime import files
from hubbub.runtime.processes import cores
from hubbub.runtime.progress import track

__all__ = ["build_dataset", "licence_id", "non_commercial"]

SHARD_BYTES = 256 << 20
GROUP_BYTES = 16 << 20  # spectrograms in memory, and in one row group of a file
_VALUE_BYTES = 4
_TERMS = "Non-commercial use only."
# The hub's names of licences, by the start of ours: https://huggingface.co/docs/hub/repositories-licenses
_LICENCES = {
    "CC BY-NC 3.0": "cc-by-nc-3.0",
    "CC BY-NC 4.0": "cc-by-nc-4.0",
    "CC BY 3.0": "cc-by-3.0",
    "CC BY 4.0": "cc-by-4.0",
    "CC0": "cc0-1.0",
}


def build_dataset(recipe: Recipe, folder: Path) -> Clips:
    """Write the spectrograms of the recipe's clips, the whole folder or nothing -> the clips.

    Uses the recipe's sections `[data]`, `[audio]` and `[frontend]`. Raises `ClipsError` where the folder is not empty,
    or the recipe has no log-mel front end or no sounds.
    """
    if recipe.frontend.name != "logmel":
        raise ClipsError(
            f"frontend.name is '{recipe.frontend.name}', which makes no spectrograms. Choose a recipe with "
            "frontend.name = 'logmel', such as us8k-cnn1d."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ClipsError(f"{folder} is not empty. Give a new folder, or remove what is there.")
    clips = open_section(recipe)
    refuse_label_sets(clips, "hubbub data hub build")
    if clips.kind != "sound":
        raise ClipsError(f"{clips.name} holds {clips.kind} already. Name a data set of sounds.")
    waves = cache.decode_clips(clips, recipe.audio.rate_hz)
    columns = _columns(clips)
    facts = _facts(clips, recipe)
    with files.whole_folder(folder) as temporary:
        (temporary / "data").mkdir()
        for _ in track(_write(temporary / "data", columns, waves, recipe.frontend), "spectrograms", len(clips)):
            pass
        (temporary / FACTS).write_text(facts.model_dump_json(indent=2) + "\n", encoding="utf-8")
        card = _card(folder.absolute().name, clips, facts, columns.column_names)
        (temporary / CARD).write_text(card, encoding="utf-8")
    return clips


def non_commercial(licence: str) -> bool:
    """Whether a licence, by our name or the hub's, forbids commercial use."""
    return bool(re.search(r"\bNC\b", licence, re.IGNORECASE))


def licence_id(licence: str) -> str:
    """The hub's name of a licence, or `other`. The hub's own names stay as they are."""
    known = (name for begins, name in _LICENCES.items() if licence.startswith(begins))
    return next(known, licence if re.fullmatch(r"[a-z0-9.]+(-[a-z0-9.]+)+", licence) else "other")


def _columns(clips: Clips) -> pa.Table:
    """The clip table's columns, with UrbanSound8K's column names if the clips are named like its clips."""
    rows, classes = clips.table, {label: number for number, label in enumerate(clips.labels)}
    by_name = rows["clip"].str.extract(r"^(?P<group>\d+)-(?P<class>\d+)-\d+-\d+$")
    of_urbansound8k = bool((by_name["group"] == rows["group"]).all())
    columns = {"clip": pa.array(rows["clip"], pa.string())}
    if of_urbansound8k:
        columns["slice_file_name"] = pa.array(rows["clip"] + ".wav", pa.string())
    # A file without a group has its path as group; local paths are not published.
    local = rows["group"].map(os.path.isabs)
    group = rows["group"].mask(local, rows.groupby("group")["clip"].transform("first"))
    columns["fsID" if of_urbansound8k else "group"] = _numbers(group)
    if clips.folds:
        columns["fold"] = _numbers(rows["fold"])
    if (rows["split_hint"] != "").any():
        columns["split_hint"] = pa.array(rows["split_hint"], pa.string())
    columns["classID"] = pa.array(by_name["class"].astype("int64") if of_urbansound8k else rows["label"].map(classes))
    columns["class"] = pa.array(rows["label"], pa.string())
    return pa.table(columns)


def _numbers(column: pd.Series) -> pa.Array:
    """Integers if all texts are plain integers, as in published lists; else text."""
    plain = column.str.fullmatch(r"0|[1-9]\d{0,17}").all()
    return pa.array(column.astype("int64") if plain else column, pa.int64() if plain else pa.string())


def _write(folder: Path, columns: pa.Table, waves: Waves, frontend: sections.FrontEnd) -> Iterator[int]:
    """Write the files, yielding each clip's number when it is done."""
    import torch

    from hubbub.audio.frontend import FrontEnd

    logmel = FrontEnd(frontend, waves.rate_hz).logmel
    assert logmel

    def spectrogram(clip: int) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            return logmel(torch.from_numpy(np.array(waves.wave(clip)))[None])[0].numpy()

    schema = columns.schema.append(pa.field(MEL, pa.list_(pa.list_(pa.float32()))))
    sizes = [logmel.frames(int(samples)) * logmel.n_mels * _VALUE_BYTES for samples in waves.lengths]
    shards = _parts(range(len(sizes)), sizes, SHARD_BYTES)
    with ThreadPoolExecutor(cores()) as pool:
        for number, shard in enumerate(shards):
            file = folder / f"train-{number:05d}-of-{len(shards):05d}.parquet"
            with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=columns.column_names) as writer:
                for group in _parts(shard, sizes, GROUP_BYTES):
                    column = _nested(list(pool.map(spectrogram, group)))
                    rows = columns.slice(group.start, len(group))
                    writer.write_table(rows.append_column(schema.field(MEL), column))
                    yield from group


def _parts(clips: range, sizes: list[int], most: int) -> list[range]:
    """Cut a range of clips into parts of at most `most` bytes, or of one larger clip."""
    parts, start, size = [], clips.start, 0
    for clip in clips:
        if size and size + sizes[clip] > most:
            parts.append(range(start, clip))
            start, size = clip, 0
        size += sizes[clip]
    return [*parts, range(start, clips.stop)]


def _nested(spectrograms: list[npt.NDArray[np.float32]]) -> pa.Array:
    """Arrays `[bands, frames]` -> a column of `[bands][frames]`, without Python numbers."""
    values = pa.array(np.concatenate([one.ravel() for one in spectrograms]))
    frames = np.concatenate([np.full(*one.shape) for one in spectrograms])
    bands = pa.ListArray.from_arrays(_offsets(frames), values)
    return pa.ListArray.from_arrays(_offsets([len(one) for one in spectrograms]), bands)


def _offsets(lengths: npt.ArrayLike) -> pa.Array:
    return pa.array(np.append(0, np.cumsum(lengths)).astype(np.int32))


def _facts(clips: Clips, recipe: Recipe) -> Facts:
    return Facts(
        made_from=clips.name,
        licence=clips.licence,
        citation=clips.citation,
        synthetic=clips.synthetic,
        labels=clips.labels,
        listed=clips.listed,
        missing=clips.missing,
        straddling=tuple(sorted(clips.straddling)),
        notes=clips.notes,
        made=SpectrogramSettings(audio=recipe.audio, windows=recipe.windows, frontend=recipe.frontend),
    )


def _card(title: str, clips: Clips, facts: Facts, columns: list[str]) -> str:
    """The data card: a YAML header for the hub, and a page for people."""
    return f"""---
license: {licence_id(clips.licence)}
pretty_name: {json.dumps(title)}
task_categories:
- audio-classification
tags:
- environmental-sound
- log-mel
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
---

# {title}

Log-mel spectrograms of {clips.name}: {len(clips):,} clips of {len(clips.labels)} classes, without the sound.

{_describe_spectrogram(facts.made)} Nothing is padded or scaled to 0..1: hubbub does this after loading. All settings
are in `{FACTS}`. Made by hubbub {metadata.version("hubbub")}.

## Protocol

{chr(10).join(f"- {line}" for line in _describe_protocol(clips, "fsID" if "fsID" in columns else "group"))}

## Licence and citation

Licence of the recordings: {clips.licence}. {_TERMS if non_commercial(clips.licence) else ""}

Cite: {clips.citation}

## Load

    hubbub data hub get OWNER/NAME

and `data.name = "OWNER/NAME"` in a recipe.
"""


def _describe_spectrogram(made: SpectrogramSettings) -> str:
    front = made.frontend
    scale = f"ln(mel + {front.offset:g})"
    if front.log == "db":
        scale = f"decibels relative to {'the loudest cell of the clip' if front.ref == 'max' else '1'}"
        scale += f", cut off {front.top_db:g} dB below the loudest" if front.top_db else ""
    return (
        f"`{MEL}` is `[bands][frames]`, float32: {front.n_mels} mel bands ({front.mel_scale}) of the whole clip at "
        f"{made.audio.rate_hz:,} Hz, a frame every {front.hop} samples, window {front.win_length or front.n_fft}, "
        f"FFT {front.n_fft}; {scale}."
    )


def _describe_protocol(clips: Clips, group: str) -> list[str]:
    lines = [
        f"Rows of one `{group}` are cut from one recording ({clips.table['group'].nunique():,} in all). Keep them "
        "on one side of any split.",
        "All rows are in the hub's split `train`, which is not a training part.",
    ]
    if clips.folds:
        lines.append(f"Test on each `fold` in turn ({', '.join(clips.folds)}) and report the mean over all of them.")
    if clips.straddling:
        lines.append(f"Recordings that are in two of the published folds: {', '.join(sorted(clips.straddling))}.")
    return [*lines, *(f"{note}." for note in clips.notes)]
