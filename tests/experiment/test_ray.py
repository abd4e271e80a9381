"""cluster: a real Ray cluster of two nodes gives the local engine's figures, also when one of them is killed."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hubbub.config.recipe import Recipe
from hubbub.data.open import open_clips
from hubbub.experiment import ray as cluster
from hubbub.experiment.local import Processes
from hubbub.experiment.ray import Ray
from hubbub.experiment.run import RunPlan, run_all
from hubbub.experiment.steps import Step
from hubbub.report import run_folder
from hubbub.report.verify import verify
from hubbub.runtime import processes, ray_cluster
from hubbub.runtime.processes import EngineError
from tests.helpers.runs import bare_run, figures

TINY = ["data.limit=2", "network.width=4", "train.batch_size=16"]
#: Trees: they are not exported, which would take most of the time.
HEAD = [*TINY, "head.name=lightgbm", "head.pool=mean", "head.trees=10", 'protocol.folds=["1","2"]']


@pytest.fixture(autouse=True)
def _not_last_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray gives its workers a low priority, with which they would wait for all other tests."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A cluster of two nodes, with a core each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
def test_a_suite_outlives_one_of_two_nodes_and_gives_the_figures_of_the_local_engine(nodes, tmp_path: Path) -> None:
    settings = ["train.epochs=8", "train.patience=8", 'protocol.folds=["1","2"]']
    trained = Recipe.load("street-cnn", [*TINY, *settings])
    headed = Recipe.load("street-cnn", HEAD)

    def suite(place: Path) -> list[RunPlan]:
        return [RunPlan(trained, place / "cnn", refit=False), RunPlan(headed, place / "head", refit=False)]

    killed: list[int] = []
    over = threading.Event()

    def kill_in_the_middle() -> None:
        """Once two cells have a checkpoint and no figures, each node is in the middle of one."""
        while not over.wait(0.05):
            begun = (tmp_path / "ray" / "cnn").glob("test-*/seed-*/checkpoints/last.ckpt")
            if len([p for p in begun if not (p.parents[1] / "metrics_test.json").exists()]) == 2:
                (other,) = (node for node in nodes.list_all_nodes() if node is not nodes.head_node)
                nodes.remove_node(other, allow_graceful=False)
                return killed.append(1)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    engine = Ray(nodes.address)
    ends = run_all(suite(tmp_path / "ray"), engine)
    over.set()
    killer.join()
    assert killed
    assert engine.slots == 2 and len(nodes.list_all_nodes()) == 1
    assert not any(ended.failed for ended in ends), [str(d.error) for ended in ends for d in ended.failed]
    assert not run_all(suite(tmp_path / "local"), Processes(processes.cores()))[0].failed
    for name in ("cnn", "head"):
        assert figures(tmp_path / "ray" / name) == figures(tmp_path / "local" / name)
        assert verify(tmp_path / "ray" / name) == []
        assert (tmp_path / "ray" / name / "report.html").is_file()
        assert not (tmp_path / "ray" / name / run_folder.SHARED).exists()


@pytest.mark.slow
def test_what_workers_write_comes_by_way_of_a_storage_url(tmp_path: Path) -> None:
    """A cluster of this machine; the run folder is hidden from its workers, since they never write there."""
    storage, folder = tmp_path / "storage", tmp_path / "runs" / "head"
    run = RunPlan(Recipe.load("street-cnn", HEAD), folder)
    (ended,) = run_all([run], Ray(None, storage=storage.as_uri()))
    assert not ended.failed, ended.failed[0].error
    (there,) = storage.iterdir()
    for name in ("summary.json", "report.html", "classifier/classifier.json", "test-1/seed-42/predictions.parquet"):
        assert (there / name).read_bytes() == (folder / name).read_bytes(), name
    assert verify(folder) == [] and list((folder / "gradcam").glob("*.mp3"))
    # what is done is not done again
    before = {path: path.stat().st_mtime_ns for path in there.glob("test-*/**/*") if path.is_file()}
    said: list[str] = []
    (again,) = run_all([run], Ray(None, storage=storage.as_uri()), said.append)
    assert again.summary == ended.summary and "head: 2 of 2 cells done before" in said
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_a_worker_without_the_data_says_so_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    (ended,) = run_all([RunPlan(Recipe.load("esc50-yamnet", ["network.weights=none"]), tmp_path / "run")], Ray(None))
    (lost,) = ended.failed
    assert str(lost.error).startswith(f"on {socket.gethostname()}: ") and "esc50" in str(lost.error).lower()


@pytest.mark.slow
def test_asking_for_more_than_the_cluster_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        EngineError,
        match="a task is to have 1000 cores and 0 accelerators, and no machine of the cluster has that many",
    ):
        run_all([RunPlan(Recipe.load("street-cnn", HEAD), tmp_path / "run")], Ray(None, cpus=1000))


def test_an_address_that_does_not_answer_is_told_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(EngineError, match=f"no Ray cluster answers at '{address}': Connection refused"):
            ray_cluster.connect(address)
        closed.listen()  # and is silent
        monkeypatch.setattr(ray_cluster, "CONNECT_TIMEOUT_S", 3)
        with pytest.raises(EngineError, match="nothing in 3 seconds"):
            ray_cluster.connect(address)
    with pytest.raises(EngineError, match="write HOST:PORT"):
        ray_cluster.connect("somewhere")


def place(folder: Path, **changes: Any) -> cluster.Place:
    from hubbub import __version__

    return replace(cluster.Place(None, "token", None, __version__, {}), **changes)


def test_a_machine_that_does_not_share_the_folder_or_has_another_hubbub_refuses(tmp_path: Path) -> None:
    threads = torch.get_num_threads()  # which this process keeps
    step = Step(RunPlan(Recipe.load("street-cnn", HEAD), tmp_path), "begin")
    assert f"it does not see {tmp_path}. Put --out on" in str(
        cluster.perform_task(step, place(tmp_path), threads).error
    )
    (tmp_path / run_folder.SHARED).write_text("of another")
    assert "does not see" in str(cluster.perform_task(step, place(tmp_path), threads).error)
    assert "the machine that started the run has 0.0" in str(
        cluster.perform_task(step, place(tmp_path, version="0.0"), threads).error
    )
    assert "Protocol not known: nowhere" in str(
        cluster.perform_task(step, place(tmp_path, storage="nowhere://x"), threads).error
    )
    assert list(tmp_path.iterdir()) == [tmp_path / run_folder.SHARED]


@pytest.mark.parametrize("path", ["recipe.toml", "test-1/seed-42/metrics_test.json", "summary.json", "gradcam/a.mp3"])
def test_every_file_of_a_run_is_one_step_s_work(path: str) -> None:
    run = RunPlan(Recipe.load("street-cnn", HEAD), Path("run"))
    kinds = [Step(run, "begin"), Step(run, "cell", "1", 42), Step(run, "cell", "2", 42), Step(run, "end")]
    writers = [step.kind for step in kinds if cluster.writes(step, path)]
    # the run's end may write what its beginning wrote, the same again
    assert writers == (["begin", "end"] if path == "recipe.toml" else ["cell"] if "test-" in path else ["end"])


@pytest.mark.slow
def test_a_cluster_answers_a_folder_as_one_machine_does_and_goes_on_where_it_was(tmp_path: Path) -> None:
    import pandas as pd

    bare_run(Recipe.load("street-cnn", HEAD), tmp_path / "run")
    sounds, heard = tmp_path / "sounds", tmp_path / "heard"
    sounds.mkdir()
    for number, path in enumerate(open_clips(Recipe.load("street-cnn", HEAD)).table["path"][:6]):
        (sounds / f"{number}.wav").write_bytes(Path(path).read_bytes())
    (sounds / "broken.wav").write_bytes(b"RIFF, but no more")
    command = [sys.executable, "-m", "hubbub.cli", "classify", str(sounds), "--model", str(tmp_path / "run")]
    spread = [*command, "--engine", "ray", "--out", str(heard)]
    done = subprocess.run(spread, capture_output=True, text=True)
    assert done.returncode == 1 and "1 files failed" in done.stdout, done.stderr
    alone = subprocess.run([*command, "--out", str(tmp_path / "one.parquet")], capture_output=True, text=True)
    assert alone.returncode == 1
    answered, one = pd.read_parquet(heard), pd.read_parquet(tmp_path / "one.parquet")
    (error,) = answered[answered["error"].notna()].itertuples()
    assert error.file.endswith("broken.wav") and pd.isna(error.label)
    order = ["file", "start"]
    answered = (
        answered[answered["error"].isna()]
        .drop(columns=["error", "recording", "warnings"])
        .sort_values(order, ignore_index=True)
    )
    pd.testing.assert_frame_equal(answered, one.sort_values(order, ignore_index=True), check_exact=False, atol=1e-6)
    # the broken one mended, a torn part, and another recording of the same size under the same name, from long ago: the
    # same command answers what is not answered
    shutil.copy(sounds / "1.wav", sounds / "broken.wav")
    (heard / "torn.parquet").write_bytes(b"PAR1 and then the power went")
    shutil.copy(sounds / "5.wav", sounds / "0.wav")
    os.utime(sounds / "0.wav", (10**9, 10**9))
    again = subprocess.run(spread, capture_output=True, text=True, check=True)
    assert "5 of 7 have answers from an earlier run" in again.stderr
    assert pd.read_parquet(heard)["error"].isna().all() and pd.read_parquet(heard)["file"].nunique() == 7
    told = pd.read_parquet(heard).groupby("file")[["start", "label", "score"]].agg(list)
    assert told.loc[str(sounds / "0.wav")].tolist() == told.loc[str(sounds / "5.wav")].tolist()
    # answers of before there was a note of it
    for part in heard.glob("*.parquet"):
        pd.read_parquet(part).drop(columns="recording").to_parquet(part, index=False)
    again = subprocess.run(spread, capture_output=True, text=True, check=True)
    assert "holds results of an earlier version" in again.stderr and "answers from an earlier run" not in again.stderr
    assert pd.read_parquet(heard).groupby("file")[["start", "label", "score"]].agg(list).equals(told)
    other = subprocess.run([*spread, "--threshold", "0.9"], capture_output=True, text=True)
    assert other.returncode == 2 and "or other settings. Name a new folder" in other.stderr
    none = subprocess.run([*command, "--engine", "ray", "--json"], capture_output=True, text=True)
    assert none.returncode == 2 and "Name one: --out answers" in none.stderr
