"""publish: a run's classifier goes to the hub with its card, and comes back; the real client, a hub next door."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import hubbub
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.export import Sounds, exported
from hubbub.classifier.load import load_torch, pinned
from hubbub.classifier.saved import is_part, read_card
from hubbub.cli.main import app
from hubbub.metrics.intervals import METHOD
from hubbub.report.headline import NAMES
from hubbub.runtime import files
from hubbub.runtime.hub import HubError
from tests.helpers.classifiers import LABELS, small_classifier
from tests.helpers.command_line import run_hubbub
from tests.helpers.hub import Hub, hub_next_door, own_folders
from tests.helpers.sounds import sounds

ROOT = Path(__file__).parents[2]
QUICK = "QUICK: reduced data and training"
KEY = "models/me/street"
LICENCE = "CC BY-NC 4.0"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> hubbub.Run:
    """A finished run, with figures of its own, whose recipe names its data by an absolute path."""
    folder = tmp_path_factory.mktemp("secret-project") / "runs" / "street"
    data = folder.parents[1] / "sounds" / "street.csv"
    model = small_classifier(f'data.name="{data}"', "head.name=logreg", "head.pool=mean")
    wave = np.random.default_rng(0).normal(0, 0.1, 3 * model.rate_hz).astype(np.float32)
    model.card = {"trained_on": "street: all folds, refitted after the evaluation"}
    model.save(folder / "classifier", exported(model, Sounds("noise", [wave])))
    (folder / "recipe.toml").write_text(model.recipe.to_toml())
    figure = {"mean": 0.8125, "sd": 0.1, "ci95": [0.7, 0.9], "interval": METHOD}
    level = dict.fromkeys(NAMES, figure)
    classes = [{"label": label, "clips": 20, "recordings": 10, "recall": 0.75} for label in LABELS]
    files.write_json(
        folder / "summary.json",
        {"recipe": "a small CNN", "data": "street", "protocol": "kfold", "comparable": False}
        | {"why_not_comparable": [QUICK], "caveats": [], "clips": 60, "segments": 120, "recordings": 30}
        | {"folds": [], "clip": level, "segment": level, "classes": classes},
    )
    facts = {
        "name": "street",
        "licence": LICENCE,
        "citation": "not stated",
        "clips": 60,
        "warnings": [],
        "manifest": "",
    }
    files.write_json(
        folder / "environment.json",
        {"hubbub": "0.1.0", "python": "3.11", "data": facts, "weights": {"yamnet.h5": "0" * 64}}
        | {"protocol": "3 folds", "test_folds": ["1", "2", "3"], "why_not_comparable": [QUICK]},
    )
    return hubbub.Run(folder)


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder and a home, and no token but this test's."""
    own_folders(tmp_path, monkeypatch)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    return tmp_path


@pytest.fixture
def server(own: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_next_door(monkeypatch, own / "user") as server:
        yield server


def content(server: Hub, path: str) -> bytes:
    of = server.head(KEY)["files"][path]
    return of if isinstance(of, bytes) else server.large[of]


def test_published_by_command_and_classified_with_in_a_new_process(server: Hub, run: hubbub.Run, own: Path) -> None:
    done = run_hubbub("publish", str(run.folder), "me/street")
    assert done.returncode == 0, done.stderr
    commit = server.head(KEY)["sha"]
    assert done.stdout.strip() == f"hf:me/street@{commit}"
    for said in (
        f"published as {server.url}/me/street, private",
        "  network.safetensors, ",
        "README.md",
        LICENCE,
        "not for commercial use",
        "begins with: QUICK",
    ):
        assert said in done.stderr
    assert "hf_writer" not in done.stdout + done.stderr
    assert server.repositories[KEY]["private"]
    saved = {path.name for path in (run.folder / "classifier").iterdir()}
    assert set(server.head(KEY)["files"]) == {".gitattributes", "README.md", *saved}

    sounds(own, "a.wav", seconds=3)
    done = run_hubbub("classify", "a.wav", "--model", "hf:me/street", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"] == f"hf:me/street@{commit}" and f"model: hf:me/street@{commit}" in done.stderr
    here = run.classifier.classify(own / "a.wav")
    assert found["scores"] == pytest.approx(here.scores, abs=1e-5)
    assert not any("torch" in agent for agent in server.agents)  # telemetry is off

    folder = own / "home" / "weights" / "hub" / "me--street" / commit
    assert {path.name for path in folder.iterdir()} == {*saved, "source.json"}  # not the card
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        offline = run_hubbub("classify", "a.wav", "--model", "hf:me/street", "--json")
    assert json.loads(offline.stdout) == found


def test_no_folder_of_this_machine_is_published(server: Hub, run: hubbub.Run, own: Path) -> None:
    secret = str(run.folder.parents[1])
    assert secret in (run.folder / "classifier" / "classifier.json").read_text()
    name = hubbub.publish(run, "me/street", quiet=True)
    for path in server.head(KEY)["files"]:
        assert secret.encode() not in content(server, path), path
    model = hubbub.load(name)
    assert model.recipe.data.name == "street.csv"
    sounds(own, "a.wav", seconds=3)
    torch_model = load_torch(name)
    expected = np.array(list(run.classifier.classify(own / "a.wav").scores.values()))
    for one in (model, torch_model):
        assert np.allclose(list(one.classify(own / "a.wav").scores.values()), expected, atol=1e-5)


def test_the_card_has_the_figures_and_begins_with_the_caveats(server: Hub, run: hubbub.Run) -> None:
    hubbub.publish(run, "me/street", private=False, quiet=True)
    assert not server.repositories[KEY]["private"]
    page = content(server, "README.md").decode()
    _, header, text = page.split("---\n", 2)
    facts: dict[str, Any] = yaml.safe_load(header)
    assert facts == {
        "license": "cc-by-nc-4.0",
        "library_name": "hubbub",
        "pipeline_tag": "audio-classification",
        "tags": ["environmental-sound", "cnn"],
    }
    assert QUICK in text.partition("A classifier of sounds")[0]
    assert "**0.812**, 95 % interval 0.700 to 0.900 (exact binomial, 30 recordings)" in text
    assert "Protocol: 3 folds." in text and "street: all folds, refitted" in text
    assert "| yamnet.h5 | initial weights | Apache-2.0 |" in text and "**Commercial use.**" in text
    assert 'hubbub.load("hf:me/street")' in text
    assert all(f"| {label} | 20 | 10 | 0.750 |" in text for label in LABELS)


def test_a_file_that_was_changed_is_refused(server: Hub, run: hubbub.Run) -> None:
    hubbub.publish(run, "me/street", quiet=True)
    server.spoil = "network.safetensors"
    with pytest.raises(HubError, match=r"network\.safetensors does not have the checksum the hub says"):
        hubbub.load("hf:me/street")
    server.spoil = ""
    changed = dict(server.head(KEY)["files"])
    server.put(KEY, {"network.safetensors": b"other"})
    changed["network.safetensors"] = server.head(KEY)["files"]["network.safetensors"]
    server.commit(KEY, changed)
    with pytest.raises(ClassifierError, match=r"network\.safetensors is not the file that was saved"):
        hubbub.load("hf:me/street")
    del changed["network.safetensors"]
    commit = server.commit(KEY, changed)
    with pytest.raises(ClassifierError, match=r"network\.safetensors is missing"):
        hubbub.load(f"hf:me/street@{commit}")


def test_pickles_and_other_files_beside_are_not_fetched(server: Hub, run: hubbub.Run) -> None:
    hubbub.publish(run, "me/street", quiet=True)
    there = dict(server.head(KEY)["files"])
    server.put(KEY, {"pytorch_model.bin": b"pickle", "head.pkl": b"pickle", "run.py": b"print(1)"})
    server.commit(KEY, there | server.head(KEY)["files"])
    assert hubbub.load("hf:me/street").labels == run.classifier.labels
    assert not [asked for asked in server.asked if asked.endswith((".bin", ".pkl", ".py", "README.md"))]


def test_publishing_again_replaces_what_is_no_longer_part(server: Hub, run: hubbub.Run) -> None:
    hubbub.publish(run, "me/street", quiet=True)
    there = dict(server.head(KEY)["files"])
    server.put(KEY, {"typicality.safetensors": b"old", "notes.md": b"mine"})
    server.commit(KEY, there | server.head(KEY)["files"])
    name = hubbub.publish(run, "me/street", quiet=True)
    assert set(server.head(KEY)["files"]) == {*there, "notes.md"}
    assert name == f"hf:me/street@{server.head(KEY)['sha']}"
    with pytest.raises(HubError, match="is there already and private, and --public was asked"):
        hubbub.publish(run, "me/street", private=False, quiet=True)
    server.put("models/me/other", {"model.safetensors": b"theirs"})
    with pytest.raises(HubError, match="is there already and not from hubbub"):
        hubbub.publish(run, "me/other", quiet=True)


def test_a_name_means_the_commit_it_had_first_and_says_so(
    server: Hub, run: hubbub.Run, caplog: pytest.LogCaptureFixture
) -> None:
    first = hubbub.publish(run, "me/street", quiet=True)
    assert pinned("hf:me/street") == first
    assert f"hf:me/street is commit {first[-40:]}".removeprefix("hf:") in caplog.text
    server.commit(KEY, server.head(KEY)["files"])
    assert pinned("hf:me/street") == first
    assert pinned("small") == "small"


@pytest.mark.parametrize(
    ("token", "name", "message"),
    [
        ("", "me/street", "There is no token to publish with. Make one that may write"),
        ("hf_reader", "me/street", "may only read"),
        ("hf_writer", "others/street", "may not write to others. It may to me, team"),
        ("hf_writer", "street", "'street' is not a name on the hub. Write OWNER/NAME"),
        ("hf_writer", "me/street@v1", "is not a name on the hub"),
    ],
)
def test_what_may_not_be_published_creates_nothing(
    server: Hub, run: hubbub.Run, monkeypatch: pytest.MonkeyPatch, token: str, name: str, message: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError) as caught:
        hubbub.publish(run, name, quiet=True)
    assert message in str(caught.value)
    assert not server.repositories


def test_what_is_no_classifier_of_hubbub_is_named(server: Hub, own: Path) -> None:
    with pytest.raises(HubError, match="has no model me/nowhere, or it is private"):
        hubbub.load("hf:me/nowhere")
    server.put("models/org/net", {"config.json": b"{}", "model.safetensors": b"weights"})
    with pytest.raises(ClassifierError, match=r"hf:org/net holds no classifier that hubbub published: .*config\.json"):
        hubbub.load("hf:org/net")
    with pytest.raises(HubError, match=r"'net' is not the name of a model on the hub\. Write ORG/NAME"):
        hubbub.load("hf:net")
    with pytest.raises(ClassifierError, match=r"org/net is not a folder.*hf:org/net for one on the Hugging Face hub"):
        hubbub.load("org/net")


def test_only_a_finished_run_with_a_classifier_is_published(server: Hub, run: hubbub.Run, own: Path) -> None:
    done = CliRunner().invoke(app, ["publish", str(own / "nothing"), "me/street"])
    assert done.exception is not None and "is not a finished run" in str(done.exception)
    (own / "copy").mkdir()
    for name in ("summary.json", "environment.json", "recipe.toml"):
        (own / "copy" / name).write_bytes((run.folder / name).read_bytes())
    with pytest.raises(ClassifierError, match="has no final classifier"):
        hubbub.publish(own / "copy", "me/street", quiet=True)
    assert not server.asked


def test_every_file_of_a_saved_classifier_is_published(run: hubbub.Run) -> None:
    card = read_card(run.folder / "classifier")
    assert all(is_part(name) for name in card["sha256"])
    assert is_part("head.trees.txt") and is_part("typicality.safetensors")
    assert not any(map(is_part, ("model.bin", "head.pkl", "../classifier.json", "head.x.txt.py", "code.py")))
    assert files.sha256(run.folder / "classifier" / "network.safetensors") == card["sha256"]["network.safetensors"]
