"""Hostile clients of a real server: what is refused and how it is told, what it costs, and what others notice of it."""

import gzip
import json
import random
import select
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from playwright.sync_api import Browser

from tests.helpers.amount import amount
from tests.helpers.browsing import browser
from tests.helpers.serving import Server, raw, serving
from tests.serve.test_app import alone, posting, sound
from tests.serve.test_load import GOOD, Tally, upload, upload_bad

__all__ = ["browser"]

pytestmark = pytest.mark.slow  # of a server under load
TOKEN = "a-token"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}
HEADER = f"Authorization: Bearer {TOKEN}\r\n"
BIG = bytes(20_000_000)  # more than the sockets of both sides hold
LIMITS = {"stall_s": 3, "upload_s": 30, "max_mb": 2}
CLIENTS = 64
HANDSHAKE = (
    "GET /v1/stream?rate=16000&encoding=f32le HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: "
    f"Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{HEADER}\r\n"
).encode()
CONTINUED, TEXT, BINARY, PING = 0, 1, 2, 9


@pytest.fixture(scope="module")
def server(served_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("hostile"), served_model, limits=LIMITS, token=TOKEN) as server:
        yield server


def counts(server: Server) -> dict[str, float]:
    """Uploads and streams that are open now, and resident memory [MB]."""
    text = httpx.get(f"{server.url}/metrics", headers=ALLOWED, timeout=60).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    names = {"uploads": "hubbub_uploads", "streams": "hubbub_streams", "bytes": "process_resident_memory_bytes"}
    found = {key: float(values[name]) for key, name in names.items()}
    return {**found, "mb": found["bytes"] / 1e6}


def rest(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection, or resets it."""
    content = b""
    with connection, suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            content += piece
    return content


# Refused uploads


def by_httpx(url: str, headers: dict[str, str]) -> tuple[int, Any]:
    reply = httpx.post(url, content=BIG, headers=headers, timeout=60)
    return reply.status_code, reply.json()


def by_requests(url: str, headers: dict[str, str]) -> tuple[int, Any]:
    reply = requests.post(url, data=BIG, headers=headers, timeout=60)
    return reply.status_code, reply.json()


def by_urllib(url: str, headers: dict[str, str]) -> tuple[int, Any]:
    """It sends everything, over a connection that it wants closed, before it reads."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url, BIG, headers), timeout=60)
    return refused.value.code, json.loads(refused.value.read())


def by_curl(url: str, headers: dict[str, str]) -> tuple[int, Any]:
    words = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["curl", "-sS", "-w", "\n%{http_code}", *words, "--data-binary", "@-", url]
    done = subprocess.run(command, input=BIG, capture_output=True, timeout=60, check=True)
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), json.loads(body)


REFUSED: dict[int, dict[str, str]] = {
    401: {},
    413: {**ALLOWED, "Content-Type": "audio/wav"},
}


@pytest.mark.parametrize("status", REFUSED)
@pytest.mark.parametrize("by", [by_httpx, by_requests, by_urllib, by_curl])
def test_ordinary_clients_see_why_a_big_upload_is_refused(server: Server, by: Any, status: int) -> None:
    for _ in range(amount(1, 50)):
        found, answer = by(f"{server.url}/v1/classify", REFUSED[status])
        assert (found, list(answer)) == (status, ["error"])


def test_a_browser_sees_why_a_big_upload_is_refused(server: Server, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        for status, headers in REFUSED.items():
            found = page.evaluate(
                """async ([headers, size]) => {
                  const reply = await fetch("/v1/classify", {method: "POST", headers, body: new Uint8Array(size)});
                  return [reply.status, Object.keys(await reply.json())];
                }""",
                [headers, len(BIG)],
            )
            assert found == [status, ["error"]]


# Slow and endless bodies


def test_a_compressed_bomb_is_not_unpacked(server: Server) -> None:
    bomb, before = gzip.compress(bytes(100_000_000)), counts(server)["mb"]
    for encoding in ("gzip", "deflate", "br", "gzip, gzip", "GZIP"):
        headers = {**ALLOWED, "Content-Encoding": encoding}
        for given in ({"content": bomb}, {"files": {"file": bomb}}):
            reply = httpx.post(f"{server.url}/v1/classify", headers=headers, timeout=60, **given)
            assert (reply.status_code, list(reply.json())) == (415, ["error"])
    assert counts(server)["mb"] - before < 20


def test_slow_clients_are_closed_and_keep_nobody_waiting(server: Server) -> None:
    """Heads that come byte by byte never rest for `stall_s`, and are closed all the same."""
    slow = [raw(server, b"POST /v1/classify HTTP/1.1\r\n") for _ in range(amount(100, 500))]
    begun, open_now, expected = time.monotonic(), list(slow), None
    while open_now and time.monotonic() - begun < 60:
        for one in list(open_now):
            try:
                one.sendall(b"x")
            except OSError:
                open_now.remove(one)
        reply = httpx.post(f"{server.url}/v1/classify", content=GOOD["a second"], headers=ALLOWED, timeout=60)
        expected = expected or reply.json()
        assert (reply.status_code, reply.json()) == (200, expected)
    assert not open_now
    assert all(rest(one) == b"" for one in slow)


def test_a_body_of_endless_small_chunks_is_refused_and_then_cut_off(server: Server) -> None:
    """It ends where the limit of size is reached, and the rest is read for `upload_s` at most."""
    before = counts(server)["mb"]
    head = f"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\n{HEADER}Transfer-Encoding: chunked\r\n\r\n"
    with raw(server, head.encode()) as connection:
        piece, status = b"400\r\n" + bytes(1_024) + b"\r\n", b""
        while not status:
            connection.sendall(piece * 100)
            if select.select([connection], [], [], 0)[0]:
                status = connection.recv(12)
        assert status == b"HTTP/1.1 413"
        assert counts(server)["uploads"] == 0  # what is thrown away keeps no place
        with pytest.raises(OSError):
            while True:
                connection.sendall(piece)
                time.sleep(0.5)
    assert counts(server)["mb"] - before < 20


# Streams


def frame(
    opcode: int, data: bytes = b"", *, last: bool = True, declared: int | None = None, masked: bool = True
) -> bytes:
    """A WebSocket frame (RFC 6455) that may declare another length than its own."""
    size = len(data) if declared is None else declared
    mask = 128 if masked else 0
    head = bytes([(128 if last else 0) | opcode])
    if size < 126:
        head += bytes([mask | size])
    elif size < 65_536:
        head += bytes([mask | 126]) + struct.pack(">H", size)
    else:
        head += bytes([mask | 127]) + struct.pack(">Q", size)
    return head + (bytes(4) if masked else b"") + data


def opened(server: Server) -> socket.socket:
    connection = raw(server, HANDSHAKE)
    content = b""
    while b"ready" not in content:
        piece = connection.recv(4_096)
        assert piece, content
        content += piece
    connection.settimeout(300)
    return connection


def free(server: Server) -> None:
    """Waits until no stream is open."""
    while counts(server)["streams"]:
        time.sleep(0.1)


LYING = {
    "a length of an exabyte": (frame(BINARY, b"1234", declared=2**60), 1009),
    "a length with its highest bit": (frame(BINARY, b"1234", declared=2**63), 1009),
    "more than the limit": (frame(BINARY, b"1234", declared=262_145), 1009),
    "parts that exceed the limit": (
        frame(BINARY, bytes(200_000), last=False) + frame(CONTINUED, bytes(100_000)),
        1009,
    ),
    "a ping of 126 bytes": (frame(PING, bytes(126)), 1002),
    "a ping in parts": (frame(PING, last=False), 1002),
    "an unknown opcode": (frame(3), 1002),
    "reserved bits": (bytes([0x40 | 0x80 | BINARY]) + frame(BINARY)[1:], 1002),
    "no mask": (frame(BINARY, b"1234", masked=False), 1002),
    "a continuation of nothing": (frame(CONTINUED, b"1234"), 1002),
    "text that is not UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "less than it declares": (frame(BINARY, b"1234", declared=1_000), 1008),
}


@pytest.mark.parametrize("case", LYING)
def test_a_frame_that_lies_ends_its_stream(server: Server, case: str) -> None:
    content, code = LYING[case]
    connection = opened(server)
    connection.sendall(content)
    said = rest(connection)
    closing = said.rfind(b"\x88")
    assert struct.unpack(">H", said[closing + 2 : closing + 4]) == (code,)
    assert b"Traceback" not in said
    free(server)


@pytest.mark.parametrize("kind", ["empty messages", "empty parts of a message"])
def test_streams_of_empty_frames_keep_nobody_waiting(server: Server, kind: str) -> None:
    """`serve/test_connections.py` holds how much of each is read at once."""
    before, several = counts(server)["mb"], amount(6_000, 100_000)
    streams = [opened(server) for _ in range(15)]
    start, more = frame(BINARY, last=False), frame(CONTINUED, last=False)
    if kind == "empty messages":
        start = more = frame(BINARY)

    def flood(connection: socket.socket) -> None:
        connection.sendall(start)
        with suppress(OSError):  # parts that make no message for `stall_s` are refused
            for _ in range(several // 1_000):
                connection.sendall(more * 1_000)

    with ThreadPoolExecutor(len(streams)) as threads:
        floods = [threads.submit(flood, one) for one in streams]
        while not all(one.done() for one in floods):
            assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
        for one in floods:
            one.result()
    for one in streams:
        one.close()
    free(server)
    assert counts(server)["mb"] - before < 100


def test_pings_of_a_client_that_reads_nothing_fill_no_memory(server: Server) -> None:
    """As many bytes of pongs as it sends pings would wait for it; it is cut off instead."""
    before = counts(server)["mb"]
    connection = opened(server)
    connection.settimeout(20)
    sent = 0
    with pytest.raises(OSError):
        for _ in range(100):
            connection.sendall(frame(PING, bytes(125)) * 8_000)  # a megabyte
            sent += 1
    assert sent < 50
    free(server)
    assert counts(server)["mb"] - before < 20
    connection.close()


# What errors tell


def test_errors_and_headers_name_no_path_no_version_and_no_trace(server: Server) -> None:
    ask = b"GET /%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n\r\n"
    requested = [
        *(
            ask % (path, b"")
            for path in (b"%00", b"static/..%2f..%2fapp.py", b"static/%ff", b"static//etc/passwd", b"*")
        ),
        *(ask.replace(b"GET", method) % (b"v1/classify", b"") for method in (b"TRACE", b"PUT", b"OPTIONS", b"CONNECT")),
        ask % (b"v1/model?" + b"a=1&" * 3_000, HEADER.encode().strip()),
        ask % (b"v1/stream", b"Upgrade: h2c\r\nConnection: Upgrade"),
        ask % (b"v1/model", b"Content-Length: " + b"9" * 5_000),
        ask % (b"v1/model", b"Transfer-Encoding: gzip, chunked"),
        ask % (b"v1/model", b"X-Forwarded-For: ../../etc\x7f"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        HANDSHAKE.replace(b"/v1/stream", b"/v1/classify"),
    ]
    for content in (b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC" + bytes(99), b"OggS" + bytes(99), b"\x1a\x45\xdf\xa3" * 9):
        requested.append(posting(server, len(content), HEADER) + content)
        requested.append(posting(server, len(content), HEADER).replace(b"classify", b"explain") + content)
    form = b"--x\r\nContent-Disposition: form-data; name=" + b"y" * 9_000
    requested.append(posting(server, len(form), f"{HEADER}Content-Type: multipart/form-data; boundary=x\r\n") + form)
    own = {str(Path.cwd()), str(Path.home()), "/tmp", "site-packages", "Traceback", '.py"', "python", "uvicorn"}
    own |= {f"{name} {metadata.version(name)}".lower() for name in ("uvicorn", "starlette", "hubbub")}
    for one in requested:
        with raw(server, one) as connection:
            connection.settimeout(60)
            content = connection.recv(65_536)
            head = content.partition(b"\r\n\r\n")[0]
            status = int(head.split()[1])
            assert 400 <= status < 500 or (status == 200 and b"OPTIONS" not in one), (one[:90], content[:200])
            assert not [word for word in own if word.lower() in content.decode("latin-1").lower()], (one[:90], content)
            assert b"server:" not in head.lower() and b"x-powered-by" not in head.lower()


# All at once


def drip(server: Server, draw: random.Random, tally: Tally) -> None:
    """An upload that comes in small pieces with pauses, as a whole or not."""
    content, until = GOOD["a second"], draw.choice((1.0, 0.5))
    with raw(server, posting(server, len(content), f"{HEADER}Connection: close\r\n")) as line:
        size = len(content) // 10
        for at in range(0, round(len(content) * until), size):
            line.sendall(content[at : at + size])
            time.sleep(draw.random() / 5)
        if until < 1:
            tally.add("slow, left", 0, True)
            return
        status = int(rest(line).split()[1])
        tally.add("slow", status, status in (200, 429, 503))


def lie(server: Server, draw: random.Random, tally: Tally) -> None:
    """A stream whose frame lies, or one too many."""
    content, code = LYING[draw.choice(list(LYING)[:-1])]
    with suppress(ConnectionResetError, BrokenPipeError):
        said = rest(raw(server, HANDSHAKE + content))
        tally.add("lying", code, said.startswith((b"HTTP/1.1 101", b"HTTP/1.1 429", b"HTTP/1.1 503")))


def behave(server: Server, seed: int, until: float, expected: dict[str, Any]) -> Tally:
    draw, tally, url = random.Random(seed), Tally(), f"{server.url}/v1/classify"
    with httpx.Client(timeout=300, headers=ALLOWED) as client:
        while time.monotonic() < until:
            match draw.choices(("good", "bad", "slow", "lying"), (6, 2, 1, 1))[0]:
                case "good":
                    upload(client, url, draw, expected, tally)
                case "bad":
                    upload_bad(client, url, draw, tally)
                case "slow":
                    drip(server, draw, tally)
                case "lying":
                    lie(server, draw, tally)
    return tally


def test_64_clients_good_bad_slow_and_lying(
    server: Server, served_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected: dict[str, Any] = {kind: alone(served_model, content, tmp_path) for kind, content in GOOD.items()}
    tallies, memory = [], []
    with ThreadPoolExecutor(CLIENTS) as clients:
        for part in range(3):
            until = time.monotonic() + amount(10, 600) / 3
            seeds = range(part * CLIENTS, (part + 1) * CLIENTS)
            tallies += clients.map(lambda seed, u=until: behave(server, seed, u, expected), seeds)
            free(server)
            memory.append(round(counts(server)["mb"]))
    statuses = {kind: sum(one.statuses[kind] for one in tallies) for one in tallies for kind in one.statuses}
    with capsys.disabled():
        print(f"\n{dict(sorted(statuses.items()))}\nresident MB after each third: {memory}")
    assert [wrong for one in tallies for wrong in one.wrong] == []
    assert statuses["good 200"] and statuses["slow 200"]
    assert memory[-1] - memory[1] < 100
    assert [line for line in server.lines() if line["level"] == "error"] == []


def test_a_stop_with_work_in_flight_loses_no_accepted_answer(server: Server) -> None:
    """The last test of this file: it stops the server."""
    content = sound(5)
    several = amount(24, CLIENTS)
    accepted = [
        raw(server, posting(server, len(content), HEADER) + content[:-100], f"127.0.0.{2 + k % 4}")
        for k in range(several)
    ]
    while counts(server)["uploads"] < several:
        time.sleep(0.05)
    server.process.terminate()
    for one in accepted:
        one.sendall(content[-100:])
    said = [rest(one) for one in accepted]
    assert [one[:12] for one in said] == [b"HTTP/1.1 200"] * several
    answers = [json.loads(one.partition(b"\r\n\r\n")[2]) for one in said]
    assert all(one["label"] == answers[0]["label"] for one in answers)
    assert server.process.wait(60) == 0
    assert [line for line in server.lines() if line["level"] == "error"] == []
