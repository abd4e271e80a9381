"""hub: data sets in the hub's formats, opened, built, published and fetched; the real client, a hub next door."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
import yaml
from typer.testing import CliRunner

from hubbub.audio.frontend import FrontEnd
from hubbub.cli.main import app
from hubbub.config.recipe import Recipe
from hubbub.data import cache
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.datasets import DATASETS
from hubbub.data.hub import build, dataset, transfer
from hubbub.data.open import open_data
from hubbub.experiment.prepare import prepare
from hubbub.runtime.hub import HubError, read_token
from tests.helpers.command_line import run_hubbub
from tests.helpers.hub import Hub, hub_next_door, own_folders

RATE = 8000
SETTINGS = [
    *("audio.rate_hz=8000", "windows.length=8000", "windows.hop=8000", "frontend.n_fft=256", "frontend.hop=128"),
    *("frontend.win_length=200", "frontend.n_mels=16", "frontend.ref=max", "frontend.f_max_hz=4000"),
]


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, a home, no token and no cache but this test's."""
    own_folders(tmp_path, monkeypatch)
    monkeypatch.setenv("HUBBUB_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def server(own: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_next_door(monkeypatch, own / "user") as server:
        yield server


def run(*words: object, status: int = 0) -> str:
    """The command's output, both streams."""
    done = run_hubbub("data", "hub", *words)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def tone(hz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def sounds(own: Path) -> Path:
    """Twelve recordings of six sources in three folds, of several lengths, one silent and one of ten samples."""
    rows = []
    for k in range(12):
        wave = tone(200 + 150 * k, 0.3 + 0.1 * k)
        wave = wave * 0 if k == 3 else wave[:10] if k == 5 else wave
        (own / "sounds" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        path = f"{'ab'[k % 2]}/{k}.wav"
        soundfile.write(own / "sounds" / path, wave, RATE)
        rows.append({"path": path, "label": "ab"[k % 2], "fold": f"0{1 + k // 4}", "group": f"g{k // 2}"})
    pd.DataFrame(rows).to_csv(own / "sounds" / "list.csv", index=False)
    return own / "sounds" / "list.csv"


def recipe(data: Path, *settings: str) -> Recipe:
    return Recipe.load("street-cnn", [f'data.name="{data}"', *SETTINGS, *settings])


@pytest.fixture
def built(own: Path, sounds: Path) -> Path:
    build.build_dataset(recipe(sounds), own / "mel")
    return own / "mel"


def arrays(clips: Clips) -> list[np.ndarray]:
    return [np.load(path) for path in clips.table["path"]]


def same_arrays(a: Clips, b: Clips) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(arrays(a), arrays(b), strict=True))


def test_what_is_unpacked_and_damaged_is_unpacked_again(
    built: Path, own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clips = open_data(str(built))
    before = arrays(clips)
    np.save(clips.table["path"][3], before[3][::-1])
    Path(clips.table["path"][5]).unlink()
    again = open_data(str(built))
    assert again.table.equals(clips.table)
    assert all(np.array_equal(x, y) for x, y in zip(arrays(again), before, strict=True))
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"warning: damaged in the cache, made again: {own / 'cache' / 'hub'}")


# Building


def test_rows_are_the_front_ends_arrays_of_whole_clips(built: Path, sounds: Path) -> None:
    clips, mel = open_data(str(sounds)), open_data(str(built))
    waves = cache.decode_clips(clips, RATE)
    logmel = FrontEnd(recipe(sounds).frontend, RATE).logmel
    for clip, found in enumerate(arrays(mel)):
        expected = logmel(torch.from_numpy(waves.wave(clip).copy())[None])[0].numpy()
        assert found.dtype == np.float32
        assert np.array_equal(found, expected)
    assert len({found.shape[1] for found in arrays(mel)}) == 12  # not padded: every length differs
    assert mel.kind == "spectrograms"
    same = ["clip", "label", "fold", "group"]
    assert mel.table[same].equals(clips.table[same])
    assert (mel.labels, mel.licence, mel.listed, mel.notes) == (clips.labels, clips.licence, 12, clips.notes)


def test_what_made_the_arrays_travels_with_them(built: Path, sounds: Path) -> None:
    made = open_data(str(built)).settings
    wanted = recipe(sounds)
    assert made == {name: getattr(wanted, name).model_dump(mode="json") for name in ("audio", "windows", "frontend")}


def test_a_network_trains_on_them_by_the_recipe_that_made_them(own: Path, sounds: Path) -> None:
    """Padding and 0..1 come after loading: what the network is given of a whole clip is what sound would give it."""
    extra = ["frontend.frames=140", "frontend.scale=top_db", "protocol.kind=logo", "network.width=2"]
    extra += ["windows.length=11200", "windows.hop=11200"]
    build.build_dataset(recipe(sounds, *extra), own / "mel")
    of_mel, of_sound = (prepare(recipe(data, *extra)) for data in (own / "mel", sounds))
    assert [split.name for split in of_mel.splits] == [split.name for split in of_sound.splits]
    clip = 11  # as long as a window
    given, heard = (m.base.features(torch.from_numpy(np.array(m.sound.cut(clip, m.base)))) for m in (of_mel, of_sound))
    assert given.shape == heard.shape == (1, 16, 140)
    assert torch.equal(given, heard)


def test_clips_longer_than_a_window_are_refused(own: Path, sounds: Path) -> None:
    """Else a network would train on whole clips and then hear pieces of them."""
    extra = ["frontend.frames=140", "frontend.scale=top_db", "protocol.kind=logo", "network.width=2"]
    build.build_dataset(recipe(sounds, *extra), own / "mel")
    with pytest.raises(ClipsError, match=r"has 69 frames, and a window of 8000 samples gives 63\. Set windows\.length"):
        prepare(recipe(own / "mel", *extra))


def test_files_are_cut_by_size_and_read_back_in_order(
    own: Path, sounds: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "SHARD_BYTES", 12_000)
    monkeypatch.setattr(build, "GROUP_BYTES", 5_000)
    build.build_dataset(recipe(sounds), own / "small")
    names = [file.name for file in dataset.tables(own / "small")]
    assert len(names) > 2
    assert names[0] == f"train-00000-of-{len(names):05d}.parquet"
    whole, cut = open_data(str(built)), open_data(str(own / "small"))
    assert cut.table.drop(columns="path").equals(whole.table.drop(columns="path"))
    assert same_arrays(whole, cut)


def test_no_path_of_this_machine_is_published(own: Path, sounds: Path) -> None:
    rows = [{"path": "a/0.wav", "label": "a", "start": k / 10, "end": k / 10 + 0.1} for k in range(2)]
    rows.append({"path": "b/1.wav", "label": "b"})
    pd.DataFrame(rows).to_csv(sounds, index=False)
    build.build_dataset(recipe(sounds), own / "mel")
    table = pq.read_table(dataset.tables(own / "mel")[0]).drop_columns("mel_spectrogram").to_pydict()
    assert table["group"] == ["a/0.wav@0", "a/0.wav@0", "b/1.wav"]  # two parts of one file stay together
    written = str(table) + (own / "mel" / "hubbub.json").read_text() + (own / "mel" / "README.md").read_text()
    assert str(own) not in written


def test_the_card_says_licence_protocol_and_warnings(own: Path, sounds: Path) -> None:
    build.build_dataset(recipe(sounds, "data.limit=1"), own / "mel")
    card = (own / "mel" / "README.md").read_text()
    header = yaml.safe_load(card.split("---")[1])
    assert header["license"] == "other"
    assert header["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert "REDUCED DATA: 6 of 12 clips" in card
    assert "Rows of one `group`" in card
    assert open_data(str(own / "mel")).notes == ("REDUCED DATA: 6 of 12 clips",)


@pytest.mark.parametrize(
    ("words", "name", "closed"),
    [
        ("CC BY-NC 3.0 (the ESC-10 subset: CC BY 3.0)", "cc-by-nc-3.0", True),
        ("CC BY 3.0", "cc-by-3.0", False),
        ("CC0", "cc0-1.0", False),
        ("cc-by-nc-sa-4.0", "cc-by-nc-sa-4.0", True),
        ("not stated", "other", False),
    ],
)
def test_licences_by_the_hubs_names(words: str, name: str, closed: bool) -> None:
    assert build.licence_id(words) == name
    assert build.non_commercial(words) == closed


def test_building_is_refused_over_other_files_or_without_a_front_end(own: Path, sounds: Path, built: Path) -> None:
    with pytest.raises(ClipsError, match="is not empty"):
        build.build_dataset(recipe(sounds), sounds.parent)
    with pytest.raises(ClipsError, match=r"frontend\.name is 'none'"):
        build.build_dataset(Recipe.load("street-yamnet"), own / "new")
    with pytest.raises(ClipsError, match="holds spectrograms already"):
        build.build_dataset(recipe(built), own / "new")
    (sounds.parent / "a" / "0.wav").write_bytes(b"text")
    with pytest.raises(ClipsError, match=r"a/0\.wav"):
        build.build_dataset(recipe(sounds), own / "new")
    assert not (own / "new").exists()


# To the hub and back


def test_built_published_fetched_and_opened_by_command(server: Hub, own: Path, sounds: Path) -> None:
    options = [word for setting in (f'data.name="{sounds}"', *SETTINGS) for word in ("--set", setting)]
    done = CliRunner().invoke(app, ["data", "hub", "build", "street-cnn", str(own / "mel"), *options])
    assert "12 spectrograms, 2 classes" in done.output
    (own / ".env").write_text("# mine\nOTHER=1\nexport HF_TOKEN = 'hf_writer' # a comment\n")
    said = run("publish", own / "mel", "me/mel")
    head = server.head("me/mel")
    assert f"{server.url}/datasets/me/mel at commit {head['sha']}" in said
    assert "hf_writer" not in said
    assert server.repositories["me/mel"]["private"]
    assert len(server.repositories["me/mel"]["commits"]) == 2  # the hub's own first one, and ours
    assert set(head["files"]) == {
        *(".gitattributes", "README.md", "hubbub.json", "data/train-00000-of-00001.parquet")
    }  # fmt: skip
    folder = Path(run("get", "me/mel").strip())
    assert folder == own / "home" / "data" / "hub" / "me--mel"
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "data", "hubbub.json", "source.json"]
    assert json.loads((folder / "source.json").read_text())["revision"] == head["sha"]
    local, fetched = open_data(str(own / "mel")), open_data("me/mel")
    assert same_arrays(local, fetched)
    assert fetched.table.drop(columns="path").equals(local.table.drop(columns="path"))
    assert (fetched.settings, fetched.licence, fetched.notes) == (local.settings, local.licence, local.notes)
    asked = len(server.asked)
    assert transfer.download("me/mel") == folder
    assert len(server.asked) == asked  # what is here is used as it is


def test_killed_in_mid_upload_nothing_is_published_and_the_next_run_completes(
    server: Hub, own: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    server.stall = True
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "hubbub.cli", "data", "hub", "publish", str(built), "me/mel"]
    client = subprocess.Popen(command, env=environment)
    assert server.stalled.wait(120)
    client.send_signal(signal.SIGKILL)
    assert client.wait() == -signal.SIGKILL
    assert server.received == 1000
    assert [list(commit["files"]) for commit in server.repositories["me/mel"]["commits"]] == [[".gitattributes"]]
    assert not server.large
    with pytest.raises(HubError, match="has no parquet files"):
        transfer.download("me/mel")
    server.stall = False
    transfer.publish(built, "me/mel")
    transfer.download("me/mel")
    assert same_arrays(open_data(str(built)), open_data("me/mel"))


def test_without_a_token_nothing_is_asked_of_the_hub(server: Hub, built: Path) -> None:
    said = run("publish", built, "me/mel", status=2).replace("\n", " ")
    assert "no token" in said
    assert "https://huggingface.co/settings/tokens" in said
    assert ".env" in said
    assert not server.asked


@pytest.mark.parametrize(
    ("token", "name", "message"),
    [
        ("hf_stranger", "me/mel", r"refused the token in HF_TOKEN \(401\)"),
        ("hf_reader", "me/mel", "may only read"),
        ("hf_writer", "others/mel", r"may not write to others\. It may to me, team"),
        ("hf_wri ter", "me/mel", "is not a token"),
    ],
)
def test_a_refused_token_creates_nothing(
    server: Hub, built: Path, monkeypatch: pytest.MonkeyPatch, token: str, name: str, message: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=message) as caught:
        transfer.publish(built, name)
    assert token not in str(caught.value)
    assert not server.repositories
    assert not any("create" in asked for asked in server.asked)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("HF_TOKEN=hf_a", "hf_a"),
        ('export HF_TOKEN="hf_a" # comment', "hf_a"),
        ("HF_TOKEN = hf_a#b  \n", "hf_a#b"),
        ("HF_TOKEN=  # hf_a\n", None),
        ("#HF_TOKEN=hf_a\nMY_HF_TOKEN=hf_b\n", None),
        ("HF_TOKEN=hf_a\nHF_TOKEN='hf_b'\n", "hf_b"),
        ("HF_TOKEN=\n", None),
    ],
)
def test_the_token_in_a_file(own: Path, text: str, token: str | None) -> None:
    (own / ".env").write_text(text)
    assert read_token() == token


def test_the_environments_token_comes_before_the_files(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / ".env").write_text("HF_TOKEN=hf_file\n")
    monkeypatch.setenv("HF_TOKEN", "hf_environment")
    assert read_token() == "hf_environment"
    monkeypatch.setenv("HF_TOKEN", "")
    assert read_token() == "hf_file"


def test_publishing_again_replaces_the_tables_in_one_commit(
    server: Hub, own: Path, sounds: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    monkeypatch.setattr(build, "SHARD_BYTES", 12_000)
    build.build_dataset(recipe(sounds), own / "small")
    transfer.publish(own / "small", "team/mel", private=False)
    transfer.publish(built, "team/mel", private=False)
    assert len(server.repositories["team/mel"]["commits"]) == 3
    tables = [path for path in server.head("team/mel")["files"] if path.endswith(".parquet")]
    assert tables == ["data/train-00000-of-00001.parquet"]
    with pytest.raises(HubError, match="is there already and public, and --private was asked"):
        transfer.publish(built, "team/mel")
    server.put("me/other", {"data/train.parquet": b"theirs"})
    with pytest.raises(HubError, match="is there already and not from hubbub"):
        transfer.publish(built, "me/other", private=False)
    assert len(server.repositories["me/other"]["commits"]) == 1


def test_a_card_that_the_hub_refuses_stops_the_upload(
    server: Hub, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    (built / "README.md").write_text("no header")
    with pytest.raises(
        HubError, match=r"refused what it was sent .* README\.md\. - that is no header\. No file there was changed"
    ):
        transfer.publish(built, "me/mel")
    assert not server.large
    assert [list(commit["files"]) for commit in server.repositories["me/mel"]["commits"]] == [[".gitattributes"]]


def test_only_a_whole_built_folder_is_published(server: Hub, own: Path, sounds: Path, built: Path) -> None:
    with pytest.raises(ClipsError, match=r"has no hubbub\.json"):
        transfer.publish(sounds.parent, "me/mel")
    with pytest.raises(HubError, match="is not a name on the hub"):
        transfer.publish(built, "mel")
    (built / "README.md").unlink()
    with pytest.raises(HubError, match="is incomplete"):
        transfer.publish(built, "me/mel")
    facts = json.loads((built / "hubbub.json").read_text())
    (built / "hubbub.json").write_text(json.dumps(facts | {"licence": 3}))
    with pytest.raises(ClipsError, match="licence: Input should be a valid string"):
        open_data(str(built))
    assert not server.asked


def test_a_source_that_says_nothing_is_refused(built: Path) -> None:
    (built / "hubbub.json").unlink()
    (built / "source.json").write_text("{}")
    with pytest.raises(
        ClipsError, match=r"source\.json does not say where the data are from .*Fetch the data set again"
    ):
        open_data(str(built))


def test_a_download_with_other_bytes_than_published_is_refused_and_goes_on_with_that_file(server: Hub) -> None:
    names = [f"data/train-0000{k}-of-00002.parquet" for k in range(2)]
    server.put("me/sounds", {name: name.encode() * 100 for name in names})
    server.spoil = names[1]
    with pytest.raises(HubError, match=r"train-00001-of-00002\.parquet does not have the checksum"):
        transfer.download("me/sounds")
    with pytest.raises(ClipsError, match="hubbub data hub get me/sounds"):
        open_data("me/sounds")
    server.spoil = ""
    folder = transfer.download("me/sounds")
    assert [(folder / name).read_bytes() for name in names] == [name.encode() * 100 for name in names]
    fetched = [asked.rpartition("/")[2] for asked in server.asked if asked.startswith("GET /datasets/")]
    assert sorted(fetched) == ["train-00000-of-00002.parquet"] + ["train-00001-of-00002.parquet"] * 2


@pytest.mark.parametrize("token", [None, "hf_reader"])
def test_what_the_hub_does_not_have_is_one_line(
    server: Hub, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match="has no data set me/nowhere, or it is private") as caught:
        transfer.download("me/nowhere")
    assert "\n" not in str(caught.value)


def test_without_a_network_the_command_says_so_in_one_line(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    said = run("get", "me/mel", status=2)
    assert "http://127.0.0.1:9 could not be reached" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["../../x", "me/../x", "me/x--y", "me", "/etc/x", "me/.x", "a/b/c"])
def test_names_that_are_paths_are_refused(own: Path, name: str) -> None:
    with pytest.raises(ClipsError, match="is not a name on the hub"):
        transfer.download(name)
    with pytest.raises(ClipsError, match="is not a"):
        open_data(name)


@pytest.mark.parametrize(
    "path", ["../../evil.parquet", "/tmp/evil.parquet", "data/..\\..\\evil.parquet", "C:evil.parquet"]
)
def test_a_hub_whose_file_names_lead_elsewhere_is_refused(server: Hub, own: Path, tmp_path: Path, path: str) -> None:
    server.commit("me/evil", {"README.md": b"", path: b"PAR1"})
    before = sorted(str(file) for file in tmp_path.rglob("*"))
    with pytest.raises(HubError, match=r"me/evil was refused: .*evil\.parquet', which the hub names, leads out"):
        transfer.download("me/evil")
    assert not [file for file in tmp_path.rglob("*evil*") if str(file) not in before]
    assert not Path("/tmp/evil.parquet").exists()


# Other people's data sets


def encoded(wave: np.ndarray, rate: int, kind: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, wave, rate, format=kind)
    return stream.getvalue()


def urbansound8k(folder: Path) -> list[dict[str, Any]]:
    """Rows as `danavery/urbansound8K` has them, with sounds of several formats, rates and channels."""
    kinds = [("WAV", 44100, 1), ("FLAC", 48000, 2), ("OGG", 22050, 1), ("WAV", 8000, 2)]
    rows = []
    for k, (kind, rate, channels) in enumerate(kinds):
        wave = np.stack([tone(500, 0.5, rate)] * channels, axis=1)
        file = f"{1000 + k // 2}-{k}-0-{k}.wav"
        audio = {"bytes": encoded(wave, rate, kind), "path": file}
        known = {"fsID": 1000 + k // 2, "start": 2.0, "end": 2.5, "salience": 1, "fold": 1 + k // 2, "classID": k}
        label = ["air_conditioner", "car_horn", "children_playing", "dog_bark"][k]
        rows.append({"audio": audio, "slice_file_name": file, **known, "class": label})
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000-of-00001-0a1b.parquet", row_group_size=2)
    return rows


def test_urbansound8k_with_its_sounds_inside(own: Path) -> None:
    urbansound8k(own / "home" / "data" / "hub" / "danavery--urbansound8K" / "data")
    name = "danavery/urbansound8K"
    with pytest.raises(ClipsError, match=r"4 clips are listed in .*, 8732 were published"):
        open_data(name)
    clips = open_data(name, allow_missing=True)
    assert clips.kind == "sound"
    rows = clips.table[["clip", "label", "fold", "group"]].values.tolist()
    assert rows[1] == ["1000-1-0-1", "car_horn", "1", "1000"]
    assert rows[2] == ["1001-2-0-2", "children_playing", "2", "1001"]
    assert clips.table[["start", "end"]].isna().all(axis=None)  # theirs are places in the source recording
    assert clips.straddling == DATASETS["urbansound8k"].straddling
    assert "CC BY-NC" in clips.licence
    assert clips.notes == ("PARTIAL DATA: 4 of 8,732 published clips are listed",)
    waves = cache.decode_clips(clips, 16_000)
    for clip in range(4):
        assert abs(len(waves.wave(clip)) - 8000) <= 1
        assert np.abs(np.fft.rfft(waves.wave(clip))).argmax() == 250  # 500 Hz, whatever it was stored as


def test_a_broken_row_is_named_by_its_file_and_a_disagreeing_one_refused(own: Path) -> None:
    rows = urbansound8k(own / "set")
    file = own / "set" / "train-00000-of-00001-0a1b.parquet"
    rows[2]["audio"]["bytes"] = rows[2]["audio"]["bytes"][:100]
    pq.write_table(pa.Table.from_pylist(rows), file)
    with pytest.raises(ClipsError, match=r"1 of 4 sounds cannot be used.*1001-2-0-2\.wav"):
        cache.decode_clips(open_data("set", allow_missing=True), RATE)
    rows[2]["fsID"] = 7
    pq.write_table(pa.Table.from_pylist(rows), file)
    with pytest.raises(ClipsError, match=r"1 file names disagree with their row \(1001-2-0-2\.wav\)"):
        open_data("set", allow_missing=True)


def test_a_mel_data_set_of_urbansound8k_keeps_its_columns(own: Path) -> None:
    rows = urbansound8k(own / "set")
    build.build_dataset(recipe(Path("set"), "data.allow_missing=true"), own / "mel")
    table = pq.read_table(dataset.tables(own / "mel")[0])
    for column in ("slice_file_name", "fsID", "fold", "classID", "class"):
        assert table[column].to_pylist() == [row[column] for row in rows]
    mel, clips = open_data("mel"), open_data("set", allow_missing=True)
    assert (mel.straddling, mel.licence, mel.notes) == (clips.straddling, clips.licence, clips.notes)


def test_a_published_mel_data_set(own: Path) -> None:
    """Columns as `EthanGLEdwards/urbansounds_melspectrograms` has them; doubles become floats."""
    rows = urbansound8k(own / "set")
    rng = np.random.default_rng(0)
    made = [rng.uniform(-80, 0, (128, 20 + 7 * k)) for k in range(4)]
    rows = [
        {**{k: v for k, v in row.items() if k != "audio"}, "mel_spectrogram": mel.tolist()}
        for row, mel in zip(rows, made, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), own / "set" / "train-00000-of-00001-0a1b.parquet")
    clips = open_data("set", allow_missing=True)
    assert (clips.kind, clips.settings) == ("spectrograms", None)
    assert all(np.array_equal(a, b.astype(np.float32)) for a, b in zip(arrays(clips), made, strict=True))


def saved(folder: Path, table: pa.Table, names: list[str] | None = None) -> None:
    """As `datasets.save_to_disk` leaves it: arrow's stream format, classes in the schema's metadata."""
    folder.mkdir(parents=True)
    if names:
        feature = {"names": names, "_type": "ClassLabel"}
        info = {"info": {"features": {"label": feature, "audio": {"_type": "Audio"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_info.json").write_text("{}")


def test_a_saved_dictionary_of_splits_with_numbered_classes(own: Path) -> None:
    def table(first: int) -> pa.Table:
        path = ["../../etc/x.wav", "C:\\x.wav", None]
        audio = [{"bytes": encoded(tone(300, 0.2), RATE, "WAV"), "path": p} for p in path]
        return pa.table({"audio": audio, "label": [first, 1 - first, 0], "speaker": ["s", "t", "u"]})

    saved(own / "set" / "train", table(0), ["dog", "rain"])
    saved(own / "set" / "test", table(1), ["dog", "rain"])
    clips = open_data("set")
    assert clips.labels == ("dog", "rain")
    assert clips.table["label"].tolist() == ["rain", "dog", "dog", "dog", "rain", "dog"]
    assert clips.table["fold"].tolist() == ["test"] * 3 + ["train"] * 3
    assert clips.table["group"].tolist() == ["s", "t", "u"] * 2
    inside = [Path(path) for path in clips.table["path"]]
    assert {path.parent.parent for path in inside} == {own / "cache" / "hub"}
    assert len({path.name for path in inside}) == 6
    assert len(cache.decode_clips(clips, RATE)) == 6


def test_one_split_is_no_fold_and_rows_without_group_are_said_to_be_alone(own: Path) -> None:
    audio = [{"bytes": encoded(tone(300, 0.2), RATE, "WAV"), "path": "x.wav"}, {"bytes": None, "path": "y.wav"}]
    saved(own / "set", pa.table({"audio": audio, "category": ["a", "b"]}))
    with pytest.raises(ClipsError, match=r"1 of 2 listed files are missing.*\(y\)"):
        open_data("set")
    clips = open_data("set", allow_missing=True)
    assert clips.folds == ()
    assert clips.missing == ("y",)
    assert clips.notes[0].startswith("NO GROUPS")


def test_gaps_in_labels_and_groups_are_gaps(own: Path) -> None:
    def audio(count: int) -> list[dict[str, Any]]:
        return [{"bytes": encoded(tone(300, 0.2), RATE, "WAV"), "path": f"{n}.wav"} for n in range(count)]

    groups = ["day 1", "Day 1 ", None, ""]
    saved(own / "set", pa.table({"audio": audio(4), "label": ["a", "b", "a", "a\u200b"], "source": groups}))
    clips = open_data("set")
    assert clips.labels == ("a", "b") and clips.table["group"].tolist() == ["day 1", "day 1", "2", "3"]
    assert [note.split(":")[0] for note in clips.notes] == [
        "GROUPS FROM A COLUMN", "GROUPS JOINED", "NO GROUPS", "LABELS REPAIRED",
    ]  # fmt: skip
    for number, empty in enumerate((None, "", " \xa0", "\u200b")):
        saved(own / f"gaps{number}", pa.table({"audio": audio(2), "label": ["a", empty]}))
        with pytest.raises(ClipsError, match=r"1 clip has no label \(1\)"):
            open_data(f"gaps{number}")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": ["a"]}, r"no column 'audio' or 'mel_spectrogram'\. It has label"),
        ({"audio": [{"bytes": b"x", "path": "x"}]}, r"none of the columns class, label, category.*It has audio"),
        ({"audio": ["x.wav"], "label": ["a"]}, r"'audio' holds string, not the bytes"),
        ({"mel_spectrogram": [[[1.0, 2.0], [1.0]]], "label": ["a"]}, r"row 1: the bands .* differ in length"),
        ({"mel_spectrogram": [[[1.0, float("nan")]]], "label": ["a"]}, r"row 1: .* not finite"),
        ({"mel_spectrogram": [[1.0, 2.0]], "label": ["a"]}, r"row 1: .* not a list of bands"),
        ({"mel_spectrogram": [[["x"]]], "label": ["a"]}, r"row 1: .* holds string, not numbers"),
        ({"mel_spectrogram": [[]], "label": ["a"]}, r"row 1: .*"),
        ({"mel_spectrogram": [[[1.0]]], "label": [None]}, "1 clip has no label"),
    ],
)
def test_tables_that_are_no_data_set_are_refused(own: Path, columns: dict[str, Any], message: str) -> None:
    (own / "set").mkdir()
    pq.write_table(pa.table(columns), own / "set" / "x.parquet")
    with pytest.raises(ClipsError, match=message):
        open_data("set")


def test_files_that_are_no_tables_or_differ_are_refused(own: Path) -> None:
    (own / "set").mkdir()
    (own / "set" / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ClipsError, match=r"a\.parquet cannot be read"):
        open_data("set")
    pq.write_table(pa.table({"label": ["a"]}), own / "set" / "a.parquet")
    pq.write_table(pa.table({"class": ["a"]}), own / "set" / "b.parquet")
    with pytest.raises(ClipsError, match=r"b\.parquet has other columns \(class\) than a\.parquet \(label\)"):
        open_data("set")


def labelled_sounds(count: int, **columns: list[Any]) -> pa.Table:
    audio = [{"bytes": encoded(tone(300, 0.2), RATE, "WAV"), "path": f"x{n}.wav"} for n in range(count)]
    return pa.table({"audio": audio, **columns})


@pytest.mark.parametrize(
    "column", ["src_file", "source_file", "freesound_id", "recording_id", "original_file", "speaker"]
)
def test_columns_of_sources_are_groups(own: Path, column: str) -> None:
    saved(own / "set", labelled_sounds(4, label=["a", "b", "a", "b"], **{column: ["s", "s", "t", "u"]}))
    clips = open_data("set")
    assert clips.table["group"].tolist() == ["s", "s", "t", "u"] and clips.group_source == "given"
    assert clips.notes[0].startswith(f"GROUPS FROM A COLUMN: '{column}' says which clips are of one recording")
    assert open_data("set", group="file").table["group"].is_unique


def test_without_a_column_groups_are_guessed_by_the_names(own: Path) -> None:
    names = ["hall_1.wav", "yard_1.wav", "hall_2.wav", "yard_2.wav"]
    table = labelled_sounds(4, file_name=names, label=["a", "a", "b", "b"], source=["freesound"] * 4)
    saved(own / "set", table)
    clips = open_data("set")
    assert clips.table["group"].tolist() == ["hall", "yard", "hall", "yard"] and clips.group_source == "guessed"
    assert clips.notes[0].startswith("GUESSED GROUPS") and clips.notes[1].startswith("NOT USED AS GROUPS: the column")


def test_unlabelled_rows_are_left_out_and_counted(own: Path) -> None:
    saved(own / "set", labelled_sounds(5, label=[0, -1, 1, 0, -1], group=list("stuvw")), ["dog", "rain"])
    clips = open_data("set")
    assert clips.labels == ("dog", "rain") and clips.table["label"].tolist() == ["dog", "rain", "dog"]
    assert clips.table["group"].tolist() == ["s", "u", "v"]
    assert clips.notes == ("UNLABELLED: 2 clips of 5 with the label -1, which means no label, left out (x1, x4)",)
    saved(own / "all", labelled_sounds(2, label=[-1, -1]), ["dog", "rain"])
    with pytest.raises(ClipsError, match=r"all 2 clips have the label -1, which means no label\. Label them"):
        open_data("all")
