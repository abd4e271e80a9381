"""hub_models: checkpoints from the hub or a folder, read strictly, and nothing of them executed."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from hubbub.models import hub_models
from hubbub.models.checkpoint import CheckpointError
from hubbub.models.hub_models import find, weights_file
from hubbub.models.network import NetworkError
from hubbub.runtime.hub import HubError
from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.hub import Hub, hub_next_door, own_folders

FILES = {
    "config.json": b'{"model_type": "wav2vec2"}',
    "preprocessor_config.json": b'{"sampling_rate": 16000}',
    "model.safetensors": safetensors.torch.save({"x": torch.ones(2)}),
}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, and homes and folders of this test's own."""
    own_folders(tmp_path, monkeypatch)
    with hub_next_door(monkeypatch, tmp_path / "user") as hub:
        yield hub


def test_the_newest_commit_is_downloaded_once_and_kept(server: Hub, tmp_path: Path) -> None:
    first = server.put(
        "models/me/net", FILES | {"pytorch_model.bin": b"pickle", "README.md": b"card", "run.py": b"code"}
    )
    folder = find("me/net")
    assert folder == tmp_path / "home" / "weights" / "hub" / "me--net" / first
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert json.loads(kept.pop("source.json"))["revision"] == first
    assert kept == FILES  # nothing else of it
    asked = len(server.asked)
    second = server.put("models/me/net", FILES)
    assert find("me/net") == folder and len(server.asked) == asked
    assert find(f"me/net@{second}") == folder.parent / second
    assert find(f"me/net@{first}") == folder
    assert json.loads((folder.parent / "revisions.json").read_text()) == {"": first}


def test_a_tag_is_the_commit_that_it_was_at_first(server: Hub) -> None:
    first = server.put("models/me/net", FILES)
    server.tags["v1"] = first
    assert find("me/net@v1").name == first
    server.tags["v1"] = server.put("models/me/net", FILES)
    assert find("me/net@v1").name == first
    with pytest.raises(HubError, match="me/net has no branch, tag or commit 'v2'"):
        find("me/net@v2")


def test_what_the_hub_does_not_have_is_said_in_one_line(server: Hub) -> None:
    with pytest.raises(HubError, match="has no model me/nowhere, or it is private") as caught:
        find("me/nowhere")
    assert "\n" not in str(caught.value)
    for name in ("me", "../me/net", "a/b/c", "nowhere/at/all"):
        with pytest.raises(NetworkError, match="is neither a checkpoint OWNER/NAME"):
            find(name)


def test_other_bytes_than_published_are_refused(server: Hub) -> None:
    server.put("models/me/net", FILES)
    server.spoil = "model.safetensors"
    with pytest.raises(HubError, match=r"model\.safetensors does not have the checksum"):
        find("me/net")
    server.spoil = ""
    assert weights_file(find("me/net")).is_file()


def test_a_pickle_is_refused_unless_the_hubs_bot_converted_it(server: Hub, tmp_path: Path) -> None:
    pickled = {name: content for name, content in FILES.items() if name != "model.safetensors"}
    server.put("models/me/old", pickled | {"pytorch_model.bin": b"pickle"})
    converted = server.put("models/me/old", FILES)
    repository: dict[str, Any] = server.repositories["models/me/old"]
    repository["commits"].reverse()
    server.tags["refs/pr/7"] = converted
    said = {
        **{"title": "Adding `safetensors` variant of this model", "num": 7, "status": "open", "isPullRequest": True},
        **{"author": {"name": "somebody"}, "createdAt": "2024-01-01T00:00:00.000Z"},
        "repo": {"name": "me/old", "type": "model"},
    }
    repository["discussions"] = [said]
    with pytest.raises(CheckpointError, match=r"me/old has its weights only as pytorch_model\.bin, a pickle"):
        find("me/old")
    assert not (tmp_path / "home" / "weights" / "hub").exists()
    said["author"]["name"] = "SFconvertbot"
    assert find("me/old").name == converted


def test_a_folders_pickle_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(FILES["config.json"])
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match=r"a pickle, which can hold any code and is not opened"):
        weights_file(find(str(tmp_path)))
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors, but config\.json"):
        weights_file(tmp_path)


def test_shards_are_one_state_dict_and_refused_unless_whole(tmp_path: Path) -> None:
    whole = save_checkpoint(tmp_path / "whole", "wav2vec2")
    folder = save_checkpoint(tmp_path / "shards", "wav2vec2", shards=True)
    index = weights_file(folder)
    assert index.name == "model.safetensors.index.json" and len(list(folder.glob("model-*.safetensors"))) > 1
    expected = safetensors.torch.load_file(whole / "model.safetensors")
    state = hub_models.read_state(index)
    assert state.keys() == expected.keys() and all(torch.equal(state[name], expected[name]) for name in expected)
    content = json.loads(index.read_text())
    first = next(iter(content["weight_map"]))
    for places, message in (
        ({**content["weight_map"], "more": content["weight_map"][first]}, "and its files differ in more"),
        ({**content["weight_map"], first: "../elsewhere.safetensors"}, r"which is no \.safetensors file beside it"),
        ({}, "lists no tensors"),
    ):
        index.write_text(json.dumps({"weight_map": places}))
        with pytest.raises(CheckpointError, match=message):
            hub_models.read_state(index)
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        hub_models.read_state(index)


def test_code_of_a_checkpoint_is_never_executed(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "net", "wav2vec2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: ...\nclass Model: ...\n")
    names = {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config | names))
    model = hub_models.library_model(hub_models.library_config(hub_models.read_architecture(folder)["config"]))
    assert type(model).__module__.startswith("transformers.")
    (folder / "config.json").write_text(json.dumps(config | names | {"model_type": "evil"}))
    with pytest.raises(NetworkError, match="no model type 'evil', and code that comes with a checkpoint is never exec"):
        hub_models.library_config(hub_models.read_architecture(folder)["config"])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model_type": 3}', '{"model_type": "wav2vec2", "x": NaN}'])
def test_a_damaged_config_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        hub_models.read_architecture(tmp_path)


def test_without_the_library_its_install_line_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(NetworkError, match=r"need transformers: pip install 'hubbub\[transformers\]'"):
        hub_models.library_config({"model_type": "wav2vec2"})
