"""Several processes train one network; only rank 0 writes and prints; processes that do not fit are refused."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import torch

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.data import arrays, splits
from hubbub.data.open import open_clips
from hubbub.experiment import lr_find, tune
from hubbub.runtime import distributed
from hubbub.runtime.distributed import Process, RankError
from hubbub.training import fit
from tests.experiment.test_tune import plan
from tests.helpers.sounds import write_tones

AUGMENT = ["--set", "augment.roll={fraction=0.5}", "--set", "augment.gain={db=[-6,6]}"]
#: Sums in another number of threads round otherwise, and how many there are would follow from the machine's cores.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
#: The command line, in a process that is killed at a step, notes which clips it is given, or has other clips.
SCRIPT = """
import json, os, signal, sys
from hubbub.cli import main
from hubbub.training import worker, fit, module
from hubbub.runtime import distributed
from hubbub.data import cache
rank, (at, other, *sys.argv[1:]) = distributed.this_process().rank, sys.argv[1:]
step, build = module.Training.training_step, fit.build_module
def fatal_step(self, batch, index):
    if [rank, self.current_epoch, index] == json.loads(at):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, index)
def noted(model, sound, targets, rows, validation, *more, **named):
    with open(f"heard-{rank}.json", "w" if len(validation) else "a") as file:
        file.write(json.dumps([*rows.tolist(), *validation.tolist()]) + "\\n")
    return build(model, sound, targets, rows, validation, *more, **named)
module.Training.training_step, fit.build_module = fatal_step, noted
cache.VERSION += rank * int(other)
main.main()
"""


def started(monkeypatch: pytest.MonkeyPatch, *, rank: int = 0, world: int, local: int) -> None:
    """As torchrun starts a process."""
    given = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank % local, "LOCAL_WORLD_SIZE": local}
    for name, value in (given | {"TORCHELASTIC_RUN_ID": "test"}).items():
        monkeypatch.setenv(name, str(value))


def machines(
    folder: Path, *command: str, nodes: int = 2, each: int = 1, at: object = None, other: bool = False
) -> list[tuple[int, str, str, str]]:
    """Start torchrun once a machine, each with a cache and a working folder of its own.

    Returns of each machine the status, what its processes print, their errors, and what torchrun itself says: where
    the first machine ends before the others, torchrun there may complain of a lost connection at the very end.
    """
    script = folder / "script.py"
    script.write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(nodes), "--nproc-per-node", str(each)]
    launch += ["--master-addr", "localhost", "--master-port", str(port), "--redirects", "3"]
    running, logs = [], [Path(tempfile.mkdtemp(dir=folder)) for _ in range(nodes)]
    for node in range(nodes):
        here = folder / f"machine-{node}"
        here.mkdir(exist_ok=True)
        # The first finds what the session has decoded, the others find nothing.
        cache = {"HUBBUB_CACHE": str(here / "cache")} if node else {}
        running.append(
            subprocess.Popen(
                [
                    *launch, "--log-dir", str(logs[node]), "--node-rank", str(node),
                    str(script), json.dumps(at), str(int(other)), *command,
                ],
                cwd=here, env=os.environ | ONE_THREAD | cache, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
    torchrun = ["".join(process.communicate()) for process in running]
    said = [
        ["".join(f.read_text() for f in sorted(log.rglob(name))) for name in ("stdout.log", "stderr.log")]
        for log in logs
    ]
    return [(p.returncode, *both, own) for p, both, own in zip(running, said, torchrun, strict=True)]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe file of a small network on few and short sounds."""
    sections = plan(write_tones(tmp_path / "sounds")).model_dump(mode="json", exclude_none=True, exclude={"tune"})
    sections["train"] |= {"epochs": 3, "batch_size": 4, "learning_rate": 0.01}
    file = tmp_path / "tones.toml"
    file.write_text(Recipe.of(sections).to_toml(), encoding="utf-8")
    return file


def test_a_process_is_alone_unless_torchrun_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")  # somebody else's
    assert distributed.this_process() == Process(0, 1, 0, 1)
    started(monkeypatch, rank=3, world=4, local=2)
    assert distributed.this_process() == Process(3, 4, 1, 2)


def test_as_many_processes_as_the_recipe_asks_for_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    for nodes, devices in ((1, 1), (1, 2)):  # one machine starts its own
        distributed.check_world_size(nodes, devices)
    for nodes, devices in ((1, 1), (2, 1), (1, 2), (3, 4)):
        started(monkeypatch, world=nodes * devices, local=devices)
        distributed.check_world_size(nodes, devices)


@pytest.mark.parametrize(
    ("world", "local", "nodes", "devices", "advice"),
    [
        (2, 2, 1, 1, "--set train.nodes=1 --set train.devices=2, or start 1 process"),
        (2, 1, 1, 2, "--set train.nodes=2 --set train.devices=1, or start 2 processes"),
        (4, 2, 2, 1, "--set train.nodes=2 --set train.devices=2, or start 2 processes"),
        (1, 1, 2, 1, "--set train.nodes=1 --set train.devices=1, or start 2 processes"),
    ],
)
def test_another_number_of_processes_is_refused_with_both(
    monkeypatch: pytest.MonkeyPatch, world: int, local: int, nodes: int, devices: int, advice: str
) -> None:
    started(monkeypatch, world=world, local=local)
    with pytest.raises(RankError, match=rf"started {world} process.*nodes {nodes} with train.devices {devices} each"):
        distributed.check_world_size(nodes, devices)
    with pytest.raises(RankError, match=advice), distributed.process_group(nodes, devices):
        pass


def test_several_machines_need_torchrun_and_the_command_says_so_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hubbub.cli", "bench", "street-cnn", "--set", "train.nodes=2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "train.nodes is 2, and this process was started alone" in done.stderr
    assert "torchrun --nnodes 2 --nproc-per-node 1" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_fit_outside_the_command_is_refused_rather_than_waiting(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = Recipe.load(recipe, ["train.nodes=2"])
    clips = open_clips(both)
    split = splits.make_splits(clips, both.protocol)[0]
    given = (arrays.load_inputs(clips, both), clips.targets(), split.train, split.validation, tmp_path / "fit")
    with pytest.raises(RankError, match="started alone"):
        fit.fit_network(TorchClassifier(both, clips.labels), *given, seed=1)
    started(monkeypatch, world=2, local=1)
    with pytest.raises(RankError, match="have not joined"):
        fit.fit_network(TorchClassifier(both, clips.labels), *given, seed=1)


def test_searches_and_range_tests_run_in_one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started(monkeypatch, world=2, local=1)
    plan = Recipe.load("esc50-resnet18-validation", [])
    with pytest.raises(RankError, match="torchrun started 2 processes, and a search runs in one"):
        tune.search_settings(plan, tmp_path)
    with pytest.raises(RankError, match="a range test runs in one"):
        lr_find.run(plan, tmp_path)


def test_one_process_a_machine_says_what_all_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "TO_BE_ENDED_S", 0.0)
    for rank, first in ((0, "error: no"), (1, ""), (2, "error (rank 2 on "), (3, "")):
        started(monkeypatch, rank=rank, world=4, local=2)
        line = distributed.error_line(RankError("no"))
        assert line.startswith(first)
        assert bool(line) == bool(first)


@pytest.mark.slow
def test_two_machines_train_as_two_devices_of_one_and_go_on_after_a_kill(recipe: Path, tmp_path: Path) -> None:
    """Rank 1 is killed in the second epoch; the same command again ends with the weights of an unbroken run."""
    command = ["bench", str(recipe), "--folds", "1", "--name", "run", *AUGMENT, "--set"]
    (tmp_path / "one").mkdir()
    subprocess.run(
        [sys.executable, "-m", "hubbub.cli", *command, "train.devices=2"],
        cwd=tmp_path / "one", env=os.environ | ONE_THREAD, check=True, capture_output=True,
    )  # fmt: skip
    unbroken, run = tmp_path / "one" / "runs" / "run", tmp_path / "machine-0" / "runs" / "run"
    cell = Path("test-1") / "seed-42"

    killed = machines(tmp_path, *command, "train.nodes=2", at=[1, 1, 1])
    assert [status for status, *_ in killed] == [1, 1]
    assert "error: another process that took part has ended" in killed[0][2]
    assert "SIGKILL" in killed[1][3]
    assert torch.load(run / cell / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0

    (status, output, errors, _), other = machines(tmp_path, *command, "train.nodes=2")
    assert status == 0, errors
    assert other[:3] == (0, "", ""), "rank 0 alone speaks"
    assert output.count("page:") == 1
    assert {p.name for p in (tmp_path / "machine-1").iterdir()} == {"cache", "heard-1.json"}, "and writes"
    for file in (cell / "checkpoints" / "best.ckpt", cell / "checkpoints" / "last.ckpt", "refit/checkpoints/last.ckpt"):
        expected, got = (torch.load(folder / file, weights_only=True) for folder in (unbroken, run))
        assert got["epoch"] == expected["epoch"]
        for name, tensor in expected["state_dict"].items():
            assert torch.equal(got["state_dict"][name], tensor), (file, name)
    names = [
        {str(p.relative_to(folder)) for p in folder.rglob("*") if "events" not in p.name} for folder in (unbroken, run)
    ]
    assert names[0] == names[1]
    expected, got = (json.loads((folder / "summary.json").read_text()) for folder in (unbroken, run))
    for key in ("clip", "segment", "clips", "segments"):
        assert got[key] == expected[key]

    table = pd.read_parquet(run / cell / "predictions.parquet")
    clips = open_clips(Recipe.load(recipe)).table["clip"]
    heard, _refit = (tmp_path / "machine-1" / "heard-1.json").read_text().splitlines()
    assert not set(clips.iloc[json.loads(heard)]) & set(table["clip"]), "the test part is rank 0's alone"
    assert heard == (tmp_path / "machine-0" / "heard-0.json").read_text().splitlines()[0]


@pytest.mark.slow
def test_a_head_is_fitted_by_one_process_while_the_other_waits(recipe: Path, tmp_path: Path) -> None:
    command = ["train", str(recipe), "--fold", "1", "--name", "head", "--set", "train.devices=2"]
    command += ["--set", "head.name=logreg", "--set", "head.pool=mean", "--set", "head.c=[0.1]"]
    ((status, output, errors, _),) = machines(tmp_path, *command, nodes=1, each=2)
    assert status == 0, errors
    assert errors.count("frozen embeddings need no second device") == 1
    assert output.count("page:") == 1
    assert (tmp_path / "machine-0" / "runs" / "head" / "summary.json").is_file()


@pytest.mark.slow
def test_machines_with_other_clips_do_not_train_together(recipe: Path, tmp_path: Path) -> None:
    command = ["train", str(recipe), "--fold", "1", "--name", "run", "--set", "train.nodes=2"]
    both = machines(tmp_path, *command, other=True)
    assert [status for status, *_ in both] == [1, 1]
    assert "error: rank 1 on" in both[0][2]
    assert "not the same clips or kind of device as rank 0 has" in both[0][2]
    assert not list(tmp_path.rglob("last.ckpt"))
