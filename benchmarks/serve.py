"""How fast a server answers uploads of 5 s.

    python -m benchmarks.serve [--model yamnet] [--seconds 5] [--requests 200] [--repeats 5]

Starts `hubbub serve` here and asks it with 1, 4, 16 and 64 clients at once, each with a recording of noise. Clients and
server share the machine; `client_ms` and `server_ms` are the processor time that a request takes of each. The figures
are medians over the repeats; all numbers of clients take turns. `--fast` serves with `--fast`.
"""

import http.client
import io
import re
import statistics
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import numpy as np
import soundfile

from benchmarks.measure import cores, emit, hubbub, options, skip
from hubbub.runtime import homes

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
    """Seconds that each request took. Each client keeps its connection."""
    own = threading.local()
    opened: list[http.client.HTTPConnection] = []

    def connect() -> None:
        own.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
        opened.append(own.connection)

    def one(_: int) -> float:
        begun = time.perf_counter()
        own.connection.request("POST", "/v1/classify", content)
        answer = own.connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        return time.perf_counter() - begun

    try:
        with ThreadPoolExecutor(clients, initializer=connect) as threads:
            return list(threads.map(one, range(requests)))
    finally:
        for connection in opened:
            connection.close()


def measure(url: str, content: bytes, clients: int, requests: int) -> dict[str, float]:
    """Requests a second, seconds of a request (median and 95 %), segments that go through the network at once, and the
    processor time of client and server [ms a request]."""
    counts = ("hubbub_segments_total", "hubbub_batch_segments_count", "process_cpu_seconds_total")
    before = [figure(url, name) for name in counts]
    begun, own = time.perf_counter(), time.process_time()
    took = ask(url, content, clients, requests)
    rate, own = requests / (time.perf_counter() - begun), time.process_time() - own
    segments, passes, server = (figure(url, name) - old for name, old in zip(counts, before, strict=True))
    median, most = (float(seconds) for seconds in np.quantile(took, (0.5, 0.95)))
    milliseconds = {"client": 1000 * own / requests, "server": 1000 * server / requests}
    return {"rate": rate, "median": median, "most": most, "batch": segments / passes, **milliseconds}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", default="yamnet", help="a run folder, a saved or exported classifier, or yamnet")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the recording")
    parser.add_argument("--requests", type=int, default=200, help="for each number of clients")
    parser.add_argument("--fast", action="store_true", help="serve with --fast")
    given = parser.parse_args()
    if given.model == "yamnet" and not homes.find("weights", "yamnet.h5"):
        skip("serve", "server", "no data home has weights/yamnet.h5")
        return
    content = recording(given.seconds)
    command = hubbub("serve", given.model, "--port", "0", *(["--fast"] if given.fast else []))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout
            url = server.stdout.readline().split(" at ")[1].strip()
            while httpx.get(f"{url}/readyz").status_code != 200:
                time.sleep(0.05)
            ask(url, content, 4, 20)
            found: dict[int, list[dict[str, float]]] = {clients: [] for clients in CLIENTS}
            for _ in range(given.repeats):
                for clients in CLIENTS:
                    found[clients].append(measure(url, content, clients, given.requests))
            memory = figure(url, "process_resident_memory_bytes") / 1e6
        finally:
            server.terminate()
    upload = f"server, uploads of {given.seconds:g} s"
    for clients, each in found.items():
        median = {key: statistics.median(one[key] for one in each) for key in each[0]}
        facts = {"median_s": round(median["median"], 4), "segments_a_pass": round(median["batch"], 1)}
        facts |= {f"{who}_ms": round(median[who], 2) for who in ("client", "server")}
        work = f"{upload}, {clients} clients"
        emit(f"serve-{clients}", work, "requests/s", {"hubbub": median["rate"]}, cores(), given.repeats, **facts)
        emit(f"serve-{clients}-95", f"{work}, 95 % within", "s", {"hubbub": median["most"]}, cores(), given.repeats)
    emit("serve-memory", f"{upload}, resident memory", "MB", {"hubbub": memory}, cores(), given.repeats)


if __name__ == "__main__":
    main()
