"""Live sound: a pipe gives what `classify` gives for the file, a microphone drops what it cannot wait for."""

import io
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from hubbub.audio import capture, pcm
from hubbub.audio.capture import Microphone, Pipe, SourceError
from hubbub.classifier.calibration import Confidence
from hubbub.classifier.prediction import Event, Prediction
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.cli import listen
from hubbub.cli.main import app
from hubbub.errors import HubbubError
from hubbub.inference.events import EventSettings
from hubbub.inference.live import WAITING, LiveClassifier
from hubbub.inference.predict import predict_recording
from hubbub.inference.result import PredictOptions
from hubbub.inference.stream import StreamError
from tests.helpers.classifiers import small_classifier

RATE = 16_000
EVENTS = EventSettings(threshold=0.43, release=0.38)
DOCS = Path(__file__).parents[2] / "docs" / "listen.md"
COMMAND = [sys.executable, "-m", "hubbub.cli", "listen"]
Array = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def model() -> TorchClassifier:
    model = small_classifier("windows.length=16000", "windows.hop=8000", seed=0)
    model.confidence = Confidence(30, 10)  # else one class has it all
    return model


@pytest.fixture(scope="module")
def saved(model: TorchClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model.save(tmp_path_factory.mktemp("model") / "classifier")


def sound(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> Array:
    """Bursts of noise: segments differ."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.random(int(seconds * 4) + 1) ** 4, rate // 4)[: round(seconds * rate), None]
    return (0.5 * loud * rng.uniform(-1, 1, (round(seconds * rate), channels))).astype(np.float32)


def write(file: Path, wave: Array, rate: int = RATE, subtype: str = "PCM_16", **more: Any) -> Path:
    soundfile.write(file, wave, rate, subtype=subtype, **more)
    return file


def raw(wave: Array) -> bytes:
    return (wave * 32_767).astype("<i2").tobytes()


class Dribble(io.BytesIO):
    """Gives as little as pipes do: one byte, or any number of them."""

    def __init__(self, content: bytes, seed: int = 0) -> None:
        super().__init__(content)
        self._rng = np.random.default_rng(seed)

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, int(self._rng.integers(1, 4000))))


def parts(
    model: TorchClassifier, source: capture.Source, **more: Any
) -> tuple[list[Prediction], list[Event], LiveClassifier]:
    live = LiveClassifier(model, source, EVENTS)
    heard = list(live.run(**more))
    return [s for s in heard if isinstance(s, Prediction)], [e for e in heard if isinstance(e, Event)], live


def assert_as_classified(model: TorchClassifier, source: capture.Source, file: Path) -> LiveClassifier:
    segments, events, live = parts(model, source)
    expected = predict_recording(model, file, PredictOptions(events=EVENTS))
    best = [one[0] for one in expected.best_segments()]
    assert [(s.label, *s.spans[0]) for s in segments] == [(b.label, b.start, b.end) for b in best]
    assert [s.score for s in segments] == pytest.approx([b.score for b in best], abs=1e-6)
    assert expected.events
    assert [(e.label, e.start, e.end) for e in sorted(events, key=lambda e: (e.start, e.end, e.label))] == [
        (e.label, e.start, e.end) for e in expected.events
    ]
    assert live.prediction.scores == pytest.approx(expected.scores, abs=1e-6)
    assert live.figures.seconds == expected.seconds
    assert live.figures.segments == len(segments)
    return live


# Through the real command.


@contextmanager
def standard_input(command: str, folder: Path) -> Iterator[None]:
    """What a shell command writes, as this process's standard input."""
    before = os.dup(0)
    with subprocess.Popen(command, shell=True, cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout
        os.dup2(process.stdout.fileno(), 0)
        try:
            yield
        finally:
            os.dup2(before, 0)
            os.close(before)


def run(folder: Path, command: str) -> Result:
    """`... | hubbub listen WORDS`, its last part in this process: torch takes seconds to start."""
    first, _, words = command.partition("hubbub listen")
    with standard_input(first.rstrip("| ") or "true", folder):
        done = CliRunner().invoke(app, ["listen", *shlex.split(words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("kind", ["wav", "raw"])
def test_the_command_gives_what_classify_gives(model: TorchClassifier, saved: Path, tmp_path: Path, kind: str) -> None:
    file = write(tmp_path / "street.wav", sound(5, 44_100, 2), 44_100)
    words = f"hubbub listen - --json --threshold {EVENTS.threshold} --release {EVENTS.release} --model {saved}"
    if kind == "raw":
        done = run(tmp_path, f"tail -c +45 street.wav | {words} --rate 44100 --channels 2")
    else:
        done = run(tmp_path, f"cat street.wav | {words}")
    assert done.stderr == ""
    said = [json.loads(line) for line in done.stdout.splitlines()]
    expected = predict_recording(model, file, PredictOptions(events=EVENTS))
    segments = [one for one in said if one["type"] == "segment"]
    assert [(s["start"], s["end"]) for s in segments] == [tuple(span) for span in expected.spans.tolist()]
    assert [s["score"] for s in segments] == pytest.approx(expected.class_scores[:, 0].tolist(), abs=1e-5)
    events = sorted((e["start"], e["end"], e["label"]) for e in said if e["type"] == "event")
    assert events == sorted((e.start, e.end, e.label) for e in expected.events or ())
    end = said[-1]
    assert (end["type"], end["label"], end["seconds"]) == ("end", expected.label, 5.0)
    assert end["scores"] == pytest.approx(expected.scores, abs=1e-5)
    assert (end["dropped_blocks"], end["dropped_seconds"]) == (0, 0)
    assert 0 < end["latency_seconds"]["mean"] <= end["latency_seconds"]["worst"]


def test_plain_lines_where_there_is_no_terminal(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(raw(sound(3)))
    done = run(tmp_path, f"cat raw | hubbub listen - --threshold 0.34 --model {saved}")
    *lines, summary = done.stdout.splitlines()
    assert lines and all(re.fullmatch(r" +\d+\.\d\d +\d+\.\d\d   [01]\.\d\d  (dog|rain|siren)", line) for line in lines)
    assert re.match(
        r"whole recording: \w+ [01]\.\d\d; 3\.0 s of sound, answers .* behind .*, 0 blocks dropped", summary
    )
    assert "raw s16le, 16000 Hz, 1 channel" in done.stderr


def test_a_terminal_is_given_large_letters(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "street.wav", sound(2))
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, height=40, highlight=False, markup=False)
    monkeypatch.setattr(listen, "out", terminal)
    assert CliRunner().invoke(app, ["listen", str(file), "--model", str(saved)]).exit_code == 0
    shown = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "████" in shown and "blocks dropped" in shown and "whole recording:" in shown


def test_ctrl_c_ends_it_as_the_end_of_the_sound_does(saved: Path) -> None:
    words = [*COMMAND, "-", "--json", "--model", str(saved)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False) as process:
        assert process.stdin and process.stdout
        process.stdin.write(raw(sound(2.5)))
        process.stdin.flush()
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)  # the pipe stays open
        rest = process.stdout.read().splitlines()
        assert process.wait() == 0
    assert json.loads(first)["type"] == "segment"
    end = json.loads(rest[-1])
    assert end["type"] == "end" and 1 <= end["seconds"] <= 2.5


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--rate", "100"], "rates from 1000 to 1000000 Hz are accepted"),
        (["--encoding", "s16"], "'s16le'"),
        (["--threshold", "2"], "threshold of 2"),
        (["--microphone", "desk"], "one of the two"),
        ([], "not a single sample came"),
    ],
)
def test_what_cannot_be_done_is_said(saved: Path, tmp_path: Path, words: list[str], reason: str) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    done = CliRunner().invoke(app, ["listen", str(empty), "--model", str(saved), *words])
    assert isinstance(done.exception, HubbubError)
    assert reason in str(done.exception)


def docs_commands() -> list[str]:
    return re.findall(r"^    (\S.*hubbub listen.*|hubbub listen.*)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_commands_of_the_docs_run(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that want nothing that may be missing here; of the others the options are known."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "street.wav", sound(2))
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "classifier").symlink_to(saved)
    ran = 0
    for command in docs_commands():
        words = shlex.split(command.partition("hubbub listen")[2].split("  #")[0].partition(" | ")[0])
        context = CliRunner().invoke(app, ["listen", *words, "--help"])
        assert context.exit_code == 0, command
        if re.match(r"(cat |hubbub listen street)", command):
            assert run(tmp_path, command).stdout
            ran += 1
    assert ran >= 3


# Pipes.


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_a_wav_is_read_as_soundfile_reads_it(tmp_path: Path, subtype: str, form: str) -> None:
    file = write(tmp_path / "a.wav", sound(0.3, channels=3), subtype=subtype, format=form)
    pipe = Pipe(Dribble(file.read_bytes()), RATE)
    blocks = list(pipe.blocks())
    assert (pipe.rate_hz, pipe.channels, pipe.live) == (RATE, 3, False)
    assert len(blocks) > 3
    assert np.array_equal(np.concatenate(blocks), soundfile.read(file, dtype="float32")[0])


def test_a_wav_that_is_still_written_is_read_to_its_end(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "a.wav", sound(0.5)).read_bytes())
    at = content.find(b"data")
    expected = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    for size in (0, 0xFFFFFFFF):
        content[at + 4 : at + 8] = size.to_bytes(4, "little")
        assert np.array_equal(np.concatenate(list(Pipe(io.BytesIO(content), RATE).blocks()))[:, 0], expected)


def test_what_stands_beside_the_samples_of_a_wav_is_no_sound(tmp_path: Path) -> None:
    content = write(tmp_path / "a.wav", sound(0.5)).read_bytes()
    at = content.find(b"data")
    odd = b"LIST" + (5).to_bytes(4, "little") + b"abcde\0"
    beside = content[:at] + odd + content[at:] + odd
    expected = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    assert np.array_equal(np.concatenate(list(Pipe(Dribble(beside), RATE).blocks()))[:, 0], expected)


@pytest.mark.parametrize("seed", range(3))
def test_how_a_pipe_is_cut_does_not_matter(model: TorchClassifier, tmp_path: Path, seed: int) -> None:
    file = write(tmp_path / "a.wav", sound(4, 22_050, 2), 22_050)
    live = assert_as_classified(model, Pipe(Dribble(file.read_bytes(), seed), RATE), file)
    assert live.figures.dropped_blocks == 0


def test_a_pipe_that_ends_in_mid_frame(model: TorchClassifier, tmp_path: Path) -> None:
    wave = sound(2, channels=2)
    file = write(tmp_path / "a.wav", (wave * 32_767).astype("<i2"))
    for extra in (1, 2, 3):
        assert_as_classified(model, Pipe(Dribble(raw(wave) + bytes(extra)), RATE, channels=2), file)
    short = Pipe(io.BytesIO(b"\0\0\0"), RATE, channels=2)
    with pytest.raises(StreamError, match="not a single sample"):
        parts(model, short)
    assert [block.tolist() for block in Pipe(io.BytesIO(b"\0\x40\0"), RATE).blocks()] == [[[0.5]]]


def test_silence_is_heard_like_anything_else(model: TorchClassifier) -> None:
    segments, _, live = parts(model, Pipe(io.BytesIO(bytes(2 * 3 * RATE)), RATE))
    assert len(segments) == 5
    assert np.isfinite(list(live.prediction.scores.values())).all()


def test_so_many_seconds_and_no_more(model: TorchClassifier, tmp_path: Path) -> None:
    wave = (sound(5) * 32_767).astype("<i2")
    segments, _, live = parts(model, Pipe(io.BytesIO(wave.tobytes()), RATE), seconds=2.345)
    expected = predict_recording(model, write(tmp_path / "a.wav", wave[: round(2.345 * RATE)]))
    assert live.figures.seconds == expected.seconds == pytest.approx(2.345)
    assert live.prediction.scores == pytest.approx(expected.scores, abs=1e-6)
    assert len(segments) == len(expected.spans)


def test_a_raw_pipe_has_the_rate_that_it_is_told(model: TorchClassifier, tmp_path: Path) -> None:
    wave = (sound(4) * 32_767).astype("<i2")
    for rate in (8_000, 44_100):
        file = write(tmp_path / "a.wav", wave, rate)
        assert_as_classified(model, Pipe(io.BytesIO(wave.tobytes()), RATE, rate), file)


def test_what_is_no_samples_is_refused(tmp_path: Path) -> None:
    wav = write(tmp_path / "a.wav", sound(0.1)).read_bytes()
    flac = io.BytesIO()
    soundfile.write(flac, sound(0.1), RATE, format="FLAC")
    law = io.BytesIO()
    soundfile.write(law, sound(0.1), RATE, format="WAV", subtype="ULAW")
    refused: list[tuple[bytes, dict[str, Any], type[Exception], str]] = [
        (flac.getvalue(), {}, SourceError, "holds FLAC"),
        (law.getvalue(), {}, SourceError, "samples are mu-law;"),
        (wav[:40], {}, SourceError, "ends before its first sample"),
        (b"RIFF\0\0\0\0AVI LIST", {}, SourceError, "holds AVI"),
        (b"RIFF\0\0\0\0sfbkLIST", {}, SourceError, "holds a RIFF file"),
        (wav, {"rate_hz": 44_100}, SourceError, "--rate 44100: the WAV's header says 16000"),
        (wav, {"channels": 2}, SourceError, "--channels 2"),
        (wav, {"encoding": "f32le"}, SourceError, "--encoding f32le"),
        (b"\0\0\0\0", {"rate_hz": 5}, SourceError, "5 Hz"),
    ]
    for content, options, kind, reason in refused:
        with pytest.raises(kind, match=reason):
            Pipe(io.BytesIO(content), RATE, **options)


def test_samples_that_are_no_numbers_are_refused(model: TorchClassifier) -> None:
    content = np.array([0, np.nan, 1], "<f4").tobytes()
    with pytest.raises(SourceError, match=r"NaN or infinite numbers as f32le\. Check --encoding"):
        parts(model, Pipe(io.BytesIO(content), RATE, encoding="f32le"))
    content = np.array([0, -1e25, 1], "<f4").tobytes()
    with pytest.raises(StreamError, match="1 samples beyond 256 times full scale"):
        parts(model, Pipe(io.BytesIO(content), RATE, encoding="f32le"))


def header(rate: int = RATE, channels: int = 1, bits: int = 16, size: int = 0, block: int | None = None) -> bytes:
    """A WAV's, up to its first sample."""
    block = channels * bits // 8 if block is None else block
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (header(channels=65_535, block=65_534), "65535 channels of 16 bits and 65534 bytes for all of them"),
        (header(channels=32_767), "32767 channels: from 1 to 64 are accepted"),
        (header(channels=65), "65 channels: from 1 to 64 are accepted"),
        (header(rate=2**32 - 1), "a sample rate of 4294967295 Hz: rates from 1000 to 1000000 Hz"),
        (header(rate=0), "a sample rate of 0 Hz"),
        (header(block=7), "7 bytes for all of them"),
        (header(bits=12), "with 12 bits"),
    ],
)
def test_an_absurd_header_is_refused_before_memory_is_asked_for(content: bytes, reason: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match=reason):
            Pipe(io.BytesIO(content + bytes(1000)), RATE)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@given(
    changes=st.lists(st.tuples(st.integers(0, 43), st.integers(0, 255)), max_size=6),
    size=st.integers(0, 3_000),
    encoding=st.sampled_from([None, *pcm.ENCODINGS]),
)
def test_a_damaged_header_gives_samples_or_a_source_error(
    changes: list[tuple[int, int]], size: int, encoding: str | None
) -> None:
    content = bytearray(header(size=2_000) + bytes(range(256)) * 12)
    for at, value in changes:
        content[at] = value
    with suppress(SourceError):
        for block in Pipe(io.BytesIO(content[:size]), RATE, encoding=encoding).blocks():
            assert block.ndim == 2 and len(block)


@pytest.mark.parametrize("options", [{"channels": 65_535}, {"channels": 0}, {"rate_hz": 0}, {"rate_hz": 10**9}])
def test_absurd_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(SourceError, match=r"from 1 to 64 are accepted|rates from 1000 to 1000000 Hz"):
        Pipe(io.BytesIO(bytes(1000)), RATE, **options)


def test_many_channels_at_a_high_rate_come_in_small_blocks() -> None:
    pipe = Pipe(io.BytesIO(bytes(2**22)), RATE, 1_000_000, 64, "f64le")
    assert max(block.nbytes for block in pipe.blocks()) <= 2**20


def test_a_pipe_that_ends_early_is_heard_and_said(model: TorchClassifier, saved: Path, tmp_path: Path) -> None:
    content = write(tmp_path / "a.wav", sound(3)).read_bytes()
    (tmp_path / "short.wav").write_bytes(content[: len(content) - 3 * RATE])
    warning = "The pipe ended early: the WAV's header says 3.00 s, and 1.50 s came."
    done = run(tmp_path, f"cat short.wav | hubbub listen - --model {saved} --json")
    end = json.loads(done.stdout.splitlines()[-1])
    assert end["seconds"] == 1.5 and end["warnings"][0].startswith(warning)
    done = run(tmp_path, f"cat short.wav | hubbub listen - --model {saved}")
    assert f"warning: WAV s16le, 16000 Hz, 1 channel: {warning}" in done.stderr
    # what was not waited for is not missing, and nothing is where the header does not say how long it is
    assert parts(model, Pipe(io.BytesIO(content), RATE))[2].warnings == ()
    assert parts(model, Pipe(io.BytesIO(content), RATE), seconds=1.5)[2].warnings == ()
    endless = content[:40] + b"\xff\xff\xff\xff" + content[44:]
    assert parts(model, Pipe(io.BytesIO(endless), RATE))[2].warnings == ()


def test_of_a_file_it_is_known_what_its_header_does_not_count(model: TorchClassifier, tmp_path: Path) -> None:
    content = write(tmp_path / "a.wav", sound(3)).read_bytes()
    at = content.find(b"data") + 4
    for name, other, said in (
        ("crashed", content[:at] + bytes(4) + content[at + 4 :], "Its header says 0 bytes of samples; read to the end"),
        (
            "joined",
            2 * content,
            "Its header says 96,000 bytes of samples; the 96,044 bytes after them (3.0 s) were not",
        ),
    ):
        (tmp_path / name).write_bytes(other)
        live = parts(model, capture.open_source(str(tmp_path / name), RATE))[2]
        assert len(live.warnings) == 1 and live.warnings[0].startswith(said)
        assert live.figures.seconds == 3 and predict_recording(model, tmp_path / name).warnings == live.warnings


def test_a_header_that_breaks_off_is_called_that() -> None:
    with pytest.raises(SourceError, match="header is cut off or damaged"):
        Pipe(io.BytesIO(b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80"), RATE)


@pytest.mark.parametrize("form", ["RF64", "WAV"])
def test_a_wav_with_large_sizes_is_read(tmp_path: Path, form: str) -> None:
    """RF64, and a WAV that calls itself so and has its sizes in the usual place."""
    file = write(tmp_path / "a.wav", sound(0.5), format=form)
    content = b"RF64" + file.read_bytes()[4:]
    pipe = Pipe(Dribble(content + b"LIST\4\0\0\0abcd"), RATE)
    assert np.array_equal(np.concatenate(list(pipe.blocks())), soundfile.read(file, dtype="float32", always_2d=True)[0])
    assert pipe.warnings == []


@pytest.mark.parametrize(
    "number, name", [(0x11, "IMA ADPCM"), (7, "mu-law"), (0x55, "MP3"), (0x1234, "of format 4660")]
)
def test_a_packed_wav_on_a_pipe_is_named(number: int, name: str) -> None:
    content = io.BytesIO()
    soundfile.write(content, sound(1), RATE, format="WAV", subtype="PCM_16")
    changed = content.getvalue()[:20] + number.to_bytes(2, "little") + content.getvalue()[22:]
    with pytest.raises(SourceError, match=f"the WAV's samples are {name}.*; only uncompressed .*Convert it: ffmpeg"):
        Pipe(io.BytesIO(changed), RATE)


def test_floats_that_are_integers_are_refused_on_a_pipe(model: TorchClassifier) -> None:
    content = np.round(sound(2) * 32_767).astype("<f4").tobytes()
    with pytest.raises(StreamError, match=r"the block at 0\.00 s holds only whole numbers"):
        parts(model, Pipe(io.BytesIO(content), RATE, encoding="f32le"))


def test_less_than_ten_ms_is_refused_unless_it_follows_a_gap(
    model: TorchClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StreamError, match=r"lasts 6\.25 ms \(100 samples\)"):
        parts(model, Pipe(io.BytesIO(raw(sound(1))[:200]), RATE))
    live = flooded(model, True, monkeypatch, last=100)[2]
    assert live.figures.dropped_blocks == BLOCKS - WAITING
    assert live.warnings == ()


# More sound than can be heard.

BLOCKS = 100


class Flood:
    """A segment, and when it is being heard, a hundred blocks at once; after the next segments ten blocks more."""

    name, rate_hz, channels, lost = "flood", RATE, 1, 0

    def __init__(self, live: bool) -> None:
        self.live = live
        self.warnings: list[str] = []
        self.hearing, self.flooded, self.heard = threading.Event(), threading.Event(), threading.Event()
        self.wave = sound(1 + BLOCKS * 0.1 + 1)

    def blocks(self) -> Iterator[Array]:
        yield self.wave[:RATE]
        self.hearing.wait()
        for at in range(RATE, RATE + BLOCKS * 1_600, 1_600):
            if at == RATE + WAITING * 1_600 and not self.live:
                self.flooded.set()  # what waits for room would wait for ever
            yield self.wave[at : at + 1_600]
        self.flooded.set()
        self.heard.wait()
        yield self.wave[RATE + BLOCKS * 1_600 :]


def flooded(
    model: TorchClassifier, live: bool, monkeypatch: pytest.MonkeyPatch, last: int = RATE
) -> tuple[Flood, list[Prediction], LiveClassifier]:
    """`last`: how many samples come after the flood."""
    source, outputs = Flood(live), model.outputs
    source.wave = source.wave[: RATE + BLOCKS * 1_600 + last]

    def slowly(segments: Array) -> Array:
        source.hearing.set()
        source.flooded.wait()
        return outputs(segments)

    monkeypatch.setattr(model, "outputs", slowly)
    live, segments = LiveClassifier(model, source, EVENTS), []
    for one in live.run():
        if isinstance(one, Prediction):
            segments.append(one)
            if one.spans[0, 0] > 0:
                source.heard.set()
    return source, segments, live


def test_a_microphone_drops_what_finds_no_room(model: TorchClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    source, segments, live = flooded(model, True, monkeypatch)
    assert live.figures.dropped_blocks == BLOCKS - WAITING
    assert live.figures.dropped_s == pytest.approx((BLOCKS - WAITING) * 0.1)
    # What waited follows the first segment; after the gap everything begins anew, at its own time.
    assert [one.spans[0, 0] for one in segments] == [0.0, 0.5, 1.0, 1.5, 2.0, 1 + BLOCKS * 0.1]
    assert live.figures.seconds == pytest.approx(2 + BLOCKS * 0.1)
    alone = model.classify(source.wave[RATE + BLOCKS * 1_600 :], RATE)
    assert segments[-1].scores == pytest.approx(alone.segments[list(model.labels)].iloc[0].to_dict(), abs=1e-6)


def test_a_pipe_is_never_dropped(model: TorchClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    source, segments, live = flooded(model, False, monkeypatch)
    assert (live.figures.dropped_blocks, live.figures.dropped_s) == (0, 0)
    whole = model.classify(source.wave, RATE)
    assert [one.spans[0, 0] for one in segments] == whole.segments["start"].tolist()
    assert live.prediction.scores == pytest.approx(whole.scores, abs=1e-6)


class PortAudio(ModuleType):
    """As sounddevice has it, with a clock of its own: a room of half a second, and what finds none is lost."""

    PortAudioError = type("PortAudioError", (Exception,), {})

    def __init__(self, wave: Array) -> None:
        super().__init__("sounddevice")
        self.wave, self.now, self.room, self.at, self.full = wave, 100.0, deque[float](), 0, False

    def query_devices(self, device: object = None, kind: object = None) -> dict[str, Any]:
        return {"name": "balcony", "default_samplerate": float(RATE)}

    def InputStream(self, *args: object, **kwargs: object) -> Any:
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        came = self.wave[self.at : self.at + round(seconds * RATE)]
        kept = came[: RATE // 2 - len(self.room)]
        self.room.extend(kept)
        self.full |= len(kept) < len(came)
        self.at += len(came)

    def read(self, count: int) -> tuple[Array, bool]:
        if count > len(self.room):
            self.pass_time((count - len(self.room)) / RATE)
        if count > len(self.room):
            raise self.PortAudioError("unplugged")
        full, self.full = self.full, False
        return np.array([[self.room.popleft()] for _ in range(count)], np.float32).reshape(-1, 1), full

    @property
    def read_available(self) -> int:
        return len(self.room)


def test_what_a_microphone_loses_itself_moves_the_times(
    model: TorchClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads for two seconds, of which half a second is kept: what is heard next has its true time."""
    wave = sound(6)[:, 0]
    device = PortAudio(wave)
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    monkeypatch.setattr(capture, "time", SimpleNamespace(monotonic=lambda: device.now))
    microphone = Microphone()
    assert microphone.name == "balcony, 16000 Hz"
    places = []
    with pytest.raises(SourceError, match=r"stopped \(unplugged\)"):
        for count, block in enumerate(microphone.blocks()):
            first = sum(map(len, (one for _, one in places))) + microphone.lost
            assert np.array_equal(block[:, 0], wave[first : first + len(block)])
            places.append((first, block))
            if count == 9:
                device.pass_time(2.0)
    assert microphone.lost == 1.5 * RATE
    assert [first / RATE for first, _ in places[9:13]] == pytest.approx([0.9, 1.0, 3.0, 3.1])

    device = PortAudio(wave)
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    microphone = Microphone()
    blocks = microphone.blocks

    def slow() -> Iterator[Array]:
        for count, block in enumerate(blocks()):
            yield block
            if count == 9:
                device.pass_time(2.0)

    monkeypatch.setattr(microphone, "blocks", slow)
    live = LiveClassifier(model, microphone, EVENTS, waiting=100)
    heard = [one for one in live.run(5.0) if isinstance(one, Prediction)]
    assert [one.spans[0, 0] for one in heard] == [0.0, 0.5, 3.0, 3.5, 4.0]
    figures = live.figures
    assert (figures.dropped_blocks, figures.dropped_s, figures.seconds) == (1, 1.5, 5.0)


@pytest.mark.parametrize(("threshold", "known"), [(None, None), (-1e9, True), (1e9, False)])
def test_what_is_none_of_the_classes(
    model: TorchClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threshold: float | None, known: bool | None
) -> None:
    monkeypatch.setattr(model, "confidence", Confidence(30, 10, threshold))
    assert parts(model, Pipe(io.BytesIO(raw(sound(2))), RATE))[2].prediction.known is known
    words = f"hubbub listen - --model {model.save(tmp_path / 'classifier')}"
    (tmp_path / "raw").write_bytes(raw(sound(2)))
    assert json.loads(run(tmp_path, f"cat raw | {words} --json").stdout.splitlines()[-1]).get("known") is known
    assert ("probably none of the classes" in run(tmp_path, f"cat raw | {words}").stdout) == (known is False)


# The microphone.


def test_a_microphone_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match=r"PortAudio|microphone 'no such one' cannot be used"):
        Microphone("no such one")
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SourceError, match=r"pip install 'hubbub\[live\]'"):
        Microphone()
    with pytest.raises(SourceError, match="are a pipe's"):
        capture.open_source(None, RATE, channels=2)
