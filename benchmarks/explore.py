"""The page of an archive: time to start, of a search, of a sound, and from a label to the new ranking.

    python -m benchmarks.explore ARCHIVE [--labels 20] [--times 30]

A copy of the archive is explored, so that no label is written into it. Medians, and the slowest of all in parentheses.
Labels are of two classes that are drawn at random: what the head learns takes the same time.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.measure import cores

PATIENCE_S = 60.0


def timed(work: Callable[[], Any]) -> float:
    """How long a call takes [ms]."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def figures(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ms ({max(values):.0f} ms)"


def started(archive: Path) -> tuple[subprocess.Popen[str], str, float]:
    """A server, its address, and how long it took to answer [s]."""
    command = [sys.executable, "-m", "hubbub.cli", "explore", str(archive), "--port", "0"]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    url = next(line for line in process.stdout if " at http://" in line).split(" at ")[1].strip()
    httpx.post(f"{url}/v1/search", json={"by": "place"}).raise_for_status()
    return process, url, time.perf_counter() - begun


def to_new_ranking(client: httpx.Client, segment: int, name: str) -> float:
    """From sending a label until the list of a class in the new order is here [ms]."""
    seen = client.get("/v1/changes").json()
    said = [{"segment": segment, "class": name, "value": "yes"}]

    def work() -> None:
        body = {"who": "ann", "request": uuid.uuid4().hex, "statements": said}
        client.post("/v1/labels", json=body).raise_for_status()
        now = client.get("/v1/changes", params={"version": seen["version"]}).json()
        while now["fits"] == seen["fits"]:
            now = client.get("/v1/changes", params={"version": now["version"]}).json()
        client.post("/v1/search", json={"by": "highest", "class": name}).raise_for_status()

    return timed(work)


def measure(url: str, labels: int, times: int) -> dict[str, str]:
    rng = np.random.default_rng(0)
    with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        count = client.get("/v1/archive").json()["segments"]
        chosen = rng.permutation(count).tolist()
        for name in ("one", "two"):
            client.post("/v1/classes", json={"who": "ann", "name": name}).raise_for_status()
        first = to_new_ranking(client, chosen[0], "one")
        later = [to_new_ranking(client, chosen[n], "one" if n % 2 else "two") for n in range(1, labels)]

        def search(**query: Any) -> float:
            return timed(lambda: client.post("/v1/search", json=query).raise_for_status())

        def fetch(route: str, segment: int) -> float:
            return timed(lambda: client.get(f"/v1/{route}?segment={segment}").raise_for_status())

        some = chosen[-times:]
        return {
            "search like": figures([search(by="like", like=[n]) for n in some]),
            "search like, unlike": figures([search(by="like", like=some[:2], unlike=[n]) for n in some]),
            "search by scores": figures([search(by="highest", **{"class": "one"}) for _ in some]),
            "sound": figures([fetch("sound", n) for n in some]),
            "spectrogram": figures([fetch("spectrogram", n) for n in some]),
            "first label, just after the start, to new ranking": f"{first:.0f} ms",
            f"label to new ranking, {labels} labels": figures(later),
            "what to label next": figures([timed(lambda: client.post("/v1/next", json={})) for _ in range(5)]),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("archive", type=Path)
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--times", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = shutil.copytree(given.archive, Path(folder) / "archive")
        process, url, start_s = started(archive)
        try:
            found = {"cores": str(cores()), "start": f"{start_s:.1f} s", **measure(url, given.labels, given.times)}
        finally:
            process.kill()
            process.wait()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
