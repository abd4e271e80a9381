"""cell: it learns and chooses of its training and validation parts alone; labels that mean nothing give chance."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import soundfile

from hubbub.config.recipe import Recipe
from hubbub.experiment.cell import run_cell
from hubbub.experiment.fit import fit
from hubbub.experiment.part import predict_part
from hubbub.experiment.prepare import prepare
from hubbub.metrics.intervals import exact_interval
from hubbub.report import run_folder
from hubbub.runtime import files
from tests.helpers.runs import with_other_labels
from tests.helpers.sounds import write_tones

RATE = 8_000
SECTIONS: dict[str, dict[str, Any]] = {
    "windows": {"length": 4000, "hop": 4000},
    "frontend": {"name": "logmel", "n_fft": 512, "hop": 256, "n_mels": 32},
    "network": {"name": "cnn", "width": 4},
    "train": {"epochs": 4, "device": "cpu", "learning_rate": 0.02, "schedule": "constant"},
}
HEAD = {"head": {"name": "logreg", "c": [0.001, 1.0]}}

GROUPED, LEAKY = {"kind": "grouped"}, {"kind": "kfold", "allow_leaky": True}


def recipe(table: Path, **sections: Any) -> Recipe:
    return Recipe.of(SECTIONS | {"data": {"name": str(table)}} | sections)


@pytest.mark.parametrize(
    "sections", [pytest.param({}, id="network", marks=pytest.mark.slow), pytest.param(HEAD, id="head")]
)
def test_a_cell_learns_chooses_and_calibrates_without_its_test_part(sections: dict[str, Any], tmp_path: Path) -> None:
    """Other labels of the test clips change the figures, and not one byte of the classifier or of what was chosen."""
    honest = prepare(recipe(write_tones(tmp_path / "sounds") / "list.csv", **sections), quick=True)
    (split,), found = honest.splits, []
    for name, data in (("honest", honest), ("other", with_other_labels(honest, split.test))):
        place = run_folder.cell_folder(tmp_path / name, split.name, 42)
        result = run_cell(data, split, 42, place)
        saved = {file.name: files.sha256(file) for file in run_folder.classifier_folder(place).iterdir()}
        chosen = run_folder.read_validation(place).as_json() | {"seconds": None}
        found.append((saved, chosen, result.choice, result.confidence, result.figure("clip", "log_loss")))
    (*one, loss), (*other, other_loss) = found
    assert one == other and loss != other_loss


def write_recordings(folder: Path, labels: npt.NDArray[np.str_], pitches: npt.NDArray[np.float64]) -> Path:
    """Recordings of three clips each: a tone of the recording's own pitch [Hz] in noise. `list.csv` lists the clips."""
    folder.mkdir()
    rng, rows, times = np.random.default_rng(0), [], np.arange(2000) / RATE
    for number, (label, pitch) in enumerate(zip(labels, pitches, strict=True)):
        for clip in range(3):
            wave = 0.3 * np.sin(2 * np.pi * (pitch * times + rng.random())) + rng.normal(0, 0.01, len(times))
            soundfile.write(folder / f"{number}-{clip}.wav", wave, RATE)
            rows.append({"path": f"{number}-{clip}.wav", "label": label, "group": f"g{number}", "part": clip})
    pd.DataFrame(rows).to_csv(folder / "list.csv", index=False)
    return folder / "list.csv"


def accuracy(table: Path, **sections: Any) -> float:
    """The share of test clips that heads on frozen features decide right, over all folds."""
    wide = HEAD | {"network": {"name": "cnn", "width": 16}, "windows": {"length": 2000, "hop": 2000}}
    data, right = prepare(recipe(table, **wide | {"audio": {"rate_hz": RATE}, "protocol": GROUPED} | sections)), []
    for split in data.splits:
        model = fit(data, split.train, split.validation, 1, table.parent).final
        right.append(predict_part(data, model, split.test).by_clip.argmax(axis=1) == data.targets[split.test])
    return float(np.concatenate(right).mean())


def test_labels_that_mean_nothing_give_chance(tmp_path: Path) -> None:
    """Each recording is known by its pitch: a classifier that learnt of one of its clips knows the labels of all."""
    rng = np.random.default_rng(1)
    pitches, labels = rng.permutation(np.geomspace(200, 3000, 60)), np.repeat(["high", "low"], 30)
    shuffled = write_recordings(tmp_path / "shuffled", labels, pitches)
    low, high = exact_interval(0.5, len(pitches))
    assert low < accuracy(shuffled) < high
    leaky = {"data": {"name": str(shuffled), "columns": {"fold": "part"}}, "protocol": LEAKY}
    assert accuracy(shuffled, **leaky) > 0.75, "where the clips of a recording are in several folds"
    by_pitch = np.where(pitches > np.median(pitches), "high", "low")
    assert accuracy(write_recordings(tmp_path / "true", by_pitch, pitches)) > 0.9
