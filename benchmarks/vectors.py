"""Searches in archives of up to ten million segments: time to make the index, its size, recall, time of a search.

    python -m benchmarks.vectors ARCHIVE [--rows 200000 1000000] [--peers] [--folder FOLDER]

The embeddings are made of those of an archive (`hubbub index`): points between neighbours, with a little noise, so that
they lie as embeddings of sounds do. The folder needs 3 kB a row. `--peers` also measures usearch (HNSW, 8 bits) and
LanceDB (IVF_PQ) where they are installed: they take much longer to build.
"""

import argparse
import importlib
import importlib.util
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.measure import cores
from hubbub.archive import nearest
from hubbub.archive.archive import Archive
from hubbub.archive.nearest import Nearest, make_index
from hubbub.archive.vectors import Vectors, append, normalised

Array = npt.NDArray[np.float32]
TOP, QUERIES, NEIGHBOURS, BLOCK, NOISE = 100, 50, 50, 50_000, 0.3
Found = Callable[[Array], npt.NDArray[np.int64]]


class Points:
    """As many embeddings as asked for, between those of an archive and their neighbours."""

    def __init__(self, known: Array) -> None:
        self.known = normalised(known)
        self.near = np.concatenate(
            [
                np.argpartition(-(part @ self.known.T), NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
                for part in np.array_split(self.known, max(len(known) // 2000, 1))
            ]
        )

    def draw(self, rows: int, seed: int) -> Array:
        rng, width = np.random.default_rng(seed), self.known.shape[1]
        own = rng.integers(len(self.known), size=rows)
        other = self.near[own, rng.integers(NEIGHBOURS, size=rows)]
        share = rng.random((rows, 1), dtype=np.float32)
        noise = rng.normal(0, NOISE / np.sqrt(width), (rows, width)).astype(np.float32)
        return normalised(share * self.known[own] + (1 - share) * self.known[other] + noise)


def exactly(rows: Vectors, queries: Array) -> list[set[int]]:
    """The truly nearest of each query."""
    cosines = rows.cosines(np.ascontiguousarray(queries.T))
    return [set(np.argpartition(-column, TOP)[:TOP].tolist()) for column in cosines.T]


def measured(find: Found, queries: Array, truth: list[set[int]]) -> dict[str, float]:
    """Median and longest time of a search [ms], and its recall."""
    find(queries[0])
    times, shares = [], []
    for query, expected in zip(queries, truth, strict=True):
        began = time.perf_counter()
        found = find(query)
        times.append(1000 * (time.perf_counter() - began))
        shares.append(len(expected & set(found.tolist())) / TOP)
    return {"ms": statistics.median(times), "longest_ms": max(times), "recall": float(np.mean(shares))}


def ours(folder: Path, rows: Vectors, indexed: bool) -> Found:
    """hubbub's search, with its exact scores."""
    held, mask = Nearest(folder, rows), np.ones(len(rows), bool)
    assert bool(held._index) == indexed

    def find(query: Array) -> npt.NDArray[np.int64]:
        candidates = held.candidates(query[None], mask, TOP)
        scores = normalised(rows.take(candidates)) @ query
        return candidates[np.argsort(-scores)[:TOP]]

    return find


def by_usearch(rows: Vectors) -> Found:
    made = importlib.import_module("usearch.index").Index(ndim=rows.width, metric="cos", dtype="i8")
    for first, block in rows.blocks():
        made.add(np.arange(first, first + len(block)), block, threads=cores())
    return lambda query: made.search(query, TOP).keys.astype(np.int64)


def by_lancedb(rows: Vectors, folder: Path) -> Found:
    lancedb, pa = importlib.import_module("lancedb"), importlib.import_module("pyarrow")

    def batches() -> Any:
        for first, block in rows.blocks():
            values = pa.FixedSizeListArray.from_arrays(pa.array(block.astype(np.float16).ravel()), rows.width)
            yield pa.RecordBatch.from_arrays([pa.array(np.arange(first, first + len(block))), values], ["id", "vector"])

    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float16(), rows.width))])
    table = lancedb.connect(folder / "lance").create_table("t", batches(), schema=schema)
    table.create_index(
        metric="cosine", num_partitions=int(np.sqrt(len(rows))), num_sub_vectors=rows.width // 8,
        vector_column_name="vector",
    )  # fmt: skip

    def find(query: Array) -> npt.NDArray[np.int64]:
        asked = table.search(query.astype(np.float16)).metric("cosine").nprobes(48).refine_factor(5).limit(TOP)
        return np.asarray(asked.to_arrow()["id"].to_numpy(), dtype=np.int64)

    return find


def size_of(folder: Path) -> float:
    """MB of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    points = Points(Archive(given.archive).vectors.take(np.arange(Archive(given.archive).segments)))
    queries = points.draw(QUERIES, 1)
    for count in given.rows:
        folder = given.folder / f"vectors-{count}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for first in range(0, count, BLOCK):
            append(folder, first, points.draw(min(BLOCK, count - first), 2 + first))
        rows = Vectors(folder, count, queries.shape[1])
        truth = exactly(rows, queries)
        report("all compared", count, 0.0, size_of(folder), measured(ours(folder, rows, False), queries[:5], truth[:5]))
        began = time.perf_counter()
        assert make_index(folder, rows)
        spent = time.perf_counter() - began
        size = (folder / nearest.FILE).stat().st_size / 1e6
        find = ours(folder, rows, True)
        report("faiss", count, spent, size, measured(find, queries, truth))
        report("faiss, what it reads being in memory", count, spent, size, measured(find, queries, truth))
        for name in ("usearch", "lancedb") if given.peers else ():
            if importlib.util.find_spec(name) is None:
                continue
            began = time.perf_counter()
            find = by_usearch(rows) if name == "usearch" else by_lancedb(rows, folder)
            spent = time.perf_counter() - began
            size = size_of(folder / "lance") if name == "lancedb" else float("nan")
            report(name, count, spent, size, measured(find, queries, truth))
        del rows
        shutil.rmtree(folder)


def report(name: str, rows: int, seconds: float, size: float, found: dict[str, float]) -> None:
    figures = {"build_s": seconds, "MB": size, **found}
    shown = {key: float(f"{figure:.4g}") for key, figure in figures.items()}
    print(json.dumps({"row": name, "rows": rows, "nearest": TOP, **shown, "threads": cores()}), flush=True)


if __name__ == "__main__":
    main()
