"""The real server as a process on this machine, and the fixtures `served_model`, `served` and `strict` for conftest."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

#: A server with limits that the command has no option for.
LIMITED = """
import json, sys
model, limits, options, missing = (json.loads(word) for word in sys.argv[1:])
for name in missing: sys.modules[name] = None
from functools import partial
from hubbub.serve import server
from hubbub.serve.app import create_app
from hubbub.classifier.load import load
from hubbub.serve.limits import Limits
create = partial(create_app, load(model), model)
server.run(create, Limits(**limits), port=0, log=lambda line: print(line, flush=True), **options)
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
        """Its log; each line is JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@contextmanager
def serving(
    folder: Path,
    model: str | Path,
    *words: str,
    limits: dict[str, Any] | None = None,
    missing: tuple[str, ...] = (),
    **options: Any,
) -> Iterator[Server]:
    """`hubbub serve` with these words, or with `limits` what it runs without some packages; its log is in a folder."""
    command = [sys.executable, "-m", "hubbub.cli", "serve", str(model), "--port", "0", *words]
    if limits is not None:
        given = (str(model), limits, options, missing)
        command = [sys.executable, "-c", LIMITED, *map(json.dumps, given)]
    with _started(folder, command) as server:
        yield server


@contextmanager
def exploring(folder: Path, archive: Path, *words: str, port: int = 0) -> Iterator[Server]:
    """`hubbub explore` of an archive with these words; its log is in a folder."""
    command = [sys.executable, "-m", "hubbub.cli", "explore", str(archive), "--port", str(port), *words]
    with _started(folder, command) as server:
        yield server


@contextmanager
def _started(folder: Path, command: list[str]) -> Iterator[Server]:
    """A command that serves, from when it answers; its log is in a folder."""
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


@pytest.fixture(scope="session")
def served_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights; segments of 2 s overlap, so that streams and recordings share much."""
    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.config.recipe import Recipe

    recipe = Recipe.load("street-cnn", ["network.width=4", "windows.hop=8000"])
    card = {"trained_on": "nothing", "not_comparable": ["RANDOM WEIGHTS"]}
    model = TorchClassifier(recipe, ("dog", "rain", "siren"), card=card, seed=0)
    return model.save(tmp_path_factory.mktemp("served-model") / "classifier")


@pytest.fixture(scope="session")
def servers(served_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    limits = {"stall_s": 0.5, "queue": 4, "streams": 2, "max_mb": 0.2, "max_seconds": 10, "shutdown_s": 20}
    contexts = [
        serving(tmp_path_factory.mktemp("served"), served_model, "--max-seconds", "120"),
        serving(tmp_path_factory.mktemp("strict"), served_model, limits=limits),
    ]
    with ThreadPoolExecutor(2) as threads:
        try:
            yield list(threads.map(lambda context: context.__enter__(), contexts))
        finally:
            for context in contexts:
                context.__exit__(None, None, None)


@pytest.fixture
def served(servers: list[Server]) -> Server:
    """The default server, with a limit of two minutes for a recording."""
    return servers[0]


@pytest.fixture
def strict(servers: list[Server]) -> Server:
    """A server with narrow limits."""
    return servers[1]


def wave(seconds: float, seed: int = 0, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    """Noise `[T, channels]`."""
    return np.random.default_rng(seed).normal(0, 0.1, (round(seconds * rate), channels)).astype(np.float32)


def figures(server: Server) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The server's metrics, by name and labels."""
    text = httpx.get(f"{server.url}/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


def raw(server: Server, text: bytes, address: str = "127.0.0.1") -> socket.socket:
    """A connection that has sent some bytes."""
    connection = socket.create_connection(("127.0.0.1", server.port), 30, source_address=(address, 0))
    connection.sendall(text)
    return connection
