"""How fast a server answers: `python benchmarks/serve.py MODEL [--seconds 5] [--requests 200]`.

Starts `hubbub serve` here, asks it with 1, 4, 16 and 64 clients at once, each with a recording of noise, and prints a
table. Clients and server share the machine.
"""

import argparse
import io
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import soundfile

RATE = 44_100
CLIENTS = (1, 4, 16, 64)


def recording(seconds: float) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE))
    soundfile.write(file, noise, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def figure(url: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", httpx.get(f"{url}/metrics").text, re.MULTILINE)
    assert found, name
    return float(found[1])


def ask(url: str, content: bytes, clients: int, requests: int) -> list[float]:
    """Seconds that each request took."""
    with httpx.Client(timeout=300, limits=httpx.Limits(max_connections=clients)) as client:

        def one(_: int) -> float:
            begun = time.perf_counter()
            client.post(f"{url}/v1/classify", content=content).raise_for_status()
            return time.perf_counter() - begun

        with ThreadPoolExecutor(clients) as threads:
            return list(threads.map(one, range(requests)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the recording")
    parser.add_argument("--requests", type=int, default=200, help="for each number of clients")
    given = parser.parse_args()
    content = recording(given.seconds)
    command = [sys.executable, "-m", "hubbub.cli", "serve", given.model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        url = server.stdout.readline().split(" at ")[1].strip()
        while httpx.get(f"{url}/readyz").status_code != 200:
            pass
        ask(url, content, 1, 10)
        print("| clients | requests/s | median [s] | 95 % within [s] | segments a pass | resident [MB] |")
        print("|---|---|---|---|---|---|")
        for clients in CLIENTS:
            segments, passes = (figure(url, n) for n in ("hubbub_segments_total", "hubbub_batch_segments_count"))
            begun = time.perf_counter()
            took = ask(url, content, clients, given.requests)
            rate = given.requests / (time.perf_counter() - begun)
            size = (figure(url, "hubbub_segments_total") - segments) / (
                figure(url, "hubbub_batch_segments_count") - passes
            )
            memory = figure(url, "process_resident_memory_bytes") / 1e6
            median, most = np.quantile(took, (0.5, 0.95))
            print(f"| {clients} | {rate:.1f} | {median:.3f} | {most:.3f} | {size:.1f} | {memory:.0f} |")
        server.terminate()


if __name__ == "__main__":
    main()
