"""The same recipe, seed and machine give the same bytes; another number of threads nearly the same figures."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hubbub.report import run_folder
from hubbub.report.predicted import as_arrays
from hubbub.runtime import files
from tests.helpers.amount import LONG, amount
from tests.helpers.runs import TINY, figures

HEAD = "network.weights=none"
#: Settings of street-cnn, each for another way to learn.
KINDS = {
    "logreg": [HEAD, "head.name=logreg"],
    "network": ["train.average=0.9", "augment.mixup={alpha=1.0}"],
    "mlp": [HEAD, "head.name=mlp", "head.epochs=[5]", "train.seeds=[1,2]"],
    "lightgbm": [HEAD, "head.name=lightgbm", "head.trees=20"],
    "last layer": [HEAD, "network.mode=head"],
    "lists": ["protocol.kind=holdout", "frontend.standardise=training"],
    "open set": [HEAD, "head.name=logreg", 'data.held_out=["siren"]', "evaluate.unknown=distance"],
}
#: Files whose every byte follows from recipe, seed and data.
CERTAIN = {".safetensors", ".parquet", ".csv", ".onnx", ".npz"}
#: With 2 threads in the place of 1, sums of floats are rounded otherwise: scores of heads, and the loss of a network's
#: first epoch (relative), differ by less than this. What a network learns later may differ more (docs/suites.md).
OTHER_THREADS = 1e-3
CODE = """
import sys
from pathlib import Path
from hubbub.config.recipe import Recipe
from hubbub.experiment.run import run_recipe
run_recipe(Recipe.load("street-cnn", sys.argv[2:], quick=True), Path(sys.argv[1]), quick=True)
"""


def trained(folder: Path, settings: list[str], threads: int = 1) -> Path:
    """A small run in a process of its own, with a cache of its own."""
    own = {"OMP_NUM_THREADS": str(threads), "HUBBUB_CACHE": str(folder / "cache")}
    command = [sys.executable, "-c", CODE, str(folder / "run"), *TINY, "train.device=cpu", *settings]
    subprocess.run(command, env=os.environ | own, check=True, capture_output=True)
    return folder / "run"


def certain(run: Path) -> dict[str, str]:
    """The checksums of what follows from recipe, seed and data: weights, predictions, tables, exported graphs."""
    found = (path for path in run.rglob("*") if path.suffix in CERTAIN)
    return {path.relative_to(run).as_posix(): files.sha256(path) for path in sorted(found)}


def first_losses(run: Path) -> list[float]:
    """The training loss of the first epoch of each cell's network; none for heads."""
    histories = (run_folder.read_history(place) for _, _, place in run_folder.cells(run))
    return [float(history["train_loss"].iloc[0]) for history in histories if history is not None]


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS)[: amount(1, len(KINDS))])
def test_two_processes_write_the_same_bytes(kind: str, tmp_path: Path) -> None:
    one, other = (trained(tmp_path / name, KINDS[kind]) for name in ("one", "other"))
    assert certain(one) == certain(other) and figures(one) == figures(other)
    assert {Path(name).suffix for name in certain(one)} >= {".safetensors", ".parquet", ".csv"}
    if LONG:
        two = trained(tmp_path / "two", KINDS[kind], threads=2)
        (_, scores, _), (_, others, _) = (as_arrays(run_folder.predictions(run)) for run in (one, two))
        losses, apart = first_losses(one), float(np.abs(scores - others).max())
        print(f"{kind}: losses {losses} and {first_losses(two)}, scores at most {apart:.2g} apart")
        assert first_losses(two) == pytest.approx(losses, rel=OTHER_THREADS)
        assert losses or apart < OTHER_THREADS
