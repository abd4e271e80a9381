"""What `hubbub explore` answers over HTTP, and what it refuses."""

import csv
import io
import json
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from PIL import Image
from pydantic import BaseModel

from hubbub.archive.archive import Archive
from hubbub.archive.index import index
from hubbub.serve.explore import schema
from tests.helpers.archives import copy_of, label, recordings_of_tones, tone_archive, tones
from tests.helpers.serving import Server, exploring

WHO = {"who": "ann"}
Explore = Callable[..., Server]


def post(server: Server, path: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/{path}", json=body, timeout=60)


def get(server: Server, path: str, **query: Any) -> httpx.Response:
    return httpx.get(f"{server.url}/v1/{path}", params=query, timeout=60)


def found(server: Server, **search: Any) -> list[dict[str, Any]]:
    reply = post(server, "search", **search)
    assert reply.status_code == 200, reply.text
    shown: list[dict[str, Any]] = reply.json()["segments"]
    return shown


def pitch(segment: dict[str, Any]) -> str:
    """The class of a tone, by its file's name."""
    return str(segment["file"].partition("/")[2].partition("-")[0])


def segments_of(server: Server, name: str) -> list[int]:
    return [one["segment"] for one in found(server, by="place") if pitch(one) == name]


def say(server: Server, *said: tuple[int, str | None, str], who: str = "ann", request: str = "") -> httpx.Response:
    statements = [{"segment": segment, "class": name, "value": value} for segment, name, value in said]
    return post(server, "labels", who=who, request=request or uuid.uuid4().hex, statements=statements)


def until(server: Server, truth: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The answer about classes, once something is true of it."""
    for _ in range(600):
        answer: dict[str, Any] = get(server, "classes").json()
        if truth(answer):
            return answer
        time.sleep(0.1)
    raise AssertionError(answer)


def test_the_archive_is_described_without_its_place(served: Server, tones: Path) -> None:
    facts = get(served, "archive").json()
    assert (facts["archive"], facts["recordings"], facts["segments"], facts["sites"]) == (
        "archive", 12, 12, ["north", "south"],
    )  # fmt: skip
    assert facts["model"] == "small"
    for text in (json.dumps(facts), json.dumps(found(served))):
        assert str(tones.parent) not in text


def test_answers_are_as_described(served: Server) -> None:
    post(served, "classes", name="described", **WHO)
    say(served, (2, "described", "yes"))
    answers: list[tuple[type[BaseModel], httpx.Response]] = [
        (schema.ArchiveFacts, get(served, "archive")),
        (schema.Classes, get(served, "classes")),
        (schema.Segments, post(served, "search", by="these", like=[2])),
        (schema.SegmentFacts, get(served, "segment", segment=2)),
        (schema.Stored, say(served, (2, "described", "no"))),
        (schema.Change, get(served, "changes")),
        (schema.MapValues, get(served, "map/values", **{"class": "described"})),
        (schema.Kept, get(served, "searches")),
        (schema.Estimates, get(served, "estimates")),
        (schema.Segments, post(served, "next", count=2, how="diverse")),
    ]
    for model, reply in answers:
        assert reply.status_code == 200, reply.text
        assert model.model_validate(reply.json()).model_dump(by_alias=True) == reply.json()


def test_like_finds_its_own_kind_and_unlike_moves_away_from_another(served: Server) -> None:
    low, high = segments_of(served, "low"), segments_of(served, "high")
    best = found(served, by="like", like=[low[0]])
    assert best[0]["segment"] == low[0]
    assert best[0]["score"] == pytest.approx(1, abs=1e-3)
    assert [pitch(one) for one in best[:4]] == ["low"] * 4
    both = found(served, by="like", like=[low[0], high[0]])
    assert {pitch(one) for one in both[:8]} == {"low", "high"}
    without = found(served, by="like", like=[low[0], high[0]], unlike=[high[1]])
    assert [pitch(one) for one in without[:4]] == ["low"] * 4
    assert {one["how"] for one in best} == {"search"}


def test_pages_follow_each_other_by_what_was_seen(served: Server) -> None:
    low = segments_of(served, "low")[0]
    whole = [one["segment"] for one in found(served, by="like", like=[low])]
    first = found(served, by="like", like=[low], limit=5)
    second = found(served, by="like", like=[low], limit=5, skip=[one["segment"] for one in first])
    assert [one["segment"] for one in first + second] == whole[:10]
    assert post(served, "search", by="like", like=[low], limit=5).json()["total"] == 12


def test_sites_and_labels_narrow_a_search(explore: Explore) -> None:
    server = explore()
    assert {one["site"] for one in found(server, sites=["north"])} == {"north"}
    assert len(found(server, sites=["north"])) == 6
    post(server, "classes", name="low", **WHO)
    low = segments_of(server, "low")
    say(server, (low[0], "low", "yes"), (low[1], "low", "no"), (low[2], None, "unsure"))
    search = {"class": "low"}
    assert [one["segment"] for one in found(server, labelled="yes", **search)] == [low[0]]
    assert [one["segment"] for one in found(server, labelled="no", **search)] == [low[1]]
    assert [one["segment"] for one in found(server, labelled="unsure")] == [low[2]]
    assert len(found(server, labelled="unknown", **search)) == 9
    assert found(server, since="2024-01-01T00:00") == []  # nobody knows when these were recorded
    assert [one["segment"] for one in found(server, by="these", like=[5, 2])] == [5, 2]
    assert sorted(one["segment"] for one in found(server, by="random")) == list(range(12))


def test_a_label_is_stored_once_and_taken_back(explore: Explore) -> None:
    server = explore()
    post(server, "classes", name="low", **WHO)
    for _ in range(2):  # the same request again is harmless
        reply = say(server, (3, "low", "yes"), request="same-request")
        assert reply.json()["segments"][0]["yes"] == ["low"]
    facts = get(server, "segment", segment=3).json()
    assert [(one["class"], one["value"], one["who"]) for one in facts["history"]] == [("low", "yes", "ann")]
    assert [one["segment"] for one in post(server, "undo", request="undo-request", **WHO).json()["segments"]] == [3]
    again = post(server, "undo", request="undo-request", **WHO).json()["segments"]
    assert [(one["segment"], one["yes"]) for one in again] == [(3, [])]
    assert post(server, "undo", request="other-request", **WHO).json()["segments"] == []
    assert len(get(server, "segment", segment=3).json()["history"]) == 2


def test_two_people_keep_both_their_words(explore: Explore) -> None:
    server = explore()
    post(server, "classes", name="low", **WHO)
    say(server, (3, "low", "yes"), who="ann")
    (shown,) = say(server, (3, "low", "no"), who="bob").json()["segments"]
    assert (shown["yes"], shown["no"]) == ([], ["low"])
    history = get(server, "segment", segment=3).json()["history"]
    assert [(one["who"], one["value"]) for one in history] == [("ann", "yes"), ("bob", "no")]
    (shown,) = post(server, "undo", who="bob", request="undo-of-bob").json()["segments"]
    assert shown["yes"] == ["low"]


def test_labels_are_learned_and_the_archive_is_ranked(explore: Explore) -> None:
    server = explore()
    post(server, "classes", name="low", **WHO)
    reply = post(server, "search", by="highest", **{"class": "low"})
    assert (reply.status_code, "no scores of 'low' yet" in reply.json()["error"]) == (422, True)
    low, high = segments_of(server, "low"), segments_of(server, "high")
    fits = get(server, "changes").json()["fits"]
    say(server, (low[0], "low", "yes"), (high[0], "low", "no"))
    answer = until(server, lambda one: one["trained"])
    assert (answer["classes"][0]["yes"], answer["classes"][0]["no"]) == (1, 1)
    assert answer["classes"][0]["scored"]
    assert get(server, "changes").json()["fits"] > fits
    best = found(server, by="highest", **{"class": "low"})
    assert {one["segment"] for one in best[:4]} == set(low)
    worst = found(server, by="lowest", **{"class": "low"})
    assert [one["score"] for one in worst] == sorted(one["score"] for one in worst)
    near = found(server, by="around", value=0.5, **{"class": "low"})
    assert [abs(one["score"] - 0.5) for one in near] == sorted(abs(one["score"] - 0.5) for one in near)
    values = get(server, "map/values", **{"class": "low"}).json()
    assert values["known"][low[0]] == 1
    assert max(range(12), key=values["scores"].__getitem__) in low
    table = list(csv.DictReader(io.StringIO(get(server, "export/scores", threshold=0).text)))
    assert [row["label"] for row in table] == ["low"] * 12


def test_training_waits_where_it_is_not_automatic(explore: Explore) -> None:
    server = explore()
    post(server, "classes", name="low", **WHO)
    assert not post(server, "train", automatic=False).json()["automatic"]
    say(server, (0, "low", "yes"), (5, "low", "no"))
    time.sleep(1.5)
    assert not get(server, "classes").json()["trained"]
    post(server, "train")
    assert until(server, lambda one: one["trained"])["classes"][0]["scored"]


def test_what_to_label_next_has_reasons_and_draws_are_asked_again(explore: Explore) -> None:
    server = explore()
    picked = post(server, "next", count=4, how="random").json()["segments"]
    assert [one["how"] for one in picked] == ["random"] * 4
    assert all(one["weight"] > 0 and one["reason"] == "random" for one in picked)
    assert [one["said"] for one in picked] == [[]] * 4
    again = post(server, "next", count=4, how="random").json()["segments"]
    assert {one["segment"] for one in again} == {one["segment"] for one in picked}
    every = post(server, "next", count=6).json()["segments"]
    assert {one["how"] for one in every} >= {"diverse"}


def test_draws_within_scores_give_figures_of_the_whole_archive(explore: Explore) -> None:
    server = explore()
    post(server, "classes", name="low", **WHO)
    assert post(server, "draws", who="ann", **{"class": "low"}).status_code == 422
    low, high = segments_of(server, "low"), segments_of(server, "high")
    say(server, (low[0], "low", "yes"), (high[0], "low", "no"))
    until(server, lambda one: one["trained"])
    drawn = post(server, "draws", who="ann", **{"class": "low"}).json()
    assert drawn["total"] == 10  # all but those that are known
    assert {one["how"] for one in drawn["segments"]} == {"stratum"}
    again = post(server, "draws", who="bob", **{"class": "low"}).json()
    assert sorted(one["segment"] for one in again["segments"]) == sorted(one["segment"] for one in drawn["segments"])
    for one in drawn["segments"]:
        say(server, (one["segment"], "low", "yes" if one["segment"] in low else "no"))
    (estimate,) = get(server, "estimates").json()["classes"]
    assert (estimate["draws"], estimate["open"]) == (12, 0)
    assert [estimate["segments"][end] for end in ("value", "low", "high")] == [4, 4, 4]


def test_a_segment_is_heard_and_seen(served: Server, tones: Path) -> None:
    archive = Archive(tones)
    for number in (0, 11):
        reply = get(served, "sound", segment=number)
        wave, rate = soundfile.read(io.BytesIO(reply.content), dtype="float32")
        given, own = soundfile.read(archive.place(number).file, dtype="float32")
        assert (reply.headers["content-type"], rate) == ("audio/wav", own)
        assert wave == pytest.approx(given[: len(wave)], abs=1e-4)
        assert len(wave) == pytest.approx(5 * own, abs=1)
        padded, _ = soundfile.read(io.BytesIO(get(served, "sound", segment=number, padding=2).content))
        assert len(padded) == len(given)
    picture = Image.open(io.BytesIO(get(served, "spectrogram", segment=0).content)).convert("L")
    assert picture.size == (256, 96)
    loudest = int(np.asarray(picture, dtype=float).mean(axis=1).argmax())
    expected = {"low": 300, "middle": 1200, "high": 4000}[Path(archive.place(0).path).name.partition("-")[0]]
    mel = np.log1p(expected / 700) / np.log1p(8000 / 700)
    assert abs(loudest - 95 * (1 - mel)) < 3


def test_a_sound_or_a_part_of_a_segment_is_an_example(served: Server) -> None:
    content = io.BytesIO()
    soundfile.write(content, tones("middle", 3, seed=99), 16_000, format="WAV")
    reply = httpx.post(f"{served.url}/v1/example", files={"file": ("owl.wav", content.getvalue())}, timeout=60)
    assert reply.json()["name"] == "owl.wav"
    best = found(served, by="like", examples=[reply.json()])
    assert [pitch(one) for one in best[:4]] == ["middle"] * 4
    part = get(served, "part", segment=segments_of(served, "high")[0], start=1, end=3)
    assert [pitch(one) for one in found(served, by="like", examples=[part.json()])[:4]] == ["high"] * 4
    assert get(served, "part", segment=0, start=3, end=3).status_code == 422
    assert httpx.post(f"{served.url}/v1/example", content=b"no sound").status_code == 415
    reply = post(served, "search", by="like", examples=[{"name": "x", "values": [1.0, 2.0]}])
    assert (reply.status_code, "an example has 2 numbers" in reply.json()["error"]) == (422, True)
    reply = post(served, "search", by="text", text="a dog")
    assert (reply.status_code, "understands no words" in reply.json()["error"]) == (422, True)


def test_labels_leave_as_a_table(explore: Explore) -> None:
    server = explore()
    name = "=cmd()"
    post(server, "classes", name=name, **WHO)
    say(server, (0, name, "yes"), (1, None, "nothing"), (2, None, "unsure"))
    say(server, (2, None, ""))
    reply = get(server, "export/labels")
    table = list(csv.DictReader(io.StringIO(reply.text)))
    assert [(row["label"], row["value"], row["who"]) for row in table] == [
        ("'=cmd()", "yes", "ann"), ("", "nothing", "ann"),
    ]  # fmt: skip
    assert table[0]["file"] == found(server)[0]["file"]
    assert 'filename="labels.csv"' in reply.headers["content-disposition"]


def test_searches_are_kept(explore: Explore) -> None:
    server = explore()
    query = {"by": "like", "like": [3], "sites": ["north"]}
    kept = post(server, "searches", name="tones", query=query, **WHO).json()["searches"]
    assert [(one["name"], one["query"], one["who"]) for one in kept] == [("tones", query, "ann")]
    assert found(server, **kept[0]["query"]) == found(server, **query)
    assert post(server, "searches/delete", id=kept[0]["id"]).json()["searches"] == []
    assert post(server, "searches/delete", id=kept[0]["id"]).status_code == 422


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("search", {"by": "like"}, 422),
        ("search", {"by": "like", "like": [12]}, 422),
        ("search", {"by": "like", "like": [-1]}, 400),
        ("search", {"by": "like", "like": [2**60]}, 400),
        ("search", {"by": "like", "like": [0.5]}, 400),
        ("search", {"by": "these", "like": [99]}, 422),
        ("search", {"by": "highest"}, 422),
        ("search", {"by": "highest", "class": "nobody"}, 422),
        ("search", {"by": "best"}, 400),
        ("search", {"limit": 0}, 400),
        ("search", {"limit": 201}, 400),
        ("search", {"sites": ["east"]}, 422),
        ("search", {"from": "22:00"}, 422),
        ("search", {"since": "yesterday"}, 400),
        ("search", {"like": list(range(1001))}, 400),
        ("search", {"file": "/etc/passwd"}, 400),
        ("classes", {"who": "ann", "name": "x" * 101}, 400),
        ("classes", {"who": "ann", "name": "  "}, 422),
        ("classes", {"who": "ann", "name": "bell\x07"}, 422),
        ("classes", {"who": " ", "name": "dog"}, 400),
        ("classes", {"name": "dog"}, 400),
        ("labels", {"who": "ann", "request": "12345678", "statements": []}, 400),
        ("labels", {"who": "ann", "request": "short", "statements": [{"segment": 0, "value": "unsure"}]}, 400),
        ("labels", {"who": "ann", "request": "12345678", "statements": [{"segment": 12, "value": "unsure"}]}, 422),
        ("labels", {"who": "ann", "request": "12345678", "statements": [{"segment": -1, "value": "unsure"}]}, 400),
        ("labels", {"who": "ann", "request": "12345678", "statements": [{"segment": 0, "value": "yes"}]}, 422),
        ("labels", {"who": "ann", "request": "12345678", "statements": [{"segment": 0, "value": "maybe"}]}, 400),
        (
            "labels",
            {"who": "ann", "request": "12345678", "statements": [{"segment": 0, "class": "nobody", "value": "yes"}]},
            422,
        ),
        ("next", {"how": "luck"}, 400),
        ("next", {"count": 10_000}, 400),
        ("undo", {"who": "ann"}, 400),
        ("searches/delete", {"id": 99}, 422),
    ],
)
def test_bad_requests_are_refused(served: Server, tones: Path, path: str, body: dict[str, Any], status: int) -> None:
    reply = post(served, path, **body)
    assert (reply.status_code, set(reply.json())) == (status, {"error"}), reply.text
    assert str(tones.parent) not in reply.text
    assert "/tmp" not in reply.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/sound?segment=12", 422),
        ("/v1/sound?segment=-1", 400),
        ("/v1/sound?segment=../../etc/passwd", 400),
        ("/v1/sound?segment=0&padding=1e9", 400),
        ("/v1/sound?segment=0&padding=nan", 400),
        ("/v1/sound?segment=0&file=/etc/passwd", 400),
        ("/v1/sound", 400),
        ("/v1/spectrogram?segment=12", 422),
        ("/v1/segment?segment=12", 422),
        ("/v1/map/values?class=nobody", 422),
        ("/v1/export/scores?threshold=2", 400),
        ("/static/own/../../app.py", 404),
        ("/static/own/%2e%2e/app.py", 404),
        ("/static/..%2f..%2farchive.sqlite", 404),
        ("/archive.sqlite", 404),
    ],
)
def test_bad_addresses_are_refused(served: Server, path: str, status: int) -> None:
    assert httpx.get(served.url + path).status_code == status


def test_a_body_that_is_no_json_is_refused(served: Server) -> None:
    for content in (b"", b"{", b'{"by": NaN}', b"[" * 100_000):
        headers = {"Content-Type": "application/json"}
        assert httpx.post(f"{served.url}/v1/search", content=content, headers=headers).status_code == 400


def test_pages_of_others_get_nothing(served: Server) -> None:
    body = {"who": "eve", "name": "planted"}
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        assert httpx.post(f"{served.url}/v1/classes", json=body, headers=headers).status_code == 403
        assert httpx.get(f"{served.url}/v1/sound?segment=0", headers=headers).status_code == 403
    assert "planted" not in [one["name"] for one in get(served, "classes").json()["classes"]]


def test_every_route_but_the_page_and_the_probes_wants_the_token(explore: Explore) -> None:
    server = explore("--token", "sesame")
    paths = httpx.get(f"{server.url}/openapi.json", headers={"Authorization": "Bearer sesame"}).json()["paths"]
    assert len(paths) > 20
    for path, methods in paths.items():
        for method in methods:
            expected = {200} if path in ("/healthz", "/readyz") else {401}
            assert httpx.request(method, server.url + path).status_code in expected, path
    assert httpx.get(f"{server.url}/openapi.json").status_code == 401
    for path in ("/", "/static/page.css", "/static/own/page.js", "/static/own/explore.css", "/static/server.js"):
        assert httpx.get(server.url + path).status_code == 200, path
    reply = httpx.get(f"{server.url}/v1/archive", headers={"Authorization": "Bearer sesame"})
    assert reply.status_code == 200


@pytest.mark.slow
def test_a_recording_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    archive, recordings = tone_archive(tmp_path)
    with exploring(tmp_path / "log", archive) as server:
        shutil.move(recordings / "north", tmp_path / "away")
        (recordings / "north").mkdir()
        shutil.copy(tmp_path / "away" / "low-0.wav", recordings / "north" / "low-2.wav")
        (recordings / "north" / "high-0.wav").write_bytes(b"RIFF and no more")
        by_name = {one["file"]: one["segment"] for one in found(server)}
        for path in ("sound", "spectrogram"):
            gone = get(server, path, segment=by_name["north/low-0.wav"])
            assert (gone.status_code, "is not there" in gone.json()["error"]) == (410, True)
            bad = get(server, path, segment=by_name["north/high-0.wav"])
            assert (bad.status_code, "cannot be read" in bad.json()["error"]) == (422, True)
            for reply in (gone, bad):
                assert str(tmp_path) not in reply.text
        assert get(server, "sound", segment=by_name["south/low-1.wav"]).status_code == 200
        version = get(server, "classes").json()["version"]
        index(recordings, archive)  # which notices
        get(server, "changes", version=version)
        shown = {one["file"]: one for one in found(server, by="these", like=list(by_name.values()))}
        assert not shown["north/middle-0.wav"]["here"]
        assert get(server, "archive").json()["missing"] > 0
        log = (tmp_path / "log" / "log.jsonl").read_text()
        assert "low-0" not in log and "error inside" not in log


@pytest.mark.slow
def test_recordings_that_are_added_meanwhile_are_found(tmp_path: Path) -> None:
    archive, recordings = tone_archive(tmp_path)
    with exploring(tmp_path / "log", archive) as server:
        post(server, "classes", name="low", **WHO)
        say(server, (0, "low", "yes"), (4, "low", "no"))
        version = until(server, lambda one: one["trained"])["version"]
        recordings_of_tones(tmp_path / "recordings", each=6)
        index(recordings, archive)
        assert get(server, "changes", version=version).json()["version"] > version
        until(server, lambda one: one["trained"])
        assert len(found(server)) == 18
        assert len(found(server, by="highest", **{"class": "low"})) == 18
        assert get(server, "sound", segment=17).status_code == 200


def test_the_labels_of_another_process_are_taken_in(explore: Explore, tmp_path: Path) -> None:
    server = explore()
    before = get(server, "changes").json()
    label(Archive(tmp_path / "archive"), [(7, "low", "yes")], who="bob")
    after = get(server, "changes", version=before["version"], statement=before["statement"]).json()
    assert (after["segments"], after["version"] > before["version"]) == ([7], True)
    assert get(server, "classes").json()["classes"][0]["yes"] == 1


@pytest.mark.slow
def test_a_map_has_a_place_for_each_segment(explore: Explore, tmp_path: Path) -> None:
    server = explore()
    step, points = 0, get(server, "map").json()
    while not points["final"]:
        step = get(server, "changes", version=get(server, "changes").json()["version"], step=step).json()["step"]
        points = get(server, "map").json()
    assert len(points["x"]) == len(points["y"]) == 12
    assert all(0 <= value <= 1000 for value in points["x"] + points["y"])
    assert (tmp_path / "archive" / "map.npz").is_file()


@pytest.mark.slow
def test_what_is_no_archive_is_refused_at_the_start(tones: Path, tmp_path: Path) -> None:
    old = copy_of(tones, tmp_path)
    with sqlite3.connect(old / "archive.sqlite") as database:
        database.execute("PRAGMA user_version = 9")
    (tmp_path / "empty").mkdir()
    for folder, said in ((tmp_path / "empty", "is no archive"), (old, "is an archive of format 9")):
        command = [sys.executable, "-m", "hubbub.cli", "explore", str(folder), "--port", "0"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, said in " ".join(done.stderr.split())) == (2, True), done.stderr


@pytest.mark.slow
def test_it_stops_while_a_page_waits_for_a_change(explore: Explore) -> None:
    server = explore()
    version = get(server, "changes").json()["version"]
    waiting = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import httpx; print(httpx.get('{server.url}/v1/changes?version={version}', timeout=60))",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(2)
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 10
    assert "200 OK" in waiting.communicate()[0]


def test_torch_is_not_needed_to_start() -> None:
    code = "import sys, hubbub.serve.explore.app, hubbub.serve.server; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
