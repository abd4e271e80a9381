"""How all benchmarks measure: medians of interleaved repeats, peak memory of child processes, one JSON line a row.

hubbub and its peers take turns within one run, because the speed of a machine changes from minute to minute. A row is
`{"row", "work", "unit", "figures": {"hubbub": ..., peer: ...}, "threads", "repeats", ...}`, or has `"skipped"`, the
reason, in place of figures.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hubbub.runtime import homes
from hubbub.runtime.processes import CPU_INFO, cores, processor_name

__all__ = [
    *("FLAGS", "LESS_IS_FASTER", "Cost", "busy_core", "clips_of", "cost_of", "costs", "emit", "hubbub", "machine"),
    *("median_seconds", "options", "ratio", "skip"),
]

#: Units in which the smaller figure is the better one.
LESS_IS_FASTER = ("s", "ms", "MB")
#: What a processor must have for fast arithmetic in 8 bits and in bf16.
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "bf16")
_PACKAGES = ("hubbub", "torch", "onnxruntime", "numpy", "librosa", "ai-edge-litert", "tensorflow")

#: Runs a command and writes its seconds and its peak memory to a file. A child's peak memory counts that of its parent
#: before exec, so the parent is this small process.
_LAUNCHER = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
status = subprocess.call(sys.argv[2:])
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
json.dump([status, seconds, peak], open(sys.argv[1], "w"))
"""


@dataclass(frozen=True)
class Cost:
    """Seconds of a whole process, from its start to its end, and the most memory [MB] that it or a child of it held."""

    seconds: float
    peak_mb: float


def median_seconds(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median seconds of each work; they take turns, after one unmeasured call of each."""
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(repeats):
        for name in _order(list(works), repeat):
            began = time.perf_counter()
            works[name]()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def cost_of(command: Sequence[str], folder: Path, **environment: str) -> Cost:
    """What one run of a command costs. Its output goes to `folder/output.txt`. Raises `RuntimeError` where it fails."""
    note, output = folder / "cost.json", folder / "output.txt"
    # Each program uses the threads that it would use for a user, not those of this shell.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    with output.open("w") as file:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(note), *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=inherited | environment,
            check=True,
        )
    status, seconds, peak = json.loads(note.read_text())
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}: {output.read_text()[-2000:]}")
    return Cost(seconds, peak / (1e6 if sys.platform == "darwin" else 1e3 / 1.024))


def costs(commands: dict[str, Sequence[str]], folder: Path, repeats: int, warm: bool = True) -> dict[str, Cost]:
    """The median cost of each command; they take turns, with `warm` after one unmeasured run of each."""
    for command in commands.values() if warm else ():
        cost_of(command, folder)
    taken: dict[str, list[Cost]] = {name: [] for name in commands}
    for repeat in range(repeats):
        for name in _order(list(commands), repeat):
            taken[name].append(cost_of(commands[name], folder))
    return {
        name: Cost(statistics.median(c.seconds for c in found), statistics.median(c.peak_mb for c in found))
        for name, found in taken.items()
    }


def _order(names: list[str], repeat: int) -> list[str]:
    """The names, backwards every second time, so that none always follows the same other."""
    return names[::-1] if repeat % 2 else names


def hubbub(*words: object) -> list[str]:
    """The command line of hubbub, as a command."""
    return [sys.executable, "-m", "hubbub.cli", *map(str, words)]


def clips_of(data: str, count: int) -> list[Path]:
    """`count` sound files of a data set in a data home, spread evenly; fewer where it has fewer, none without it."""
    found = homes.find("data", data)
    files = sorted(file for kind in ("*.ogg", "*.wav") for file in (found / "audio").rglob(kind)) if found else []
    return [files[len(files) * k // count] for k in range(count)] if len(files) > count else files


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Another program holds one core for the time of a block."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"]) as spinning:
        try:
            yield
        finally:
            spinning.kill()


def ratio(unit: str, hubbub: float, peer: float) -> float:
    """How many times as fast, or as small, hubbub is as its peer."""
    return peer / hubbub if unit in LESS_IS_FASTER else hubbub / peer


def emit(
    row: str, work: str, unit: str, figures: dict[str, float], threads: int, repeats: int, **facts: object
) -> None:
    """Prints a row as one JSON line; `figures` hold hubbub's under "hubbub", and those of its peers."""
    ours = figures["hubbub"]
    ratios = {name: round(ratio(unit, ours, other), 3) for name, other in figures.items() if name != "hubbub"}
    shown = {name: float(f"{figure:.4g}") for name, figure in figures.items()}
    line = {"row": row, "work": work, "unit": unit, "figures": shown, "ratios": ratios, "threads": threads}
    print(json.dumps(line | {"repeats": repeats} | facts), flush=True)


def skip(row: str, work: str, reason: str) -> None:
    """Prints a row that was not measured, and why."""
    print(json.dumps({"row": row, "work": work, "skipped": reason}), flush=True)


def machine() -> dict[str, object]:
    """This machine and the versions of what is measured."""
    flags = set[str]()
    with contextlib.suppress(OSError):
        facts = [line.partition(":") for line in CPU_INFO.read_text().splitlines()]
        named = {name.strip(): value.strip() for name, _, value in facts}
        flags = {*named.get("flags", "").split(), *named.get("Features", "").split()}
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor_name(),
        "cores": cores(),
        "instructions": [flag for flag in FLAGS if flag in flags],
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions,
    }


def options(about: str | None) -> argparse.ArgumentParser:
    """A parser with the option that all benchmarks share."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each; the median counts")
    return parser
