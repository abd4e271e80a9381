"""TO BE DESCRIBED."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.inference.explain import ExplainError, Explanation, _refuse_unknown, listen, look
from hubbub.report import plots
from hubbub.runtime import files

__all__ = ["CARD", "write", "write_given"]


CARD = "explanation.json"


#: Of segments: each takes a third of a second to draw.
MOST_PICTURES = 8


def write_given(
    classifier: TorchClassifier, file: Path, folder: str | Path, label: str | None = None
) -> dict[str, Any]:
    """What `look` sees of a picture or a spectrogram, as `write` writes it: `shown.png`, `gradcam.png` and the JSON."""
    _refuse_unknown(classifier, label)
    folder = _free(folder)
    heard = classifier.eval().classify(file)
    label = label or heard.label
    shown, heat = look(classifier, classifier.load_precomputed(file)[0], label)
    card = {"label": label, "method": "Grad-CAM", "remarks": [], "scores": {"original": heard.scores}}
    card["files"] = {"shown": "shown.png", "gradcam": "gradcam.png"}
    with files.whole_folder(folder, CARD) as temporary:
        plots.network_input(shown, temporary / "shown.png")
        plots.network_input(shown, temporary / "gradcam.png", heat)
        files.write_json(temporary / CARD, card)
    return card


def _free(folder: str | Path) -> Path:
    folder = Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / CARD).is_file()):
        raise ExplainError(f"{folder} is there and is no explanation. Give a new or an empty folder.")
    return folder


def write(classifier: TorchClassifier, explanation: Explanation, folder: str | Path) -> dict[str, Any]:
    """Pictures, sounds and `explanation.json` in a folder, whole or not at all; returns what the JSON holds.

    Only the `MOST_PICTURES` segments with the strongest maps are drawn. Sounds are 32-bit float WAV files, which
    clipping cannot change. Raises `ExplainError` where the folder holds anything but an earlier explanation.
    """
    folder = _free(folder)
    kept, rest = listen(explanation)
    said = {name: classifier.classify(wave, explanation.rate_hz) for name, wave in (("listened", kept), ("rest", rest))}
    # A last segment can be too short to have a frame.
    drawn = [s for s, one in enumerate(explanation.segments) if len(one.times)]
    drawn.sort(key=lambda s: -explanation.segments[s].map.max())
    pictures = {s: f"segment-{s + 1:04d}.png" for s in sorted(drawn[:MOST_PICTURES])}
    card: dict[str, Any] = {
        "label": explanation.label,
        "method": explanation.method,
        "remarks": list(explanation.remarks),
        **({"warnings": list(explanation.heard.warnings)} if explanation.heard.warnings else {}),
        "scores": {name: heard.scores for name, heard in {"original": explanation.heard, **said}.items()},
        "seconds": explanation.heard.seconds,
        "segments": [
            {"start": one.start, "end": one.end, "score": one.score, "picture": pictures.get(number)}
            for number, one in enumerate(explanation.segments)
        ],
        "files": {"clip": "clip.png", "listened": "listened.wav", "rest": "rest.wav"},
    }
    decibels = explanation.decibels
    with files.whole_folder(folder, CARD) as temporary:
        title = f"{explanation.label} {explanation.score:.2f} ({explanation.method})"
        plots.explained(decibels, explanation.map, explanation.times, explanation.hz, title, temporary / "clip.png")
        for number, name in pictures.items():
            one = explanation.segments[number]
            frames = np.isin(explanation.times, one.times)
            title = f"{explanation.label} {one.score:.2f} from {one.start:.2f} to {one.end:.2f} s"
            plots.heatmap(decibels[:, frames], one.map, one.times, explanation.hz, temporary / name, title)
        for name, wave in (("listened", kept), ("rest", rest)):
            soundfile.write(temporary / f"{name}.wav", wave, explanation.rate_hz, subtype="FLOAT")
        files.write_json(temporary / CARD, card)
    return card
