"""How fast a classifier works on this machine: its parts alone, and files to answers.

Each measurement repeats its work for a second or two. What else runs on the machine at that time slows it down.
"""

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import soundfile

from hubbub.audio import decode
from hubbub.classifier.base import PRECOMPUTED
from hubbub.classifier.load import load
from hubbub.classifier.onnx_classifier import OnnxClassifier
from hubbub.errors import HubbubError, count
from hubbub.inference.predict import predict_files
from hubbub.inference.stream import Stream
from hubbub.runtime.devices import choose_device
from hubbub.runtime.processes import cores

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["Speed", "SpeedError", "measure_speed"]

#: How long each measurement repeats its work.
SECONDS = 1.5
#: The most files that are classified, all repeats counted.
MOST_FILES = 100_000
#: The synthetic clips that are used where no recordings are given, and their length.
CLIPS, CLIP_SECONDS, RATE_HZ = 16, 5, 44_100


class SpeedError(HubbubError):
    """A speed that cannot be measured."""


@dataclass(frozen=True)
class Speed:
    """How fast a classifier works here. Rates count seconds of sound in a second."""

    #: What computes, in which numbers and with how many threads.
    engine: str
    #: What was classified.
    sound: str
    #: `hubbub classify` of a 5 s file, from its start to its end [s].
    cold_s: float
    #: Loading the classifier and the libraries that run it, in a process that runs already [s].
    load_s: float
    #: Decode, resample and cut, in one thread.
    decode_rate: float
    #: From segments to probabilities, and the same as seconds of sound, at the classifier's hop.
    segments_per_s: float
    network_rate: float
    #: All of it together, as `hubbub classify` does it; files a second, None where no file was finished.
    rate: float
    files_per_s: float | None


def measure_speed(
    name: str,
    files: Sequence[str] = (),
    device: str = "auto",
    log: Callable[[str], None] = lambda line: None,
    *,
    fast: bool = False,
) -> Speed:
    """The speed of the classifier of that name with these recordings, or with synthetic ones where none are given;
    `device` and `fast` as in `load`.

    Of long recordings only the beginning is decoded. Raises what loading the classifier and reading the files do, and
    `SpeedError` for images and spectrograms.
    """
    if odd := [file for file in files if Path(file).suffix.lower() in PRECOMPUTED]:
        raise SpeedError(f"{odd[0]} is an image or a spectrogram. Speed is measured with sound files: give those.")
    with tempfile.TemporaryDirectory() as temporary:
        clips = _synthetic(Path(temporary))
        sound = f"{CLIPS} synthetic clips of {CLIP_SECONDS} s (ogg, {RATE_HZ / 1000:g} kHz)"
        if files:
            sound = count(len(files), "file")
        began = time.perf_counter()
        model = load(name, device=device, fast=fast)
        load_s = time.perf_counter() - began
        log("one file in a new process")
        cold_s = _cold(name, clips[0], device, fast)
        log("each part alone")
        decode_rate, segments = _decode_rate(model, files or clips)
        segments_per_s = _segments_per_s(model, segments)
        log("files to answers")
        rate, files_per_s = _whole(model, files or clips)
    network_rate = segments_per_s * model.hop / model.rate_hz
    return Speed(
        _engine(model, device, fast),
        sound,
        cold_s,
        load_s,
        decode_rate,
        segments_per_s,
        network_rate,
        rate,
        files_per_s,
    )


def _synthetic(folder: Path) -> list[str]:
    """Writes noise of changing level, and returns the names of its files."""
    samples = np.arange(CLIP_SECONDS * RATE_HZ)
    files = []
    for number in range(CLIPS):
        rng = np.random.default_rng(number)
        level = 0.05 * (1 + np.sin(2 * np.pi * rng.uniform(0.2, 2) * samples / RATE_HZ))
        file = folder / f"{number}.ogg"
        soundfile.write(file, (level * rng.normal(size=len(samples))).astype(np.float32), RATE_HZ)
        files.append(str(file))
    return files


def _engine(model: "Classifier", device: str, fast: bool) -> str:
    """The library that runs the network, its numbers, and its threads or accelerator."""
    if isinstance(model, OnnxClassifier):
        engine = "openvino" if fast else "onnxruntime"
        return f"{engine} {version(engine)}, {model.precision}, up to {cores()} threads"
    import torch

    if choose_device(device) == "cuda":
        return f"torch {torch.__version__}, {model.precision}, {torch.cuda.get_device_name()}"
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads"


def _cold(name: str, file: str, device: str, fast: bool) -> float:
    """Seconds that `hubbub classify` takes for one file, from its start to its end."""
    command = [sys.executable, "-m", "hubbub.cli", "classify", file, "--model", name, "--json", "--device", device]
    command += ["--fast"] if fast else []
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise SpeedError(said[-1] if said else f"hubbub classify ended with status {done.returncode}.")
    return seconds


def _decode_rate(model: "Classifier", files: Sequence[str]) -> tuple[float, npt.NDArray[Any]]:
    """Seconds of sound a second, decoded, resampled and cut in one thread, and a batch of the segments."""
    kept: list[npt.NDArray[Any]] = []
    decoded, began = 0.0, time.perf_counter()
    for segments, seconds in itertools.chain.from_iterable(_cut(model, file) for file in itertools.cycle(files)):
        decoded += seconds
        if len(segments) and sum(map(len, kept)) < model.batch:
            kept.append(segments.copy())
        if kept and time.perf_counter() - began > SECONDS:
            break
    rate = decoded / (time.perf_counter() - began)
    batch = np.concatenate(kept)
    return rate, np.resize(batch, (model.batch, *batch.shape[1:]))


def _cut(model: "Classifier", file: str) -> Iterator[tuple[npt.NDArray[Any], float]]:
    """The segments of each block of a file, and the block's length [s]."""
    if not model.takes_sound:
        model.read(file)  # raises the reason
    with decode.open_sound(file) as sound:
        stream = Stream(model, sound.rate_hz)
        for block in sound.blocks:
            yield stream.feed(block)[0], len(block) / sound.rate_hz
        yield stream.end()[0], 0.0


def _segments_per_s(model: "Classifier", segments: npt.NDArray[Any]) -> float:
    """Segments a second, in full batches, from samples to probabilities; the first batch is not measured."""
    model.predict_proba(model.outputs(segments), [0])
    began, batches = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < SECONDS or not batches:
        model.predict_proba(model.outputs(segments), [0])
        batches += 1
    return batches * len(segments) / spent


class _Enough(Exception):
    """A long recording has been decoded for long enough."""


def _whole(model: "Classifier", files: Sequence[str]) -> tuple[float, float | None]:
    """Seconds of sound a second, and finished files a second, for the files over and over. A first recording that is
    too long for the time counts as far as it went through the network."""
    began, sound_s, finished, share = time.perf_counter(), 0.0, 0, 0.0

    def spent() -> float:
        return time.perf_counter() - began

    def progress(file: str, done: float) -> None:
        nonlocal share
        share = done
        if not finished and 0 < done < 1 and spent() > SECONDS:
            raise _Enough

    many = list(itertools.islice(itertools.cycle(files), MOST_FILES))
    try:
        with closing(predict_files(model, many, progress=progress)) as results:  # type: ignore[type-var]
            for result in results:
                sound_s += result.prediction.seconds if result.prediction else 0.0
                finished += 1
                if spent() > SECONDS:
                    break
            seconds = spent()
    except _Enough:
        seconds = spent()
        with decode.open_sound(files[0]) as sound:
            sound_s = share * (sound.seconds or 0.0)
    return sound_s / seconds, finished / seconds if finished else None
