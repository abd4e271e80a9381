"""TO BE DESCRIBED."""

import logging
import math
import os
import socket
import subprocess
import sys
from typing import Any

from hubbub.runtime.processes import EngineError

__all__ = ["connect", "rooms"]


#: Seconds in which a cluster must answer.
ANSWER_S = 60


def rooms(ray: Any, cpus: float, gpus: float | None) -> tuple[int, float]:
    """How many tasks the machines of a cluster hold, each task on one of them, and the accelerators of each task: what
    was asked for, else 1 where there are any. Raises `EngineError` where no machine holds one."""
    there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = float(any(one.get("GPU") for one in there)) if gpus is None else gpus
    found = [min(one.get("CPU", 0.0) / cpus, one.get("GPU", 0.0) / gpus if gpus else math.inf) for one in there]
    count = sum(int(room + 1e-9) for room in found)
    if not count:
        raise EngineError(
            f"a task is to have {cpus:g} cores and {gpus:g} accelerators, and no machine of the cluster has that many "
            f"(the largest: {max(one.get('CPU', 0.0) for one in there):g} cores, "
            f"{max(one.get('GPU', 0.0) for one in there):g} accelerators). Ask for less with --cpus and --gpus."
        )
    return count, gpus


def connect(address: str | None) -> Any:
    """The module ray, connected to a cluster. Raises `EngineError` where none answers in `ANSWER_S` seconds."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise EngineError(
            "this needs Ray, which is not installed. Install it with: pip install 'hubbub[cluster]'"
        ) from error
    address = address or os.environ.get("RAY_ADDRESS", "local")
    if address != "local":
        _refuse_silent(address)
    ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    return ray


def _refuse_silent(address: str) -> None:
    """Ray itself waits for minutes; another process, which can be stopped, asks first."""
    what = f"no Ray cluster answers at '{address}'"
    then = "Start one with 'ray start --head' and give its HOST:PORT, or leave --address out for one on this machine."
    if address != "auto":
        host, colon, port = address.removeprefix("ray://").rpartition(":")
        if not colon or not port.isdigit():
            raise EngineError(f"--address {address}: write HOST:PORT, for example 10.0.0.5:6379.")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except OSError as error:
            raise EngineError(f"{what}: {error.strerror or error}. {then}") from error
    ask = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')"
    try:
        asked = subprocess.run([sys.executable, "-c", ask, address], capture_output=True, text=True, timeout=ANSWER_S)
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{what}: nothing in {ANSWER_S} seconds. {then}") from error
    if asked.returncode:
        raise EngineError(f"{what}: {(asked.stderr.strip().splitlines() or ['no reason given'])[-1]}. {then}")
