"""Answers for very large collections, by a Ray cluster (Ray Data, https://docs.ray.io/en/latest/data/data.html).

The files are spread over the machines; on each a process loads the classifier once and answers file after file. What
they write are parquet files of one folder, never gathered in one place. This room does not know how a file is heard.
"""

import json
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubbub import files, formats, predict
from hubbub.cluster import connect, rooms
from hubbub.engines import EngineError
from hubbub.predict import Asked

__all__ = ["classify"]

#: Files a process is given at once: a lost machine's are answered again, and each block becomes a parquet file.
BLOCK = 64
COLUMNS = (*formats.COLUMNS, "error", "warnings")
#: Says what the answers of a folder depend on; readers of parquet folders pass over names with a dot.
NOTE = ".answers.json"


def classify(
    paths: Sequence[str],
    model: str,
    asked: Asked,
    threshold: float,
    folder: Path,
    facts: dict[str, Any],
    *,
    address: str | None = None,
    cpus: float = 1.0,
    gpus: float | None = None,
) -> tuple[int, int, int]:
    """Answer the files that have no answer in `folder` yet; parquet files there hold a row a segment or event.

    `error` says why a file has no answer, its other columns but `file` then being empty; `warnings` what is odd about
    it. Returns how many files were answered before, how many of those asked now could not be, and how many are odd.
    `facts` are what answers depend on. Raises `EngineError` where no cluster answers, and where the folder holds
    something else.
    """
    import pyarrow.compute as pc
    from pyarrow import dataset

    with files.lock(folder):
        _refuse_other(folder, facts)
        for torn in [part for part in folder.glob("*.parquet") if not _is_whole(part)]:
            torn.unlink()
        before = _answered(folder)
        wanted = [path for path in paths if path not in before]
        if not wanted:
            return len(paths), 0, 0
        ray = connect(address)
        try:
            most, gpus = rooms(ray, cpus, gpus)
            blocks = max(math.ceil(len(wanted) / BLOCK), min(most, len(wanted)))
            logging.getLogger("ray.data").setLevel(logging.ERROR)
            ray.data.DataContext.get_current().enable_progress_bars = sys.stderr.isatty()
            ray.data.from_items([{"file": path} for path in wanted], override_num_blocks=blocks).map_batches(
                _Listener,
                fn_constructor_args=(model, asked, threshold, max(int(cpus), 1)),
                batch_size=None,
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(most, blocks)),
                num_cpus=cpus,
                num_gpus=gpus,
            ).write_parquet(str(folder))
        finally:
            ray.shutdown()
        written = dataset.dataset(folder, format="parquet", exclude_invalid_files=True)
        failed, odd = (
            len(set(written.to_table(["file"], filter=pc.is_valid(pc.field(name)))["file"].to_pylist()) & set(wanted))
            for name in ("error", "warnings")
        )
        return len(paths) - len(wanted), failed, odd


def _refuse_other(folder: Path, facts: dict[str, Any]) -> None:
    """Note what the answers depend on; refuse a folder of answers that depend on something else."""
    note, now = folder / NOTE, json.dumps(facts, sort_keys=True)
    if note.is_file() and note.read_text(encoding="utf-8") != now:
        raise EngineError(f"{folder} was answered by another model or with other settings. Name a new folder.")
    if not note.is_file() and any(folder.glob("*.parquet")):
        raise EngineError(f"{folder} holds other parquet files. Name an empty or a new folder.")
    files.write_text(note, now)


def _is_whole(part: Path) -> bool:
    from pyarrow import ArrowException, parquet

    try:
        return bool(parquet.read_metadata(part).num_columns == len(COLUMNS))
    except (ArrowException, OSError):
        return False


def _answered(folder: Path) -> set[str]:
    """The files that an earlier command has answered; such as had an error are asked again, and its rows removed."""
    import pyarrow.compute as pc
    from pyarrow import parquet

    found: set[str] = set()
    for part in folder.glob("*.parquet"):
        table = parquet.read_table(part)
        answered = table.filter(pc.is_null(table["error"]))
        found |= set(answered["file"].to_pylist())
        if len(answered) < len(table):
            with files.whole_file(part) as temporary:
                parquet.write_table(answered, temporary)
    return found


class _Listener:
    """A process of the cluster: holds a classifier, answers file after file."""

    def __init__(self, model: str, asked: Asked, threshold: float, threads: int) -> None:
        from hubbub.loading import load

        self.name, self.asked, self.threshold = model, asked, threshold
        self.model = load(model).to("auto")
        try:
            import torch
        except ImportError:  # an exported classifier needs none
            return
        torch.set_num_threads(threads)

    def __call__(self, batch: dict[str, Any]) -> Any:
        import pyarrow

        found: list[tuple[Any, ...]] = []
        for answer in predict.answers(self.model, [str(path) for path in batch["file"]], self.name, self.asked):
            file = formats.readable(answer.file)
            if answer.heard is None:
                found.append((file, None, None, None, None, answer.error, None))
                continue
            heard, odd = list(formats.rows(answer, self.threshold)), " ".join(answer.heard.warnings) or None
            found += [(file, e.start, e.end, e.label, e.score, None, odd) for e in heard]
            if not heard:  # answered, and nothing to tell of it
                found.append((file, None, None, None, None, None, odd))
        string, number = pyarrow.string(), pyarrow.float64()
        kinds = (string, number, number, string, pyarrow.float32(), string, string)
        columns = dict(zip(COLUMNS, zip(*found, strict=True), strict=True))
        return pyarrow.table(columns, schema=pyarrow.schema(list(zip(COLUMNS, kinds, strict=True))))
