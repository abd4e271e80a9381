"""Recipes over their folds and seeds, run as one grid: run, resume, collect.

Each cell (recipe, test fold, seed) makes its choices on its validation part, then opens its test part once. A killed
grid resumes where it stopped; a failed cell is reported and the others go on. The summary is computed from the files
of the cells, never from memory.
"""

import unicodedata
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from hubbub.config.recipe import Recipe
from hubbub.experiment.engine import Done, Engine
from hubbub.experiment.local import local_engine
from hubbub.experiment.prepare import Log
from hubbub.experiment.steps import ExperimentError, OtherRunError, RunPlan, Step, refuse_foreign
from hubbub.report.headline import describe_cell
from hubbub.report.results import Summary
from hubbub.report.tables import describe_choice
from hubbub.runtime import files, leftovers
from hubbub.runtime.progress import Tally

__all__ = ["Ended", "ExperimentError", "RunPlan", "run_all", "run_plan", "run_recipe"]


@dataclass
class Ended:
    """How a run ended: its summary, or the steps that failed. `recording` is the file of its first recording, or ""."""

    run: RunPlan
    summary: Summary | None = None
    failed: list[Done] = field(default_factory=list)
    left: int = 0
    recording: str = ""


def run_recipe(
    recipe: Recipe,
    folder: Path,
    *,
    quick: bool = False,
    refit: bool = True,
    log: Log = lambda line: None,
) -> Summary:
    """Runs every cell that is not done yet, one after another, then writes summary, page and, with `refit`, the final
    classifier; as `run_plan`."""
    summary = run_plan(RunPlan(recipe, folder, quick, refit), log=log).summary
    assert summary is not None
    return summary


def run_plan(plan: RunPlan, jobs: int | None = 1, log: Log = lambda line: None) -> Ended:
    """Runs every cell of a plan that is not done yet, and ends the run.

    `jobs` is the number of cells at once; None: as many as keep the machine busy. Returns the ended run. Raises
    `ExperimentError` where the folder holds another recipe's run, and the first error of its cells once the others have
    been run.
    """
    (ended,) = run_all([plan], local_engine([plan], jobs, log), log)
    if ended.failed:
        raise ended.failed[0].error or ExperimentError(f"{ended.run.folder} could not be run.")
    return ended


def run_all(runs: Sequence[RunPlan], engine: Engine, log: Log = lambda line: None) -> list[Ended]:
    """Runs all cells of all runs that are not done yet, as many at once as the engine can, and ends each run.

    Returns how each ended, in order. Before anything is begun, raises `StoreError` where another process works in one
    of the folders, and `ExperimentError` where two runs would write to one folder, or a folder holds other things.
    """
    _refuse_folders(runs)
    with ExitStack() as held:
        for one in runs:
            held.enter_context(files.lock_folder(one.folder))
            leftovers.remove_below(one.folder)
        held.enter_context(engine)
        ends: list[Ended] = []
        waiting: list[Step] = []
        tally, once = Tally(engine.slots), _warn_once(log)
        for one in runs:
            done = _begin(one, engine, held, once)
            ended = Ended(done.step.run)
            ends.append(ended)
            name = ended.run.folder.name
            if done.error:
                ended.failed.append(done)
                if len(runs) > 1:  # a single run's error is reported at the end
                    log(f"{name}: failed: {done.reason}")
                continue
            ended.run = done.result.run
            cells, left = done.result.cells, done.result.left
            if before := len(cells) - len(left):
                log(f"{name}: {before} of {len(cells)} cells done before")
            tally.add(str(ended.run.folder), len(cells), len(left))
            ended.left, ended.recording = len(left), done.result.recording
            waiting += left or [Step(ended.run, "end")]
        # The machine is shared by all cells, done or left, so that a resumed run gives the same figures.
        engine.slots = tally.slots = max(1, min(engine.slots, tally.cells()))
        by_folder = {ended.run.folder: ended for ended in ends}
        running = 0
        with tally:
            while waiting or running:
                while waiting and running < engine.slots:
                    engine.start(waiting.pop(0))
                    running += 1
                tally.show(running, len(waiting))
                done = engine.next()
                running -= 1
                waiting = _follow(by_folder[done.step.run.folder], done, tally, log) + waiting
    return ends


def _warn_once(log: Log) -> Log:
    """`log` without warnings that were said before: runs on the same data have most of them in common."""
    said: set[str] = set()

    def once(line: str) -> None:
        if line not in said:
            log(line)
        if line.startswith("warning: "):
            said.add(line)

    return once


def _begin(run: RunPlan, engine: Engine, held: ExitStack, log: Log) -> Done:
    """Begins a run, a `renamed` one in the first folder that is free for it; the engine prepares its data once."""
    number, place = 1, run.folder
    while True:
        done = engine.begin(run, log)
        if not (run.renamed and isinstance(done.error, OtherRunError)):
            return done
        number += 1
        taken, run = run.folder, replace(run, folder=place.with_name(f"{place.name}-{number}"))
        log(f"{taken} holds the run of other clips or settings, so this one goes to {run.folder.name}")
        refuse_foreign(run.folder)
        held.enter_context(files.lock_folder(run.folder))


def _follow(ended: Ended, done: Done, tally: Tally, log: Log) -> list[Step]:
    """Records a finished step; returns the steps that may start now."""
    name = ended.run.folder.name
    if done.step.kind == "end":
        ended.summary = done.result
    else:
        ended.left -= 1
        tally.count(str(ended.run.folder), done.seconds, done.error is None)
    if done.error:
        ended.failed.append(done)
        log(f"{tally} {name}, {done.step}: failed: {done.reason}")
    elif done.step.kind == "cell":
        result = done.result
        log(
            f"{tally} {name}, {done.step}: {describe_cell(result)} ({describe_choice(result.choice)})"
            f"{tally.time_left()}"
        )
    last = done.step.kind == "cell" and not ended.left and not ended.failed
    return [Step(ended.run, "end")] if last else []


def _refuse_folders(runs: Sequence[RunPlan]) -> None:
    """Refuses folders that hold other things, and one folder for two runs; case counts on some file systems only."""
    seen: dict[str, RunPlan] = {}
    for one in runs:
        refuse_foreign(one.folder)
        other = seen.setdefault(unicodedata.normalize("NFKC", str(one.folder.resolve())).casefold(), one)
        if other is not one:
            raise ExperimentError(
                f"two runs would write to {one.folder}: '{other.recipe.title}' and '{one.recipe.title}'. Name each "
                "recipe once; for other settings, write a recipe file with another name."
            )
