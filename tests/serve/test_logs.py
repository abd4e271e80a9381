"""The server's log is JSON lines, also of what libraries print; errors inside the server are logged and counted."""

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import soundfile
import torch
from starlette.testclient import TestClient

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.serve.app import create_app
from hubbub.serve.exchange import HEADERS
from hubbub.serve.logs import JsonLines
from hubbub.serve.middleware import SERVER_ERROR
from tests.helpers.serving import Server, figures, serving, wave


def damaged(content: bytes, seed: int, count: int, start: int) -> bytes:
    """The content with some bytes after `start` changed."""
    rng, spoilt = np.random.default_rng(seed), bytearray(content)
    for place in rng.integers(start, len(spoilt), count):
        spoilt[place] ^= int(rng.integers(1, 256))
    return bytes(spoilt)


def mp3() -> bytes:
    """A damaged MP3, about which libmpg123 prints on standard error."""
    file = io.BytesIO()
    soundfile.write(file, wave(3, rate=44_100), 44_100, format="MP3")
    return damaged(file.getvalue(), 4, 40, 1000)


def aac() -> bytes:
    """A damaged AAC file, about which FFmpeg prints on standard error."""
    file = io.BytesIO()
    with av.open(file, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave(3, rate=44_100)[:, 0][None], format="fltp", layout="mono")
        frame.sample_rate = 44_100
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return damaged(file.getvalue(), 0, 40, 1000)


def test_what_decoders_print_is_json_too(served: Server) -> None:
    before = len(served.lines())
    for content in (mp3(), aac()):
        httpx.post(f"{served.url}/v1/classify", content=content, timeout=60)
    while not any("Skipped" in line.get("text", "") for line in served.lines()[before:]):
        pass
    said = [line for line in served.lines()[before:] if line["event"] == "stderr"]
    assert {"Note: Trying to resync..."} <= {line["text"] for line in said}
    assert all(line["level"] == "warning" and set(line) == {"time", "level", "event", "text"} for line in said)


def test_it_does_so_without_ffmpeg_and_loses_nothing_at_its_end(served_model: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "served", served_model, limits={}, missing=("av",)) as server:
        httpx.post(f"{server.url}/v1/classify", content=mp3(), timeout=60)
        assert server.stop() == 0
        assert "Note: Trying to resync..." in [line.get("text") for line in server.lines()]


LOGGED = """
import os, sys, threading, warnings
from hubbub.serve.logs import json_log
with json_log():
    for k in range(20_000): os.write(2, b"a line of another program, number %d\\n" % k)
    os.write(2, b"x" * 20_000 + b"\\n\\n\\xff\\x1b[31m without an end")
    warnings.warn("a warning")
    (thread := threading.Thread(target=lambda: 1 / 0)).start()
    thread.join()
    print("printed", file=sys.stderr)
    if sys.argv[1] == "crash": raise RuntimeError("a crash")
    if sys.argv[1] == "exit": sys.exit(3)
print("after it", file=sys.stderr)
"""


@pytest.mark.parametrize(("how", "status"), [("return", 0), ("exit", 3), ("crash", 1)])
def test_every_line_is_kept_and_a_crash_is_seen(how: str, status: int) -> None:
    done = subprocess.run([sys.executable, "-c", LOGGED, how], stderr=subprocess.PIPE, check=False)
    assert done.returncode == status
    lines = done.stderr.decode().splitlines()
    after = [line for line in lines if not line.startswith("{")]
    logged = [json.loads(line) for line in lines[: len(lines) - len(after)]]
    said = [line["text"] for line in logged if line["event"] == "stderr"]
    numbered = [text for text in said if text.startswith("a line of another")]
    assert numbered == [f"a line of another program, number {k}" for k in range(20_000)]
    assert "".join(text for text in said if text.startswith("x")) == "x" * 20_000
    assert any(text.startswith("\\xff\x1b[31m without an end") for text in said)
    assert any("a warning" in line["event"] for line in logged)
    assert any("ZeroDivisionError" in text for text in said)
    assert any("printed" in text for text in said)
    assert (after[:1], after[-1:]) == {
        "return": (["after it"], ["after it"]),
        "exit": ([], []),
        "crash": (["Traceback (most recent call last):"], ["RuntimeError: a crash"]),
    }[how]


@pytest.mark.parametrize("log", ["unread", "full", "closed"])
def test_a_log_that_cannot_be_written_stops_nobody(served_model: Path, log: str) -> None:
    """`hubbub serve 2>&1 | head -1` serves on, and ends when it is told to."""
    where = {"unread": subprocess.PIPE, "full": open("/dev/full", "wb"), "closed": None}[log]  # noqa: SIM115
    command = [sys.executable, "-m", "hubbub.cli", "serve", str(served_model), "--port", "0"]
    if log == "closed":
        command = ["sh", "-c", 'exec "$0" "$@" 2>&-', *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=where, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert " at http://" in line
            if process.stderr:
                process.stderr.close()
            server = Server(line.split(" at ")[1].strip(), process, Path(os.devnull))
            while httpx.get(f"{server.url}/readyz").status_code != 200:
                pass
            for content in (mp3(), aac()):
                assert httpx.post(f"{server.url}/v1/classify", content=content, timeout=60).status_code in (200, 422)
            assert server.stop() == 0
        finally:
            process.kill()


def test_nobody_need_read_the_address(served_model: Path) -> None:
    """`hubbub serve | true` serves on, and ends when it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "hubbub.cli", "serve", str(served_model), "--port", str(port)]
    unread, out = os.pipe()
    os.close(unread)
    with subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True) as process:
        os.close(out)
        try:
            server = Server(f"http://127.0.0.1:{port}", process, Path(os.devnull))
            while not is_ready(server):
                assert process.poll() is None
            assert server.stop() == 0
            assert process.stderr
            assert {json.loads(line)["event"] for line in process.stderr} == {"request"}
        finally:
            process.kill()


def is_ready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/readyz").status_code == 200
    except httpx.ConnectError:
        return False


# Errors inside the server.


def test_a_mistake_is_counted_and_logged_once_and_answered_in_full(served_model: Path, tmp_path: Path) -> None:
    content = io.BytesIO()
    soundfile.write(content, wave(1), 16_000, format="WAV")
    with serving(tmp_path / "broken", served_model, limits={}, missing=("hubbub.inference.explain",)) as server:
        reply = httpx.post(f"{server.url}/v1/explain", content=content.getvalue(), timeout=60)
        assert (reply.status_code, list(reply.json())) == (500, ["error"])
        assert {name.lower() for name in HEADERS} <= set(reply.headers)
        key = ("hubbub_requests_total", (("route", "/v1/explain"), ("status", "500")))
        assert figures(server)[key] == 1
        assert figures(server)["hubbub_uploads", ()] == 0
        (mistake,) = (line for line in server.lines() if line["level"] == "error")
        assert mistake["id"] == reply.headers["x-request-id"] and mistake["route"] == "/v1/explain"
        assert "ModuleNotFoundError" in mistake["trace"] and mistake["trace"].startswith("Traceback")
        (request,) = (line for line in server.lines() if line.get("status") == 500)
        assert (request["event"], request["id"]) == ("request", reply.headers["x-request-id"])
        assert server.stop() == 0


class Broken(TorchClassifier):
    """It answers until it is broken."""

    broken: Exception | float | None = None

    def outputs(self, segments: Any) -> Any:
        if isinstance(self.broken, Exception):
            raise self.broken
        return super().outputs(segments) * np.float32(self.broken or 1)


@contextmanager
def breaking(model: Path, by: Exception | float) -> Iterator[TestClient]:
    """A server in this process whose model breaks once it was ready: by an error, or by a factor on its outputs."""
    classifier = Broken.load(model)
    with TestClient(create_app(classifier, "m", loopback=False)) as client:
        while client.get("/readyz").status_code != 200:
            pass
        classifier.broken = by
        yield client


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (ZeroDivisionError("a mistake of ours"), "ZeroDivisionError: a mistake of ours"),
        (float("nan"), "this classifier's scores are not finite numbers"),
    ],
)
def test_a_mistake_in_a_stream_is_counted_and_logged_once(
    served_model: Path, caplog: pytest.LogCaptureFixture, by: Exception | float, reason: str
) -> None:
    with breaking(served_model, by) as client:
        with client.websocket_connect("/v1/stream?rate=16000&encoding=f32le") as line:
            assert line.receive_json()["type"] == "ready"
            line.send_bytes(wave(2.5).tobytes())
            assert line.receive_json() == {"type": "error", "error": SERVER_ERROR}
            assert line.receive()["code"] == 1011
        metrics = client.get("/metrics").text
    assert 'hubbub_requests_total{route="/v1/stream",status="500"} 1.0' in metrics
    (mistake,) = (record for record in caplog.records if record.levelname == "ERROR")
    logged = json.loads(JsonLines().format(mistake))
    assert reason in logged["trace"] and logged["route"] == "/v1/stream"


def test_an_answer_that_is_no_number_is_the_servers_mistake(
    served_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = io.BytesIO()
    soundfile.write(content, wave(1), 16_000, format="WAV")
    with breaking(served_model, float("nan")) as client:
        reply = client.post("/v1/classify", content=content.getvalue())
        metrics = client.get("/metrics").text
    assert (reply.status_code, reply.json()) == (500, {"error": SERVER_ERROR})
    assert {name.lower() for name in HEADERS} <= set(reply.headers)
    assert 'hubbub_requests_total{route="/v1/classify",status="500"} 1.0' in metrics
    (mistake,) = (record for record in caplog.records if record.levelname == "ERROR")
    logged = json.loads(JsonLines().format(mistake))
    assert logged["id"] == reply.headers["x-request-id"] and logged["route"] == "/v1/classify"
    assert "this classifier's scores are not finite numbers" in logged["trace"]


def test_a_model_that_gives_no_numbers_is_never_ready(served_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    classifier = TorchClassifier.load(served_model)
    with torch.no_grad():
        classifier.network.fc.weight[0, 0] = float("nan")
    with TestClient(create_app(classifier, "m", loopback=False)) as client:
        while not caplog.records or "did not answer" not in caplog.text:
            pass
        assert "scores are not finite numbers" in caplog.text
        for reply in (client.get("/readyz"), client.post("/v1/classify", content=b"RIFF")):
            assert (reply.status_code, "not ready" in reply.json()["error"]) == (503, True)


def test_what_the_server_says_names_the_model_without_its_path(served: Server, served_model: Path) -> None:
    content = io.BytesIO()
    soundfile.write(content, wave(1), 16_000, format="WAV")
    said = [httpx.get(f"{served.url}{path}").text for path in ("/", "/v1/model", "/metrics", "/openapi.json")]
    said.append(httpx.post(f"{served.url}/v1/explain", content=content.getvalue(), timeout=60).text)
    said.append(served.log.read_text())
    assert json.loads(said[1])["model"] == json.loads(said[4])["model"] == "classifier"
    assert not [text for text in said if str(served_model.parent) in text]


def test_an_empty_token_in_the_environment_is_refused_as_an_empty_option_is(served_model: Path) -> None:
    command = [sys.executable, "-m", "hubbub.cli", "serve", str(served_model), "--port", "0"]
    for token in ("", "  "):
        environment = os.environ | {"HUBBUB_TOKEN": token}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, "is not empty" in done.stderr.replace("\n", " ")) == (2, True), done.stderr
