"""Run folders and classifiers that earlier code saved still load, and give the same probabilities.

`tests/files/stored` was made by c61acb9: classifiers of random or fitted weights, an exported file, and the run of

    hubbub bench street-cnn --quick --name run --jobs 1 --set data.limit=2 --set network.width=2 --set train.epochs=1
        --set 'data.held_out=["siren"]'

of which plots, checkpoints and logs were removed. `expected.json` holds what that code answered.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import hubbub
from hubbub import HubbubError
from hubbub.classifier.saved import CARD
from hubbub.cli.main import app
from hubbub.report.reading import ENVIRONMENT, FORMAT

STORED = Path(__file__).parent / "files" / "stored"
EXPECTED = json.loads((STORED / "expected.json").read_text(encoding="utf-8"))
NOISE = np.random.default_rng(7).normal(0, 0.1, 40_000).astype(np.float32)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_stored_classifier_gives_the_same_probabilities(name: str) -> None:
    model = hubbub.load(STORED / name)
    found = model.classify(STORED / "given.npy") if name == "given" else model.classify(NOISE, 16_000)
    assert found.scores == pytest.approx(EXPECTED[name]["scores"], rel=1e-5)
    np.testing.assert_allclose(found.segments[list(model.labels)], EXPECTED[name]["segments"], rtol=1e-5)
    assert found.known == EXPECTED[name]["known"]


def test_a_stored_run_is_verified_reported_and_used(tmp_path: Path) -> None:
    run = shutil.copytree(STORED / "run", tmp_path / "run")
    done = CliRunner().invoke(app, ["report", str(run), "--verify"])
    assert done.exit_code == 0, done.output
    assert (run / "report.html").is_file()
    before, after = (json.loads((place / "summary.json").read_text("utf-8")) for place in (STORED / "run", run))
    assert after == before
    assert hubbub.load(run).labels == hubbub.load(run / "test-1" / "seed-42").labels


@pytest.mark.parametrize("command", [["report"], ["report", "--verify"], ["compare", str(STORED / "run")]])
def test_a_run_of_a_later_format_is_refused_with_what_to_do(command: list[str], tmp_path: Path) -> None:
    run = shutil.copytree(STORED / "run", tmp_path / "run")
    environment = json.loads((run / ENVIRONMENT).read_text(encoding="utf-8"))
    later = {"format": FORMAT + 1, "hubbub": "9.0", "levity": environment}  # nothing else is where it was
    (run / ENVIRONMENT).write_text(json.dumps(later), encoding="utf-8")
    (run / "recipe.toml").write_text("[levity]\nheight = 3\n", encoding="utf-8")
    done = CliRunner().invoke(app, [*command, str(run)])
    assert isinstance(done.exception, HubbubError)
    assert "format 2, written by hubbub 9.0, and this version reads format 1. Update hubbub" in str(done.exception)


@pytest.mark.parametrize("other", [1, 3, "2", None])
def test_a_classifier_of_another_format_is_refused_with_what_to_do(other: object, tmp_path: Path) -> None:
    folder = shutil.copytree(STORED / "network", tmp_path / "network")
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    (folder / CARD).write_text(json.dumps(card | {"format": other}), encoding="utf-8")
    with pytest.raises(HubbubError, match=rf"saved in format {other}; this hubbub reads 2\. Update hubbub, or train"):
        hubbub.load(folder)
