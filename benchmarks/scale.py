"""What a cell costs and how it grows; what several workers gain; what an engine adds to each step.

    python benchmarks/scale.py            # some ten minutes on two cores, with nothing else running

Trainings are `street-cnn`'s, shortened; heads are those of `esc10-yamnet` and `esc50-yamnet`, where a home has their
data and YAMNet's weights. Run folders go to a temporary folder. docs/scale.md holds the figures and what follows.
"""

import tempfile
import time
from pathlib import Path

from hubbub.config.recipe import Recipe
from hubbub.experiment.engine import Done, Engine
from hubbub.experiment.local import InProcess, Processes
from hubbub.experiment.prepare import Log
from hubbub.experiment.run import Run, run_all
from hubbub.runtime import homes, processes

SHORT = ["train.epochs=4", "train.patience=4"]


class Watched:
    """An engine that notes how long each of its steps took by the clock of whoever performed it."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.slots, self.cells, self.others = engine, engine.slots, [], 0.0

    def __enter__(self) -> "Watched":
        self.engine.__enter__()
        self.slots = self.engine.slots
        return self

    def __exit__(self, *error: object) -> None:
        self.engine.__exit__(*error)

    def begin(self, run: Run, log: Log) -> Done:
        return self._noted(self.engine.begin(run, log))

    def start(self, step) -> None:
        self.engine.start(step)

    def next(self) -> Done:
        return self._noted(self.engine.next())

    def _noted(self, done: Done) -> Done:
        if done.error:
            raise done.error
        if done.step.kind == "cell":
            self.cells.append(done.seconds)
        else:
            self.others += done.seconds
        return done


def timed(recipe: Recipe, engine: Engine | None = None) -> tuple[float, Watched]:
    """Seconds of a run from its beginning to its end, and its engine with the seconds of each cell."""
    watched = Watched(engine or InProcess())
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        run_all([Run(recipe, Path(place) / "run", refit=False)], watched)
        return time.perf_counter() - began, watched


def growth() -> None:
    print("\nclips   folds  cells  a cell [s]  the rest [s]   (street-cnn, 4 epochs, 10 classes)")
    for limit, folds in ((2, 2), (4, 2), (8, 2), (2, 5)):
        kept = [f'"{fold}"' for fold in range(1, folds + 1)]
        recipe = Recipe.load("street-cnn", [*SHORT, f"data.limit={limit}", f"protocol.folds=[{','.join(kept)}]"])
        timed(recipe)  # the first one synthesises and decodes
        _, watched = timed(recipe)
        cell = sum(watched.cells) / len(watched.cells)
        print(f"{limit * 50:>5}  {folds:>6}  {len(watched.cells):>5}  {cell:>10.2f}  {watched.others:>12.2f}")
    if not (homes.find("data", "esc50") and homes.find("weights", "yamnet.h5")):
        print("no home has ESC-50 and YAMNet's weights: the heads are left out")
        return
    print("\nclips  classes  a cell [s]   (frozen YAMNet embeddings made before, logistic head)")
    for name, clips, classes in (("esc10-yamnet", 400, 10), ("esc50-yamnet", 2000, 50)):
        _, watched = timed(Recipe.load(name, ['protocol.folds=["1"]']))
        print(f"{clips:>5}  {classes:>7}  {sum(watched.cells):>10.2f}")


def workers() -> None:
    from hubbub.experiment.ray import Ray

    cores = processes.cores()
    print(f"\nengine          wall [s]  cells [s]  speed-up  (street-cnn, 200 clips, 8 cells, 6 epochs; {cores} cores)")
    recipe = Recipe.load(
        "street-cnn", [*SHORT, "data.limit=4", "train.epochs=6", 'protocol.folds=["1","2"]', "train.seeds=[1,2,3,4]"]
    )
    first = 0.0
    for name, engine in (
        ("one process", InProcess()),
        ("2 processes", Processes(2)),
        ("4 processes", Processes(4)),
        ("Ray, --cpus 1", Ray(None, cpus=1)),
    ):
        wall, watched = timed(recipe, engine)
        first = first or wall
        print(f"{name:<14}  {wall:>8.1f}  {sum(watched.cells):>9.1f}  {first / wall:>8.2f}")


def overhead() -> None:
    from hubbub.experiment.ray import Ray

    print("\nengine          wall [s]  in steps [s]  between, a step [s]   (a head on 100 clips, 20 cells)")
    head = ["head.name=logreg", "head.pool=mean", "head.c=[1.0]", "data.limit=2", "network.width=4"]
    seeds = "train.seeds=[1,2,3,4,5,6,7,8,9,10]"
    recipe = Recipe.load("street-cnn", [*head, 'protocol.folds=["1","2"]', seeds])
    timed(recipe)
    for name, engine in (
        ("one process", InProcess()),
        ("one of several", Processes(1)),
        ("Ray, 1 core", Ray(None, cpus=2)),
    ):
        wall, watched = timed(recipe, engine)
        steps = sum(watched.cells) + watched.others
        between = (wall - steps) / (len(watched.cells) + 2)
        print(f"{name:<14}  {wall:>8.1f}  {steps:>12.1f}  {between:>19.2f}")


if __name__ == "__main__":
    growth()
    workers()
    overhead()
