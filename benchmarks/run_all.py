"""Runs the benchmarks one after another and writes their rows as one table.

    python -m benchmarks.run_all [NAME ...] [--repeats 5] [--out runs/benchmarks.md]

Beside the table it writes the rows as they came, one JSON line each. Nothing else should run on the machine. All of
them take about an hour on two cores; `python -m benchmarks.run_all files yamnet` runs two.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, options
from hubbub.runtime.files import write_text

#: In this order: what takes seconds first.
SCRIPTS = (
    "files",
    "yamnet",
    "archive",
    "backbones",
    "logmel",
    "decoding",
    "esresnext",
    "recording",
    "serve",
    "epoch",
    "esc50",
    "growth",
    "accelerator",
)


def rows_of(script: str, repeats: int) -> list[dict[str, Any]]:
    """The rows that a benchmark prints. Where it fails, a row says so, and the others go on."""
    # As the command line of hubbub sets it, so that waiting threads do not spin.
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    command = [sys.executable, "-m", f"benchmarks.{script}", "--repeats", str(repeats)]
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("{"):
                rows.append(json.loads(line))
    if process.returncode:
        rows.append({"row": script, "work": script, "skipped": f"it failed with status {process.returncode}"})
    return rows


def table(rows: list[dict[str, Any]], facts: dict[str, object]) -> str:
    """The rows as Markdown, below what is known about the machine."""
    lines = [
        f"Measured {facts.pop('date')}: " + ", ".join(f"{name} {_text(value)}" for name, value in facts.items()) + ".",
        "",
        "| work | unit | hubbub | peers | times as fast (or as small) | threads | repeats |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in (row for row in rows if "figures" in row):
        ours, *peers = row["figures"].items()
        others = "; ".join(f"{name} {figure:,.4g}" for name, figure in peers) or "-"
        ratios = "; ".join(f"{row['ratios'][name]:.2f}" for name, _ in peers) or "-"
        cells = [row["work"], row["unit"], f"{ours[1]:,.4g}", others, ratios, row["threads"], row["repeats"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    skipped = [f"- not measured: {row['work']}: {row['skipped']}" for row in rows if "skipped" in row]
    return "\n".join([*lines, *(["", *skipped] if skipped else []), ""])


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(SCRIPTS)}")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks.md"), help="the file for the table")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in SCRIPTS]:
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(SCRIPTS)}")
    facts = machine()
    print(json.dumps({"machine": facts}), flush=True)
    rows = [row for name in given.names or SCRIPTS for row in rows_of(name, given.repeats)]
    text = table(rows, facts)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(given.out, text)
    write_text(given.out.with_suffix(".jsonl"), "".join(json.dumps(row) + "\n" for row in rows))
    print(f"\n{text}\nwritten: {given.out}")


if __name__ == "__main__":
    main()
