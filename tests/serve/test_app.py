"""The server as a process: it answers as `hubbub classify` does, refuses with a reason and stops cleanly."""

import base64
import dataclasses
import io
import json
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from hubbub.classifier.export import Sounds, export
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.errors import HubbubError
from hubbub.inference.events import EventSettings
from hubbub.inference.explain import explain
from hubbub.inference.predict import predict_files
from hubbub.inference.result import PredictOptions
from hubbub.report.explanation import write_explanation
from hubbub.serve import server as process
from hubbub.serve.app import create_app
from hubbub.serve.limits import Limits
from hubbub.serve.schema import ClassifyResponse, ExplainResponse, ModelInfo
from hubbub.serve.server import ServeError
from tests.helpers.serving import Server, figures, raw, serving, wave

LABELS = ("dog", "rain", "siren")
RATE = 16_000


def sound(
    seconds: float = 3, kind: str = "WAV", seed: int = 0, rate: int = RATE, channels: int = 1, **more: Any
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave(seconds, seed, rate, channels), rate, format=kind, **more)
    return file.getvalue()


def alone(model: Path, content: bytes, folder: Path, options: PredictOptions | None = None) -> dict[str, Any]:
    """What `hubbub classify --json` prints of a file."""
    file = folder / "alone"
    file.write_bytes(content)
    (answer,) = predict_files(TorchClassifier.load(model), [str(file)], options=options or PredictOptions())
    return answer.to_dict()


def assert_same(answer: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(answer) == set(expected)
    assert answer["label"] == expected["label"]
    assert answer["scores"] == pytest.approx(expected["scores"], abs=1e-5)
    assert answer["seconds"] == pytest.approx(expected["seconds"])
    assert [s["label"] for s in answer["segments"]] == [s["label"] for s in expected["segments"]]
    for key in ("start", "end", "score"):
        assert [s[key] for s in answer["segments"]] == pytest.approx([s[key] for s in expected["segments"]], abs=1e-5)


FORMATS = {
    "wav": lambda: sound(rate=44_100, channels=2, subtype="PCM_24"),
    "flac": lambda: sound(kind="FLAC", rate=48_000),
    "ogg": lambda: sound(kind="OGG", rate=22_050),
    "mp3": lambda: sound(kind="MP3", rate=44_100),
    "short": lambda: sound(0.01),
    "long": lambda: sound(90, rate=8_000),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_answer_is_that_of_classify(served: Server, served_model: Path, tmp_path: Path, kind: str) -> None:
    content = FORMATS[kind]()
    by_form = httpx.post(f"{served.url}/v1/classify", files={"file": ("street.wav", content)}, timeout=60)
    by_body = httpx.post(f"{served.url}/v1/classify", content=content, timeout=60)
    expected = alone(served_model, content, tmp_path)
    for answer, name in ((by_form, "street.wav"), (by_body, "upload")):
        assert answer.status_code == 200, answer.text
        assert_same(answer.json(), expected)
        assert (answer.json()["file"], answer.json()["model"]) == (name, served_model.name)
        ClassifyResponse.model_validate(answer.json())


def test_events_are_those_of_classify(served: Server, served_model: Path, tmp_path: Path) -> None:
    content = sound(6)
    url = f"{served.url}/v1/classify?threshold=0.35&release=0.3&shortest=0.1&gap=1"
    answer = httpx.post(url, content=content, timeout=60).json()
    expected = alone(served_model, content, tmp_path, PredictOptions(events=EventSettings(0.35, 0.3, 0.1, 1)))
    assert_same(answer, expected)
    assert [(e["label"], e["start"], e["end"]) for e in answer["events"]] == [
        (e["label"], e["start"], e["end"]) for e in expected["events"]
    ]
    assert answer["events"]
    own = httpx.post(f"{served.url}/v1/classify?events=true", content=content, timeout=60).json()
    assert_same(own, alone(served_model, content, tmp_path, PredictOptions(events=EventSettings())))
    for query, status in (("threshold=2", 422), ("threshold=x", 400), ("threshold=0.5&release=0.9", 422)):
        reply = httpx.post(f"{served.url}/v1/classify?{query}", content=content)
        assert (reply.status_code, list(reply.json())) == (status, ["error"])


def test_answers_at_once_equal_those_one_by_one(served: Server, served_model: Path, tmp_path: Path) -> None:
    contents = [sound(0.5 + seed % 5, seed=seed) for seed in range(24)]
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(24) as threads:
        replies = list(threads.map(lambda c: client.post(f"{served.url}/v1/classify", content=c), contents))
    for reply, content in zip(replies, contents, strict=True):
        assert_same(reply.json(), alone(served_model, content, tmp_path))


def test_explain_gives_what_the_command_writes(served: Server, served_model: Path, tmp_path: Path) -> None:
    content = sound(3)
    reply = httpx.post(f"{served.url}/v1/explain?label=rain", files={"file": ("a.wav", content)}, timeout=120)
    answer = reply.json()
    ExplainResponse.model_validate(answer)
    classifier = TorchClassifier.load(served_model)
    card = write_explanation(classifier, explain(classifier, io.BytesIO(content), label="rain"), tmp_path / "why")
    assert answer["label"] == "rain"
    assert set(answer["media"]) == {p.name for p in (tmp_path / "why").glob("*.[pw]*")}
    for part, scores in card["scores"].items():
        assert answer["scores"][part] == pytest.approx(scores, abs=1e-4)
    listened, rest = (read_data(answer["media"][answer["files"][part]]) for part in ("listened", "rest"))
    np.testing.assert_allclose(listened + rest, wave(3)[:, 0], atol=1e-3)  # the file holds 16-bit samples
    assert base64.b64decode(answer["media"]["clip.png"].partition(",")[2]).startswith(b"\x89PNG")


def test_only_a_part_of_a_long_recording_is_explained(served: Server) -> None:
    content, url = sound(31, "FLAC", rate=8_000), f"{served.url}/v1/explain"
    whole = httpx.post(url, content=content, timeout=60)
    assert (whole.status_code, whole.json()["error"][:18]) == (413, "30 s are the most.")
    part = httpx.post(f"{url}?start=29.5&end=31", content=content, timeout=120)
    assert part.json()["seconds"] == 1.5
    unknown = httpx.post(f"{url}?label=rein&start=30", content=content, timeout=60)
    assert (unknown.status_code, "Did you mean 'rain'" in unknown.json()["error"]) == (422, True)


def read_data(address: str) -> np.ndarray:
    kind, _, text = address.partition(",")
    assert kind == "data:audio/wav;base64"
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(text)), dtype="float32")
    return samples


def nan_wave() -> bytes:
    samples, file = wave(1), io.BytesIO()
    samples[77] = np.nan
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def form(*parts: tuple[str, str], boundary: str = "x") -> dict[str, Any]:
    body = "".join(f"--x\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n" for head, text in parts)
    return {
        "content": (body + "--x--\r\n").encode(),
        "headers": {"content-type": f"multipart/form-data; boundary={boundary}"},
    }


BAD: dict[str, tuple[int, str, Callable[[], dict[str, Any]]]] = {
    "nothing": (400, "empty", lambda: {"content": b""}),
    "an empty file": (400, "empty", lambda: {"files": {"file": b""}}),
    "no file": (400, "no complete file", lambda: form(('name="file"', "text"))),
    "two files": (400, "Too many files", lambda: {"files": [("file", b"a"), ("file", b"b")]}),
    "many fields": (400, "Too many fields", lambda: {"data": {str(k): "" for k in range(99)}, "files": {"file": b"a"}}),
    "a large field": (400, "Part exceeded", lambda: {"data": {"x": "y" * 10_000}, "files": {"file": b"a"}}),
    "a form cut off": (
        400,
        "no complete file",
        lambda: {**form(), "content": b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nRIFF'},
    ),
    "a form without a boundary": (
        400,
        "form cannot be read",
        lambda: {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
    ),
    "another boundary": (400, "form cannot be read", lambda: form(('name="file"; filename="a"', "x"), boundary="y")),
    "text": (415, "text/plain", lambda: {"content": b"hello", "headers": {"content-type": "text/plain"}}),
    "JSON": (415, "application/json", lambda: {"json": {"file": "/etc/passwd"}}),
    "packed": (415, "Content-Encoding", lambda: {"content": sound(), "headers": {"content-encoding": "gzip"}}),
    "no sound": (415, "be read as audio", lambda: {"content": bytes(range(256)) * 40}),
    "a list of files": (
        415,
        "cannot be read as audio",
        lambda: {"content": b"ffconcat version 1.0\nfile pyproject.toml\n"},
    ),
    "cut off": (422, "cut off", lambda: {"content": sound()[:-1000]}),
    "an ogg cut off": (422, "cut off", lambda: {"content": sound(kind="OGG")[:-1000]}),
    "a NaN": (422, "1 samples that are NaN", lambda: {"content": nan_wave()}),
    "a high rate": (422, "Hz are the most", lambda: {"content": sound(0.1, rate=500_000)}),
    "no samples": (422, "no samples", lambda: {"content": sound(0)}),
    "too long": (413, "120 s are the most", lambda: {"content": sound(121, "FLAC", rate=8_000)}),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_classified_is_refused_with_a_reason(served: Server, case: str) -> None:
    status, reason, given = BAD[case]
    reply = httpx.post(f"{served.url}/v1/classify", timeout=60, **given())
    assert reply.status_code == status, reply.text
    assert set(reply.json()) == {"error"}
    assert reason in reply.json()["error"]
    assert httpx.post(f"{served.url}/v1/classify", content=sound(0.1), timeout=60).status_code == 200


@pytest.mark.parametrize(
    "query", ["classify?threshold=nan", "classify?gap=inf", "explain?start=nan", "explain?end=inf"]
)
def test_a_parameter_that_is_no_number_is_refused(served: Server, query: str) -> None:
    reply = httpx.post(f"{served.url}/v1/{query}", content=sound(0.1), timeout=60)
    name = query.partition("?")[2].partition("=")[0]
    assert (reply.status_code, reply.json()) == (400, {"error": f"query.{name}: Input should be a finite number"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -1, "32", None])
def test_a_limit_that_limits_nothing_is_refused(value: Any) -> None:
    for name in (one.name for one in dataclasses.fields(Limits)):
        with pytest.raises(HubbubError, match=rf"^the limit {name} is .*: give a (whole )?number above 0, such as \d"):
            Limits(**{name: value})


def ogg_that_declares(hours: float) -> bytes:
    """An Ogg file of one second whose last page declares hours; its checksum is right."""
    content = bytearray(sound(1, "OGG"))
    page = content.rfind(b"OggS")
    content[page + 6 : page + 14] = int(hours * 3600 * RATE).to_bytes(8, "little")
    content[page + 22 : page + 26] = bytes(4)
    checksum = 0
    for byte in content[page:]:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1) ^ (0x04C11DB7 if checksum & 0x80000000 else 0)
        checksum &= 0xFFFFFFFF
    content[page + 22 : page + 26] = checksum.to_bytes(4, "little")
    return bytes(content)


def silent_flac(minutes: float, declared: bool = True) -> bytes:
    """Silence, which compresses a thousandfold; its header may leave out the length."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(round(minutes * 60 * RATE), np.int16), RATE, format="FLAC")
    content = bytearray(file.getvalue())
    if not declared:
        content[21] &= 0xF0
        content[22:26] = bytes(4)
    return bytes(content)


def resident(server: Server) -> float:
    """Resident memory from the server's own metrics [MB]."""
    return figures(server)["process_resident_memory_bytes", ()] / 1e6


@pytest.mark.parametrize(
    "bomb",
    [ogg_that_declares(2_000), silent_flac(60), silent_flac(60, declared=False)],
    ids=["an ogg that declares hours", "an hour of silence", "an hour that is not declared"],
)
def test_a_bomb_does_not_go_off(served: Server, bomb: bytes) -> None:
    assert len(bomb) < 600_000
    before = resident(served)
    reply = httpx.post(f"{served.url}/v1/classify", content=bomb, timeout=60)
    assert (reply.status_code, reply.json()) == (413, {"error": "120 s are the most. Cut the recording into parts."})
    assert resident(served) - before < 100  # an hour of samples takes 230 MB


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../../../etc/passwd", "passwd"),
        ("C:\\Windows\\win.ini", "win.ini"),
        ("a\x1b[2J\u202egnp.wav", "a[2Jgnp.wav"),
        ("/", "upload"),
        ("x" * 1_000 + ".wav", "x" * 200),
        ('"><script>alert(1)<', "><script>alert(1)<"),
        ("straße ü.wav", "straße ü.wav"),
    ],
)
def test_a_file_name_is_only_said_back(served: Server, name: str, said: str) -> None:
    reply = httpx.post(f"{served.url}/v1/classify", files={"file": (name, sound(0.1))}, timeout=60)
    assert reply.json()["file"].replace("%22", "") == said
    assert reply.headers["content-type"] == "application/json"
    assert "passwd" not in served.log.read_text()


def test_routes_that_are_not_there_and_wrong_methods(served: Server) -> None:
    for path in ("/nothing", "/static/nothing.js", "/static/../app.py", "/static/%2e%2e/app.py", "/docs"):
        reply = httpx.get(served.url + path)
        assert (reply.status_code, list(reply.json())) == (404, ["error"])
    reply = httpx.get(f"{served.url}/v1/classify")
    assert (reply.status_code, list(reply.json())) == (405, ["error"])


def test_the_model_says_what_must_be_known_of_it(served: Server, served_model: Path) -> None:
    about = httpx.get(f"{served.url}/v1/model").json()
    ModelInfo.model_validate(about)
    assert about["labels"] == list(LABELS)
    assert (about["rate_hz"], about["segment_seconds"], about["hop_seconds"]) == (RATE, 2.0, 0.5)
    assert about["warnings"] == ["RANDOM WEIGHTS"]
    assert about["limits"]["max_seconds"] == 120


def test_the_description_of_all_routes_asks_nobody_else(served: Server) -> None:
    described = httpx.get(f"{served.url}/openapi.json").json()
    assert set(described["paths"]) == {*("/v1/classify", "/v1/explain", "/v1/model", "/healthz", "/readyz", "/metrics")}
    assert "multipart/form-data" in described["paths"]["/v1/classify"]["post"]["requestBody"]["content"]
    page = httpx.get(served.url + "/")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "http://" not in page.text and "https://" not in page.text


def test_metrics_count_what_was_asked(served: Server) -> None:
    key = ("hubbub_requests_total", (("route", "/v1/classify"), ("status", "200")))
    before = figures(served)
    httpx.post(f"{served.url}/v1/classify", content=sound(3), timeout=60)
    httpx.get(f"{served.url}/made-up-{id(before)}")
    after = figures(served)
    assert after[key] == before.get(key, 0) + 1
    assert after["hubbub_segments_total", ()] == before["hubbub_segments_total", ()] + 3
    assert after["hubbub_queue_depth", ()] == 0
    assert after["hubbub_ready", ()] == 1
    assert not any("made-up" in str(key) for key in after)


def test_the_log_is_json_and_holds_no_names(served: Server) -> None:
    given = {"files": {"file": ("hidden-name.wav", sound(0.1))}}
    reply = httpx.post(f"{served.url}/v1/explain?label=siren", timeout=60, **given)
    httpx.get(f"{served.url}/healthz")  # what came before it is written by then
    text = served.log.read_text()
    assert "hidden-name" not in text and "siren" not in text
    (line,) = (line for line in served.lines() if line.get("id") == reply.headers["x-request-id"])
    assert (line["event"], line["route"], line["status"], line["method"]) == ("request", "/v1/explain", 200, "POST")
    assert line["bytes"] > 3_000


def test_a_page_of_another_origin_gets_nothing(served: Server) -> None:
    url = f"{served.url}/v1/model"
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{served.port + 1}"):
        reply = httpx.get(url, headers={"origin": origin})
        assert (reply.status_code, list(reply.json())) == (403, ["error"])
    assert httpx.get(url, headers={"host": "evil.example"}).status_code == 403  # a name bent to this machine
    own = httpx.get(url, headers={"origin": served.url})
    assert own.status_code == 200
    assert not [name for name in own.headers if name.startswith("access-control")]


@pytest.mark.parametrize("address", ["[", "a]", "[zz]"])
def test_a_name_that_is_no_address_is_refused(served: Server, address: str) -> None:
    url = f"{served.url}/v1/model"
    for headers in ({"host": address}, {"origin": f"http://{address}"}):
        reply = httpx.get(url, headers=headers)
        assert (reply.status_code, reply.json()["error"][-36:]) == (400, "is not an address. Send a valid one.")


# Raw sockets: these tests send a request in pieces.


def reply_of(connection: socket.socket) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of the answer, once the server has closed the connection."""
    content = b""
    with connection:
        while piece := connection.recv(65_536):
            content += piece
    head, _, body = content.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body.decode()


def posting(server: Server, declared: int, more: str = "") -> bytes:
    return f"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {declared}\r\n{more}\r\n".encode()


def test_a_client_that_stalls_is_told_so(strict: Server) -> None:
    content = sound(1)
    status, _, body = reply_of(raw(strict, posting(strict, len(content)) + content[:1000]))
    assert (status, list(json.loads(body))) == (408, ["error"])


def test_a_connection_that_never_asks_is_closed(strict: Server) -> None:
    for text in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 1000):
        with raw(strict, text) as connection:
            assert connection.recv(1000) == b""


def test_what_is_no_http_is_refused(strict: Server) -> None:
    for text in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        posting(strict, 0).replace(b": 0", b": -5"),
        b"GET / HTTP/1.1\r\nX: " + b"y" * 99_999,
    ):
        status, _, body = reply_of(raw(strict, text + b"\r\n\r\n"))
        assert (status, list(json.loads(body))) == (400, ["error"])


def test_a_client_that_sends_less_than_it_said_and_leaves(strict: Server) -> None:
    key = ("hubbub_requests_total", (("route", "/v1/classify"), ("status", "499")))
    before = figures(strict).get(key, 0)
    raw(strict, posting(strict, 10_000) + b"RIFF").close()
    while figures(strict).get(key, 0) == before:
        pass
    assert figures(strict)["hubbub_uploads", ()] == 0


def test_a_client_that_sends_more_than_it_said(strict: Server) -> None:
    content = sound(0.2)
    with raw(strict, posting(strict, len(content)) + content + b"and more\r\n\r\n") as connection:
        replies = b""
        while piece := connection.recv(65_536):
            replies += piece
    assert replies.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 400" in replies


def test_too_large_is_said_before_it_is_sent(strict: Server) -> None:
    content = httpx.post(f"{strict.url}/v1/classify", content=bytes(300_000))
    assert (content.status_code, content.json()["error"][:8]) == (413, "0.2 MB a")
    with raw(strict, posting(strict, 10**12, "Expect: 100-continue\r\n")) as connection:
        assert connection.recv(12) == b"HTTP/1.1 413"
    pieces = (bytes(1000) for _ in range(1000))
    assert httpx.post(f"{strict.url}/v1/classify", content=pieces).status_code == 413


def test_overload_is_declared(strict: Server) -> None:
    """Four uploads at once here, two from one address; each of these holds its place until it stalls."""
    held = [raw(strict, posting(strict, 1000), address) for address in ("127.0.0.2", "127.0.0.2", "127.0.0.3")]
    while figures(strict)["hubbub_uploads", ()] < 3:
        pass
    status, headers, body = reply_of(raw(strict, posting(strict, 0, "Connection: close\r\n"), "127.0.0.2"))
    assert (status, headers["retry-after"]) == (429, "1")
    assert "from one address" in json.loads(body)["error"]
    held.append(raw(strict, posting(strict, 1000), "127.0.0.3"))
    while figures(strict)["hubbub_uploads", ()] < 4:
        pass
    status, headers, body = reply_of(raw(strict, posting(strict, 0, "Connection: close\r\n"), "127.0.0.4"))
    assert (status, headers["retry-after"], list(json.loads(body))) == (503, "1", ["error"])
    for connection in held:
        assert reply_of(connection)[0] == 408
    assert httpx.post(f"{strict.url}/v1/classify", content=sound(1)).status_code == 200


def test_a_client_that_does_not_read_its_answers_is_cut_off(served_model: Path, tmp_path: Path) -> None:
    """Its first answer is more than the sockets buffer; what it asked behind it gives its place back."""
    first, second = sound(1, "FLAC"), sound(0.1)
    explained = ("hubbub_requests_total", (("route", "/v1/explain"), ("status", "200")))
    limits = {"upload_s": 3, "stall_s": 600, "shutdown_s": 600}
    with serving(tmp_path / "unread", served_model, limits=limits) as server, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(posting(server, len(first)).replace(b"classify", b"explain") + first)
        connection.sendall(posting(server, len(second)) + second)
        while explained not in figures(server):
            pass
        while figures(server)["hubbub_uploads", ()]:
            pass
        assert server.stop() == 0


def test_a_clean_stop_finishes_what_was_accepted(served_model: Path, tmp_path: Path) -> None:
    content = sound(5)
    expected = alone(served_model, content, tmp_path)
    with serving(tmp_path / "stopped", served_model) as server:
        half = len(content) // 2
        upload = raw(server, posting(server, len(content)) + content[:half])
        with connect(f"ws://127.0.0.1:{server.port}/v1/stream?rate=16000&encoding=f32le&threshold=1") as stream:
            assert json.loads(stream.recv())["type"] == "ready"
            stream.send(wave(1.2).tobytes())
            while figures(server)["hubbub_uploads", ()] < 1:
                pass
            server.process.send_signal(signal.SIGTERM)
            # The last segment, which was not whole, is heard before the stream ends.
            said = [json.loads(stream.recv()) for _ in range(2)]
            assert [(one["type"], one.get("end")) for one in said] == [("segment", 1.2), ("end", None)]
            with pytest.raises(ConnectionClosed):
                stream.recv()
            assert stream.close_code == 1012
        upload.sendall(content[half:])
        status, _, body = reply_of(upload)
        assert status == 200
        assert_same(json.loads(body), expected)
        assert server.process.wait(60) == 0
        with pytest.raises(ConnectionRefusedError):
            raw(server, b"")
        assert [line["event"] for line in server.lines() if line["level"] == "error"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token": ""}, "is not empty"),
        ({"token": "two words"}, "is written with"),
        ({"port": None}, "cannot listen at"),
    ],
)
def test_what_cannot_be_started_is_said(
    served: Server, served_model: Path, options: dict[str, Any], message: str
) -> None:
    if "port" in options:
        options = {"port": served.port}  # taken
    with pytest.raises(ServeError, match=message):
        process.run(partial(create_app, TorchClassifier.load(served_model), "m"), Limits(), log=print, **options)


@pytest.mark.slow
def test_an_exported_file_is_served_without_torch(served_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    export(TorchClassifier.load(served_model), file, Sounds("noise", [wave(3, seed)[:, 0] for seed in range(3)]))
    content = sound(5, "OGG", rate=22_050)
    expected = alone(served_model, content, tmp_path)
    missing = ("torch", "torchvision", "lightning", "timm", "captum")
    with serving(tmp_path / "served", file, limits={}, missing=missing) as server:
        answer = httpx.post(f"{server.url}/v1/classify", content=content, timeout=60).json()
        assert answer["label"] == expected["label"]
        assert answer["scores"] == pytest.approx(expected["scores"], abs=1e-4)
        card = httpx.post(f"{server.url}/v1/explain", content=content, timeout=60).json()
        found = explain(TorchClassifier.load(served_model), io.BytesIO(content), occlusion=True)
        assert (card["method"], card["label"]) == ("occlusion", found.label)
        assert card["scores"]["original"] == pytest.approx(expected["scores"], abs=1e-4)
        assert set(card["files"].values()) <= set(card["media"])
