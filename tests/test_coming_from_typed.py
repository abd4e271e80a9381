"""docs/coming-from.md: its commands, typed as they stand on small recordings in the layouts of the published data sets.

Commands that train at full size are typed in a small form; tests/experiment/test_run.py runs every shipped recipe.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.config.recipe import shipped
from hubbub.experiment import suite
from tests.helpers import published
from tests.helpers.command_line import parsed
from tests.helpers.hub import Hub, hub_next_door
from tests.test_coming_from import COMMANDS, rows_of

#: Weights that a user put into a home are used as they are; downloads: tests/runtime/test_download.py.
WEIGHTS = ("yamnet.h5", "ESResNeXtFBSP_AudioSet.pt", "AudioCLIP-Full-Training.pt", "AudioCLIP-Partial-Training.pt")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data home with small forms of the three data sets, and files under the names of weights."""
    home = tmp_path_factory.mktemp("home")
    published.write_esc50(home)
    published.write_urbansound8k(home)
    published.write_emodb(home)
    (home / "weights").mkdir()
    for name in WEIGHTS:
        (home / "weights" / name).write_bytes(b"mine")
    return home


@pytest.fixture
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `street.wav`, a token in `.env` and the hub's two data sets next door."""
    for name in ("HOME", "XDG_DATA_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HUBBUB_HOME", str(home))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("HF_TOKEN=hf_writer\n")
    soundfile.write(tmp_path / "street.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    return tmp_path


@pytest.fixture
def hub(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_next_door(monkeypatch, place / "user") as server:
        server.put("danavery/urbansound8K", {"README.md": b"", "data/train-0.parquet": published.hub_sounds()})
        mels = {"README.md": b"", "data/train-0.parquet": published.hub_mels()}
        server.put("EthanGLEdwards/urbansounds_melspectrograms", mels)
        yield server


def type_in(line: str, *more: str) -> str:
    """What the command says; the small data sets are partial, so it gets `--allow-missing` where it knows that."""
    partial = ["--allow-missing"] if "allow_missing" in parsed(line)[1] else []
    done = CliRunner().invoke(app, [*shlex.split(line)[1:], *partial, *more])
    assert done.exit_code == 0, f"{line}: {done.output}\n{done.exception}"
    return done.output


def lines(system: str, start: str) -> list[str]:
    """The commands of a system's table that begin so, in its order."""
    named = [line for _, ours in rows_of(system) for line in COMMANDS if f"`{line}`" in ours]
    return [line for line in dict.fromkeys(named) if line.startswith(start)]


def test_a_splits_and_weights(place: Path) -> None:
    said = {line: type_in(line) for line in lines("A", "hubbub data")}
    assert "no leaks" in said["hubbub data leaks us8k-yamnet-lgbm"]
    for name in ("esresnext_audioset", "audioclip_full", "audioclip_partial", "yamnet"):
        assert Path(said[f"hubbub data get {name}"].strip()).read_bytes() == b"mine"
    assert len(said) == 5


def test_b_images(place: Path) -> None:
    said = {line: type_in(line) for line in lines("B", "hubbub data")}
    assert "156 clips" in said["hubbub data check images/spectrograms.csv"]
    listed = pd.read_csv("images/spectrograms.csv", dtype=str)
    assert list(listed)[:7] == ["spec_file_name", "orig_file_name", "fsID", "fold", "classID", "class", "augmentation"]
    counts = listed["augmentation"].value_counts()
    assert len(counts) == 12 and set(counts) == {13}
    assert {path.parent.name for path in Path("images/spectrograms").rglob("*.png")} == {
        f"fold{k}" for k in range(1, 11)
    }
    sizes = {}
    for folder in ("images", "images-some", "images-large", "images-rgba", "images-grey"):
        with Image.open(next(Path(folder).rglob("*.png"))) as image:
            sizes[folder] = (*image.size, image.mode)
    assert sizes["images"] == sizes["images-some"] == (224, 224, "RGB")
    assert sizes["images-large"] == (1000, 400, "RGB") and sizes["images-rgba"] == (1000, 400, "RGBA")
    assert sizes["images-grey"] == (224, 224, "L")


def test_c_arrays(place: Path) -> None:
    assert [type_in(line) for line in lines("C", "hubbub data")]
    features = np.load("features/features.npz")["features"]
    assert features.shape == (15, 64, 501)
    assert json.loads(Path("features/label_mapping.json").read_text()) == {"crow": 0, "dog": 1, "rain": 2}
    assert json.loads(Path("features/metadata.json").read_text())["name"] == "esc50"


def test_d_copies_images_and_lists(place: Path) -> None:
    said = {line: type_in(line) for line in lines("D", "hubbub data")}
    assert {path.name.split("_")[1] for path in Path("images").rglob("*.png")} == {
        *("orig.png", "noisy.png", "pitchUp2.png", "stretch0.9.png")
    }
    rates = {soundfile.info(str(path)).samplerate for path in Path("esc50-augmented").rglob("*.wav")}
    assert rates == {44_100}
    rates = {soundfile.info(str(path)).samplerate for path in Path("emodb-augmented").rglob("*.wav")}
    assert rates == {16_000}
    for folder in ("lists", "lists-emodb"):
        train, val = (set(pd.read_csv(f"{folder}/{part}.csv", dtype=str)["group"]) for part in ("train", "val"))
        assert train and val and not train & val
    assert sorted(path.name for path in Path("lists-test").iterdir() if path.suffix == ".csv") == [
        *("test.csv", "train.csv", "val.csv")
    ]
    assert len(said) >= 7


def test_e_the_hub_there_and_back(place: Path, hub: Hub) -> None:
    said = {line: type_in(line) for line in lines("E", "hubbub data hub")}
    assert len(said) == 6
    fetched = Path(said["hubbub data hub get me/urbansound8k-mel"].strip())
    assert (fetched / "hubbub.json").read_bytes() == (place / "urbansound8k-mel" / "hubbub.json").read_bytes()
    private = {name: repository["private"] for name, repository in hub.repositories.items() if name.startswith("me/")}
    assert private == {"me/urbansound8k-mel": True, "me/public-mel": False}


#: What makes a full training a small one; of an option that is given twice, the last value counts.
SMALL = ("--quick", "--set", "network.weights=none", "--set", "network.width=4", "--set", "train.epochs=1")
SMALLER = ("--set", "frontend.size=[64,64]")
SEARCH = "hubbub tune esc50-resnet18-validation --trials 25"
FINAL = "hubbub bench esc50-resnet18-final --from runs/esc50-resnet18-validation-tune"
SUITE = "hubbub bench esc50-attention"
#: Trained in a small form below. Shipped recipes by name alone: tests/experiment/test_run.py.
TRAINED = (
    "hubbub bench us8k-resnet18 --set data.name=images/spectrograms.csv",
    "hubbub bench esc50-resnet18-final --set data.name=features/features.npz",
    "hubbub bench esc50-resnet50 --set data.name=emodb --set protocol.kind=logo",
)


def test_the_goals_before_they_are_run(place: Path) -> None:
    assert type_in("hubbub report --goals").count("not yet") == 4


@pytest.mark.slow
def test_trainings_and_what_reads_them(place: Path) -> None:
    """Images, arrays, another data set, a learning rate, a search and its best settings, a suite and its comparison."""
    type_in("hubbub data images us8k-resnet18 images --set 'frontend.size=[64,64]'")
    type_in("hubbub data features esc50-resnet18-final features")
    for line in TRAINED:
        smaller = (*SMALLER, "--folds", "03") if "emodb" in line else ()
        assert "clip accuracy" in type_in(line, *SMALL, "--jobs", "1", *smaller), line
    assert "suggested: train.learning_rate" in type_in("hubbub lr-find esc50-resnet18-validation", *SMALL)
    type_in(SEARCH, *SMALL, "--trials", "1", "--set", "tune.epochs=1", "--name", "esc50-resnet18-validation-tune")
    best = "hubbub bench runs/esc50-resnet18-validation-tune/best.toml"
    assert "clip accuracy" in type_in(best, *SMALL, "--jobs", "1")
    assert "clip accuracy" in type_in(FINAL, *SMALL, "--jobs", "1")
    type_in(SUITE, *SMALL, "--jobs", "1", "--name", "esc50-attention", *SMALLER)
    (compared,) = lines("D", "hubbub compare")
    assert "esc50-resnet50-se" in type_in(compared)
    assert {SEARCH, FINAL, SUITE, best, *TRAINED} <= set(COMMANDS)
    for line in ("hubbub report RUN", "hubbub explain RUN street.wav"):
        assert line in COMMANDS
        assert type_in(line.replace("RUN", "runs/esc50-attention/esc50-resnet50"))


def test_every_command_is_typed_here_or_elsewhere() -> None:
    """What is not typed here is a shipped recipe or suite with other options, or is named here with its test."""
    elsewhere = {
        "hubbub serve RUN": "tests/serve",
        "hubbub bench my.toml": "tests/experiment/test_run.py",
    }
    here = (SEARCH, FINAL, SUITE, *TRAINED)
    for line in COMMANDS:
        words = line.split()
        parsed_alone = words[1] in ("bench", "train", "tune") and (words[2] in shipped() or words[2] in suite.shipped())
        typed = words[1] in ("data", "report", "compare", "explain", "lr-find", "show") or line in here
        assert typed or parsed_alone or line in elsewhere or line.endswith("best.toml"), line


def test_networks_are_shown_without_weights(place: Path) -> None:
    shown = {line.split()[2]: type_in(line) for system in "AC" for line in lines(system, "hubbub show")}
    assert set(shown) == {"us8k-esresnext", "us8k-audioclip", "esc50-resnet18-final"}
    parameters = {name: re.search(r"\nparameters: ([\d,]+)", said) for name, said in shown.items()}
    assert all(parameters.values()), shown
