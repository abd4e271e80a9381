"""trackers: the same figures in TensorBoard, MLflow and Weights & Biases, read back with their own means."""

import errno
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from hubbub.errors import HubbubError
from hubbub.training.loggers import TrackerError, log_artifacts, log_metrics, open_loggers

SETTINGS = {"data": {"name": "street", "root": "", "limit": None}, "train": {"seeds": [42], "learning_rate": 0.001}}
FLAT = {"data/name": "street", "data/root": "", "data/limit": "None", "train/seeds": "[42]"}
FLAT["train/learning_rate"] = "0.001"
BOTH = ("mlflow", "wandb")

Tracked = Callable[..., AbstractContextManager[list[Any]]]


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person's who runs the tests, and no network."""
    for name in [n for n in os.environ if n.startswith(("MLFLOW_", "WANDB_"))]:
        if name != "WANDB_SERVICE":  # how W&B's processes find each other; an earlier test may have started one
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("NETRC", str(tmp_path / "user" / "netrc"))
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store: making its tables takes seconds."""
    place = tmp_path_factory.mktemp("mlflow")
    with open_loggers(("mlflow",), place / "run", run="", group="g", settings={}, store=place / "mlflow.db"):
        pass
    return place / "mlflow.db"


@pytest.fixture
def track(tmp_path: Path, tables: Path) -> Tracked:
    """`open_loggers`, its settings and places filled in; runs go to `tmp_path` / "runs" / `folder`."""
    (tmp_path / "runs").mkdir()
    shutil.copy(tables, tmp_path / "runs" / "mlflow.db")

    def tracked(names: tuple[str, ...], folder: str = "fold-1", **given: Any) -> AbstractContextManager[list[Any]]:
        place = tmp_path / "runs"
        rest = {"run": "fold 1, seed 42", "group": "esc50", "settings": SETTINGS, "store": place / "mlflow.db"} | given
        return open_loggers(names, place / folder, **rest)

    return tracked


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each scalar in TensorBoard's files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(e.step, pytest.approx(e.value)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def mlflow_runs(store: Path | str, group: str = "esc50") -> list[Any]:
    """The runs of an experiment, the first one first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store}" if isinstance(store, Path) else store)
    experiment = client.get_experiment_by_name(group)
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])


def wandb_files(folder: Path) -> dict[str, bytes]:
    """What W&B keeps of offline runs, by the run's id, the later file of a run after the earlier one."""
    found: dict[str, bytes] = {}
    for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        found[file.stem.removeprefix("run-")] = found.get(file.stem.removeprefix("run-"), b"") + file.read_bytes()
    return found


# One training


class Line(lightning.LightningModule):
    """Learns y = 2 x; logs a loss an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        loss = (self.layer(batch) - 2 * batch).square().mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(loggers: list[Any], folder: Path, **options: Any) -> float:
    """Two epochs on the CPU; the last loss."""
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=2, logger=loggers, default_root_dir=folder, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1, **options,
    )  # fmt: skip
    trainer.fit(Line(), torch.utils.data.DataLoader(torch.ones(8, 1), batch_size=2))
    return float(trainer.callback_metrics["train_loss"])


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_training_is_followed_everywhere_and_in_silence(
    track: Tracked, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with track(BOTH) as loggers:
        assert len(loggers) == 3 and capfd.readouterr() == ("", "")
        loss = fit(loggers, tmp_path)
        lightnings, _ = capfd.readouterr()  # its remarks about hardware are for whoever builds a trainer
        log_metrics(loggers, {"test_clip_accuracy": 0.75})
    assert capfd.readouterr() == ("", "") and not re.search("(?i)mlflow|wandb|alembic", lightnings)

    seen = scalars(tmp_path / "runs" / "fold-1")
    assert len(seen["train_loss"]) == 2 and seen["train_loss"][-1] == (7, loss)
    assert seen["test_clip_accuracy"] == [(0, 0.75)] and "hp_metric" not in seen
    assert "name: street" in (tmp_path / "runs" / "fold-1" / "tensorboard" / "hparams.yaml").read_text()

    (run,) = mlflow_runs(tmp_path / "runs" / "mlflow.db")
    assert (run.info.run_name, run.info.status) == ("fold 1, seed 42", "FINISHED")
    assert run.data.params == FLAT
    assert run.data.metrics["train_loss"] == pytest.approx(loss)
    assert run.data.metrics["test_clip_accuracy"] == 0.75

    (kept,) = wandb_files(tmp_path / "runs" / "fold-1").values()
    for word in (b"train_loss", b"test_clip_accuracy", b"fold 1, seed 42", b"esc50", b"street"):
        assert word in kept


def test_a_following_run_is_another_one(track: Tracked, tmp_path: Path) -> None:
    for fold in ("1", "2"):
        with track(BOTH, f"fold-{fold}", run=f"fold {fold}", group="esc50/quick") as loggers:
            log_metrics(loggers, {f"only_{fold}": 1.0})
    runs = mlflow_runs(tmp_path / "runs" / "mlflow.db", "esc50/quick")
    assert [(r.info.run_name, r.info.status, r.data.metrics) for r in runs] == [
        ("fold 1", "FINISHED", {"only_1": 1.0}),
        ("fold 2", "FINISHED", {"only_2": 1.0}),
    ]
    (one,), (two,) = (wandb_files(tmp_path / "runs" / f"fold-{fold}").items() for fold in "12")
    assert one[0] != two[0] and b"only_1" in one[1] and b"only_1" not in two[1]
    # W&B takes no slash in a project, MLflow does.
    assert b"esc50-quick" in one[1]


def test_a_full_disk_is_told_once_and_errors_of_other_threads_as_ever(
    track: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.compat.tensorflow_stub.io.gfile import LocalFileSystem

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    told: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda error: told.append(error.exc_type))
    with (
        pytest.raises(OSError, match="No space left"),
        track((), network=False) as (logger,),
        monkeypatch.context() as disk,
    ):
        for name in ("_write", "append"):
            disk.setattr(LocalFileSystem, name, full)
        logger.log_metrics({"loss": 1.0}, 1)
        logger.writer.flush()
    assert told == []
    with track((), "other", network=False):
        thread = threading.Thread(target=full)
        thread.start()
        thread.join()
    assert told == [OSError]


def test_tensorboard_alone_by_default(track: Tracked, tmp_path: Path) -> None:
    with track(()) as loggers:
        loggers[0].log_metrics({"val_loss": 0.5}, 3)
    assert scalars(tmp_path / "runs" / "fold-1") == {"val_loss": [(3, 0.5)]}
    assert os.listdir(tmp_path / "runs" / "fold-1") == ["tensorboard"]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_fails_ends_as_failed(track: Tracked, tmp_path: Path, kind: type[BaseException]) -> None:
    with pytest.raises(kind), track(BOTH) as loggers:
        loggers[1].log_metrics({"val_loss": 0.5}, 1)
        raise kind
    (run,) = mlflow_runs(tmp_path / "runs" / "mlflow.db")
    assert (run.info.status, run.data.metrics) == ("FAILED", {"val_loss": 0.5})


KILLED = """
import os, signal, sys
from pathlib import Path
from hubbub.training.loggers import log_metrics, open_loggers
runs, settings = Path(sys.argv[1]), {"train": {"epochs": 2}}
with open_loggers(
    ("mlflow", "wandb"), runs / "fold-1", run="fold 1", group="esc50", settings=settings, store=runs / "mlflow.db"
) as loggers:
    for logger in loggers:
        logger.log_metrics({"val_loss": 0.5}, 1)
    loggers[0].save()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow  # the process to be killed imports everything first
def test_a_killed_run_goes_on(track: Tracked, tmp_path: Path) -> None:
    store = tmp_path / "runs" / "mlflow.db"
    store.unlink()
    own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    command = [sys.executable, "-c", KILLED, str(tmp_path / "runs")]
    killed = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert (killed.returncode, killed.stdout, killed.stderr) == (-9, "", "")
    (before,) = mlflow_runs(store)
    assert before.info.status == "RUNNING"
    with track(BOTH) as loggers:
        (during,) = mlflow_runs(store)
        assert during.info.status == "RUNNING"
        for logger in loggers:
            logger.log_metrics({"val_loss": 0.25}, 2)
    (after,) = mlflow_runs(store)
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    assert after.info.run_name == "fold 1" and after.data.metrics == {"val_loss": 0.25}
    assert scalars(tmp_path / "runs" / "fold-1")["val_loss"] == [(1, 0.5), (2, 0.25)]
    assert len(wandb_files(tmp_path / "runs" / "fold-1")) == 1
    assert len(list((tmp_path / "runs" / "fold-1" / "wandb").glob("offline-run-*"))) == 2


def test_a_run_that_failed_goes_on(track: Tracked, tmp_path: Path) -> None:
    store = tmp_path / "runs" / "mlflow.db"
    with pytest.raises(MemoryError), track(BOTH) as loggers:
        log_metrics(loggers, {"first": 1.0})
        raise MemoryError
    (before,) = mlflow_runs(store)
    with track(BOTH, settings={"train": {"seeds": [43]}}) as loggers:
        assert [run.info.status for run in mlflow_runs(store)] == ["RUNNING"]
        log_metrics(loggers, {"second": 2.0})
    (after,) = mlflow_runs(store)
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    # MLflow takes parameters once.
    assert after.data.metrics == {"first": 1.0, "second": 2.0} and after.data.params == FLAT
    assert scalars(tmp_path / "runs" / "fold-1") == {"first": [(0, 1.0)], "second": [(0, 2.0)]}
    (kept,) = wandb_files(tmp_path / "runs" / "fold-1").values()
    assert b"first" in kept and b"second" in kept


def test_a_run_deleted_since_is_begun_again(track: Tracked, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    store = tmp_path / "runs" / "mlflow.db"
    with track(("mlflow",)):
        pass
    (deleted,) = mlflow_runs(store)
    MlflowClient(f"sqlite:///{store}").delete_run(deleted.info.run_id)
    with track(("mlflow",)):
        pass
    (run,) = mlflow_runs(store)
    assert run.info.run_id != deleted.info.run_id and run.data.params == FLAT


def test_a_wandb_run_that_cannot_go_on_is_begun_again(track: Tracked, tmp_path: Path) -> None:
    with track(("wandb",)) as first, track(("wandb",)) as second:  # W&B refuses a run that is open
        assert first[1].version != second[1].version
    assert len(wandb_files(tmp_path / "runs" / "fold-1")) == 2


def test_what_may_not_be_seen_or_changed(track: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "0123456789" * 4
    monkeypatch.setenv("WANDB_API_KEY", secret)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    with track(BOTH) as loggers:
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == os.environ["WANDB_SILENT"] == "true"
        log_metrics(loggers, {"test_clip_accuracy": 0.75})
    assert dict(os.environ) == before
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) > 5 and not [p for p in written if secret.encode() in p.read_bytes()]
    assert {p.name for p in tmp_path.iterdir()} <= {"runs", "user"}


# Several processes


def test_loggers_can_be_sent_to_another_process(track: Tracked, tmp_path: Path) -> None:
    with track(BOTH) as loggers:
        for logger in loggers[:2]:
            pickle.loads(pickle.dumps(logger)).log_metrics({"val_loss": 0.5}, 1)
        # W&B's finds its run from another process only: see the test with two devices.
        assert pickle.dumps(loggers[2])
    assert mlflow_runs(tmp_path / "runs" / "mlflow.db")[0].data.metrics == {"val_loss": 0.5}
    assert scalars(tmp_path / "runs" / "fold-1") == {"val_loss": [(1, 0.5)]}


def test_only_the_first_process_writes(track: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with track(BOTH) as loggers:
        assert len(loggers) == 1
        log_metrics(loggers, {"test_clip_accuracy": 0.75})
    assert [p.name for p in (tmp_path / "runs").rglob("*")] == ["mlflow.db"]


@pytest.mark.slow  # each process imports torch and Lightning
@pytest.mark.filterwarnings("ignore")
def test_two_devices_write_one_run(track: Tracked, tmp_path: Path) -> None:
    with track(BOTH) as loggers:
        fit(loggers, tmp_path, devices=2, strategy=DDPStrategy(start_method="spawn"))
        log_metrics(loggers, {"test_clip_accuracy": 0.75})
    (run,) = mlflow_runs(tmp_path / "runs" / "mlflow.db")
    assert run.info.status == "FINISHED" and run.data.metrics.keys() == {"epoch", "train_loss", "test_clip_accuracy"}
    (kept,) = wandb_files(tmp_path / "runs" / "fold-1").values()
    assert b"train_loss" in kept and b"test_clip_accuracy" in kept
    assert len(scalars(tmp_path / "runs" / "fold-1")["train_loss"]) == 2


AT_ONCE = """
import sys
from pathlib import Path
from hubbub.training import loggers
runs, fold = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
with loggers.open_loggers(("mlflow",), runs / fold, run=fold, group="esc50", settings={}, store=runs / "mlflow.db"):
    pass
"""


@pytest.mark.slow
def test_processes_may_begin_a_store_at_once(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", AT_ONCE, str(tmp_path), fold] for fold in "12"]
    workers = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for c in commands]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert [worker.wait() for worker in workers] == [0, 0]
    assert sorted(run.info.run_name for run in mlflow_runs(tmp_path / "mlflow.db")) == ["1", "2"]


# Servers


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def mlflow_server(place: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real MLflow server on a free port, and its process."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    place.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{place}/server.db", "--default-artifact-root", str(place / "art")]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (
        open(place / "log", "wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True) as server,
    ):
        try:
            while server.poll() is None:
                try:
                    with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
                        assert answer.status == 200
                        break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.1)
            assert server.poll() is None, (place / "log").read_text()
            yield address, server
        finally:
            kill_group(server)


def kill_group(server: subprocess.Popen[bytes]) -> None:
    """The server and its workers."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@pytest.mark.slow  # the server takes some twenty seconds to start
def test_an_mlflow_server_gets_the_figures_and_may_die(
    track: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with mlflow_server(tmp_path / "server") as (address, server):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with track(("mlflow",)) as loggers:
            pickle.loads(pickle.dumps(loggers[1])).log_metrics({"val_loss": 0.5}, 1)
            log_metrics(loggers, {"test_clip_accuracy": 0.75})
        (run,) = mlflow_runs(address)
        assert (run.info.run_name, run.info.status) == ("fold 1, seed 42", "FINISHED") and run.data.params == FLAT
        assert run.data.metrics == {"val_loss": 0.5, "test_clip_accuracy": 0.75}
        with track(("mlflow",)) as loggers:
            assert mlflow_runs(address)[0].info.status == "RUNNING"
        assert [r.info.run_id for r in mlflow_runs(address)] == [run.info.run_id]
        assert mlflow_runs(tmp_path / "runs" / "mlflow.db", "g") and capfd.readouterr() == ("", "")

        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with track(("mlflow",), "fold-2") as loggers:
            kill_group(server)
            for step in (1, 2):
                for logger in loggers:
                    logger.log_metrics({"val_loss": 0.5}, step)
    (said,) = [r.getMessage() for r in caplog.records if r.name == "hubbub"]
    assert re.fullmatch(r"MLflow no longer receives metrics \(.*[Cc]onnection.*\); training goes on, and Tens.*", said)
    assert "/api/" not in said
    assert scalars(tmp_path / "runs" / "fold-2")["val_loss"] == [(1, 0.5), (2, 0.5)]


def test_a_figure_that_cannot_be_sent_stops_nothing(
    track: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow import MlflowClient

    calls = []

    def broken(*_: Any, **__: Any) -> None:
        calls.append(1)
        raise ConnectionError("gone")

    with track(("mlflow",)) as loggers:
        monkeypatch.setattr(MlflowClient, "log_batch", broken)
        for step in (1, 2):
            for logger in loggers:
                logger.log_metrics({"val_loss": 0.5}, step)
    assert len(calls) == 1 and caplog.text.count("MLflow no longer receives metrics (gone)") == 1
    assert scalars(tmp_path / "runs" / "fold-1")["val_loss"] == [(1, 0.5), (2, 0.5)]


def test_an_mlflow_server_that_is_not_there(track: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{free_port()}")
    rule = r"MLflow at http://127\.0\.0\.1:\d+ cannot be used: .*Connection refused.*MLFLOW_TRACKING_URI"
    with pytest.raises(TrackerError, match=rule) as raised, track(("mlflow",)):
        pytest.fail("trained")
    assert "secret" not in str(raised.value) and isinstance(raised.value, HubbubError)


def test_an_mlflow_server_that_never_answers(track: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(TrackerError, match="cannot be used: timed out"), track(("mlflow",)):
            pytest.fail("trained")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "No API key configured"),
        ({"WANDB_API_KEY": "short"}, "API key must have"),
        ({"WANDB_API_KEY": "0123456789" * 4, "WANDB_INIT_TIMEOUT": "2"}, "refused|[Tt]imed out|deadline"),
    ],
)
def test_wandb_online_without_a_key_or_a_server(
    track: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], why: str
) -> None:
    import wandb

    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{free_port()}")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    wandb.teardown()  # it reads its environment once
    try:
        rule = rf"Weights & Biases cannot be used: .*({why}).*WANDB_MODE=offline"
        with pytest.raises(TrackerError, match=rule) as raised, track(BOTH):
            pytest.fail("trained")
    finally:
        wandb.teardown()
    assert "0123456789" not in str(raised.value)
    # MLflow's run was open by then.
    assert [run.info.status for run in mlflow_runs(tmp_path / "runs" / "mlflow.db")] == ["FAILED"]


@pytest.mark.parametrize("package", BOTH)
def test_a_missing_package_is_named_with_its_install_line(
    track: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TrackerError, match=re.escape(f"pip install 'hubbub[{package}]'")), track((package,)):
        pytest.fail("trained")


def test_a_store_whose_path_sqlite_cannot_take(track: Tracked, tmp_path: Path) -> None:
    with (
        pytest.raises(TrackerError, match=r"must not contain \?, # or %"),
        track(("mlflow",), store=tmp_path / "50%" / "mlflow.db"),
    ):
        pytest.fail("trained")
    (tmp_path / "file").touch()
    below, rule = tmp_path / "file" / "mlflow.db", r"/file/.* cannot be used: .*File exists"
    with pytest.raises(TrackerError, match=rule), track(("mlflow",), store=below):
        pytest.fail("trained")


def test_files_and_folders_go_to_mlflow_at_the_end(track: Tracked, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    (tmp_path / "classifier").mkdir()
    (tmp_path / "classifier" / "network.bin").write_bytes(b"weights")
    (tmp_path / "report.html").write_text("page", "utf-8")
    with track(("mlflow",), tensorboard=False) as loggers:
        assert len(loggers) == 1
        log_artifacts(loggers, [tmp_path / "report.html", tmp_path / "classifier"])
    store = tmp_path / "runs" / "mlflow.db"
    (run,) = mlflow_runs(store)
    place = Path(MlflowClient(f"sqlite:///{store}").download_artifacts(run.info.run_id, ""))
    assert (place / "report.html").read_text("utf-8") == "page"
    assert (place / "classifier" / "network.bin").read_bytes() == b"weights"
    assert not (tmp_path / "runs" / "fold-1" / "tensorboard").exists()


def test_files_that_mlflow_does_not_take_are_a_warning(
    track: Tracked, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with track(BOTH[:1]) as loggers:
        log_artifacts(loggers, [tmp_path / "gone.png"])
    assert "MLflow has not all files of the run" in caplog.text
