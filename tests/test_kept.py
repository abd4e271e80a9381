"""kept: what a killed command had answered is not asked again, and nothing half-written is ever taken for an answer."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hubbub import predict
from hubbub.classifier import Classifier
from hubbub.data.made import MadeError
from hubbub.find_files import find
from hubbub.formats import FORMATS
from hubbub.kept import Kept, KeptError, identity, keeping
from hubbub.recipe import Recipe

RATE = 16_000


@pytest.fixture(scope="module")
def model() -> Classifier:
    recipe = Recipe.load("street-cnn", ["network.width=2", "windows.length=16000", "windows.hop=8000"])
    return Classifier(recipe, ("dog", "rain"), seed=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sounds = tmp_path / "sounds"
    (sounds / "deep").mkdir(parents=True)
    for k, name in enumerate(("a.wav", "b.wav", "deep/a.wav")):
        soundfile.write(sounds / name, np.random.default_rng(k).normal(0, 0.1, RATE), RATE)
    return sounds


def classify(model: Classifier, folder: Path, out: Path, form: str = "csv", most: int = 99, **facts: object) -> Kept:
    """As the command does it, killed after `most` answers."""
    paths = find([str(folder)]).files
    with keeping(out, FORMATS[form], paths, [str(folder)], 0.0, facts) as kept:
        for done, answer in enumerate(predict.answers(model, kept.left)):
            if done == most:
                raise KeyboardInterrupt
            kept.add(answer)
    return kept


@pytest.mark.parametrize("name", ["heard", "heard.csv"])
def test_a_killed_command_goes_on_where_it_was(model: Classifier, folder: Path, tmp_path: Path, name: str) -> None:
    whole, out = tmp_path / "whole" / name, tmp_path / name
    classify(model, folder, whole)
    with pytest.raises(KeyboardInterrupt):
        classify(model, folder, out, most=2)
    assert not out.is_file()
    (place,) = (p for p in (out, tmp_path / "heard.csv.parts") if p.is_dir())
    (place / f".a.{os.getpid()}-0123abcd.csv").write_text("torn")  # as whole_file leaves it where it is killed
    kept = classify(model, folder, out)
    assert [Path(p).relative_to(folder).as_posix() for p in kept.left] == ["deep/a.wav"]
    if name == "heard.csv":
        assert out.read_bytes() == whole.read_bytes()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["heard.csv", "sounds", "whole"]
    else:
        found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.csv"))
        assert found == ["a.wav.csv", "b.wav.csv", "deep/a.wav.csv"]
        assert all((out / one).read_bytes() == (whole / one).read_bytes() for one in found)
    # In a folder all is there; a file is made anew.
    assert len(classify(model, folder, out).left) == (0 if name == "heard" else 3)


def test_a_recording_that_changed_and_one_that_could_not_be_read_are_tried_again(
    model: Classifier, folder: Path, tmp_path: Path
) -> None:
    (folder / "b.wav").write_text("text")
    out = tmp_path / "heard.jsonl"
    kept = classify(model, folder, out, "json")
    assert list(kept.failed) == [str(folder / "b.wav")]
    assert [("error" in json.loads(line)) for line in out.read_text().splitlines()] == [False, True, False]
    soundfile.write(folder / "b.wav", np.zeros(RATE), RATE)
    later = time.time() + 10
    os.utime(folder / "deep" / "a.wav", (later, later))
    kept = classify(model, folder, out, "json")
    assert [Path(p).name for p in kept.left] == ["b.wav", "a.wav"] and not kept.failed
    assert not any("error" in line for line in out.read_text().splitlines())
    assert not (tmp_path / "heard.jsonl.parts").exists()


def test_answers_of_other_settings_are_not_mixed(model: Classifier, folder: Path, tmp_path: Path) -> None:
    classify(model, folder, tmp_path / "heard", top=1)
    with pytest.raises(MadeError, match=r"made with other settings: top is 1 there and 2 now"):
        classify(model, folder, tmp_path / "heard", top=2)
    with pytest.raises(MadeError, match="holds other files"):
        classify(model, folder, folder)


def test_what_cannot_be_kept_so_is_refused(model: Classifier, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeptError, match=r"can hold one recording's answer in this format, and there are 3"):
        classify(model, folder, tmp_path / "heard.txt", "audacity")
    paths = [str(folder / "a.wav"), str(folder / "deep" / "a.wav")]
    with (
        pytest.raises(KeptError, match=r"several recordings are called a\.wav\. Give one folder"),
        keeping(tmp_path / "heard", FORMATS["csv"], paths, paths, 0.0, {}),
    ):
        pass


def test_a_model_is_told_by_its_files(model: Classifier, tmp_path: Path) -> None:
    model.save(tmp_path / "run" / "classifier")
    before = identity(str(tmp_path / "run"))
    assert set(before) == {"classifier.json", "network.safetensors"}
    assert identity(str(tmp_path / "run" / "classifier")) == before
    with (tmp_path / "run" / "classifier" / "network.safetensors").open("ab") as file:
        file.write(b"x")
    assert identity(str(tmp_path / "run")) != before
    assert identity("yamnet") == {}


KILLED = """
import os, signal, sys
from pathlib import Path
from hubbub import files, kept, predict
from hubbub.find_files import find
from hubbub.formats import FORMATS
from hubbub.loading import load

model, folder, out = sys.argv[1:]
paths = find([folder]).files
with kept.keeping(Path(out), FORMATS["parquet"], paths, [folder], 0.0, {}) as place:
    for done, answer in enumerate(predict.answers(load(model), place.left)):
        if done == 2:
            with files.whole_file(place.files[answer.file]) as torn:
                torn.write_bytes(b"half of it")
                os.kill(os.getpid(), signal.SIGKILL)
        place.add(answer)
"""


def test_a_process_killed_in_the_middle_of_writing_leaves_whole_answers(
    model: Classifier, folder: Path, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    out, parts = tmp_path / "heard.parquet", tmp_path / "heard.parquet.parts"
    words = [sys.executable, "-c", KILLED, str(tmp_path / "model"), str(folder), str(out)]
    assert subprocess.run(words).returncode == -signal.SIGKILL
    assert len(list(parts.glob("[!.]*.parquet"))) == 2 and len(list(parts.glob(".*.parquet"))) == 1
    assert [Path(p).relative_to(folder).as_posix() for p in classify(model, folder, out, "parquet").left] == [
        "deep/a.wav"
    ]
    assert list(pd.read_parquet(out)["file"].unique()) == find([str(folder)]).files
    assert not parts.exists()
