"""Write an explanation as a folder of images, sounds and `explanation.json`."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from hubbub.classifier.base import Classifier
from hubbub.inference.explain import ExplainError, Explanation, check_label, explain_spectrogram, split_audio
from hubbub.inference.stretches import Strongest
from hubbub.report import plots
from hubbub.runtime import files

__all__ = ["CARD", "write_explanation", "write_spectrogram_explanation", "write_strongest"]

CARD = "explanation.json"
#: Segments that are drawn: each takes a third of a second.
MOST_IMAGES = 8


def write_spectrogram_explanation(
    classifier: Classifier, file: Path, folder: str | Path, label: str | None = None
) -> dict[str, Any]:
    """Write what `explain_spectrogram` gives for an image or a spectrogram: `shown.png`, `gradcam.png` and
    `explanation.json`; return what the JSON holds. Raises as `write_explanation` does."""
    check_label(classifier, label)
    folder = _check_folder(folder)
    prediction = classifier.classify(file)
    label = label or prediction.label
    shown, heat = explain_spectrogram(classifier, classifier.load_precomputed(file)[0], label)
    card = {"label": label, "method": "Grad-CAM", "remarks": [], "scores": {"original": prediction.scores}}
    card["files"] = {"shown": "shown.png", "gradcam": "gradcam.png"}
    with files.whole_folder(folder, CARD) as temporary:
        plots.network_input(shown, temporary / "shown.png")
        plots.network_input(shown, temporary / "gradcam.png", heat)
        files.write_json(temporary / CARD, card)
    return card


def _check_folder(folder: str | Path) -> Path:
    folder = Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / CARD).is_file()):
        raise ExplainError(f"{folder} exists and is no explanation. Give a new or an empty folder.")
    return folder


def write_strongest(classifier: Classifier, found: Strongest, folder: str | Path) -> dict[str, Any]:
    """As `write_explanation`; of a long recording each stretch has a folder of its own, `stretch-1` and so on, and
    `explanation.json` says where each of them begins and ends."""
    if found.is_whole:
        return write_explanation(classifier, found.parts[0], folder)
    folder, prediction = _check_folder(folder), found.prediction
    parts = {f"stretch-{number}": part for number, part in enumerate(found.parts, 1)}
    with files.whole_folder(folder, CARD) as temporary:
        cards = {}
        for name, part in parts.items():
            (temporary / name).mkdir()
            cards[name] = _write(classifier, part, temporary / name)
        card = {
            "label": found.label,
            "method": found.parts[0].method,
            "remarks": list(dict.fromkeys(remark for part in found.parts for remark in part.caveats)),
            **({"warnings": list(prediction.warnings)} if prediction.warnings else {}),
            "scores": {"original": prediction.scores},
            "seconds": prediction.seconds,
            "stretches": [
                {"start": part.start, "end": part.start + part.prediction.seconds, "folder": name}
                | {"scores": cards[name]["scores"]}
                for name, part in parts.items()
            ],
        }
        files.write_json(temporary / CARD, card)
    return card


def write_explanation(classifier: Classifier, explanation: Explanation, folder: str | Path) -> dict[str, Any]:
    """Write images, sounds and `explanation.json` into a folder, whole or not at all; return what the JSON holds.

    Only the `MOST_IMAGES` segments with the strongest maps are drawn. Sounds are 32-bit float WAV files, which
    do not clip. Raises `ExplainError` where the folder holds anything but an earlier explanation.
    """
    folder = _check_folder(folder)
    with files.whole_folder(folder, CARD) as temporary:
        return _write(classifier, explanation, temporary)


def _write(classifier: Classifier, explanation: Explanation, place: Path) -> dict[str, Any]:
    """Write one explanation into a new folder; all times are those of the recording."""
    begin, times = explanation.start, explanation.start + explanation.times
    sounds = dict(zip(("listened", "rest"), split_audio(explanation), strict=True))
    predictions = {"original": explanation.prediction} | {
        name: classifier.classify(wave, explanation.rate_hz) for name, wave in sounds.items()
    }
    # A last segment can be too short to have a frame.
    by_strength = [s for s, one in enumerate(explanation.segments) if len(one.times)]
    by_strength.sort(key=lambda s: -explanation.segments[s].map.max())
    images = {s: f"segment-{s + 1:04d}.png" for s in sorted(by_strength[:MOST_IMAGES])}
    card: dict[str, Any] = {
        "label": explanation.label,
        "method": explanation.method,
        "remarks": list(explanation.caveats),
        **({"warnings": list(explanation.prediction.warnings)} if explanation.prediction.warnings else {}),
        "scores": {name: prediction.scores for name, prediction in predictions.items()},
        "seconds": explanation.prediction.seconds,
        "segments": [
            {"start": begin + one.start, "end": begin + one.end, "score": one.score, "picture": images.get(number)}
            for number, one in enumerate(explanation.segments)
        ],
        "files": {"clip": "clip.png", "listened": "listened.wav", "rest": "rest.wav"},
    }
    decibels = explanation.decibels
    title = f"{explanation.label} {explanation.score:.2f} ({explanation.method})"
    plots.explained(decibels, explanation.map, times, explanation.hz, title, place / "clip.png")
    for number, name in images.items():
        one = explanation.segments[number]
        frames = np.isin(explanation.times, one.times)
        title = f"{explanation.label} {one.score:.2f} from {begin + one.start:.2f} to {begin + one.end:.2f} s"
        plots.heatmap(decibels[:, frames], one.map, begin + one.times, explanation.hz, place / name, title)
    for name, wave in sounds.items():
        soundfile.write(place / f"{name}.wav", wave, explanation.rate_hz, subtype="FLOAT")
    files.write_json(place / CARD, card)
    return card
