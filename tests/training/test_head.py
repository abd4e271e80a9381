"""head: what a fit of a head does without."""

import subprocess
import sys
from pathlib import Path

CELL = """
import sys
from pathlib import Path
from hubbub.config.recipe import Recipe
from hubbub.experiment.cell import run_cell
from hubbub.experiment.prepare import prepare
recipe = Recipe.load("street-cnn", ["data.limit=2", "network.width=2", "head.name=logreg", "head.c=[0.1]"])
prepared = prepare(recipe)
run_cell(prepared, prepared.splits[0], 1, Path(sys.argv[1]))
print(*{name.split(".")[0] for name in sys.modules})
"""


def test_a_cell_of_a_head_does_not_import_lightning_and_is_on_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    place = tmp_path / "run" / "test-1" / "seed-1"
    done = subprocess.run([sys.executable, "-c", CELL, str(place)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = done.stdout.split()
    assert "torch" in imported and "lightning" not in imported
    events = EventAccumulator(str(place / "tensorboard")).Reload()
    assert {"test_clip_accuracy", "test_segment_macro_f1"} <= set(events.Tags()["scalars"])
    assert b"head/name" in b"".join(file.read_bytes() for file in (place / "tensorboard").iterdir())
