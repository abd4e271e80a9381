"""The real server as a process on this machine, for tests of what it answers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

#: Limits that no option of the command sets.
LIMITED = """
import json, sys
from hubbub import serve_process
from hubbub.loading import load
from hubbub.serve_gate import Limits
model, limits, options = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
serve_process.run(load(model), model, Limits(**limits), port=0, say=lambda line: print(line, flush=True), **options)
"""


@dataclass
class Server:
    url: str
    process: subprocess.Popen[str]
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged; each line is JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> int:
        """SIGTERM, and the status that it ends with."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@contextmanager
def serving(
    folder: Path, model: str | Path, *words: str, limits: dict[str, Any] | None = None, **options: Any
) -> Iterator[Server]:
    """`hubbub serve` with these words, or with `limits` what it runs; its log is kept in a folder."""
    command = [sys.executable, "-m", "hubbub", "serve", str(model), "--port", "0", *words]
    if limits is not None:
        command = [sys.executable, "-c", LIMITED, str(model), json.dumps(limits), json.dumps(options)]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.jsonl"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "HUBBUB_TOKEN"},
        ) as process,
    ):
        try:
            assert process.stdout
            line = next((line for line in process.stdout if " at http://" in line), None)
            assert line, log.read_text()
            server = Server(line.split(" at ")[1].strip(), process, log)
            while httpx.get(f"{server.url}/readyz").status_code != 200:
                assert process.poll() is None, log.read_text()
            yield server
        finally:
            process.kill()
