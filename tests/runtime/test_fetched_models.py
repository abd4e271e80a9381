"""fetched_models: models of the hub are fetched once, at a commit that is recorded; the real client, a hub of ours."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from hubbub.runtime import hub
from hubbub.runtime.fetched_models import fetch_model, split_name
from hubbub.runtime.hub import HubError
from tests.helpers.hub import Hub, hub_next_door, own_folders

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"pickle", "README.md": b"hello"}


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder and two homes, and no token but this test's."""
    own_folders(tmp_path, monkeypatch)
    monkeypatch.setenv("HUBBUB_HOME", os.pathsep.join([str(tmp_path / "home"), str(tmp_path / "second")]))
    return tmp_path


@pytest.fixture
def server(own: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_next_door(monkeypatch, own / "user") as server:
        yield server


def safe(files: Collection[str]) -> list[str]:
    chosen = [name for name in files if name.endswith((".json", ".safetensors"))]
    if not chosen:
        raise HubError("no weights")
    return chosen


def test_only_the_chosen_files_are_fetched_and_then_used_without_the_hub(server: Hub, own: Path) -> None:
    commit = server.put("models/org/net", FILES)
    folder = fetch_model("org/net", safe)
    assert folder == own / "home" / "weights" / "hub" / "org--net" / commit
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "source.json"]
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert not any(asked.endswith((".bin", ".md")) for asked in server.asked)
    asked = len(server.asked)
    assert fetch_model("org/net", safe) == folder
    assert fetch_model(f"org/net@{commit}", safe) == folder
    assert len(server.asked) == asked


def test_a_name_keeps_the_commit_it_had_at_first(server: Hub) -> None:
    first = server.put("models/org/net", FILES)
    server.tags["v1"] = first
    assert fetch_model("org/net@v1", safe).name == first
    assert fetch_model("org/net", safe).name == first
    second = server.put("models/org/net", FILES | {"model.safetensors": b"others"})
    server.tags["v1"] = second
    assert fetch_model("org/net", safe).name == first
    assert fetch_model("org/net@v1", safe).name == first
    newer = fetch_model(f"org/net@{second}", safe)
    assert (newer / "model.safetensors").read_bytes() == b"others"
    (newer.parent / "revisions.json").unlink()
    assert fetch_model("org/net", safe) == newer


def test_a_folder_that_was_deleted_is_fetched_at_the_recorded_commit(server: Hub, own: Path) -> None:
    first = server.put("models/org/net", FILES)
    folder = fetch_model("org/net", safe)
    server.put("models/org/net", FILES | {"config.json": b"[]"})
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert fetch_model("org/net", safe) == folder
    assert folder.name == first


def test_another_home_is_searched_too(server: Hub, own: Path) -> None:
    server.put("models/org/net", FILES)
    folder = fetch_model("org/net", safe)
    (own / "home").rename(own / "second")
    assert fetch_model("org/net", safe) == own / "second" / folder.relative_to(own / "home")


def test_other_bytes_than_published_are_refused(server: Hub, own: Path) -> None:
    server.put("models/org/net", FILES)
    server.spoil = "model.safetensors"
    with pytest.raises(HubError, match=r"model\.safetensors does not have the checksum the hub says"):
        fetch_model("org/net", safe)
    assert not list(own.glob("home/weights/hub/org--net/[!.]*"))
    server.spoil = ""
    assert fetch_model("org/net", safe).is_dir()


def test_what_the_hub_does_not_have_is_said(server: Hub) -> None:
    with pytest.raises(HubError, match="has no model org/net, or it is private"):
        fetch_model("org/net", safe)
    server.put("models/org/net", {"README.md": b""})
    with pytest.raises(HubError, match=r"org/net has no branch, tag or commit 'v9'.*/org/net/commits"):
        fetch_model("org/net@v9", safe)
    with pytest.raises(HubError, match="no weights"):
        fetch_model("org/net", safe)


def test_a_damaged_record_is_named(server: Hub) -> None:
    server.put("models/org/net", FILES)
    record = fetch_model("org/net", safe).parent / "revisions.json"
    record.write_text('{"": "../../elsewhere"}')
    with pytest.raises(HubError, match=r"revisions\.json is damaged\. Delete it"):
        fetch_model("org/net", safe)


@pytest.mark.parametrize(
    "name", ["net", "a/b/c", "../net", "org/net@", "org/net@../x", "org/net@v 1", "", "hf:org/net"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(HubError, match="is not the name of a model on the hub"):
        split_name(name)


def test_names_have_an_optional_revision() -> None:
    assert split_name("org/net") == ("org/net", "")
    assert split_name("org/net@refs/pr/1") == ("org/net", "refs/pr/1")


def test_a_data_set_and_a_model_of_one_name_are_two(server: Hub) -> None:
    server.put("org/net", {"data.parquet": b"PAR1"})
    with pytest.raises(HubError, match="has no model org/net"):
        fetch_model("org/net", safe)
    server.put("models/org/net", FILES)
    assert hub.look_up(hub.Repository("dataset", "org/net")).files.keys() == {"data.parquet"}
    assert hub.look_up(hub.Repository("model", "org/net")).files.keys() == set(FILES)
