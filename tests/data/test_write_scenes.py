"""write_scenes: a folder of scenes that opens as a data set, whose sources stay in their fold."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.config.data import Protocol
from hubbub.config.sections import Network
from hubbub.data import leaks, scenes, splits, trained_before, write_lists, write_scenes
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.made_scenes import EVENTS, SCENES, SOURCES
from hubbub.data.manifest import MANIFEST, ManifestError
from hubbub.data.open import open_data
from hubbub.data.scenes import ScenesError, SceneSettings

RATE_HZ = 8_000
ASKED = SceneSettings(hours=0.05, length_s=10.0, seed=3)
HZ = {"low": 300.0, "high": 1500.0}


def write_clips(folder: Path, folds: int = 3, takes: int = 4, named: str = "{fold}-{label}-{take}") -> Path:
    """Clips of 3 s: a tone for .8 s in silence, of two pitches, and rain; two takes of a recording each."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, rng = [], np.random.default_rng(0)
    times = np.arange(3 * RATE_HZ) / RATE_HZ
    for fold in range(1, folds + 1):
        for label in (*HZ, "rain"):
            for take in range(takes):
                name = named.format(fold=fold, label=label, take=take)
                tone = np.sin(2 * np.pi * HZ.get(label, 0.0) * times) * ((times >= 0.6) & (times < 1.4))
                wave = rng.normal(0, 0.1, len(times)) if label == "rain" else 0.3 * tone
                soundfile.write(folder / f"{name}.wav", wave, RATE_HZ)
                group = f"{fold}{label}{take // 2}"
                rows.append({"path": f"{name}.wav", "label": label, "fold": fold, "group": group})
    pd.DataFrame(rows).to_csv(folder / "list.csv", index=False)
    return folder / "list.csv"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def made(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes.write(str(clips), tmp_path_factory.mktemp("made") / "out", ASKED, background=["rain"]).parent


@pytest.fixture(scope="module")
def opened(made: Path) -> Clips:
    return open_data(str(made))


def test_the_files_are_16_bit_mono_of_the_asked_length_and_of_the_clips_rate(made: Path) -> None:
    table = pd.read_csv(made / SCENES)
    assert len(table) == 18 and set(table["fold"]) == {1, 2, 3} and set(table["background"]) == {"rain"}
    for name, fold in zip(table["file"], table["fold"], strict=True):
        info = soundfile.info(made / name)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (RATE_HZ, 1, 80_000, "PCM_16")
        assert name.startswith(f"audio/fold{fold}/")
    assert sorted(path.name for path in made.iterdir() if not path.name.startswith(".")) == sorted(
        ["audio", EVENTS, SCENES, SOURCES, MANIFEST, "README.md"]
    )


def test_the_annotations_are_where_the_tones_are(made: Path) -> None:
    events = pd.read_csv(made / EVENTS)
    facts = pd.read_csv(made / SOURCES)
    assert list(events) == ["file", "start", "end", "label"] and set(events["label"]) == set(HZ)
    assert events.equals(facts.loc[facts["role"] == "event", list(events)].reset_index(drop=True))
    assert np.allclose(events["end"] - events["start"], 0.8, atol=2 * scenes.FRAME_S)
    assert np.allclose(facts.loc[facts["role"] == "event", "source_start"], 0.6, atol=scenes.FRAME_S)
    for row in facts[facts["snr_db"] > 5].itertuples():
        wave, _ = soundfile.read(made / row.file)
        times = np.arange(len(wave)) / RATE_HZ
        tone = np.convolve(wave * np.exp(-2j * np.pi * HZ[row.label] * times), np.ones(160) / 160, "same")
        at = [np.abs(tone[np.clip(np.searchsorted(times, when), 0, len(tone) - 1)]) for when in (
            row.start + 0.1, row.end - 0.1)]  # fmt: skip
        assert min(at) > 2 * np.median(np.abs(tone)), row


def test_scenes_open_as_a_data_set_with_folds_groups_and_caveats(made: Path, opened: Clips) -> None:
    assert opened.name == "list, scenes" and opened.folds == ("1", "2", "3") and set(opened.labels) == set(HZ)
    assert opened.table["group"].equals(opened.table["clip"].str.partition("@")[0])
    assert set(opened.table["group"]) <= set(pd.read_csv(made / SCENES)["file"])
    assert any(
        note.startswith("MADE SCENES: 18 scenes of 10 s, mixed by hubbub from 24 clips") for note in opened.notes
    )
    assert not any(note.startswith("MACHINE LABELS") for note in opened.notes)
    by_table = open_data(str(made / EVENTS))
    assert by_table.table.equals(opened.table) and by_table.notes == opened.notes


def test_no_recording_is_in_two_folds_nor_an_event_in_another_fold_than_its_source(clips: Path, made: Path) -> None:
    given = pd.read_csv(clips).assign(clip=lambda table: table["path"]).set_index("clip")
    used = pd.read_csv(made / SOURCES)
    assert (used["fold"].to_numpy() == given["fold"][used["clip"]].to_numpy()).all()
    assert (used["source"].to_numpy() == given["group"][used["clip"]].to_numpy()).all()
    assert used.groupby("source")["fold"].nunique().max() == 1


def test_folds_are_an_honest_split_and_no_other_is(opened: Clips) -> None:
    contents = [""] * len(opened)
    kept = splits.make_splits(opened, Protocol(kind="auto"))
    assert [split.name for split in kept] == ["1", "2", "3"]
    assert leaks.audit(opened, kept, contents).leaks == ()
    for kind in ("holdout", "grouped"):
        parted = splits.make_splits(opened, Protocol(kind=kind))
        with pytest.raises(
            leaks.LeakError, match=r"are scenes mixed from \d+ recordings in both .*protocol\.kind=kfold"
        ):
            leaks.audit(opened, parted, contents)
    with pytest.raises(splits.SplitError, match=r"scenes of one fold are mixed from the same recordings"):
        write_lists.write_lists(opened, Path("never"), 0.2, 0)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(clips: Path, made: Path, tmp_path: Path) -> None:
    again = write_scenes.write(str(clips), tmp_path / "again", ASKED, background=["rain"]).parent
    other = write_scenes.write(
        str(clips), tmp_path / "other", SceneSettings(hours=0.05, length_s=10.0), background=["rain"]
    ).parent
    for path in (path for path in made.rglob("*") if path.is_file() and path.name[0] != "."):
        name = path.relative_to(made)
        assert (again / name).read_bytes() == path.read_bytes(), name
        assert path.name in ("README.md",) or (other / name).read_bytes() != path.read_bytes(), name


def test_an_interrupted_run_continues_and_is_no_data_set_before(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = SceneSettings(hours=0.02, length_s=10.0)
    table = write_scenes.write(str(clips), out, asked)
    first, second = sorted(out.rglob("*.wav"))[:2]
    before, whole = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    table.unlink()
    (out / "audio" / "fold1" / ".scene-1.wav.1-0123abcd.wav").write_bytes(b"torn")
    with pytest.raises(ClipsError, match=r"they are not finished\. Run hubbub data scenes again"):
        open_data(str(out))
    assert write_scenes.write(str(clips), out, asked) == table
    assert first.stat().st_mtime_ns == before and second.read_bytes() == whole
    assert len(list(out.rglob("*.wav"))) == 7


def test_other_settings_other_sounds_and_other_folders_are_refused(tmp_path: Path) -> None:
    table = write_clips(tmp_path / "clips")
    asked = SceneSettings(hours=0.02, length_s=10.0)
    out = write_scenes.write(str(table), tmp_path / "out", asked).parent
    with pytest.raises(ManifestError, match=r"made with other settings: overlap is 3 there and 2 now"):
        write_scenes.write(str(table), out, SceneSettings(hours=0.02, length_s=10.0, overlap=2))
    wave, _ = soundfile.read(tmp_path / "clips" / "1-low-0.wav")
    soundfile.write(tmp_path / "clips" / "1-low-0.wav", wave / 2, RATE_HZ)
    with pytest.raises(ManifestError, match=r"made with other settings: sounds is"):
        write_scenes.write(str(table), out, asked)
    with pytest.raises(ManifestError, match=r"holds other files \("):
        write_scenes.write(str(table), tmp_path / "clips", asked)


def test_what_is_known_of_the_data_set_goes_on(clips: Path, tmp_path: Path) -> None:
    source = write_clips(tmp_path / "clips")
    facts = {"file": "list.csv", "name": "esc50", "kind": "sounds", "labels": ["high", "low", "rain"]}
    facts |= {"licence": "CC BY-NC 3.0", "citation": "Piczak 2015", "synthetic": True, "straddling": []}
    (source.parent / MANIFEST).write_text(json.dumps(facts | {"notes": ["SYNTHETIC: made up"]}))
    made = write_scenes.write(str(source), tmp_path / "out", ASKED).parent
    opened = open_data(str(made))
    assert (opened.licence, opened.citation, opened.synthetic) == ("CC BY-NC 3.0", "Piczak 2015", True)
    assert opened.notes[0] == "SYNTHETIC: made up"
    readme = (made / "README.md").read_text()
    assert "CC BY-NC 3.0" in readme and "Piczak 2015" in readme and "made, not recorded" in readme


def test_data_without_folds_get_some_by_recording(tmp_path: Path) -> None:
    source = write_clips(tmp_path / "clips", folds=3)
    pd.read_csv(source).drop(columns="fold").to_csv(source, index=False)
    rng = np.random.default_rng(1)
    for path in source.parent.glob("*.wav"):  # else all tones of a class are one recording
        wave, _ = soundfile.read(path)
        soundfile.write(path, wave + rng.normal(0, 0.01, len(wave)) * (wave != 0), RATE_HZ)
    made = write_scenes.write(str(source), tmp_path / "out", ASKED, background=["rain"]).parent
    used = pd.read_csv(made / SOURCES)
    assert used["fold"].nunique() >= 2 and used.groupby("source")["fold"].nunique().max() == 1
    assert open_data(str(made)).folds == tuple(map(str, sorted(set(used["fold"]))))


def test_a_recording_that_the_folds_split_is_used_in_one(tmp_path: Path) -> None:
    source = write_clips(tmp_path / "clips")
    table = pd.read_csv(source)
    table.loc[table["path"].isin(["1-low-3.wav", "2-low-0.wav"]), "group"] = "both"
    table.to_csv(source, index=False)
    made = write_scenes.write(str(source), tmp_path / "out", ASKED).parent
    used = pd.read_csv(made / SOURCES)
    assert set(used.loc[used["source"] == "both", "fold"]) == {1} and "2-low-0.wav" not in set(used["clip"])
    assert any(
        note == "LEFT OUT: 1 clip of recordings that the folds split (both)" for note in open_data(str(made)).notes
    )


def test_silent_clips_are_left_out_with_a_note(tmp_path: Path) -> None:
    source = write_clips(tmp_path / "clips")
    soundfile.write(source.parent / "1-low-0.wav", np.zeros(RATE_HZ), RATE_HZ)
    made = write_scenes.write(str(source), tmp_path / "out", ASKED).parent
    assert "LEFT OUT: 1 silent clip (1-low-0.wav)" in open_data(str(made)).notes


def test_scenes_of_clips_that_a_network_knows_are_refused(tmp_path: Path) -> None:
    source = write_clips(tmp_path / "clips", named="{fold}-1{take}{label}-A-7")
    opened = open_data(str(write_scenes.write(str(source), tmp_path / "out", ASKED).parent))
    (text,) = trained_before.refused(opened, splits.make_splits(opened, Protocol(kind="auto")), Network(name="small"))
    assert text.startswith(f"the network small has been trained on {len(opened)} clips of ESC-50")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["lwo"]}, r"has no class 'lwo' \(--classes\)\. Did you mean 'low'\?"),
        ({"background": ["rian"]}, r"has no class 'rian' \(--background\)\. Did you mean 'rain'\?"),
        ({"classes": ["low", "rain"], "background": ["rain"]}, r"'rain' is named by --classes and by --background"),
        ({"background": ["low", "high", "rain"]}, r"--background names all classes, so none is left for events"),
        ({"background": ["low"]}, r"in fold 1 no clip of the background \(low\) sounds for 2 s"),
        ({"rate_hz": 10}, r"a rate of 10 Hz \(--rate\) is not from 1,000 to 1,000,000"),
    ],
)
def test_classes_that_cannot_be_are_refused(
    clips: Path, tmp_path: Path, options: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(ScenesError, match=message):
        write_scenes.write(str(clips), tmp_path / "out", ASKED, **options)
    assert not (tmp_path / "out").exists()


def test_a_class_that_a_fold_lacks_is_refused(tmp_path: Path, made: Path) -> None:
    source = write_clips(tmp_path / "clips")
    table = pd.read_csv(source)
    table[(table["fold"] != 2) | (table["label"] != "low")].to_csv(source, index=False)
    with pytest.raises(ScenesError, match=r"fold 2 has no clip that sounds of 1 class \(low\)\. Every class needs one"):
        write_scenes.write(str(source), tmp_path / "out", ASKED)
    with pytest.raises(ScenesError, match=r"list, scenes holds scenes already"):
        write_scenes.write(str(made), tmp_path / "out", ASKED)


def test_the_command_says_where_the_annotations_are(clips: Path, tmp_path: Path) -> None:
    words = ["--hours", "0.02", "--length", "10", "--classes", "low, high", "--snr", "-5", "-1.5", "--rate", "16000"]
    done = CliRunner().invoke(app, ["data", "scenes", str(clips), str(tmp_path / "out"), *words])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "out" / EVENTS)
    levels = pd.read_csv(tmp_path / "out" / SOURCES)["snr_db"]
    assert levels.min() >= -5 and levels.max() <= -1.5
    assert soundfile.info(next((tmp_path / "out").rglob("*.wav"))).samplerate == 16_000
    done = CliRunner().invoke(app, ["data", "check", str(tmp_path / "out")])
    assert done.exit_code == 0 and "MADE SCENES" in done.output, done.output


def test_scenes_of_esc50_have_its_folds_and_none_of_its_silence(
    tmp_path: Path, home: Callable[[str, str], Path]
) -> None:
    home("data", "esc50")
    asked = SceneSettings(hours=0.05, length_s=20.0)
    made = write_scenes.write("esc50", tmp_path / "out", asked, ["dog", "siren"], ["rain"], 16_000).parent
    opened, used = open_data(str(made)), pd.read_csv(made / SOURCES)
    assert opened.name == "esc50, scenes" and opened.folds == ("1", "2", "3", "4", "5")
    assert (used["fold"].astype(str) == used["clip"].str[0]).all(), "the first digit of a name is the fold"
    lasting = (used["source_end"] - used["source_start"]).groupby(used["label"]).median()
    assert lasting["dog"] < 2 < 4 < lasting["siren"]
