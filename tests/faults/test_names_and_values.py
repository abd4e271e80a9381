"""Whatever a user gives, in Python or on the command line, ends in an answer or in an error of hubbub's own."""

import os
import random
import string
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import hubbub
from hubbub.audio import find_files
from hubbub.cli.main import app
from hubbub.config.recipe import Recipe
from hubbub.data.open import open_data
from hubbub.errors import HubbubError
from hubbub.experiment import suite
from hubbub.inference.predict import predict_files
from hubbub.inference.stream import Stream
from hubbub.report import compare
from hubbub.report.verify import verify
from tests.helpers.amount import amount

VALUES = amount(40, 600)
PLAIN = (
    ". .. ~nobody/x C:\\x.wav \\\\host\\x nan inf -1 1e999 0x10 true null None [] {} ' \" $HOME `id` %s {0} * ** [ [a "
    "? **/*.wav CON NUL.wav 🔊 http://127.0.0.1:9/x.wav file:///etc/passwd =1+1 <b> [red] YAMNET runs "
    "esc51 x.toml x.csv x.npz x.onnx x.npy"
)
WORDS = (
    *PLAIN.split(),
    *("", " ", "\0", "a\0b", "\n", "\t", "\x1b[31m", "yamnet ", "\uff57.wav", "a\u200b", "\u202egpj.wav", "\udcff.wav"),
    *("x" * 300, "x/" * 2_500, "é" * 200),
)
ENDINGS = (
    *(".wav", ".flac", ".mp3", ".ogg", ".csv", ".tsv", ".toml"),
    *(".json", ".npz", ".npy", ".png", ".onnx", ".parquet"),
)


def contents(rng: random.Random) -> bytes:
    """The content of a file that is not what its name says, or not quite."""
    wave = b"RIFF" + struct.pack("<I", 36 + 64) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    wave += b"data" + struct.pack("<I", 64) + rng.randbytes(64)
    sounds = (wave, *(mark + rng.randbytes(90) for mark in (b"fLaC", b"OggS", b"ID3\x04", b"FORM", b"caff")))
    tables = (b"path,label\n../x.wav,a\n", b"path,label\n,\n\xff\xfe,\n", b"PAR1junkPAR1")
    settings = (b'{"format": 2, "labels": 3}', b"[" * 30_000, b"title = 3\n", b"[data]\nname = '\\x'\n")
    arrays = (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'shape': (9**99,)}", b"PK\x03\x04" + bytes(40))
    others = (b"", bytes(4_096), rng.randbytes(3_000), b"\x89PNG\r\n\x1a\n" + rng.randbytes(60))
    whole = rng.choice([*sounds, *tables, *settings, *arrays, *others])
    at = rng.randrange(len(whole) + 1)
    kind = rng.randrange(4)
    if kind == 1:
        return whole[:at]
    if kind == 2 and whole:
        return whole[: at - 1] + rng.randbytes(1) + whole[at:]
    return whole


ODD = ("folder.wav", "run", "loop", "round", "gone.wav", "zero.wav", "pipe.wav", "classes")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of odd things: links in a circle, a pipe, devices, folders with the names of files."""
    folder = tmp_path_factory.mktemp("hostile") / "b" / "c" / "d"
    folder.mkdir(parents=True)
    (folder / "folder.wav").mkdir()
    (folder / "run").mkdir()
    for name in ("recipe.toml", "summary.json", "environment.json"):
        (folder / "run" / name).write_bytes(b"")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "round").symlink_to(folder, target_is_directory=True)
    (folder / "gone.wav").symlink_to(folder / "nowhere")
    (folder / "zero.wav").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.wav")
    for kind in ("a", "b"):
        (folder / "classes" / kind).mkdir(parents=True)
    soundfile.write(folder / "classes" / "a" / "one.wav", np.zeros(100), 16_000)
    return folder


def given(place: Path, seed: int) -> Iterator[str]:
    """Words and paths, the same for the same seed."""
    rng = random.Random(seed)
    odd, files = [str(place / name) for name in ODD], place.parents[2] / "files"
    files.mkdir(exist_ok=True)
    for number in range(VALUES):
        kind = rng.randrange(5)
        if kind == 0:
            yield rng.choice(WORDS)
        elif kind == 1:
            yield rng.choice(odd) + rng.choice(("", "", "/", "/x", "/../..", "\0"))
        elif kind == 2:
            yield "".join(rng.choice(string.printable + "äß\udc80\u2028") for _ in range(rng.randrange(1, 40)))
        else:
            path = files / f"{seed}-{number}{rng.choice(ENDINGS)}"
            path.write_bytes(contents(rng))
            yield str(path)


def refused_or_answered(call: Callable[..., Any], *values: Any) -> bool:
    """Whether it was refused. Fails with what was given where something else was raised."""
    try:
        call(*values)
    except HubbubError as error:
        assert str(error).strip(), values
        return True
    except Exception as error:
        pytest.fail(f"{call} of {[repr(value)[:300] for value in values]} raised {type(error).__name__}: {error}")
    return False


@pytest.fixture(scope="module")
def model(served_model: Path) -> Any:
    return hubbub.load(served_model)


def python_calls(model: Any) -> dict[str, Callable[[str], Any]]:
    """What a path or a name can be given to."""
    return {
        "load": hubbub.load,
        "classify": model.classify,
        "answers": lambda value: list(predict_files(model, [value])),
        "find": lambda value: find_files.find([value]),
        "open_data": open_data,
        "recipe": Recipe.load,
        "setting": lambda value: Recipe.load("street-cnn", [value]),
        "suite": lambda value: suite.runs_of([value], Path("runs")),
        "run name": lambda value: suite.runs_of(["street-cnn"], Path("runs"), name=value),
        "compare": lambda value: compare.compare_runs([Path(value), Path("run")]),
        "verify": lambda value: verify(Path(value)),
    }


CALLS = ("load", "classify", "answers", "find", "open_data", "recipe", "setting", "suite", "run name", "compare",
         "verify")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_no_name_or_file_raises_anything_else(
    name: str, model: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    call = python_calls(model)[name]
    refused = sum(refused_or_answered(call, value) for value in given(place, CALLS.index(name)))
    assert refused or name == "answers"


def arrays(seed: int) -> Iterator[Any]:
    """What can be taken for samples, and much that cannot."""
    rng = np.random.default_rng(seed)
    kinds = (
        *(np.float32, np.float64, np.float16, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint64),
        *(bool, complex, object, "U3", "S3", "M8[s]"),
    )
    for _ in range(VALUES):
        shape = tuple(rng.integers(0, 40, rng.integers(0, 4)).tolist())
        if rng.random() < 0.3:
            shape = (int(rng.integers(1, 30_000)),)
        scale = 10.0 ** rng.integers(-40, 40)
        kind = kinds[rng.integers(len(kinds))]
        with np.errstate(all="ignore"):
            values = np.asarray(rng.standard_normal(shape) * (scale if kind in (np.float32, np.float64) else 50))
            if values.ndim and values.size and rng.random() < 0.2:
                values.flat[rng.integers(values.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e30])
            try:
                made: Any = values.astype("i8").astype(kind) if kind == "M8[s]" else values.astype(kind)
            except (ValueError, TypeError):
                made = values
        odd = [made, made, made, made.tolist(), None, 3, 2.5, {}, "", b"RIFF", [[1.0], [1.0, 2.0]], iter([]), object()]
        yield odd[rng.integers(len(odd))]


RATES = (16_000, 44_100, None, 0, -1, 3, 10**12, 2.5, 16_000.0, float("nan"), "16000", True, [16_000], np.int64(8_000))


@pytest.mark.slow
def test_no_array_raises_anything_else(model: Any) -> None:
    for number, value in enumerate(arrays(1)):
        refused_or_answered(model.classify, value, RATES[number % len(RATES)])
    assert refused_or_answered(model.classify, np.zeros(0), 16_000)


@pytest.mark.slow
def test_no_block_raises_anything_else(model: Any) -> None:
    def heard(value: Any, rate: Any, channels: Any) -> None:
        stream = Stream(model, rate, channels)
        stream.feed(value)
        stream.end()

    for number, value in enumerate(arrays(2)):
        refused_or_answered(
            heard, value, RATES[number % 2 if number % 3 else number % len(RATES)], (1, 2, 0, -1, 10**9)[number % 5]
        )


#: Commands, given a hostile value and a model.
COMMANDS: dict[str, Callable[[str, str], list[str]]] = {
    "classify": lambda value, model: ["classify", value, "--model", model],
    "classify --model": lambda value, model: ["classify", "classes", "--model", value],
    "classify --out": lambda value, model: ["classify", "classes", "--model", model, "--json", "--out", f"o/{value}"],
    "explain": lambda value, model: ["explain", model, value, "--out", "explained"],
    "explain MODEL": lambda value, model: ["explain", value, "classes/a/one.wav", "--out", "explained"],
    "export": lambda value, model: ["export", value, "--to", "onnx", "--out", "exported.onnx"],
    "listen": lambda value, model: ["listen", value, "--model", model, "--json", "--seconds", "1"],
    "serve": lambda value, model: ["serve", value, "--port", "0"],
    "publish": lambda value, model: ["publish", value, "me/birds"],
    "report": lambda value, model: ["report", value, "--verify"],
    "compare": lambda value, model: ["compare", value, "run"],
    "bench": lambda value, model: ["bench", value, "--quick"],
    "bench data": lambda value, model: ["bench", "street-cnn", "--set", f"data.name={value}"],
    "bench --seeds": lambda value, model: ["bench", "street-cnn", "--seeds", value, "--folds", "nowhere"],
    "tune": lambda value, model: ["tune", value],
    "data check": lambda value, model: ["data", "check", value],
    "data leaks": lambda value, model: ["data", "leaks", "street-cnn", "--set", f"data.name={value}"],
    "data split": lambda value, model: ["data", "split", value, "lists"],
    "data features": lambda value, model: ["data", "features", "street-cnn", "features", "--set", f"data.name={value}"],
    "data augment": lambda value, model: ["data", "augment", value, "augmented"],
    "data get": lambda value, model: ["data", "get", value],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", list(COMMANDS))
def test_no_command_raises_anything_else(
    name: str, served_model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    run, seed = CliRunner(), 100 + list(COMMANDS).index(name)
    for value in given(place, seed):
        if name == "listen" and "pipe.wav" in value:
            continue  # what a pipe has to say is waited for
        words = COMMANDS[name](value, str(served_model))
        result = run.invoke(app, words)
        error = result.exception
        if error is not None and not isinstance(error, SystemExit | HubbubError):
            pytest.fail(f"{words!r:.500} raised {type(error).__name__}: {error}")
