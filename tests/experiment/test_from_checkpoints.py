"""Published checkpoints, from `hubbub data get` to a trained run: a local server has files of their layout and size, a
download is killed half way and resumed, and what was downloaded is in the trained classifier."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from torch import Tensor

from hubbub.classifier.load import load_torch
from hubbub.models.esresnext import ESResNeXt
from hubbub.runtime.catalogue import ASSETS
from tests.helpers.amount import LONG

#: Runs command lines one after another, with the catalogue's entry NAME at another address.
DRIVER = """
import json, sys
from dataclasses import replace
from hubbub.runtime.catalogue import ASSETS
name, url, digest, lines = sys.argv[1:]
ASSETS[name] = replace(ASSETS[name], url=url, hash="sha256:" + digest)
from hubbub.cli.main import app
for line in json.loads(lines):
    app(line, standalone_mode=False)
"""
#: The share of a file's size that pickled names and padding may differ by.
NEAR = 0.01


class Handler(BaseHTTPRequestHandler):
    """Serves the server's file, whole or from a byte on; the first reply stops half way and waits."""

    def do_GET(self) -> None:
        server: Any = self.server
        size = server.file.stat().st_size
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        server.starts.append(start)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        end = size if len(server.starts) > 1 else size // 2
        with server.file.open("rb") as source:
            source.seek(start)
            while source.tell() < end:
                self.wfile.write(source.read(min(1 << 20, end - source.tell())))
        if end < size:
            server.half.set()
            server.killed.wait(60)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path], Any]]:
    servers = []

    def start(file: Path) -> Any:
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.file, server.starts = file, []
        server.half, server.killed = threading.Event(), threading.Event()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.killed.set()
        server.shutdown()
        server.server_close()


def esresnext() -> dict[str, Tensor]:
    return {**ESResNeXt(527).state_dict(), "window": torch.zeros(1654)}


def audioclip() -> dict[str, Tensor]:
    """Three towers: the audio tower with values, those of text and images as zeros of about their number."""
    audio = {f"audio.{name}": tensor for name, tensor in ESResNeXt(1024).state_dict().items()}
    text = {"token_embedding.weight": torch.zeros(49408, 512), "transformer.zeros": torch.zeros(25_000_000)}
    return audio | text | {"visual.zeros": torch.zeros(51_900_000), "logit_scale": torch.zeros(())}


def resnet18() -> dict[str, Tensor]:
    from torchvision.models import resnet18 as published

    return published().state_dict()


CASES = {
    "resnet18_imagenet": (resnet18, "us8k-resnet18", "conv1.weight", 8),
    "esresnext_audioset": (esresnext, "us8k-esresnext", "conv1.weight", 64),
    "audioclip_full": (audioclip, "us8k-audioclip", "audio.conv1.weight", 64),
}


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for k in range(6):
        tone = np.sin(np.arange(44_100) * (0.05, 0.2)[k % 2]) * 0.3 + rng.normal(0, 0.01, 44_100)
        soundfile.write(tmp_path / f"{k}.wav", tone, 44_100)
        rows.append({"path": f"{k}.wav", "label": "ab"[k % 2], "fold": k // 2 + 1, "group": f"g{k}"})
    pd.DataFrame(rows).to_csv(tmp_path / "list.csv", index=False)
    return tmp_path / "list.csv"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if LONG or name != "esresnext_audioset"])  # in AudioCLIP too
def test_a_killed_download_goes_on_and_becomes_a_trained_run(
    name: str, serve: Callable[[Path], Any], sounds: Path, tmp_path: Path
) -> None:
    state_of, recipe, first_layer, digits = CASES[name]
    torch.manual_seed(0)
    state, file = state_of(), tmp_path / "served"
    torch.save(state, file)
    assert file.stat().st_size == pytest.approx(ASSETS[name].size, rel=NEAR), "as large as the published file"
    site, digest = serve(file), hashlib.sha256(file.read_bytes()).hexdigest()[:digits]
    environment = os.environ | {"HUBBUB_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1", "COLUMNS": "200"}

    def start(*lines: list[str]) -> subprocess.Popen[str]:
        words = [
            sys.executable,
            "-c",
            DRIVER,
            name,
            f"http://127.0.0.1:{site.server_port}/file",
            digest,
            json.dumps(lines),
        ]
        return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    with start(["data", "get", name]) as first:
        assert site.half.wait(60)
        first.kill()
    site.killed.set()
    target = tmp_path / "home" / "weights" / ASSETS[name].file
    part = target.with_name(target.name + ".part")
    received = part.stat().st_size
    assert first.returncode < 0 and 0 < received <= file.stat().st_size // 2 and not target.exists()

    settings = [f"data.name={sounds}", "data.limit=9", "protocol.kind=kfold", "protocol.train=[]", "protocol.val=[]",
                "protocol.test=[]", "train.epochs=1", "train.freeze_epochs=0", "train.device=cpu"]  # fmt: skip
    bench = ["train", recipe, "--quick", "--fold", "1", "--no-refit", "--name", "run", "--out", str(tmp_path / "runs")]
    with start(["data", "get", name], [*bench, *(word for one in settings for word in ("--set", one))]) as second:
        printed, _ = second.communicate()
    assert second.returncode == 0, printed
    assert site.starts == [0, received] and str(target) in printed  # one request for the rest, none by the run
    assert target.stat().st_size == file.stat().st_size and [one.name for one in target.parent.iterdir()] == [
        target.name
    ]
    facts = json.loads((tmp_path / "runs/run/environment.json").read_text())
    assert facts["weights"][target.name].startswith(digest) and f"{target.name}: " in printed
    assert not any("RANDOM" in reason for reason in facts["why_not_comparable"])
    trained = load_torch(next((tmp_path / "runs/run").glob("test-*/seed-*"))).network.state_dict()
    ours, theirs = next(trained[key] for key in trained if key.endswith("conv1.weight")), state[first_layer]
    if name == "resnet18_imagenet":  # fine-tuned for one epoch: near where it began
        assert 0 < (ours - theirs).norm() < 0.5 * theirs.norm()
    else:  # frozen without an accelerator
        torch.testing.assert_close(ours, theirs)
