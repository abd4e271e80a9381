"""The process in which hostile files are read: `python -m tests.faults.hostile_child FOLDER`.

It takes lines of JSON, `{"kind", "door", "seed", "first", "count", "server"}`, and writes a line before and after each
case, so that whoever started it knows in which one it crashed or hangs.
"""

import json
import os
import random
import resource
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from hubbub.errors import HubbubError
from tests.faults.guard import Forbidden, guarded
from tests.faults.hostile_data import DATA
from tests.faults.hostile_models import MODELS
from tests.faults.kinds import Failing, Kind

KINDS = DATA | MODELS | {"failing": Failing}
#: The most memory of a case beyond what the process had before: so many bytes, and times the file.
MEMORY, MEMORY_TIMES = 300_000_000, 20
#: The most seconds of the processor of a case.
SECONDS = 5.0
#: The most address space that the cases of a door may take beyond what the process has: a machine is left usable.
ROOM = 4 * 2**30


def forget_peak() -> None:
    """Let `peak` begin anew, where the system can: a case must not hide behind an earlier one that took more."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The most memory that this process has had since `forget_peak` [bytes]."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: the other figure begins with the peak of whoever started the process
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def limit_room() -> None:
    """Keep a case from taking all memory of the machine, where the system can."""
    status = Path("/proc/self/statm")
    if status.exists():
        now = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, resource.RLIM_INFINITY))


def outcome(kind: Kind, door: str, path: Path, folder: Path, asked: dict[str, Any]) -> tuple[str, str]:
    """`answered`, `refused` or `failed`, and why."""
    port = int(asked["server"].rpartition(":")[2] or 0) if asked["server"] else 0
    try:
        with guarded(
            str(folder), os.environ["HUBBUB_CACHE"], port=port, programs=("hubbub.models.litert_trial",)
        ) as bad:
            try:
                kind.doors[door](path)
                found = "answered", ""
            except HubbubError as error:
                found = ("refused", str(error)) if str(error).strip() else ("failed", "an error without a message")
            except Forbidden:
                raise
            except BaseException as error:
                found = "failed", described(error)
        return ("failed", bad[0]) if bad else found
    except Forbidden as error:
        return "failed", str(error)


def described(error: BaseException) -> str:
    """An exception and the last place of hubbub in its traceback."""
    place, at = "", error.__traceback__
    while at:
        file = at.tb_frame.f_code.co_filename
        if "hubbub" in file and "/tests/" not in file:
            place = f" at {file.rpartition('hubbub/')[2]}:{at.tb_lineno}"
        at = at.tb_next
    return f"{type(error).__name__}{place}: {error}"[:500]


def cases(kind: Kind, asked: dict[str, Any], folder: Path) -> Any:
    """Reads the whole files, then hostile copies, and tells what became of each."""
    door = asked["door"]
    names = kind.names()
    for name in names[:: -(-len(names) // asked["whole"])] if asked["first"] == 0 else names[:1]:
        yield "whole", name, lambda name=name: kind.whole(name)
    for number in range(asked["first"], asked["first"] + asked["count"]):
        rng = random.Random(f"{asked['seed']} {asked['kind']} {door} {number}")
        name = names[number % len(names)]
        yield number, name, lambda rng=rng, name=name: kind.hostile(rng, name)


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print
    kinds: dict[str, Kind] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        limit_room()  # anew: libraries of earlier kinds take room too
        name = asked["kind"]
        if name not in kinds:
            (folder / name).mkdir(exist_ok=True)
            kinds[name] = KINDS[name](folder / name)
        kind = kinds[name]
        kind.server = asked["server"]  # type: ignore[attr-defined]
        for number, file, write in cases(kind, asked, folder):
            print(json.dumps({"at": number, "file": file}), file=told)
            path = write()
            size = (
                sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
                if path.is_dir()
                else path.stat().st_size
            )
            forget_peak()
            most = peak()
            started, before = time.process_time(), time.monotonic()
            found, why = outcome(kind, asked["door"], path, folder, asked)
            seconds, wall = time.process_time() - started, time.monotonic() - before
            grown = peak() - most
            judged = number != "whole" and found != "failed"  # the first files load libraries
            if judged and seconds > SECONDS:
                found, why = "failed", f"it took {seconds:.1f} s of the processor"
            elif judged and grown > MEMORY + MEMORY_TIMES * size:
                found, why = "failed", f"it took {grown / 1e6:.0f} MB for {size} bytes"
            told.write(
                json.dumps(
                    {
                        "done": number,
                        "file": file,
                        "found": found,
                        "why": why,
                        "s": seconds,
                        "wall": wall,
                        "mb": grown / 1e6,
                    }
                )
                + "\n"
            )
        print(json.dumps({"end": True}), file=told)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
