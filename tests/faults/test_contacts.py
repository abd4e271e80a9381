"""Nobody is contacted unasked. All tests run where a connection beyond this machine is refused and noted (conftest);
here is what that does not see: other programs, and libraries that are not Python."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.helpers.amount import LONG
from tests.helpers.contacts import refused
from tests.helpers.sounds import noise

ROOT = Path(__file__).parents[2]
#: What a person does first: everything is imported, a sound classified, a classifier trained, its page written.
FIRST_STEPS = """
import importlib, pkgutil, hubbub
for module in pkgutil.walk_packages(hubbub.__path__, "hubbub."):
    if module.name != "hubbub.cli.__main__":
        importlib.import_module(module.name)
from typer.testing import CliRunner
from hubbub.cli.main import app
train = ["train", "sounds", "--backbone", "small", "--folds", "2", "--name", "mine"]
for arguments in (["--help"], ["classify", "sounds/a/0.wav"], train, ["report", "runs/mine"]):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
"""


def environment(home: Path) -> dict[str, str]:
    """A home of its own. Libraries that report nothing from CI are not told of it."""
    return {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home), "HUBBUB_CACHE": str(home / "cache"),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def write_sounds(folder: Path) -> None:
    for label in "ab":
        for number in range(4):
            (folder / label).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / label / f"{number}.wav", noise(1, 22_050, seed=number), 22_050)


@pytest.mark.parametrize(
    "contact",
    [
        lambda: socket.getaddrinfo("hubbub.example", 443),
        lambda: socket.create_connection(("192.0.2.1", 443), timeout=1),
        lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 8125)),
    ],
)
def test_a_contact_is_refused_and_noted(contact) -> None:
    with pytest.raises(OSError, match="contact nobody"):
        contact()
    assert refused.pop()


def test_this_machine_may_be_contacted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
        socket.create_connection(("localhost", server.getsockname()[1])).close()


def test_onnxruntime_keeps_no_identifier_and_reports_nothing(tmp_path: Path) -> None:
    """It makes an identifier of the machine and a store of reports where it is not told otherwise, without Python."""
    use = "import hubbub, numpy as np; hubbub.load('small').classify(np.zeros(22050, np.float32), 22050)"
    subprocess.run([sys.executable, "-c", use], check=True, cwd=tmp_path, env=environment(tmp_path / "home"))
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("asked", ["0", "1"])
def test_who_has_decided_about_reports_is_heeded(asked: str, tmp_path: Path) -> None:
    told = "import os, hubbub; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    decided = environment(tmp_path) | {"ORT_DISABLE_TELEMETRY": asked}
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True, env=decided)
    assert done.stdout.strip() == asked


if LONG:

    def test_the_first_steps_contact_nobody_by_any_library(tmp_path: Path) -> None:
        """Under strace (of Debian), which sees the calls of every library and child process."""
        assert shutil.which("strace"), "the long form needs strace"
        write_sounds(tmp_path / "sounds")
        trace = tmp_path / "trace"
        subprocess.run(
            ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(trace),
             sys.executable, "-c", FIRST_STEPS],
            check=True, cwd=tmp_path, env=environment(tmp_path / "home"),
        )  # fmt: skip
        calls = [line for line in trace.read_text().splitlines() if re.search(r"sin6?_addr", line)]
        assert [line for line in calls if not re.search(r'"(127\.\d+\.\d+\.\d+|::1)"', line)] == []
        written = {path.relative_to(tmp_path / "home").parts[:2] for path in (tmp_path / "home").rglob("*")}
        assert {"/".join(parts) for parts in written if parts[0] != "cache"} <= {
            ".cache", ".cache/matplotlib", ".config", ".config/matplotlib"
        }  # fmt: skip
