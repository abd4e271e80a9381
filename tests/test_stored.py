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
from hubbub.cli.main import app

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
