"""Reads hostile files in a process that is watched: a crash or a hang is a failed case, and the next case goes on."""

import json
import os
import select
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Tally", "Watched"]

#: Seconds of the clock after which a case hangs, on a machine that is busy; before the first case libraries are loaded.
PATIENCE_S, FIRST_S = 120.0, 900.0


@dataclass
class Tally:
    """What became of cases: how many of each outcome, and the failed ones."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    #: The names of whole files that were answered, and those that were refused with the reason.
    answered: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    slowest: float = 0.0
    most_mb: float = 0.0


class Watched:
    """The process, which is started again after a crash; use it as a context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(
        self, kind: str, door: str, count: int, *, whole: int = 999, first: int = 0, seed: int = 0, server: str = ""
    ) -> Tally:
        """Read at most `whole` whole files of a kind through a door, then so many hostile ones."""
        tally, last = Tally(), first + count
        while first < last:
            asked = {
                "kind": kind,
                "door": door,
                "seed": seed,
                "first": first,
                "count": last - first,
                "server": server,
                "whole": whole,
            }
            at = self._batch(asked, tally)
            if at is None:
                return tally
            tally.counts["failed"] += 1
            tally.failed.append(f"{kind} {door} {at['at']} {at['file']}: {at['why']}")
            if at["at"] == "whole":
                return tally
            first = at["at"] + 1
        return tally

    def _batch(self, asked: dict[str, Any], tally: Tally) -> dict[str, Any] | None:
        """Until the batch ends; the case in which the process crashed or hung, if it did."""
        process = self._started()
        assert process.stdin
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        at: dict[str, Any] = {"at": "whole", "file": ""}
        while True:
            line = self._line(PATIENCE_S if at["at"] != "whole" else FIRST_S)
            if line is None:
                hangs = process.poll() is None
                self._end()
                tail = (self.folder / "stderr.txt").read_text(errors="replace")[-600:]
                return at | {"why": "it hangs" if hangs else f"the process ended: {process.returncode}: {tail}"}
            if "at" in line:
                at = line
            elif "end" in line:
                return None
            else:
                self._count(asked, line, tally)

    def _count(self, asked: dict[str, Any], line: dict[str, Any], tally: Tally) -> None:
        if line["done"] == "whole":
            if line["found"] == "answered":
                tally.answered.add(line["file"])
            elif line["found"] == "refused":
                tally.refused[line["file"]] = line["why"]
            elif line["found"] == "failed":
                tally.failed.append(f"{asked['kind']} {asked['door']} whole {line['file']}: {line['why']}")
            return
        tally.counts[line["found"]] += 1
        tally.slowest = max(tally.slowest, line["s"])
        tally.most_mb = max(tally.most_mb, line["mb"])
        if line["found"] == "failed":
            tally.failed.append(f"{asked['kind']} {asked['door']} {line['done']} {line['file']}: {line['why']}")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._buffer = b""
            self._process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "tests.faults.hostile_child", str(self.folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(self.folder / "stderr.txt").open("wb"),
                env=os.environ | {"OMP_NUM_THREADS": "1", "HUBBUB_HOME": f"{self.folder}/home"}
                | {"MPLCONFIGDIR": f"{self.folder}/mpl"},
            )  # fmt: skip
        return self._process

    def _line(self, patience: float) -> dict[str, Any] | None:
        """The next line; None where none comes."""
        assert self._process and self._process.stdout
        output = self._process.stdout
        while b"\n" not in self._buffer:
            if not select.select([output], [], [], patience)[0]:
                return None
            if not (part := os.read(output.fileno(), 65_536)):
                self._process.wait()
                return None
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
