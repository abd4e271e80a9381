"""A run in steps: begin it, run a cell for each test fold and seed, end it.

A step is a plain value. Any process can perform it with the run folder and the data home alone, so an engine may
perform it here, in another process or on another machine.
"""

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from hubbub.classifier import calibration
from hubbub.classifier.calibration import Confidence
from hubbub.config.recipe import RECIPE, Recipe
from hubbub.data.cache import Waves
from hubbub.data.check import check_inputs
from hubbub.errors import HubbubError, examples
from hubbub.experiment import cell, gallery
from hubbub.experiment.learning_curve import write_learning_curve
from hubbub.experiment.prepare import Log, Prepared, prepare
from hubbub.experiment.provenance import classifier_card, environment_of
from hubbub.experiment.run_events import write_events
from hubbub.experiment.tracking import log_run
from hubbub.report import run_folder
from hubbub.report.event_page import describe_events
from hubbub.report.headline import describe_headline
from hubbub.report.page import write_page
from hubbub.report.results import CellResult, Summary
from hubbub.report.summary import as_arrays, summarise
from hubbub.runtime import files

if TYPE_CHECKING:
    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.models.custom import NetworkFactory

__all__ = [
    "Begun",
    "ExperimentError",
    "OtherRunError",
    "Performer",
    "RunPlan",
    "Step",
    "refuse_foreign",
]

#: Clips that a run's exported classifier is compared on.
EXPORT_CLIPS = 8


class ExperimentError(HubbubError):
    """A run that cannot go on as asked."""


class OtherRunError(ExperimentError):
    """The folder holds the run of another recipe, or of other clips or weights."""


@dataclass(frozen=True)
class RunPlan:
    """One recipe in one folder: quick or full, with or without a final classifier refitted on all folds.

    `caveats` belong beside its figures; they are known once the run has begun. `network` makes the networks where the
    recipe names a class of the caller's own. A `renamed` run goes to NAME-2, NAME-3 ... where its folder NAME holds the
    run of other clips or settings.
    """

    recipe: Recipe
    folder: Path
    quick: bool = False
    refit: bool = True
    caveats: tuple[str, ...] = ()
    network: "NetworkFactory | None" = None
    renamed: bool = False


@dataclass(frozen=True)
class Step:
    """`begin`, `cell` (of a test fold and a seed) or `end` of a run."""

    run: RunPlan
    kind: Literal["begin", "cell", "end"]
    fold: str = ""
    seed: int = 0

    def __str__(self) -> str:
        return f"test fold {self.fold}, seed {self.seed}" if self.kind == "cell" else f"the run's {self.kind}"

    @property
    def place(self) -> Path:
        """The folder of a cell."""
        return run_folder.cell_folder(self.run.folder, self.fold, self.seed)


@dataclass(frozen=True)
class Begun:
    """A run that has begun: its resolved recipe, all its cells, those that are left to do, and the file of its first
    recording ("" where its data are no sound files)."""

    run: RunPlan
    cells: tuple[Step, ...]
    left: tuple[Step, ...]
    recording: str = ""


class Performer:
    """Performs steps, and keeps the prepared data of the last run: a process performs most steps of a run in turn."""

    def __init__(self) -> None:
        self._prepared: dict[tuple[str, bool], Prepared] = {}

    def perform(self, step: Step, log: Log = lambda line: None) -> Begun | CellResult | Summary:
        """Performs a step: `begin` gives `Begun`, `cell` its test result, `end` the summary.

        Raises `ExperimentError` where the folder holds another recipe's run.
        """
        if step.kind == "begin":
            return self._begin(step.run, log)
        known = _key(step.run) in self._prepared
        prepared = self._prepare(step.run)
        if not known:
            _refuse_other(prepared, step.run.folder)
        if step.kind == "end":
            return _end(prepared, step.run, log)
        (split,) = (split for split in prepared.splits if split.name == step.fold)
        return cell.run_cell(prepared, split, step.seed, step.place)

    def release(self) -> None:
        """Frees the memory of the prepared data."""
        self._prepared.clear()

    def _prepare(self, run: RunPlan, log: Log = lambda line: None) -> Prepared:
        key = _key(run)
        if key not in self._prepared:
            self.release()
            self._prepared[key] = prepare(run.recipe, log, quick=run.quick, network=run.network)
        return replace(self._prepared[key], caveats=run.caveats or self._prepared[key].caveats)

    def _begin(self, run: RunPlan, log: Log) -> Begun:
        """Writes what the run is; or, where it was begun before, makes sure that it is the same one."""
        prepared = self._prepare(run, log)
        run = replace(run, recipe=prepared.recipe, caveats=prepared.caveats)
        self._prepared[_key(run)] = prepared
        folder, recipe = run.folder, prepared.recipe.to_toml()
        if run_folder.is_begun(folder):
            before = run_folder.read_recipe(folder).model_copy(update={"title": prepared.recipe.title})
            if before.to_toml() != recipe:  # a title is no setting
                raise OtherRunError(
                    f"{folder} holds the run of another recipe. Give another --name, or remove that folder."
                )
            _refuse_other(prepared, folder)
        else:
            run_folder.write_environment(folder, environment_of(prepared))
            run_folder.write_data_check(folder, check_inputs(prepared.clips, prepared.sound, prepared.near))
            run_folder.write_recipe(folder, recipe)
        seeds = prepared.recipe.train.seeds
        cells = tuple(Step(run, "cell", split.name, seed) for split in prepared.splits for seed in seeds)
        left = tuple(one for one in cells if not run_folder.is_done(one.place))
        for one in cells:
            if one not in left:  # a damaged file is reported now, not after the others have been trained
                run_folder.read_result(one.place)
        if left:
            run_folder.remove_learning_curve(folder)
            for name in run_folder.OF_ALL_CELLS:
                files.remove_folder(folder / name, folder, RECIPE)
        recording = prepared.clips.table["path"].iloc[0] if prepared.clips.kind == "sound" else ""
        return Begun(run, cells, left, recording)


def _key(run: RunPlan) -> tuple[str, bool]:
    return run.recipe.to_toml(), run.quick


def refuse_foreign(folder: Path) -> None:
    """Raises `ExperimentError` unless a folder is new, empty or a run's, without links that lead out of it."""
    if strange := files.foreign_files(folder, RECIPE, leftovers=run_folder.LEFTOVERS):
        raise ExperimentError(
            f"{folder} holds {examples(strange)}, and is not a run. Give another --name or --out, or an empty folder."
        )
    for base, names, _ in os.walk(folder):
        for path in (Path(base, name) for name in names):
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise ExperimentError(
                    f"{path} is a link out of the run's folder, where nothing may be written or removed. Remove the "
                    "link, or give another --name."
                )


def _refuse_other(prepared: Prepared, folder: Path) -> None:
    """On another day or machine, a cell must use the clips, the weights and the caller's own network that the run began
    with."""
    before, now = run_folder.read_environment(folder), environment_of(prepared)
    for difference, one, other in (
        ("on other clips", before.data.manifest, now.data.manifest),
        ("from other weights", before.weights, now.weights),
    ):
        if one != other:
            raise OtherRunError(
                f"{folder} was begun {difference} than are here now. Give another --name, or put the same files into "
                "HUBBUB_HOME."
            )
    for what, begun in before.network.items():
        if begun != now.network.get(what, begun):
            name = prepared.recipe.network.name.partition(":")[2]
            edited = {"source": "code", "shapes": "shapes of weights"}[what]
            raise OtherRunError(
                f"{folder} was begun with another {name}: the {edited} changed since. Undo the change to continue that "
                "run, or give another name= to begin a new one."
            )


def _end(prepared: Prepared, run: RunPlan, log: Log) -> Summary:
    """Writes the summary, the gallery, the classifier refitted on all folds, and the page."""
    folder = run.folder
    environment = run_folder.read_environment(folder)
    environment.training_threads = run_folder.threads(folder)
    run_folder.write_environment(folder, environment)
    write_learning_curve(prepared, folder, log)
    summary = summarise(folder)
    if events := write_events(prepared, folder):
        log(describe_events(events))
    if not run_folder.gallery_folder(folder).is_dir():
        log("explaining the worst mistakes")
        gallery.write_gallery(prepared, folder)
    if run.refit and not run_folder.classifier_folder(folder).is_dir():
        log("refitting on all folds: the classifier that hubbub.load gives")
        _refit(prepared, folder, summary, log)
    write_page(folder)
    log_run(prepared, folder, summary, log)
    return summary


def _refit(prepared: Prepared, folder: Path, summary: Summary, log: Log) -> None:
    """Fits the recipe on all clips, with the most frequent choice of validation (a network: the middle epoch)."""
    places = [place for _, _, place in run_folder.cells(folder)]
    choices = [run_folder.read_result(place).choice for place in places]
    if prepared.recipe.head.name == "none":
        choice = sorted(choices, key=lambda choice: choice["epoch"])[(len(choices) - 1) // 2]
    else:
        choice = json.loads(Counter(json.dumps(c) for c in choices).most_common(1)[0][0])
    held_out = prepared.targets < 0 if prepared.targets.ndim == 1 else np.zeros(len(prepared.targets), dtype=bool)
    every, nothing = np.flatnonzero(~held_out), np.zeros(0, dtype=np.intp)
    seed, place = prepared.recipe.train.seeds[0], run_folder.refit_folder(folder)
    model = cell.fit_with_history(prepared, every, nothing, seed, place, choice=choice).final
    model.confidence = _typical_calibration(prepared, folder)
    model.card = classifier_card(
        prepared, "all folds that took part, refitted after the evaluation", model.confidence
    ) | {
        "choice": choice,
        "not_comparable": summary.why_not_comparable,
        "evaluated": f"{describe_headline(summary)} by models that were not trained on the clips; {summary.protocol}",
    }
    model.save(run_folder.classifier_folder(folder), None if prepared.quick else _exported(prepared, model, log))


def _typical_calibration(prepared: Prepared, folder: Path) -> Confidence:
    """The average of the cells' calibrations. Without validation parts there are none: then it is fitted on the cells'
    test predictions, after these have been scored; no figure depends on it."""
    found = [run_folder.calibration_of(place) for _, _, place in run_folder.cells(folder)]
    if any(one.fitted for one in found) or not all(len(split.test) for split in prepared.splits):
        return calibration.average(found)
    table = run_folder.predictions(folder)
    clips, segments = (table[table["level"] == level] for level in ("clip", "segment"))
    targets, by_clip, _ = as_arrays(clips)
    counts = segments.groupby(["fold", "seed", "clip"], sort=False).size().to_numpy()  # those of a clip stand together
    offsets = np.cumsum(counts) - counts
    typicality = segments["typicality"].to_numpy() if "typicality" in segments else None
    evaluate, every, (of_segments, by_segment, _) = (
        prepared.recipe.evaluate, cell.segment_seconds(prepared), as_arrays(segments),
    )  # fmt: skip
    if prepared.clips.multilabel:
        return calibration.fit_label_sets((of_segments, targets), by_segment, by_clip, evaluate, every)
    return calibration.fit(targets, by_segment, by_clip, offsets, evaluate, every, typicality)


def _exported(prepared: Prepared, model: "TorchClassifier", log: Log) -> bytes | None:
    """The classifier's exported file, compared with it on clips of the run; None, with the reason in the log, where it
    cannot be exported."""
    from hubbub.classifier.export import Sounds, exported

    if not isinstance(prepared.sound, Waves):
        return None
    rows = np.random.default_rng(0).permutation(len(prepared.clips))[:EXPORT_CLIPS]
    try:
        return exported(model, Sounds(prepared.clips.name, [prepared.sound.wave(row) for row in rows]))
    except Exception as error:  # of torch's exporter, which has many kinds for a caller's own network
        log(f"not exported, so predictions run on torch: {str(error).splitlines()[0]}")
        return None
