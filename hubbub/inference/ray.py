"""Classify very large collections on a Ray cluster (Ray Data, https://docs.ray.io/en/latest/data/data.html).

The files are spread over the machines; each process there loads the classifier once and classifies file after file.
The processes write parquet files into one folder; results are never gathered in one place.
"""

import json
import logging
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubbub.data import origins
from hubbub.inference import formats
from hubbub.inference.predict import predict_files
from hubbub.inference.result import PredictOptions
from hubbub.runtime import files
from hubbub.runtime.processes import EngineError
from hubbub.runtime.ray_cluster import connect, task_slots

__all__ = ["classify"]

#: Files that a process gets at once: those of a lost machine are repeated, and each block becomes a parquet file.
BLOCK = 64
#: `recording`: the sha256 and stamp of the classified file, as JSON.
COLUMNS = (*formats.COLUMNS, "error", "warnings", "recording")
#: Holds what a folder's results depend on; readers of parquet folders skip names with a dot.
NOTE = ".answers.json"
_log = logging.getLogger(__name__)


def classify(
    paths: Sequence[str],
    model: str,
    options: PredictOptions,
    threshold: float,
    folder: Path,
    facts: dict[str, Any],
    *,
    address: str | None = None,
    cpus: float = 1.0,
    gpus: float | None = None,
) -> tuple[int, int, int]:
    """Classify the files without a result in `folder`, and those that changed since; parquet files there hold a row a
    segment or event.

    Column `error` says why a file has no result, its other columns except `file` being empty; `warnings` holds warnings
    about it. Returns how many files already had a result, how many of the others failed, and how many of these have
    warnings. `facts` are what results depend on. Raises `EngineError` where no cluster answers, and where the folder
    holds something else.
    """
    import pyarrow.compute as pc
    from pyarrow import dataset

    with files.lock_folder(folder):
        _refuse_other(folder, facts)
        _drop_parts(folder)
        before = _finished(folder, {formats.readable(path): path for path in paths})
        missing = [path for path in paths if formats.readable(path) not in before]
        if not missing:
            return len(paths), 0, 0
        ray = connect(address)
        try:
            most, gpus = task_slots(ray, cpus, gpus)
            blocks = max(math.ceil(len(missing) / BLOCK), min(most, len(missing)))
            logging.getLogger("ray.data").setLevel(logging.ERROR)
            ray.data.DataContext.get_current().enable_progress_bars = sys.stderr.isatty()
            ray.data.from_items(
                [{"file": os.fsencode(path)} for path in missing], override_num_blocks=blocks
            ).map_batches(
                _Worker,
                fn_constructor_args=(model, options, threshold, max(int(cpus), 1)),
                batch_size=None,
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(most, blocks)),
                num_cpus=cpus,
                num_gpus=gpus,
            ).write_parquet(str(folder))
        finally:
            ray.shutdown()
        written = dataset.dataset(folder, format="parquet", exclude_invalid_files=True)
        names = set(map(formats.readable, missing))
        failed, warned = (
            len(set(written.to_table(["file"], filter=pc.is_valid(pc.field(column)))["file"].to_pylist()) & names)
            for column in ("error", "warnings")
        )
        return len(paths) - len(missing), failed, warned


def _refuse_other(folder: Path, facts: dict[str, Any]) -> None:
    """Note what the results depend on; refuse a folder of results that depend on something else."""
    note, now = folder / NOTE, json.dumps(facts, sort_keys=True)
    if note.is_file() and note.read_text(encoding="utf-8") != now:
        raise EngineError(f"{folder} holds results of another model or other settings. Name a new folder.")
    if not note.is_file() and any(folder.glob("*.parquet")):
        raise EngineError(f"{folder} holds other parquet files. Name an empty or a new folder.")
    files.write_text(note, now)


def _drop_parts(folder: Path) -> None:
    """Remove half-written files of a killed command, and results of an earlier version with other columns."""
    from pyarrow import ArrowException, parquet

    old = 0
    for part in folder.glob("*.parquet"):
        try:
            names = parquet.read_schema(part).names
        except (ArrowException, OSError):
            names = []
        old += bool(names) and names != list(COLUMNS)
        if names != list(COLUMNS):
            part.unlink()
    if old:
        _log.warning("warning: %s holds results of an earlier version, with other columns: they are made again", folder)


def _finished(folder: Path, paths: dict[str, str]) -> set[str]:
    """The files that have a result of an earlier command. Rows of errors are removed, and those of `paths` (by name in
    the table) that have changed, so that they are classified again."""
    from pyarrow import parquet

    found: set[str] = set()
    for part in folder.glob("*.parquet"):
        table = parquet.read_table(part)
        rows = table.select(["file", "error", "recording"]).to_pylist()
        noted = {row["file"]: row["recording"] for row in rows if row["error"] is None}
        good = {file for file, recording in noted.items() if file not in paths or _is_of(recording, paths[file])}
        if len(good) < len({row["file"] for row in rows}):
            with files.whole_file(part) as temporary:
                parquet.write_table(table.filter([row["file"] in good for row in rows]), temporary)
        found |= good
    return found


def _is_of(recording: str | None, path: str) -> bool:
    now = origins.stamp(path)
    return recording is not None and origins.unchanged(json.loads(recording), now, lambda: origins.identity(path, now))


class _Worker:
    """A process of the cluster: holds a classifier and classifies file after file."""

    def __init__(self, model: str, options: PredictOptions, threshold: float, threads: int) -> None:
        from hubbub.classifier.load import load

        self.name, self.options, self.threshold = model, options, threshold
        self.model = load(model)
        try:
            import torch
        except ImportError:  # an exported classifier needs none
            return
        torch.set_num_threads(threads)

    def __call__(self, batch: dict[str, Any]) -> Any:
        import pyarrow

        found: list[tuple[Any, ...]] = []
        nothing = (None,) * (len(formats.COLUMNS) - 1)
        paths = [os.fsdecode(path) for path in batch["file"]]
        before = {path: origins.stamp(path) for path in paths}
        for result in predict_files(self.model, paths, self.name, self.options):
            file = formats.readable(result.file)
            if result.prediction is None:
                found.append((file, *nothing, result.error, None, None))
                continue
            known = origins.identity(result.file, before[result.file])
            recording = None if known is None else json.dumps(known)
            rows, warnings = list(formats.rows(result, self.threshold)), " ".join(result.prediction.warnings) or None
            found += [
                (file, e.start, e.end, e.label, e.score, result.clock(e.start) or None, None, warnings, recording)
                for e in rows
            ]
            if not rows:  # classified, and no segment or event to list
                found.append((file, *nothing, None, warnings, recording))
        columns = dict(zip(COLUMNS, zip(*found, strict=True), strict=True))
        more = [pyarrow.field(name, pyarrow.string()) for name in COLUMNS[len(formats.COLUMNS) :]]
        return pyarrow.table(columns, schema=pyarrow.schema([*formats.schema(), *more]))
