"""Commands that are killed at random moments end, when they are given again, as if nothing had happened.

The rerun gives the figures and files of an undisturbed run, no half-written file is read, nothing is indexed twice, no
label is lost after its answer was given, and no process of a killed command keeps running.
"""

import hashlib
import io
import json
import random
import signal
import sqlite3
import threading
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from hubbub.archive import index
from hubbub.archive.archive import Archive
from hubbub.archive.labels import add_class
from hubbub.config.recipe import Recipe
from hubbub.data import origins
from hubbub.runtime.catalogue import ASSETS
from tests.helpers.amount import amount
from tests.helpers.archives import recordings_of_tones, tone_archive
from tests.helpers.classifiers import small_classifier
from tests.helpers.files import read_json
from tests.helpers.killing import Lives, start
from tests.helpers.runs import figures
from tests.helpers.sounds import sounds, write_tones
from tests.helpers.waiting import until

#: Files that say when something was written, or in which order threads were ready.
TIMED = {origins.JOURNAL, ".lock"}


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder and their content."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if Path(name).name not in TIMED}


def visible(folder: Path) -> dict[str, bytes]:
    """Those whose names say that they are whole."""
    return {name: content for name, content in tree(folder).items() if not any(p[0] == "." for p in Path(name).parts)}


def lives(begin: Callable[..., BaseProcess], folder: Path, **options: Any) -> Lives:
    """Lives of a command, each with a cache of its own: `begin` takes the folder, and what `start` needs besides."""

    def with_cache(place: Path, log: Path) -> BaseProcess:
        cache = place.with_name(f"{place.name}.cache")
        return begin(place, log=log, folder=folder, environment={"HUBBUB_CACHE": str(cache)})

    return Lives(with_cache, **options)


# Runs


def same_run(whole: Path, place: Path) -> None:
    """The same figures, and files of the same names."""
    assert figures(place) == figures(whole)
    assert names(place) == names(whole)


def names(folder: Path) -> set[str]:
    """Those of the files of a run; the names of TensorBoard's tell times and processes."""
    return {str(Path(name).parent) if ".tfevents." in name else name for name in tree(folder)}


def whole_json(folder: Path) -> None:
    """A killed run leaves no half of a result."""
    for name, content in visible(folder).items():
        if name.endswith(".json"):
            json.loads(content)


def recipe_file(folder: Path, **sections: dict[str, Any]) -> Path:
    """A recipe of 32 tones in four folds and the smallest network; it takes seconds."""
    content: dict[str, Any] = {
        "data": {"name": str(write_tones(folder / "in") / "list.csv")},
        "windows": {"length": 4000, "hop": 4000},
        "frontend": {"name": "logmel", "n_fft": 512, "hop": 256, "n_mels": 32},
        "network": {"name": "cnn", "width": 2},
        "train": {"epochs": 3, "device": "cpu"},
    }
    file = folder / "tones.toml"
    file.write_text(Recipe.of(content | sections).to_toml())
    return file


#: Frozen embeddings of random weights, and a head: for commands that start processes of their own.
HEAD = {"head": {"name": "logreg", "pool": "mean"}}
#: They are not exported, which would take most of the time.
TREES = {"head": {"name": "lightgbm", "pool": "mean", "trees": 10}}
RUNS: dict[str, tuple[list[str], dict[str, Any], int]] = {
    "train": (["train", "--fold", "1", "--no-refit"], {}, 12),
    "bench --jobs 2": (["bench", "--jobs", "2"], {**TREES, "protocol": {"folds": ["1", "2"]}}, 12),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RUNS)[: amount(1, len(RUNS))])  # experiment/test_local.py kills a `bench`, too
def test_a_killed_run_ends_as_an_undisturbed_one(name: str, tmp_path: Path) -> None:
    (command, *options), sections, many = RUNS[name]
    recipe = recipe_file(tmp_path, **sections)

    def begin(place: Path, **given: Any) -> BaseProcess:
        return start(command, recipe, *options, "--out", place, "--name", "run", **given)

    def ended(place: Path) -> None:
        same_run(tmp_path / "whole" / "run", place / "run")

    killed = lives(begin, tmp_path, look=whole_json, ended=ended)
    killed.go(tmp_path, amount(1, many))
    print(f"{name}: {killed.killed} kills in {killed.lives} lives")


@pytest.mark.slow
def test_a_killed_search_tries_all_its_settings(tmp_path: Path) -> None:
    space = {"space": {"head.c": {"choices": [0.001, 0.01, 0.1, 1.0]}}, "trials": 3}
    recipe = recipe_file(tmp_path, **HEAD, tune=space)

    def begin(place: Path, **given: Any) -> BaseProcess:
        return start("tune", recipe, "--jobs", 2, "--out", place, "--name", "run", **given)

    def ended(place: Path) -> None:
        trials = pd.read_csv(place / "run" / "trials.csv")
        done = trials["state"] == "complete"
        assert len(trials) - done.sum() == trials["why"].eq("its process was killed, twice").sum()
        assert read_json(place / "run" / "tune.json")["trials"]["complete"] == done.sum() <= 3
        assert not list((place / "run").glob("trials/*"))

    killed = lives(begin, tmp_path, look=whole_json, ended=ended, most=2, sign=b"trial ")
    killed.go(tmp_path, amount(1, 12))
    print(f"tune --jobs 2: {killed.killed} kills in {killed.lives} lives")


# Files


@pytest.mark.slow
def test_killed_images_are_drawn_to_the_end(tmp_path: Path) -> None:
    listed = write_tones(tmp_path / "in") / "list.csv"
    small = (
        f'data.name="{listed}"', "audio.rate_hz=16000", "windows.length=4000", "windows.hop=4000", "frontend.n_fft=512",
        "frontend.hop=64", "frontend.n_mels=40", "frontend.size=[48,56]",
    )  # fmt: skip
    options = [word for setting in small for word in ("--set", setting)]

    def begin(place: Path, **given: Any) -> BaseProcess:
        return start("data", "images", "us8k-resnet18", place / "out", "--variants", "d", *options, **given)

    check = same_files(tmp_path / "whole")
    killed = lives(begin, tmp_path, look=partial(check, whole=False), ended=check)
    killed.go(tmp_path, amount(1, 14))
    print(f"data images: {killed.killed} kills in {killed.lives} lives")


@pytest.mark.slow
def test_killed_scenes_are_mixed_to_the_end(tmp_path: Path) -> None:
    listed = write_tones(tmp_path / "in") / "list.csv"

    def begin(place: Path, **given: Any) -> BaseProcess:
        return start("data", "scenes", listed, place / "out", "--hours", 0.05, "--length", 5, **given)

    check = same_files(tmp_path / "whole")
    killed = lives(begin, tmp_path, look=partial(check, whole=False), ended=check)
    killed.go(tmp_path, amount(2, 14))
    print(f"data scenes: {killed.killed} kills in {killed.lives} lives")


def same_files(expected: Path) -> Callable[..., None]:
    """Compares what is written with what an undisturbed command wrote: all of it, or what there is."""

    def compare(place: Path, whole: bool = True) -> None:
        there, all_of_it = (tree if whole else visible)(place), tree(expected)
        assert there.keys() <= all_of_it.keys() and (not whole or there.keys() == all_of_it.keys())
        assert all(content == all_of_it[name] for name, content in there.items())

    return compare


@pytest.mark.slow
def test_killed_answers_are_completed(tmp_path: Path) -> None:
    sounds(tmp_path / "in", *(f"{k}.wav" for k in range(40)), seconds=2)
    model = small_classifier("network.width=2", "windows.length=4000", "windows.hop=2000", labels=("dog", "rain"))
    model.save(tmp_path / "model")

    def begin(place: Path, **given: Any) -> BaseProcess:
        return start(
            "classify", tmp_path / "in", "--model", tmp_path / "model", "--csv", "--out", place / "out", **given
        )

    def compare(place: Path, whole: bool = True) -> None:
        expected, found = (visible(one) for one in (tmp_path / "whole", place))
        assert found.keys() <= expected.keys() and (not whole or tree(place).keys() == tree(tmp_path / "whole").keys())
        for name, content in found.items():
            if name.endswith(".csv"):  # the last digits depend on what shared a batch
                tables = [pd.read_csv(io.BytesIO(one)) for one in (content, expected[name])]
                pd.testing.assert_frame_equal(*tables, rtol=1e-4)

    killed = lives(begin, tmp_path, look=partial(compare, whole=False), ended=compare)
    killed.go(tmp_path, amount(1, 16))
    print(f"classify --out: {killed.killed} kills in {killed.lives} lives")


# Downloads


class Slow(BaseHTTPRequestHandler):
    """Serves one file, or the rest of it, slowly."""

    def do_GET(self) -> None:
        body: bytes = self.server.body  # type: ignore[attr-defined]
        begin = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        with_pauses = threading.Event()
        try:
            for at in range(begin, len(body), 1 << 18):
                self.wfile.write(body[at : at + (1 << 18)])
                with_pauses.wait(0.01)
        except OSError:  # the client was killed
            pass

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served_file(body: bytes) -> Iterator[str]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.body = body
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/file"
    finally:
        server.shutdown()
        server.server_close()


def zipped(files: int = 300, size: int = 20_000) -> bytes:
    content, chance = io.BytesIO(), random.Random(0)
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(files):
            archive.writestr(f"thing/audio/{number}.wav", chance.randbytes(size))
    return content.getvalue()


def offer(url: str, checksum: str | None) -> None:
    """Puts the file at an address into the catalogue."""
    esc50 = ASSETS["esc50"]
    ASSETS["esc50"] = replace(esc50, url=url, hash=checksum, file="thing.zip", strip="thing", check=())


@pytest.mark.slow
@pytest.mark.parametrize("checksum", ["published", "none"])
def test_a_killed_download_continues_and_nothing_half_unpacked_is_taken(checksum: str, tmp_path: Path) -> None:
    body = zipped()
    with served_file(body) as url:
        offered = partial(offer, url, f"sha256:{hashlib.sha256(body).hexdigest()}" if checksum == "published" else None)

        def begin(place: Path, **given: Any) -> BaseProcess:
            given["environment"] |= {"HUBBUB_HOME": str(place), "NO_PROXY": "127.0.0.1"}
            return start("data", "get", "esc50", setup=offered, **given)

        check = same_files(tmp_path / "whole")

        def look(place: Path) -> None:
            """A name without a dot is of a whole data set."""
            assert (
                not (place / "data" / "esc50").exists() or visible(place).keys() >= visible(tmp_path / "whole").keys()
            )

        killed = lives(begin, tmp_path, look=look, ended=check)
        killed.go(tmp_path, amount(1, 10))
    print(f"data get ({checksum}): {killed.killed} kills in {killed.lives} lives")


# Archives


def store_at_once() -> None:
    index.STORE_S = 0.0


@pytest.mark.slow
def test_a_killed_indexer_embeds_everything_once(tmp_path: Path) -> None:
    recordings = recordings_of_tones(tmp_path / "in", 20)

    def begin(place: Path, **given: Any) -> BaseProcess:
        words = ("index", recordings, "--to", place / "archive", "--model", "small")
        return start(*words, setup=store_at_once, **given)

    def segments(place: Path) -> dict[str, np.ndarray]:
        opened = Archive(place / "archive")
        found = [(opened.place(number).path, opened.vectors.take([number])) for number in range(opened.segments)]
        assert len(found) == len(dict(found)), "a recording is in the archive twice"
        return dict(found)

    def look(place: Path) -> None:
        if (place / "archive" / "archive.sqlite").is_file():
            with sqlite3.connect(place / "archive" / "archive.sqlite") as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def ended(place: Path) -> None:
        expected, found = segments(tmp_path / "whole"), segments(place)
        assert found.keys() == expected.keys() and len(found) == 60
        assert all(np.allclose(found[path], row, atol=1e-2) for path, row in expected.items())

    killed = lives(begin, tmp_path, look=look, ended=ended, most=12)
    killed.go(tmp_path, amount(4, 50))
    print(f"index: {killed.killed} kills in {killed.lives} lives")


@contextmanager
def answering(folder: Path, *words: object) -> Iterator[tuple[BaseProcess, str]]:
    """A command that serves, from when it says where; killed in the end at the latest."""
    log = folder / f"{uuid.uuid4().hex}.log"
    process = start(*words, "--port", 0, log=log, folder=folder)
    try:
        until(lambda: b" at http://" in (log.read_bytes() if log.is_file() else b""))
        url = log.read_text().partition(" at ")[2].split()[0]
        until(lambda: process.exitcode is not None or httpx.get(f"{url}/readyz").status_code == 200)
        yield process, url
    finally:
        process.kill()
        process.join()


def label_until_killed(process: BaseProcess, url: str, after: float) -> list[str]:
    """Send one label after the other, and kill the server some time [s] after the first; the answered requests."""
    timer, answered = threading.Timer(after, process.kill), []
    with httpx.Client(base_url=url) as client:
        try:
            while True:
                request = uuid.uuid4().hex
                said = [{"segment": len(answered) % 12, "class": "low", "value": "yes"}]
                client.post("/v1/labels", json={"who": "ann", "request": request, "statements": said})
                answered.append(request)
                if len(answered) == 1:
                    timer.start()
        except httpx.TransportError:
            timer.join()
            process.join()
    return answered


@pytest.mark.slow
def test_no_label_is_lost_after_its_answer_was_given(tmp_path: Path) -> None:
    archive, _ = tone_archive(tmp_path)
    opened, chance, answered, kills = Archive(archive), random.Random(0), [], amount(3, 50)
    add_class(opened.database, "low", "ann")
    for number in range(kills):
        with answering(tmp_path, "explore", archive) as (process, url):
            answered += label_until_killed(process, url, chance.uniform(0, 0.3))
        assert process.exitcode == -signal.SIGKILL
        stored = {row[0] for row in opened.database.execute("SELECT request FROM labels")}
        assert set(answered) <= stored
        assert len(stored) - len(answered) <= number + 1  # those that the kill left without an answer
    assert answered
    assert opened.database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    print(f"explore: {kills} kills, {len(answered)} answered labels")


@pytest.mark.slow
def test_a_killed_server_answers_as_before_when_it_is_started_again(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", seconds=1)
    small_classifier("network.width=2", "windows.length=4000", "windows.hop=4000", labels=("dog", "rain")).save(
        tmp_path / "model"
    )
    before, content, answers = tree(tmp_path / "model"), (tmp_path / "a.wav").read_bytes(), set()
    chance, kills = random.Random(0), amount(1, 10)
    for _ in range(kills):
        with answering(tmp_path, "serve", tmp_path / "model") as (process, url):
            timer = threading.Timer(chance.uniform(0, 0.3), process.kill)
            with httpx.Client(base_url=url) as client:
                try:
                    while True:
                        answer = client.post("/v1/classify", files={"file": ("a.wav", content)})
                        answers.add(json.dumps(answer.json()["scores"]))
                        if not timer.ident:
                            timer.start()
                except httpx.TransportError:
                    timer.join()
                    process.join()
        assert process.exitcode == -signal.SIGKILL and tree(tmp_path / "model") == before
    assert len(answers) == 1
    print(f"serve: {kills} kills")
