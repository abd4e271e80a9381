"""Connects to a Ray cluster (https://docs.ray.io) and counts the tasks it can run at once."""

import logging
import math
import os
import socket
import subprocess
import sys
from typing import Any

from hubbub.runtime.processes import EngineError

__all__ = ["CONNECT_TIMEOUT_S", "connect", "task_slots"]


#: How long a cluster may take to answer.
CONNECT_TIMEOUT_S = 60


def task_slots(ray: Any, cpus: float, gpus: float | None) -> tuple[int, float]:
    """How many tasks the cluster runs at once, and the accelerators of each: `gpus`, or 1 if None and there are any.

    Each task runs on one machine. Raises `EngineError` if no machine is large enough for one."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = float(any(one.get("GPU") for one in machines)) if gpus is None else gpus
    room = [min(one.get("CPU", 0.0) / cpus, one.get("GPU", 0.0) / gpus if gpus else math.inf) for one in machines]
    slots = sum(int(tasks + 1e-9) for tasks in room)
    if not slots:
        raise EngineError(
            f"a task is to have {cpus:g} cores and {gpus:g} accelerators, and no machine of the cluster has that many "
            f"(the largest: {max(one.get('CPU', 0.0) for one in machines):g} cores, "
            f"{max(one.get('GPU', 0.0) for one in machines):g} accelerators). Ask for less with --cpus and --gpus."
        )
    return slots, gpus


def connect(address: str | None) -> Any:
    """The module ray, connected to a cluster.

    Raises `EngineError` if Ray is not installed or no cluster answers in `CONNECT_TIMEOUT_S` seconds."""
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
    """Raises `EngineError` if no cluster answers. Ray itself waits for minutes, so a process that can be stopped asks
    first."""
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
        answer = subprocess.run(
            [sys.executable, "-c", ask, address], capture_output=True, text=True, timeout=CONNECT_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{what}: nothing in {CONNECT_TIMEOUT_S} seconds. {then}") from error
    if answer.returncode:
        raise EngineError(f"{what}: {(answer.stderr.strip().splitlines() or ['no reason given'])[-1]}. {then}")
