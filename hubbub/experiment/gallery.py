"""The gallery of a run: sample clips with sound, spectrogram and saliency map.

It shows the most confident mistakes, one for each pair of classes, and a few confident right decisions. The classifier
of the clip's test fold, which was not trained on the clip, explains it.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile

from hubbub.audio import decode
from hubbub.classifier import event_thresholds
from hubbub.data.cache import Waves
from hubbub.experiment.prepare import Prepared
from hubbub.report import plots, run_folder
from hubbub.report.summary import as_arrays
from hubbub.runtime import files
from hubbub.runtime.progress import track

if TYPE_CHECKING:
    from hubbub.classifier.torch_classifier import TorchClassifier

__all__ = ["write_gallery", "write_mp3"]

Wave = npt.NDArray[np.float32]
#: How many mistakes and right decisions are shown; of these, how many in a quick run.
MOST, MOST_QUICK = {"mistake": 6, "right": 2}, 1
_FACTS = ("label", "decided", "score", "score_of_truth", "fold", "seed", "kind")
#: Longer recordings are shown up to here [s].
LONGEST_S = 30.0
#: Rates that MP3, which every browser plays, can have [Hz].
_MP3_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


def write_gallery(prepared: Prepared, folder: Path) -> None:
    """Writes the gallery of a finished run: images, sounds, and the list that describes them.

    Spectrograms and images as data are shown as the network takes them, without sound; a network without a saliency
    map for them gets no samples.
    """
    from hubbub.inference.explain import ExplainError

    chosen = pd.concat(_chosen(run_folder.predictions(folder)))[: MOST_QUICK if prepared.quick else None]
    with files.whole_folder(run_folder.gallery_folder(folder), run_folder.SAMPLES) as place:
        samples, model, loaded = {}, None, None
        numbered = list(enumerate(chosen.itertuples(), 1))
        for number, row in track(sorted(numbered, key=lambda one: (one[1].fold, one[1].seed)), "explaining"):
            if model is None or loaded != (row.fold, row.seed):
                model, loaded = _classifier(prepared, folder, row), (row.fold, row.seed)
            with suppress(ExplainError):
                samples[number] = _sample(prepared, model, place, number, row)
        files.write_json(place / run_folder.SAMPLES, [samples[number] for number in sorted(samples)])


def _chosen(predicted: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The most confident decisions on clips, wrong and right ones, each pair of classes and each clip once."""
    clips = predicted[predicted["level"] == "clip"]
    targets, scores, labels = as_arrays(clips)
    facts = clips.reset_index()[["clip", "label", "fold", "seed"]]
    if targets.ndim == 2:
        facts = _decided_sets(facts, targets, scores, labels)
    else:
        facts = facts.assign(
            decided=np.array(labels)[scores.argmax(axis=1)],
            score=scores.max(axis=1).astype(float),
            score_of_truth=scores[np.arange(len(clips)), targets].astype(float),
        )
        facts["kind"] = np.where(facts["decided"] == facts["label"], "right", "mistake")
    facts = facts.sort_values("score", ascending=False, kind="stable")
    for kind, most in MOST.items():
        once = facts[facts["kind"] == kind].drop_duplicates("clip")
        yield once.drop_duplicates(["label", "decided"]).head(most)


def _decided_sets(
    facts: pd.DataFrame, targets: npt.NDArray[Any], scores: Wave, labels: tuple[str, ...]
) -> pd.DataFrame:
    """A row for each annotated pair of clip and class with a score of .5 or more: right where the clip holds the
    class."""
    clip, k = np.nonzero((targets >= 0) & (scores >= event_thresholds.DEFAULT))
    best = np.where(targets > 0, scores, 0).max(axis=1)
    return facts.iloc[clip].assign(
        decided=np.array(labels)[k],
        score=scores[clip, k].astype(float),
        score_of_truth=best[clip].astype(float),
        kind=np.where(targets[clip, k] > 0, "right", "mistake"),
    )


def _classifier(prepared: Prepared, folder: Path, row: Any) -> "TorchClassifier":
    """The classifier of a clip's cell."""
    from hubbub.classifier.torch_classifier import TorchClassifier

    saved = run_folder.classifier_folder(run_folder.cell_folder(folder, row.fold, row.seed))
    return TorchClassifier.load(saved, prepared.network).to(prepared.recipe.train.device)


def _sample(prepared: Prepared, model: "TorchClassifier", place: Path, number: int, row: Any) -> dict[str, Any]:
    """Draws and explains one clip with the classifier of its cell; returns its entry in the list."""
    from hubbub.inference import explain

    clip = int(np.flatnonzero(prepared.clips.table["clip"] == row.clip)[0])
    names = {part: f"{number:02d}-{part}.png" for part in ("spectrogram", "gradcam")}
    entry = {name: getattr(row, name) for name in ("clip", *_FACTS)} | names
    if isinstance(prepared.sound, Waves):
        whole = prepared.sound.wave(clip)
        wave = whole[: round(LONGEST_S * model.rate_hz)]
        found = explain.explain(model, wave, model.rate_hz, row.decided)
        decibels, axes = found.decibels, (found.times, found.hz)
        plots.spectrogram(decibels, *axes, place / names["spectrogram"])
        plots.heatmap(decibels, found.map, *axes, place / names["gradcam"])
        sound = f"{number:02d}.mp3"
        write_mp3(place / sound, wave, model.rate_hz)
        seconds, shown = (len(w) / model.rate_hz for w in (whole, wave))
        part = f"the first {shown:.0f} s shown" if shown < seconds else ""
        return entry | {"method": found.method, "seconds": seconds, "part": part, "sound": sound}
    segments = prepared.sound.cut(clip, model)
    scores, _ = model.predict_proba(model.outputs(segments), [0])
    strongest = int(scores[:, model.labels.index(row.decided)].argmax())
    seen, heat = explain.explain_spectrogram(model, segments[strongest], row.decided)
    plots.network_input(seen, place / names["spectrogram"])
    plots.network_input(seen, place / names["gradcam"], heat)
    part = f"segment {strongest + 1} of {len(segments)} shown" if len(segments) > 1 else ""
    return entry | {"method": "Grad-CAM", "seconds": None, "part": part, "sound": None}


def write_mp3(path: Path, wave: Wave, rate_hz: int) -> None:
    """Writes an MP3 file: every browser plays it, at a sixth of a WAV file's size."""
    if rate_hz not in _MP3_HZ:
        wave, rate_hz = decode.resample(wave, rate_hz, 44_100), 44_100
    soundfile.write(path, wave / max(1.0, float(np.abs(wave).max())), rate_hz, format="MP3")
