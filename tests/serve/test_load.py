"""Many clients at once, good and bad: no wrong answer, no server error, no growing memory."""

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.helpers.serving import Server, figures, raw, serving, wave
from tests.serve.test_app import alone, nan_wave, ogg_that_declares, posting, silent_flac, sound

CLIENTS = 64
BUSY = {429, 503}

GOOD = {
    "a second": sound(1),
    "stereo": sound(3, rate=44_100, channels=2, seed=1),
    "flac": sound(5, "FLAC", rate=48_000, seed=2),
    "ogg": sound(4, "OGG", rate=22_050, seed=3),
    "half a minute": sound(30, seed=4),
}
BAD = {
    "nothing": (400, b""),
    "no sound": (415, bytes(range(256)) * 40),
    "cut off": (422, sound(2)[:-1000]),
    "a NaN": (422, nan_wave()),
    "a bomb": (413, ogg_that_declares(1_000)),
    "an hour of silence": (413, silent_flac(60)),
    "too large": (413, bytes(33_000_000)),
}


@dataclass
class Tally:
    """What came back, and what was wrong with it."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)

    def add(self, kind: str, status: int, right: bool) -> None:
        self.statuses[f"{kind} {status}"] += 1
        if not right:
            self.wrong.append(f"{kind} {status}")


def near(answer: dict[str, Any], expected: dict[str, Any]) -> bool:
    def numbers(one: dict[str, Any]) -> list[float]:
        return [*one["scores"].values(), *(s[key] for s in one["segments"] for key in ("start", "end", "score"))]

    return answer["label"] == expected["label"] and bool(np.allclose(numbers(answer), numbers(expected), atol=1e-5))


def upload(client: httpx.Client, url: str, draw: random.Random, expected: dict[str, Any], tally: Tally) -> None:
    kind = draw.choice(list(GOOD))
    begun = time.monotonic()
    reply = client.post(url, files={"file": (f"{kind}.wav", GOOD[kind])})
    if reply.status_code == 200:
        tally.took.append(time.monotonic() - begun)
        tally.add("good", 200, near(reply.json(), expected[kind]))
    else:
        tally.add("good", reply.status_code, reply.status_code in BUSY and "retry-after" in reply.headers)


def upload_bad(client: httpx.Client, url: str, draw: random.Random, tally: Tally) -> None:
    status, content = BAD[draw.choices(list(BAD), [4, 4, 4, 4, 4, 2, 1])[0]]
    reply = client.post(url, content=content)
    tally.add("bad", reply.status_code, reply.status_code in {status, *BUSY} and "error" in reply.json())


def be_rude(server: Server, draw: random.Random, tally: Tally) -> None:
    """Say more than is sent and leave, at some point of it."""
    content = GOOD["a second"]
    text = posting(server, len(content) + 10) + content
    raw(server, text[: draw.randrange(len(text))]).close()
    tally.add("rude", 0, True)


def stream(server: Server, draw: random.Random, expected: list[float], tally: Tally) -> None:
    """Three seconds in messages of odd sizes; some leave in the middle."""
    data, at, leaves = wave(3, seed=9).tobytes(), 0, draw.random() < 0.3
    try:
        with connect(f"ws://127.0.0.1:{server.port}/v1/stream?rate=16000&encoding=f32le&threshold=1") as line:
            while at < len(data) and not (leaves and at > 50_000):
                size = draw.randrange(1, 30_000)
                line.send(data[at : at + size])
                at += size
            if leaves:
                tally.add("left stream", 0, True)
                return
            line.send('{"type": "end"}')
            said = []
            while not said or said[-1]["type"] not in ("end", "error"):
                said.append(json.loads(line.recv(120)))
            scores = [one["score"] for one in said if one["type"] == "segment"]
            tally.add("stream", 101, bool(np.allclose(scores, expected, atol=1e-5)))
    except InvalidStatus as refused:
        tally.add("stream", refused.response.status_code, refused.response.status_code in BUSY)
    except ConnectionClosed:
        tally.add("stream", 1006, False)


def behave(server: Server, seed: int, until: float, expected: dict[str, Any]) -> Tally:
    draw, tally = random.Random(seed), Tally()
    url = f"{server.url}/v1/classify"
    with httpx.Client(timeout=120) as client:
        while time.monotonic() < until:
            match draw.choices(("good", "bad", "rude", "stream"), (6, 2, 1, 1))[0]:
                case "good":
                    upload(client, url, draw, expected, tally)
                case "bad":
                    upload_bad(client, url, draw, tally)
                case "rude":
                    be_rude(server, draw, tally)
                case "stream":
                    stream(server, draw, expected["stream"], tally)
    return tally


@pytest.mark.slow
@pytest.mark.parametrize(("queue", "lasts_s", "grows_mb"), [(128, 60, 30), (16, 9, 100)])  # 3 s do not warm up
def test_64_clients_good_bad_and_rude(
    queue: int, lasts_s: float, grows_mb: float, served_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected: dict[str, Any] = {kind: alone(served_model, content, tmp_path) for kind, content in GOOD.items()}
    streamed = alone(served_model, sound(3, seed=9, subtype="FLOAT"), tmp_path)
    expected["stream"] = [segment["score"] for segment in streamed["segments"]]
    with serving(tmp_path / "server", served_model, "--queue", str(queue)) as server:
        megabytes, tallies = [], []
        with ThreadPoolExecutor(CLIENTS) as clients:
            for part in range(3):  # memory is read in between, when nobody asks
                until = time.monotonic() + lasts_s / 3
                tallies += clients.map(
                    lambda k, p=part, u=until: behave(server, p * CLIENTS + k, u, expected), range(CLIENTS)
                )
                while figures(server)["hubbub_uploads", ()] + figures(server)["hubbub_streams", ()]:
                    pass
                megabytes.append(figures(server)["process_resident_memory_bytes", ()] / 1e6)
        counted = figures(server)
        assert server.stop() == 0
        errors = [line for line in server.lines() if line["level"] == "error"]
    statuses = sum((tally.statuses for tally in tallies), Counter())
    took = np.array([seconds for tally in tallies for seconds in tally.took])
    passes = counted["hubbub_batch_segments_count", ()]
    with capsys.disabled():
        print(f"\nqueue {queue}: {dict(sorted(statuses.items()))}")
        print(f"answers in {np.median(took):.2f} s, 95 % within {np.quantile(took, 0.95):.2f} s")
        print(f"resident MB {megabytes}, {counted['hubbub_segments_total', ()] / passes:.1f} segments a pass")
    assert [wrong for tally in tallies for wrong in tally.wrong] == []
    assert errors == []
    assert statuses["good 200"] and statuses["stream 101"]
    assert queue > CLIENTS or sum(statuses[f"good {status}"] for status in BUSY)  # overload is declared
    assert megabytes[-1] - megabytes[0] < grows_mb
