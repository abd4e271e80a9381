"""kept: what a killed command had answered is not asked again, and nothing half-written is ever taken for an answer."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hubbub.audio.find_files import find
from hubbub.classifier import torch_classifier
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.data import origins
from hubbub.data.manifest import ManifestError
from hubbub.inference.formats import FORMATS
from hubbub.inference.predict import predict_files
from hubbub.inference.resume import ResultFiles, ResumeError, model_checksums, open_results
from hubbub.runtime import files
from tests.helpers.classifiers import small_classifier
from tests.helpers.command_line import run_hubbub

RATE = 16_000


@pytest.fixture(scope="module")
def model() -> TorchClassifier:
    settings = ("network.width=2", "windows.length=16000", "windows.hop=8000")
    return small_classifier(*settings, labels=("dog", "rain"), seed=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sounds = tmp_path / "sounds"
    (sounds / "deep").mkdir(parents=True)
    for k, name in enumerate(("a.wav", "b.wav", "deep/a.wav")):
        soundfile.write(sounds / name, np.random.default_rng(k).normal(0, 0.1, RATE), RATE)
    return sounds


def replace(sound: Path, seed: int) -> None:
    """Another recording of the same size and format, from long ago: as `cp -p`, rsync and unzip put it there."""
    before = sound.stat()
    soundfile.write(sound, np.random.default_rng(seed).normal(0, 0.1, RATE), RATE)
    assert sound.stat().st_size == before.st_size
    os.utime(sound, (10**9, 10**9))


def classify(
    model: TorchClassifier, folder: Path, out: Path, form: str = "csv", most: int = 99, **facts: object
) -> ResultFiles:
    """As the command does it, killed after `most` answers."""
    paths = find([str(folder)]).files
    with open_results(out, FORMATS[form], paths, [str(folder)], 0.0, facts) as kept:
        for done, answer in enumerate(predict_files(model, kept.missing)):
            if done == most:
                raise KeyboardInterrupt
            kept.add(answer)
    return kept


def test_answers_of_recordings_that_are_not_given_now_stay_and_are_told(
    model: TorchClassifier, folder: Path, tmp_path: Path
) -> None:
    for form in ("csv", "json"):
        out = tmp_path / form
        assert classify(model, folder, out, form).unrelated == []
        os.rename(folder / "deep" / "a.wav", tmp_path / "a.wav")
        (gone,) = classify(model, folder, out, form).unrelated
        assert gone.is_file() and gone.relative_to(out) == Path("deep", f"a.wav{FORMATS[form].ending}")
        os.rename(tmp_path / "a.wav", folder / "deep" / "a.wav")
    model.save(tmp_path / "model")
    words = ["classify", str(folder), "--model", str(tmp_path / "model"), "--csv", "--out", str(tmp_path / "heard")]
    assert run_hubbub(*words).returncode == 0
    (folder / "b.wav").unlink()
    said = run_hubbub(*words).stderr
    assert "1 answer there is for a recording that is not among these: b.wav.csv" in said


@pytest.mark.parametrize("name", ["heard", "heard.csv"])
def test_a_killed_command_goes_on_where_it_was(
    model: TorchClassifier, folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_classifier, "BATCH", 1)  # in larger batches a segment's company may round its last digit
    whole, out = tmp_path / "whole" / name, tmp_path / name
    classify(model, folder, whole)
    with pytest.raises(KeyboardInterrupt):
        classify(model, folder, out, most=2)
    assert not out.is_file()
    (place,) = (p for p in (out, tmp_path / "heard.csv.parts") if p.is_dir())
    (place / f".a.{os.getpid()}-0123abcd.csv").write_text("torn")  # as whole_file leaves it where it is killed
    kept = classify(model, folder, out)
    assert [Path(p).relative_to(folder).as_posix() for p in kept.missing] == ["deep/a.wav"]
    if name == "heard.csv":
        assert out.read_bytes() == whole.read_bytes()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["heard.csv", "sounds", "whole"]
    else:
        found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.csv"))
        assert found == ["a.wav.csv", "b.wav.csv", "deep/a.wav.csv"]
        assert all((out / one).read_bytes() == (whole / one).read_bytes() for one in found)
    # In a folder all is there; a file is made anew.
    assert len(classify(model, folder, out).missing) == (0 if name == "heard" else 3)


def test_a_recording_that_changed_and_one_that_could_not_be_read_are_tried_again(
    model: TorchClassifier, folder: Path, tmp_path: Path
) -> None:
    (folder / "b.wav").write_text("text")
    out = tmp_path / "heard.jsonl"
    kept = classify(model, folder, out, "json")
    assert list(kept.failed) == [str(folder / "b.wav")]
    assert [("error" in json.loads(line)) for line in out.read_text().splitlines()] == [False, True, False]
    soundfile.write(folder / "b.wav", np.zeros(RATE), RATE)
    replace(folder / "deep" / "a.wav", seed=9)
    later = time.time() + 10
    os.utime(folder / "a.wav", (later, later))  # which changes nothing of it
    kept = classify(model, folder, out, "json")
    assert [Path(p).name for p in kept.missing] == ["b.wav", "a.wav"] and not kept.failed
    assert kept.missing[1] == str(folder / "deep" / "a.wav")
    assert not any("error" in line for line in out.read_text().splitlines())
    assert not (tmp_path / "heard.jsonl.parts").exists()


def test_answers_of_other_settings_are_not_mixed(model: TorchClassifier, folder: Path, tmp_path: Path) -> None:
    classify(model, folder, tmp_path / "heard", top=1)
    with pytest.raises(ManifestError, match=r"made with other settings: top is 1 there and 2 now"):
        classify(model, folder, tmp_path / "heard", top=2)
    with pytest.raises(ManifestError, match="holds other files"):
        classify(model, folder, folder)


def test_what_cannot_be_kept_so_is_refused(model: TorchClassifier, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"can hold one recording's result in this format, and there are 3"):
        classify(model, folder, tmp_path / "heard.txt", "audacity")
    paths = [str(folder / "a.wav"), str(folder / "deep" / "a.wav")]
    with (
        pytest.raises(ResumeError, match=r"several recordings are called a\.wav\. Give one folder"),
        open_results(tmp_path / "heard", FORMATS["csv"], paths, paths, 0.0, {}),
    ):
        pass


def test_a_model_is_told_by_its_files(model: TorchClassifier, tmp_path: Path) -> None:
    model.save(tmp_path / "run" / "classifier")
    before = model_checksums(str(tmp_path / "run"))
    assert set(before) == {"classifier.json", "network.safetensors"}
    assert model_checksums(str(tmp_path / "run" / "classifier")) == before
    with (tmp_path / "run" / "classifier" / "network.safetensors").open("ab") as file:
        file.write(b"x")
    assert model_checksums(str(tmp_path / "run")) != before
    assert model_checksums("yamnet") == {}


KILLED = """
import os, signal, sys
from pathlib import Path
from hubbub.runtime import files
from hubbub.inference import resume
from hubbub.inference.predict import predict_files
from hubbub.audio.find_files import find
from hubbub.inference.formats import FORMATS
from hubbub.classifier.load import load

model, folder, out = sys.argv[1:]
paths = find([folder]).files
with resume.open_results(Path(out), FORMATS["parquet"], paths, [folder], 0.0, {}) as place:
    for done, answer in enumerate(predict_files(load(model), place.missing)):
        if done == 2:
            with files.whole_file(place.files[answer.file]) as torn:
                torn.write_bytes(b"half of it")
                os.kill(os.getpid(), signal.SIGKILL)
        place.add(answer)
"""


def test_a_process_killed_in_the_middle_of_writing_leaves_whole_answers(
    model: TorchClassifier, folder: Path, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    out, parts = tmp_path / "heard.parquet", tmp_path / "heard.parquet.parts"
    words = [sys.executable, "-c", KILLED, str(tmp_path / "model"), str(folder), str(out)]
    assert subprocess.run(words).returncode == -signal.SIGKILL
    assert len(list(parts.glob("[!.]*.parquet"))) == 2 and len(list(parts.glob(".*.parquet"))) == 1
    assert [Path(p).relative_to(folder).as_posix() for p in classify(model, folder, out, "parquet").missing] == [
        "deep/a.wav"
    ]
    assert list(pd.read_parquet(out)["file"].unique()) == find([str(folder)]).files
    assert not parts.exists()


def assert_same_answers(one: bytes, other: bytes) -> None:
    """The same text, and the same numbers but for the last digits, which depend on what shared a batch."""
    if one.startswith(b"PAR1"):
        one, other = (str(pd.read_parquet(io.BytesIO(content)).to_dict()).encode() for content in (one, other))
    number = rb"-?\d+\.\d+(?:e-?\d+)?"
    assert re.sub(number, b"", one) == re.sub(number, b"", other)
    values = [[float(found) for found in re.findall(number, content)] for content in (one, other)]
    np.testing.assert_allclose(*values, rtol=1e-5)


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
def test_a_recording_replaced_by_an_older_one_is_asked_again(
    model: TorchClassifier, folder: Path, tmp_path: Path, form: str
) -> None:
    out, sound = tmp_path / "heard", folder / "a.wav"
    first = classify(model, folder, out, form).files[str(sound)]
    before, same = first.read_bytes(), sound.read_bytes()
    replace(sound, seed=7)
    kept = classify(model, folder, out, form)
    assert kept.missing == [str(sound)] and first.read_bytes() != before
    assert classify(model, folder, out, form).missing == []
    # The same date and size, but another content; then the content of the beginning, under a new name for a moment.
    date = sound.stat()
    replace(sound, seed=8)
    os.utime(sound, ns=(date.st_atime_ns, date.st_mtime_ns))
    assert classify(model, folder, out, form).missing == [str(sound)]
    (tmp_path / "moved").write_bytes(same)
    os.replace(tmp_path / "moved", sound)
    assert classify(model, folder, out, form).missing == [str(sound)]
    assert_same_answers(first.read_bytes(), before)
    (tmp_path / "copy").write_bytes(same)
    os.replace(tmp_path / "copy", sound)
    assert classify(model, folder, out, form).missing == [], "the same recording, copied"


def test_a_recording_that_has_not_changed_is_not_read_again(
    model: TorchClassifier, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classify(model, folder, tmp_path / "heard")
    monkeypatch.setattr(origins, "TICK_NS", 0)  # all changes are older than this
    classify(model, folder, tmp_path / "heard")
    monkeypatch.setattr(files, "sha256", None)
    assert classify(model, folder, tmp_path / "heard").missing == []


def test_an_answer_goes_where_its_recording_became_unreadable_and_stays_where_that_is_away(
    model: TorchClassifier, folder: Path, tmp_path: Path
) -> None:
    out, paths = tmp_path / "heard", find([str(folder)]).files
    first = classify(model, folder, out).files
    content = (folder / "a.wav").read_bytes()
    (folder / "a.wav").write_text("text")
    assert list(classify(model, folder, out).failed) == paths[:1] and not first[paths[0]].exists()
    (folder / "a.wav").write_bytes(content)
    assert classify(model, folder, out).missing == paths[:1] and first[paths[0]].is_file()
    (folder / "a.wav").rename(tmp_path / "away.wav")
    with open_results(out, FORMATS["csv"], paths, [str(folder)], 0.0, {}) as kept:
        for answer in predict_files(model, kept.missing):
            kept.add(answer)
    assert list(kept.failed) == paths[:1] and first[paths[0]].is_file()
    (tmp_path / "away.wav").rename(folder / "a.wav")
    assert classify(model, folder, out).missing == []


def test_what_is_no_file_has_no_content_to_compare(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert origins.stamp(str(tmp_path / "pipe")) is None is origins.stamp(str(tmp_path))
    assert origins.identity(str(tmp_path / "pipe"), None) is None, "and nobody waits for it"


def test_a_recording_that_changes_while_it_is_heard_is_asked_again(
    model: TorchClassifier, folder: Path, tmp_path: Path
) -> None:
    paths = find([str(folder)]).files
    with open_results(tmp_path / "heard", FORMATS["csv"], paths, [str(folder)], 0.0, {}) as kept:
        for answer in predict_files(model, kept.missing):
            if answer.file == paths[1]:
                replace(folder / "b.wav", seed=5)
            kept.add(answer)
    assert classify(model, folder, tmp_path / "heard").missing == paths[1:2]
    assert classify(model, folder, tmp_path / "heard").missing == []


def test_answers_of_before_recordings_were_noted_are_made_again_and_a_torn_note_is_none(
    model: TorchClassifier, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "heard"
    classify(model, folder, out)
    journal = out / origins.JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 3
    journal.write_text("".join(lines[:2]) + lines[2][:20])
    assert [Path(p).name for p in classify(model, folder, out).missing] == ["a.wav"] and not caplog.records
    assert classify(model, folder, out).missing == []
    journal.unlink()
    assert len(classify(model, folder, out).missing) == 3
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"warning: {out} does not say which recordings its files were made from")


def test_any_name_of_a_recording_gives_its_answer_a_name_of_its_own(
    model: TorchClassifier, folder: Path, tmp_path: Path
) -> None:
    names = [
        "n" * 251 + ".wav",
        "n" * 250 + "m.wav",
        "\N{CJK UNIFIED IDEOGRAPH-6C34}" * 83 + ".wav",
        os.fsdecode(b"caf\xe9.wav"),
        os.fsdecode(b"caf\xe8.wav"),
        os.fsdecode(b"\xff/deep.wav"),
        os.fsdecode(b"\xfe/deep.wav"),
        "Case.wav",
        "case.wav",
        "\N{LATIN SMALL LETTER E WITH ACUTE}.wav",
        "e\N{COMBINING ACUTE ACCENT}.wav",
        "Deep/a.wav",
    ]
    content = (folder / "a.wav").read_bytes()
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    for form, told in (("json", lambda file: json.loads(file.read_text())["file"]), ("audacity", lambda file: None)):
        out = tmp_path / form
        kept = classify(model, folder, out, form)
        assert not kept.failed and len(kept.missing) == 3 + len(names)
        if form == "json":
            assert {told(file): path for path, file in kept.files.items()} == {path: path for path in kept.files}
        written = [file.relative_to(out).as_posix() for file in out.rglob("[!.]*") if file.name != "made.json"]
        written = [name for name in written if (out / name).is_file()]
        assert len({unicodedata.normalize("NFC", name).casefold() for name in written}) == 3 + len(names)
        assert all(len(part.encode()) <= 255 for name in written for part in name.split("/"))
        assert f"b.wav{FORMATS[form].ending}" in written, "an ordinary name is as it is"
        assert classify(model, folder, out, form).missing == []
