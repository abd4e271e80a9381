"""How well events are found in `street` scenes: `python -m benchmarks.events FOLDER` (see docs/classify.md).

A classifier of street's ten classes and of its background is trained on events and pauses of three folds' sources. In
scenes of fold 2's sources the merging's settings are chosen by event-based F1; scenes of fold 1's sources, which
neither has heard, give the figures. Which segments are known, and so may hold an event, is decided as by
`hubbub classify --events`.
"""

import argparse
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks import scenes
from hubbub.audio import decode
from hubbub.classifier.base import Classifier
from hubbub.classifier.load import load
from hubbub.data import synthetic
from hubbub.inference.events import Event, EventSettings, detect_events
from hubbub.inference.scoring import event_scores
from hubbub.metrics.events import Counts, event_based, segment_based
from hubbub.runtime import files

CLIPS, FOLDS, SEED, SCENES = 400, 5, 0, 40
BACKGROUND, SHORTEST_PAUSE_S = "background", 1.0
Scored = list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], list[Event]]]


def write_list(folder: Path) -> Path:
    """A clip table of the events of street's clips and of their pauses."""
    synthetic.write(folder / "street", CLIPS, FOLDS, SEED)
    rows = []
    for clip in synthetic.plan(CLIPS, FOLDS, SEED):
        pauses = ((0.0, clip.onset), (clip.offset, synthetic.CLIP_SECONDS))
        parts = [(clip.label, clip.onset, clip.offset)]
        parts += [(BACKGROUND, *pause) for pause in pauses if pause[1] - pause[0] >= SHORTEST_PAUSE_S]
        path = folder / "street" / "audio" / f"{clip.name}.wav"
        rows += [(path, start, end, label, clip.fold, clip.source) for label, start, end in parts]
    files.write_csv(folder / "list.csv", pd.DataFrame(rows, columns=["path", "start", "end", "label", "fold", "group"]))
    return folder / "list.csv"


def trained(folder: Path, recipe: str, hop: int) -> Classifier:
    if not (folder / "run" / "test-1").is_dir():
        settings = ("--set", f'data.name="{write_list(folder)}"', "--out", str(folder), "--name", "run")
        subprocess.run([sys.executable, "-m", "hubbub.cli", "train", recipe, "--fold", "1", *settings], check=True)
    model = load(folder / "run" / "test-1" / "seed-42" / "classifier")
    model.recipe = model.recipe.model_copy(update={"evaluate": model.recipe.evaluate.model_copy(update={"hop": hop})})
    return model


def scored(model: Classifier, fold: int, count: int) -> Scored:
    """Segments' times and scores of each scene, 0 where a segment is not known, and its true events."""
    clips = [clip for clip in synthetic.plan(CLIPS, FOLDS, SEED) if clip.fold == fold]
    found = []
    for scene in scenes.plan(clips, count, seed=fold):
        wave = decode.resample(scenes.render(scene), synthetic.SAMPLE_RATE_HZ, model.rate_hz)
        segments = model.cut(wave)
        outputs = model.outputs(segments)
        scores, _ = model.predict_proba(outputs, [0])
        rows = event_scores(scores, segments, model.is_known(model.familiarity(scores, outputs, segments)))
        found.append((model.spans(len(wave)), rows, scene.events))
    return found


def counts(model: Classifier, these: Scored, events: EventSettings) -> tuple[Counts, Counts]:
    """Segment- and event-based counts of the ten classes."""
    found = [
        [event for event in detect_events(spans, rows, model.labels, events) if event.label != BACKGROUND]
        for spans, rows, _ in these
    ]
    true = [events for _, _, events in these]
    return segment_based(true, found, synthetic.CLASSES), event_based(true, found, synthetic.CLASSES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="street-yamnet")
    parser.add_argument("--hop", type=int, default=7680, help="samples from one segment to the next")
    parser.add_argument("--scenes", type=int, default=SCENES, help="of a minute, of each of the two folds")
    options = parser.parse_args()
    model = trained(options.folder, options.recipe, options.hop)
    chosen_on, scored_on = (scored(model, fold, options.scenes) for fold in (2, 1))
    grid = itertools.product((0.3, 0.4, 0.5, 0.6, 0.7, 0.8), (0.25, 0.5, 0.75, 1.0), (0.0, 0.3, 0.6), (0.0, 0.5, 1.0))
    settings = [EventSettings(t, t * share, shortest, gap) for t, share, shortest, gap in grid]
    best = max(settings, key=lambda events: counts(model, chosen_on, events)[1].f1)
    table = Table("merging", "segment F1", "event F1", "event precision", "event recall")
    for name, events in (
        ("threshold .5 alone", EventSettings()),
        ("chosen, no hysteresis", replace(best, release=None)),
        ("chosen, no gap and minimum", replace(best, gap=0.0, shortest=0.0)),
        ("chosen", best),
    ):
        by_segment, by_event = counts(model, scored_on, events)
        figures = (by_segment.f1, by_event.f1, by_event.precision, by_event.recall)
        table.add_row(name, *(f"{figure:.3f}" for figure in figures))
    print(f"chosen: {best}")
    Console().print(table)


if __name__ == "__main__":
    main()
