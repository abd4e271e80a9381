"""engines: several processes give the figures of one, lose one step with a killed one, and leave with their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hubbub.config.recipe import Recipe
from hubbub.experiment import local
from hubbub.experiment.engine import Done
from hubbub.experiment.local import InProcess, Processes
from hubbub.experiment.run import ExperimentError, RunPlan, run_all
from hubbub.report.verify import verify
from hubbub.runtime import files, homes, processes
from tests.helpers.runs import TINY, bare_run, figures

TWO_FOLDS = (*TINY, 'protocol.folds=["1","2"]')


def recipe(*settings: str) -> Recipe:
    return Recipe.load("street-cnn", [*TWO_FOLDS, *settings])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in this process, with one thread as its share would be among two."""
    import torch

    folder, threads = tmp_path_factory.mktemp("alone") / "cnn", torch.get_num_threads()
    torch.set_num_threads(max(processes.cores() // 2, 1))
    bare_run(recipe("train.seeds=[1,2]"), folder)
    torch.set_num_threads(threads)
    return folder


def test_several_processes_give_the_same_figures(alone: Path, tmp_path: Path) -> None:
    said: list[str] = []
    (ended,) = run_all([RunPlan(recipe("train.seeds=[1,2]"), tmp_path / "cnn")], Processes(2), said.append)
    assert not ended.failed
    assert figures(tmp_path / "cnn") == figures(alone)
    assert sorted(line[:5] for line in said if line.startswith("[")) == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert (tmp_path / "cnn" / "report.html").is_file() and (tmp_path / "cnn" / "classifier").is_dir()
    assert verify(tmp_path / "cnn") == []


@pytest.mark.parametrize("engine", [lambda: InProcess(), lambda: Processes(2)], ids=["here", "processes"])
def test_a_cell_that_fails_is_reported_and_the_rest_go_on(engine, tmp_path: Path) -> None:
    """A file in the way of one cell's folder, once its run has begun."""
    folder, engine = tmp_path / "cnn", engine()
    begin = engine.begin

    def begin_and_block(run: RunPlan, log) -> Done:
        done = begin(run, log)
        if run.folder == folder:
            (folder / "test-1").mkdir()
            (folder / "test-1" / "seed-42").write_text("in the way")
        return done

    engine.begin = begin_and_block
    other = recipe("head.name=logreg", "head.pool=mean", "head.c=[1.0]")
    runs = [RunPlan(recipe("train.epochs=1"), folder), RunPlan(other, tmp_path / "head", refit=False)]
    broken, whole = run_all(runs, engine)
    assert [str(done.step) for done in broken.failed] == ["test fold 1, seed 42"]
    assert "test-1/seed-42 cannot be removed: Not a directory" in str(broken.failed[0].error)
    assert "Traceback" in broken.failed[0].error.__notes__[0]
    assert broken.summary is None and not (folder / "summary.json").exists()
    assert (folder / "test-2" / "seed-42" / "metrics_test.json").is_file()
    assert whole.summary.folds[1].fold == "2"


def test_a_run_that_cannot_begin_does_not_keep_others_from_it(tmp_path: Path) -> None:
    missing = Recipe.load("street-cnn", [*TWO_FOLDS, f'network.weights="{tmp_path}/none.safetensors"'])
    other = recipe("head.name=logreg", "head.pool=mean", "head.c=[1.0]")
    runs = [RunPlan(missing, tmp_path / "a"), RunPlan(other, tmp_path / "b", refit=False)]
    broken, whole = run_all(runs, InProcess())
    assert broken.failed[0].step.kind == "begin" and "none.safetensors" in str(broken.failed[0].error)
    assert whole.summary


def test_a_killed_process_takes_one_cell_with_it(tmp_path: Path) -> None:
    """The first process that starts a cell is killed while it trains; the other goes on."""
    engine = Processes(2)
    started = engine.start

    def start_and_kill(step) -> None:
        started(step)
        if step.fold == "1":
            os.kill(engine._workers[0].process.pid, signal.SIGKILL)

    engine.start = start_and_kill
    (ended,) = run_all([RunPlan(recipe("train.epochs=1"), tmp_path / "cnn")], engine)
    (lost,) = ended.failed
    assert str(lost.step) == "test fold 1, seed 42" and "signal 9" in str(lost.error)
    assert (tmp_path / "cnn" / "test-2" / "seed-42" / "metrics_test.json").is_file()
    assert not (tmp_path / "cnn" / "summary.json").exists()


def test_a_killed_bench_takes_its_processes_along_and_goes_on_to_the_same_figures(alone: Path, tmp_path: Path) -> None:
    settings = [part for s in (*TWO_FOLDS, "train.seeds=[1,2]") for part in ("--set", s)]
    command = [sys.executable, "-m", "hubbub.cli", "bench", "street-cnn", "--out", str(tmp_path), "--name", "cnn"]
    command += [*settings, "--jobs", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("[1/4]"):
                break
        children = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _parent(p) == process.pid]
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 2 and f"in use by process {process.pid}" in second.stderr
        process.kill()
        process.stderr.read()  # ends when the last of them leaves
    assert children
    deadline = time.monotonic() + 10
    while any(_alive(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "of 4 cells done before" in done.stderr
    assert figures(tmp_path / "cnn") == figures(alone)


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _alive(pid: int) -> bool:
    """Whether it runs: one that has ended waits as a zombie for whoever inherits it."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_engine_of_this_machine_has_a_process_a_core_for_trainings_and_none_for_heads() -> None:
    trained, headed = RunPlan(recipe(), Path("a")), RunPlan(recipe("head.name=logreg", "head.pool=mean"), Path("b"))
    log = [].append
    assert isinstance(local.local_engine([headed], None, log), InProcess)
    assert isinstance(local.local_engine([trained], 1, log), InProcess)
    assert local.local_engine([trained, headed], 3, log).slots == 3
    assert isinstance(local.local_engine([RunPlan(recipe("train.devices=2"), Path("c"))], None, log), InProcess)


def test_two_runs_in_one_folder_are_refused_before_anything_is_begun(tmp_path: Path) -> None:
    runs = [RunPlan(recipe(), tmp_path / "a"), RunPlan(recipe("train.epochs=3"), tmp_path / "b" / ".." / "a")]
    with pytest.raises(ExperimentError, match="two runs would write to"):
        run_all(runs, InProcess())
    assert not (tmp_path / "a").exists()


def test_a_folder_in_use_is_refused_before_anything_is_begun(tmp_path: Path) -> None:
    runs = [RunPlan(recipe(), tmp_path / "free"), RunPlan(recipe(), tmp_path / "held")]
    with files.lock_folder(tmp_path / "held"), pytest.raises(homes.StoreError, match="in use by process"):
        run_all(runs, InProcess())
    assert not (tmp_path / "free" / "recipe.toml").exists()
