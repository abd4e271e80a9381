"""score_events: found events and scores of frames against annotations, by hand-made truths and by the metrics' own."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from typer.main import get_command

from hubbub.cli.main import app
from hubbub.experiment.score_events import EventScoreError, score_events
from hubbub.metrics.event_changes import collar_changes
from hubbub.metrics.events import Event, event_based
from hubbub.metrics.psds import PSDS1, PSDS2, psds
from hubbub.metrics.scored import ScoredRecording
from hubbub.report.event_results import EventSummary
from tests.helpers.sounds import rows, sounds

HEAD = "file,start,end,label"
TRUTH = (HEAD, "a.wav,1,2,dog", "a.wav,4,6,rain", "b.wav,0.5,1,dog", "b.wav,3,5,dog")
#: One onset late by .15 s, one by a second, one false alarm, and a class of no annotation.
FOUND = (HEAD, "a.wav,1.15,2.1,dog", "a.wav,5,6,rain", "b.wav,0.5,1,dog", "b.wav,7,8,rain", "b.wav,1,2,cat")


def scored(
    folder: Path, found: tuple[str, ...] = FOUND, truth: tuple[str, ...] = TRUTH, **given: object
) -> EventSummary:
    """The figures of a table of found events; the recordings last 10 s each."""
    sounds(folder, "a.wav", "b.wav", seconds=10.0)
    there, here = rows(folder / "truth.csv", *truth), rows(folder / "found.csv", *found)
    return score_events(here, there, out=folder / "runs", quiet=True, **given)  # type: ignore[arg-type]


# Found events


def test_hits_misses_and_false_alarms_by_hand(tmp_path: Path) -> None:
    summary = scored(tmp_path)
    for by in (summary.collar, summary.onset):
        assert {one.label: (one.hits, one.false, one.missed) for one in by.classes} == {
            "dog": (2, 0, 1), "rain": (0, 2, 1)
        }  # fmt: skip
    assert summary.collar.f1.value == pytest.approx(2 * 2 / (2 * 2 + 2 + 2))
    by_half = {one.label: (one.hits, one.false, one.missed) for one in summary.intersection.classes}
    assert by_half == {"dog": (2, 0, 1), "rain": (1, 1, 0)}
    # Seconds: dog 1, 0, 3, 4 of which 1 (with 2) and 0 were found; rain 4, 5 of which 5, and 7.
    by_second = {one.label: (one.hits, one.false, one.missed) for one in summary.segment.classes}
    assert by_second == {"dog": (2, 1, 2), "rain": (1, 1, 1)}
    assert summary.seconds == pytest.approx(20.0) and summary.events == 4 and summary.recordings == 2
    assert summary.collar.false_an_hour is not None
    assert summary.collar.false_an_hour.value == pytest.approx(2 * 3600 / 20)
    assert summary.psds1 is None and summary.threshold is None
    low, high = summary.collar.f1.ci95 or (1, 0)
    assert low <= summary.collar.f1.value <= high


def test_a_class_without_annotations_is_named_and_not_scored(tmp_path: Path) -> None:
    (note,) = scored(tmp_path).notes
    assert note.startswith("NOT SCORED: 1 found event of 1 class that no annotation names (cat)")


def test_the_folder_holds_the_figures_and_the_page(tmp_path: Path) -> None:
    summary = scored(tmp_path)
    folder = tmp_path / "runs" / "found"
    assert EventSummary.model_validate_json((folder / "event_scores.json").read_text()) == summary
    page = (folder / "report.html").read_text()
    for text in (f"{summary.collar.f1.value:.3f}", "NOT SCORED", "onsets, 200 ms", "onsets and ends", "a.wav"):
        assert text in page
    again = scored(tmp_path)  # it replaces its own folder
    assert again == summary
    other = tmp_path / "runs" / "mine"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(EventScoreError, match="holds other things"):
        scored(tmp_path, name="mine")


def test_without_the_sounds_there_are_no_rates(tmp_path: Path) -> None:
    there, here = rows(tmp_path / "truth.csv", *TRUTH), rows(tmp_path / "found.csv", *FOUND)
    summary = score_events(here, there, out=tmp_path, quiet=True)
    assert summary.seconds is None and summary.collar.false_an_hour is None
    assert any(note.startswith("NO RATES: the length of 2 recordings is not known") for note in summary.notes)


def test_a_recording_in_which_nothing_was_found_is_named_and_its_events_are_missed(tmp_path: Path) -> None:
    summary = scored(tmp_path, found=(HEAD, "a.wav,1,2,dog"))
    assert any(note.startswith("NOTHING FOUND: 1 recording without found events (b.wav)") for note in summary.notes)
    assert sum(one.missed for one in summary.collar.classes) == 3


def test_what_recordings_without_annotations_are_must_be_said(tmp_path: Path) -> None:
    found = (*FOUND, "c.wav,1,2,dog")
    with pytest.raises(EventScoreError, match=r"1 recording of the predictions without annotations \(c\.wav\)\. Say"):
        scored(tmp_path, found=found)
    left, empty = scored(tmp_path, found=found, unlisted="leave-out"), scored(tmp_path, found=found, unlisted="empty")
    assert left.collar == scored(tmp_path).collar and left.recordings == 2
    assert empty.recordings == 3
    assert sum(one.false for one in empty.collar.classes) == sum(one.false for one in left.collar.classes) + 1


def test_predictions_of_other_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EventScoreError, match="no recording of the predictions is annotated"):
        scored(tmp_path, found=(HEAD, "x.wav,1,2,dog"), unlisted="empty")


def test_annotations_without_events_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EventScoreError, match="holds no event"):
        scored(tmp_path, truth=(HEAD,))


# Scores of frames


@pytest.fixture
def frames(tmp_path: Path) -> tuple[Path, Path, list[ScoredRecording]]:
    """Random scores of ten recordings in one table, their annotations, and the same as the metrics take them."""
    random, tables, truth, recordings = np.random.default_rng(5), [], [HEAD], []
    for name in "abcdefghij":
        edges = np.arange(61) * 0.5
        scores = random.uniform(size=(60, 2)).round(3)
        true = [(label, at, at + random.integers(1, 4)) for label in ("dog", "rain") for at in (2, 9, 20)]
        for label, start, end in true:
            truth.append(f"{name}.wav,{start},{end},{label}")
            scores[2 * start : 2 * end, ["dog", "rain"].index(label)] += 0.4
        scores = scores.clip(0, 1)
        table = pd.DataFrame({"file": f"{name}.wav", "start": edges[:-1], "end": edges[1:]})
        tables.append(table.assign(dog=scores[:, 0], rain=scores[:, 1]))
        events = [_Event(label, float(start), float(end)) for label, start, end in true]
        recordings.append(ScoredRecording(scores, edges, events))
    pd.concat(tables).to_csv(tmp_path / "scores.csv", index=False)
    return tmp_path / "scores.csv", rows(tmp_path / "truth.csv", *truth), recordings


class _Event:
    def __init__(self, label: str, start: float, end: float) -> None:
        self.label, self.start, self.end = label, start, end


def test_scores_of_frames_give_what_the_metrics_give(
    frames: tuple[Path, Path, list[ScoredRecording]], tmp_path: Path
) -> None:
    file, truth, recordings = frames
    summary = score_events(file, truth, threshold=0.7, out=tmp_path, quiet=True)
    changes = collar_changes(recordings, ("dog", "rain"))
    assert summary.collar.f1.value == pytest.approx(changes.at(0.7).f1)
    best = {one.label: one.best_f1 for one in summary.collar.classes}
    assert best == pytest.approx({label: curve.best_f1 for label, curve in changes.curves.items()})
    assert summary.psds1 is not None and summary.psds2 is not None and summary.psds1.ci95 is not None
    assert summary.psds2.value == pytest.approx(psds(recordings, ("dog", "rain"), PSDS2).value)
    assert summary.psds1.value == pytest.approx(psds(recordings, ("dog", "rain"), PSDS1).value)
    assert summary.psds1.ci95[0] < summary.psds1.value < summary.psds1.ci95[1]
    assert summary.seconds == pytest.approx(300.0), "the last frame ends with the recording"
    page = (tmp_path / "scores" / "report.html").read_text()
    assert "looked up in these recordings" in page and "PSDS1" in page


def test_scores_at_a_threshold_are_events(frames: tuple[Path, Path, list[ScoredRecording]], tmp_path: Path) -> None:
    """A table of the events that the scores give at a threshold has the same figures."""
    file, truth, recordings = frames
    found = [HEAD]
    for name, one in zip("abcdefghij", recordings, strict=True):
        for k, label in enumerate(("dog", "rain")):
            on = np.diff(np.concatenate([[0], (one.scores[:, k] >= 0.7).astype(int), [0]]))
            spans = zip(one.edges[np.flatnonzero(on == 1)], one.edges[np.flatnonzero(on == -1)], strict=True)
            found += [f"{name}.wav,{start},{end},{label}" for start, end in spans]
    events = score_events(rows(tmp_path / "events.csv", *found), truth, out=tmp_path, quiet=True)
    frames_ = score_events(file, truth, threshold=0.7, out=tmp_path, quiet=True)
    for definition in ("collar", "intersection", "segment"):
        assert getattr(events, definition).f1 == getattr(frames_, definition).f1, definition


def test_a_recording_without_scores_is_refused(
    frames: tuple[Path, Path, list[ScoredRecording]], tmp_path: Path
) -> None:
    file, truth, _ = frames
    table = pd.read_csv(file)
    table[table["file"] != "c.wav"].to_csv(file, index=False)
    with pytest.raises(EventScoreError, match=r"1 annotated recording has no scores \(c\.wav\)"):
        score_events(file, truth, out=tmp_path, quiet=True)


@pytest.mark.parametrize("threshold", [0.0, 1.5])
def test_a_threshold_that_is_no_score_is_refused(
    frames: tuple[Path, Path, list[ScoredRecording]], tmp_path: Path, threshold: float
) -> None:
    with pytest.raises(EventScoreError, match="a threshold of"):
        score_events(*frames[:2], threshold=threshold, out=tmp_path, quiet=True)


# The command


def test_the_command_prints_the_figures_and_where_the_page_is(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", seconds=10.0)
    there, here = rows(tmp_path / "truth.csv", *TRUTH), rows(tmp_path / "found.csv", *FOUND)
    given = ["score", str(here), "--events", str(there), "--out", str(tmp_path / "runs")]
    done = CliRunner().invoke(get_command(app), given)
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "runs" / "found" / "event_scores.json").read_text())
    assert f"{figures['collar']['f1']['value']:.3f}" in done.output
    assert "page:" in done.output and "NOT SCORED" in done.output


def test_one_truth_is_asked_for(tmp_path: Path) -> None:
    table = rows(tmp_path / "found.csv", *FOUND)
    for given in ([], ["--data", "esc50", "--events", str(table)]):
        done = CliRunner().invoke(get_command(app), ["score", str(table), *given])
        assert "give the truth" in str(done.exception)


def test_the_definitions_are_those_of_the_metrics(tmp_path: Path) -> None:
    true = [[_Event("dog", 1, 2), _Event("rain", 4, 6)], [_Event("dog", 0.5, 1), _Event("dog", 3, 5)]]
    found: list[list[Event]] = [
        [_Event("dog", 1.15, 2.1), _Event("rain", 5, 6)],
        [_Event("dog", 0.5, 1), _Event("rain", 7, 8)],
    ]
    expected = event_based(true, found, ("dog", "rain"))
    assert scored(tmp_path).collar.f1.value == pytest.approx(expected.f1)
