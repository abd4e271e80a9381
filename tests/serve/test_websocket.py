"""Streams over WebSocket: the answers equal those for the whole recording, however the samples were cut."""

import io
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.serve.app import create_app
from hubbub.serve.limits import Limits
from tests.helpers.serving import Server, figures, raw, serving, wave

END = json.dumps({"type": "end"})
RANDOM = np.random.default_rng(0).bytes(20_000)


def stream(server: Server, query: str = "", **options: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{server.port}/v1/stream{query}", **options)


def until_closed(line: ClientConnection) -> list[dict[str, Any]]:
    said = []
    while True:
        try:
            said.append(json.loads(line.recv(60)))
        except ConnectionClosed:
            return said


def recording(samples: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.mark.parametrize(
    ("rate", "encoding", "channels", "size"),
    [(16_000, "f32le", 1, 4_096), (44_100, "s16le", 2, 777), (48_000, "f32le", 1, 200_001), (8_000, "s16le", 1, 1_000)],
)
def test_a_stream_says_what_its_recording_gives(
    served: Server, rate: int, encoding: str, channels: int, size: int
) -> None:
    """In messages of any size, also such as cut samples in two."""
    samples = wave(5.3, rate=rate, channels=channels)
    data = samples.tobytes()
    if encoding == "s16le":
        whole = np.round(samples * 32_768).astype("<i2")
        samples, data = whole / np.float32(32_768), whole.tobytes()
    url = f"{served.url}/v1/classify?threshold=0.3&shortest=0.2"
    expected = httpx.post(url, content=recording(samples, rate), timeout=60).json()
    query = f"?rate={rate}&encoding={encoding}&channels={channels}&threshold=0.3&shortest=0.2"
    with stream(served, query) as line:
        assert json.loads(line.recv())["labels"] == ["dog", "rain", "siren"]
        for start in range(0, len(data), size):
            line.send(data[start : start + size])
        line.send(END)
        said = until_closed(line)
    assert line.close_code == 1000
    segments, events = ([one for one in said if one["type"] == kind] for kind in ("segment", "event"))
    for found, wanted in ((segments, expected["segments"]), (events, expected["events"])):
        assert [one["label"] for one in found] == [one["label"] for one in wanted]
        for key in ("start", "end", "score"):
            assert [one[key] for one in found] == pytest.approx([one[key] for one in wanted], abs=1e-5)
    assert events
    assert said[-1]["type"] == "end"
    assert said[-1]["scores"] == pytest.approx(expected["scores"], abs=1e-5)
    assert said[-1]["seconds"] == pytest.approx(5.3, abs=1e-3)
    assert said[-1]["left_out_bytes"] == 0


def test_a_segment_is_said_before_the_stream_ends(served: Server) -> None:
    with stream(served) as line:
        line.send(json.dumps({"rate": 16_000, "encoding": "f32le"}))
        assert json.loads(line.recv())["type"] == "ready"
        line.send(wave(2.0).tobytes())
        assert json.loads(line.recv(60))["end"] == 2.0
        line.send(b"")
        line.send(wave(0.5).tobytes() + b"abc")
        assert json.loads(line.recv(60))["end"] == 2.5
        line.send(END)
        assert until_closed(line)[-1]["left_out_bytes"] == 3


BAD: dict[str, tuple[str, list[str | bytes], str]] = {
    "no format": ("", ["[]"], "first message gives the format"),
    "samples before a format": ("", [b"1234"], "first message gives the format"),
    "deep JSON": ("", ["[" * 50_000], "first message gives the format"),
    "no rate": ("", ['{"encoding": "f32le"}'], "rate: Field required"),
    "an unknown encoding": ("?rate=16000&encoding=mp3", [], "encoding: Input should be 's16le' or 'f32le'"),
    "an unknown setting": (
        "?rate=16000&encoding=f32le&chanels=2",
        [],
        "no parameter 'chanels' here. Did you mean 'channels'? It",
    ),
    "a setting given twice": ("?rate=16000&encoding=f32le&rate=8000", [], "'rate' was given 2 times"),
    "no number": ("?rate=fast&encoding=f32le", [], "rate: Input should be a valid integer"),
    "a low rate": ("?rate=10&encoding=f32le", [], "rate: Input should be greater"),
    "a high rate": ("?rate=999999999&encoding=f32le", [], "Hz are the most"),
    "many channels": ("?rate=16000&encoding=f32le&channels=99", [], "64 are the most"),
    "an impossible threshold": ("?rate=16000&encoding=f32le&threshold=7", [], "a threshold of 7"),
    "a threshold that is no number": ("?rate=16000&encoding=f32le&threshold=nan", [], "threshold: Input should be a"),
    "an endless gap": ("", ['{"rate": 16000, "encoding": "f32le", "gap": Infinity}'], "gap: Input should be a finite"),
    "a token in the address": ("?rate=16000&encoding=f32le&token=x", [], "end up in logs"),
    "no samples": ("?rate=16000&encoding=f32le", [END], "held no samples"),
    "text": ("?rate=16000&encoding=f32le", ["hello"], "send samples in binary messages"),
    "a NaN": ("?rate=16000&encoding=f32le", [np.full(9, np.nan, "<f4").tobytes()], "9 samples that are NaN"),
    "integers as floats": (
        "?rate=16000&encoding=f32le",
        [np.arange(-99, 99, dtype="<f4").tobytes()],
        "integers kept as",
    ),
    "one sample": ("?rate=16000&encoding=f32le", [bytes(4), END], "lasts 0.06 ms (1 sample)"),
    "what a browser records": (
        "?rate=48000&encoding=s16le",
        [bytes.fromhex("1a45dfa39f4286810142f781")],
        "holds Matroska",
    ),
    "random bytes": ("?rate=16000&encoding=s16le", [RANDOM[:9_000], RANDOM[9_000:]], "fill the whole range uniformly"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_stream_is_refused_with_a_reason(served: Server, case: str) -> None:
    query, messages, reason = BAD[case]
    with stream(served, query) as line:
        for message in messages:
            line.send(message)
        said = until_closed(line)
    assert said[-1]["type"] == "error"
    assert reason in said[-1]["error"]
    assert line.close_code == 1008


def test_the_end_says_what_is_odd(served: Server) -> None:
    one = wave(2)
    samples = np.concatenate([one, -0.98 * one], axis=1)
    with stream(served, "?rate=16000&encoding=f32le&channels=2") as line:
        line.send(samples.tobytes())
        line.send(END)
        end = until_closed(line)[-1]
    (warning,) = end["warnings"]
    assert "cancel each other" in warning
    answer = httpx.post(f"{served.url}/v1/classify", content=recording(samples, 16_000), timeout=60).json()
    assert answer["warnings"] == [warning]
    assert answer["scores"] == pytest.approx(end["scores"], abs=1e-6)
    why = httpx.post(f"{served.url}/v1/explain", content=recording(samples, 16_000), timeout=60).json()
    assert why["warnings"] == [warning]
    right = httpx.post(f"{served.url}/v1/classify", content=recording(one, 16_000), timeout=60).json()
    assert "warnings" not in right and right["scores"] == pytest.approx(answer["scores"], abs=1e-6)


def test_a_message_that_is_too_large_closes_the_stream(served: Server) -> None:
    with stream(served, "?rate=16000&encoding=f32le", max_size=None) as line:
        assert json.loads(line.recv())["type"] == "ready"
        line.send(bytes(300_000))
        assert until_closed(line) == []
    assert line.close_code == 1009


def test_a_stream_that_stalls_is_ended(strict: Server) -> None:
    with stream(strict, "?rate=16000&encoding=f32le") as line:
        assert [one["type"] for one in until_closed(line)] == ["ready", "error"]
    with stream(strict) as line:
        assert "nothing came" in until_closed(line)[0]["error"]


def test_a_client_that_leaves_frees_its_place(strict: Server) -> None:
    for _ in range(5):
        line = stream(strict, "?rate=16000&encoding=f32le")
        line.send(wave(1.0).tobytes())
        line.socket.close()
        while figures(strict)["hubbub_streams", ()]:
            pass
    assert [line["event"] for line in strict.lines() if line["level"] == "error"] == []


def test_one_stream_too_many_is_told_to_come_back(strict: Server) -> None:
    with stream(strict, "?rate=16000&encoding=f32le") as line:
        line.recv()
        with pytest.raises(InvalidStatus) as refused, stream(strict):
            pass
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["retry-after"] == "1"
        assert "error" in json.loads(refused.value.response.body)
    assert [line["event"] for line in strict.lines() if line["level"] == "error"] == []


def test_a_page_of_another_origin_gets_no_stream(served: Server) -> None:
    with pytest.raises(InvalidStatus) as refused, stream(served, origin="http://evil.example"):  # type: ignore[arg-type]
        pass
    assert refused.value.response.status_code == 403
    with stream(served, "?rate=16000&encoding=f32le", origin=served.url) as line:  # type: ignore[arg-type]
        assert json.loads(line.recv())["type"] == "ready"


@pytest.mark.parametrize("address", ["[", "a]", "[zz]"])
def test_a_stream_by_a_name_that_is_no_address_is_refused(served: Server, address: str) -> None:
    with pytest.raises(InvalidStatus) as refused, stream(served, origin=f"http://{address}"):  # type: ignore[arg-type]
        pass
    assert refused.value.response.status_code == 400
    assert "is not an address" in json.loads(refused.value.response.body)["error"]


def test_a_stream_that_never_pauses_is_ended_with_the_server(served_model: Path, tmp_path: Path) -> None:
    """The next samples are always there when the server is told to stop; after `shutdown_s` nothing more is said."""
    query, block = "?rate=16000&encoding=f32le", wave(0.5).tobytes()

    def flood(line: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                line.send(block)

    with (
        serving(tmp_path / "flooded", served_model, limits={"shutdown_s": 20}) as server,
        stream(server, query) as line,
        ThreadPoolExecutor(1) as threads,
    ):
        flooding = threads.submit(flood, line)
        while json.loads(line.recv(60))["type"] != "segment":
            pass
        server.process.send_signal(signal.SIGTERM)
        assert until_closed(line)[-1]["type"] == "end"
        assert line.close_code == 1012
        flooding.result()
        assert server.process.wait(120) == 0


def test_a_handshake_that_is_none(strict: Server) -> None:
    asked = b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    with raw(strict, asked) as connection:
        assert connection.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 426")
    with raw(strict, asked[:-2] + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: no\r\n\r\n") as connection:
        assert connection.recv(12) == b"HTTP/1.1 400"


# A server with a token, in this process.

TOKEN = "s3cret-token"


@contextmanager
def guarded(model: Path, **options: Any) -> Iterator[TestClient]:
    app = create_app(TorchClassifier.load(model), "guarded", Limits(stall_s=5), token=TOKEN, **options)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        while client.get("/readyz").status_code != 200:
            pass
        yield client


def test_a_token_is_wanted_everywhere_but_for_the_page_and_the_probes(served_model: Path) -> None:
    with guarded(served_model) as client:
        for path in ("/", "/healthz", "/readyz", "/static/index.html"):
            assert client.get(path).status_code == 200
        for path in ("/v1/model", "/metrics", "/openapi.json"):
            for header in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ", "Bearer \xff"):
                reply = client.get(path, headers={b"authorization": header.encode("latin-1")})
                assert (reply.status_code, list(reply.json())) == (401, ["error"])
                assert reply.headers["www-authenticate"] == "Bearer"
            assert client.get(path, headers={"authorization": f"bearer {TOKEN}"}).status_code == 200
        for path in ("/v1/classify", "/v1/explain"):
            assert client.post(path, content=b"").status_code == 401
        # Whoever has it may come by any name: no other page knows it.
        assert client.get("/v1/model", headers={"host": "a.example", "authorization": f"Bearer {TOKEN}"}).is_success


def test_a_stream_says_its_token_first(served_model: Path) -> None:
    start = {"rate": 16_000, "encoding": "f32le"}
    with guarded(served_model) as client:
        with client.websocket_connect("/v1/stream?rate=16000&encoding=f32le") as line:
            line.send_json({"token": TOKEN})
            assert line.receive_json()["type"] == "ready"
        with client.websocket_connect("/v1/stream") as line:
            line.send_json({**start, "token": TOKEN})
            assert line.receive_json()["type"] == "ready"
        for wrong in (start, {**start, "token": "guess"}, {**start, "token": "\ud800"}):
            with client.websocket_connect("/v1/stream") as line:
                line.send_text(json.dumps(wrong))
                assert "requires its token" in line.receive_json()["error"]
                with pytest.raises(WebSocketDisconnect) as closed:
                    line.receive_json()
            assert closed.value.code == 1008
        header = {"authorization": f"Bearer {TOKEN}"}
        with client.websocket_connect("/v1/stream?rate=16000&encoding=f32le", headers=header) as line:
            assert line.receive_json()["type"] == "ready"
        header = {"authorization": "Bearer guess"}
        with pytest.raises(Exception) as denied, client.websocket_connect("/v1/stream", headers=header):
            pass
        assert getattr(denied.value, "status_code", None) == 401


def test_behind_a_proxy_it_answers_to_its_names(served_model: Path) -> None:
    app = create_app(TorchClassifier.load(served_model), "m", names=("sounds.example",))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        headers = {"host": "sounds.example", "origin": "https://sounds.example"}
        assert client.get("/v1/model", headers=headers).status_code == 200
        assert client.get("/v1/model", headers={**headers, "origin": "https://evil.example"}).status_code == 403
        assert client.get("/v1/model", headers={"host": "evil.example"}).status_code == 403


def test_it_is_not_ready_before_a_first_segment_was_heard(served_model: Path) -> None:
    client = TestClient(create_app(TorchClassifier.load(served_model), "m"), base_url="http://127.0.0.1")
    assert client.get("/healthz").status_code == 200
    for reply in (client.get("/readyz"), client.post("/v1/classify", content=b"RIFF")):
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert "not ready yet" in reply.json()["error"]


HANDSHAKE = (
    b"GET /v1/stream?rate=16000&encoding=f32le HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: "
    b"Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.mark.parametrize(
    "more",
    [
        *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\nOrigin: null\r\n"),
        b"X: " + b"y" * 9_000 + b"\r\n",
        b"X: y\r\n" * 200,
    ],
    ids=["a length", "chunks", "a length and an origin", "a long header", "many headers"],
)
def test_a_handshake_that_announces_a_body_or_too_much_keeps_no_place(strict: Server, more: bytes) -> None:
    """It is refused at once, as often as it comes; more of these at once than there are places for streams."""
    held = [raw(strict, HANDSHAKE + more + b"\r\n") for _ in range(6)]
    for connection in held:
        with connection:
            content = b""
            while piece := connection.recv(65_536):
                content += piece
        head, _, body = content.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert "not a valid WebSocket handshake" in json.loads(body)["error"]
    assert figures(strict)["hubbub_streams", ()] == 0
    with stream(strict, "?rate=16000&encoding=f32le") as line:
        assert json.loads(line.recv())["type"] == "ready"


def test_a_handshake_whose_body_is_empty_is_taken(strict: Server) -> None:
    while figures(strict)["hubbub_streams", ()]:  # the last test's stream may still hold its slot
        pass
    with raw(strict, HANDSHAKE + b"Content-Length: 0\r\n\r\n") as connection:
        assert connection.recv(12) == b"HTTP/1.1 101"
