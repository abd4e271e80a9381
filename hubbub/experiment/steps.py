"""A run in steps: begin it, a cell for each test fold and seed, end it.

A step is a plain value. Any process performs it from the run's folder and the data's home alone, so an engine may put
it anywhere: here, in another process, on another machine. This room does not know where it is.
"""

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hubbub.classifier import calibration
from hubbub.config.recipe import Recipe
from hubbub.errors import HubbubError, examples
from hubbub.experiment import cell, gallery
from hubbub.experiment.prepare import Log, Material, prepare
from hubbub.experiment.provenance import card, environment
from hubbub.report import page, run_folder
from hubbub.report import summary as report
from hubbub.report.run_folder import place_of, read_choices, read_json, threads
from hubbub.runtime import files

__all__ = ["Begun", "ExperimentError", "OF_ALL_CELLS", "Run", "Step", "forget", "in_words", "perform", "refuse_foreign"]


#: Folders of a run that are made of all its cells, so removed before one of them is run again.
OF_ALL_CELLS = (gallery.FOLDER, "classifier", "refit")


class ExperimentError(HubbubError):
    """A run that cannot go on as asked."""


@dataclass(frozen=True)
class Run:
    """One recipe in one folder: in its reduced form or not, refitted on all folds at the end or not.

    `remarks` are what is to be said of its figures, known once it has begun.
    """

    recipe: Recipe
    folder: Path
    quick: bool = False
    refit: bool = True
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """`begin`, `cell` (of a test fold and a seed) or `end` of a run."""

    run: Run
    kind: Literal["begin", "cell", "end"]
    fold: str = ""
    seed: int = 0

    def __str__(self) -> str:
        return f"test fold {self.fold}, seed {self.seed}" if self.kind == "cell" else f"the run's {self.kind}"


@dataclass(frozen=True)
class Begun:
    """A run that has begun: its recipe as decided where it began, all its cells, and those that are left to do."""

    run: Run
    cells: tuple[Step, ...]
    left: tuple[Step, ...]


def perform(step: Step, log: Log = lambda line: None) -> Any:
    """`begin` gives `Begun`, `cell` what its `metrics_test.json` holds, `end` the summary.

    Raises `ExperimentError` where the folder holds another recipe's run.
    """
    if step.kind == "begin":
        return _begin(step.run, log)
    known = _key(step.run) in _kept
    material = _material(step.run)
    if not known:
        _refuse_other(material, step.run.folder)
    if step.kind == "end":
        return _end(material, step.run, log)
    (split,) = (split for split in material.splits if split.name == step.fold)
    return cell.run(material, split, step.seed, place_of(step.run.folder, step.fold, step.seed))


#: The last run's material: a process performs most steps of one run after the other.
_kept: dict[tuple[str, bool], Material] = {}


def _key(run: Run) -> tuple[str, bool]:
    return run.recipe.to_toml(), run.quick


def _material(run: Run, log: Log = lambda line: None) -> Material:
    key = _key(run)
    if key not in _kept:
        forget()
        _kept[key] = prepare(run.recipe, log, quick=run.quick)
    return replace(_kept[key], remarks=run.remarks or _kept[key].remarks)


def forget() -> None:
    """Give the memory back that material of earlier steps holds."""
    _kept.clear()


def _begin(run: Run, log: Log) -> Begun:
    """Write what the run is; or, where it was begun before, make sure that it is the same one."""
    material = _material(run, log)
    run = replace(run, recipe=material.recipe, remarks=material.remarks)
    _kept[_key(run)] = material
    folder, recipe, facts = run.folder, material.recipe.to_toml(), environment(material)
    if (folder / "recipe.toml").is_file():
        if (folder / "recipe.toml").read_bytes() != recipe.encode():
            raise ExperimentError(
                f"{folder} holds the run of another recipe. Give another --name, or remove that folder."
            )
        _refuse_other(material, folder)
    else:
        files.write_json(folder / "environment.json", facts)
        files.write_text(folder / "recipe.toml", recipe)
    cells = tuple(
        Step(run, "cell", split.name, seed) for split in material.splits for seed in material.recipe.train.seeds
    )
    left = tuple(c for c in cells if not (place_of(folder, c.fold, c.seed) / cell.DONE).is_file())
    for one in cells:
        if one not in left:  # a damaged file is told now, not after the others have been trained
            read_json(place_of(folder, one.fold, one.seed) / cell.DONE)
    if left:
        for name in OF_ALL_CELLS:
            files.remove_folder(folder / name, folder)
    return Begun(run, cells, left)


def refuse_foreign(folder: Path) -> None:
    """A run's folder is new, empty or a run's: what lies in any other, or is reached from it by links, is not ours to
    write over."""
    if strange := files.foreign_files(folder, "recipe.toml"):
        raise ExperimentError(
            f"{folder} holds {examples(strange)}, and no run. Give another --name or --out, or an empty folder."
        )
    for base, names, _ in os.walk(folder):
        for path in (Path(base, name) for name in names):
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise ExperimentError(
                    f"{path} is a link out of the run's folder, where nothing may be written or removed. Remove the "
                    "link, or give another --name."
                )


def _refuse_other(material: Material, folder: Path) -> None:
    """A cell on another day or another machine hears the clips that the run began with, and starts from its weights."""
    before, now = read_json(folder / "environment.json"), environment(material)
    for what, one, other in (
        ("on other clips", before["data"]["manifest"], now["data"]["manifest"]),
        ("from other weights", before["weights"], now["weights"]),
    ):
        if one != other:
            raise ExperimentError(
                f"{folder} was begun {what} than are here now. Give another --name, or put the same files into "
                "HUBBUB_HOME."
            )


def _end(material: Material, run: Run, log: Log) -> dict[str, Any]:
    """`summary.json`, the gallery, the classifier refitted on all folds, and the page that shows it all."""
    facts = read_json(run.folder / "environment.json") | {"training_threads": threads(run.folder)}
    files.write_json(run.folder / "environment.json", facts)
    summary = report.summarise(run.folder)
    if not (run.folder / gallery.FOLDER).is_dir():
        log("explaining the worst mistakes")
        gallery.write(material, run.folder)
    if run.refit and not (run.folder / "classifier").is_dir():
        log("refitting on all folds: the classifier that hubbub.load gives")
        _refit(material, run.folder, summary)
    page.write(run.folder)
    return summary


def _refit(material: Material, folder: Path, summary: dict[str, Any]) -> None:
    """The same recipe on all clips; what validation chose most often (the middle epoch for a network) is kept, and how
    sure it may be is what the cells say together."""
    places = [place for _, _, place in report.cells(folder)]
    choices = read_choices(places)
    if material.recipe.head.name == "none":
        choice = sorted(choices, key=lambda choice: choice["epoch"])[(len(choices) - 1) // 2]
    else:
        choice = json.loads(Counter(json.dumps(c) for c in choices).most_common(1)[0][0])
    every, nothing = np.flatnonzero(material.targets >= 0), np.zeros(0, dtype=np.intp)
    seed = material.recipe.train.seeds[0]
    model = cell.fit(material, every, nothing, seed, folder / "refit", [], choice).final
    model.confidence = calibration.average([run_folder.confidence(place) for place in places])
    accuracy = summary["clip"]["accuracy"]
    model.card = card(material, "all folds that took part, refitted after the evaluation") | {
        "choice": choice,
        "not_comparable": summary["why_not_comparable"],
        "evaluated": f"clip accuracy {accuracy['mean']:.4f} by models that had not heard the clips; "
        f"{summary['protocol']}",
    }
    model.save(folder / "classifier")


def in_words(choice: dict[str, Any]) -> str:
    """What validation decided, on one line."""
    return ", ".join(f"{name} {value}" for name, value in choice.items()) or "nothing to choose"
