"""Read and check the metadata of a saved or exported classifier before anything is built from it.

It is JSON that anybody may have written or damaged: `classifier.json` of a folder, the metadata of an ONNX file. What
differs from what hubbub writes is a `ClassifierError` here, and no other exception later.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from hubbub.classifier.base import ClassifierError
from hubbub.classifier.calibration import DISTANCE, Confidence
from hubbub.classifier.pooling import Activation
from hubbub.config.recipe import Recipe, RecipeError

__all__ = ["Metadata", "parse_json", "read_metadata", "refuse_without_distances"]


@dataclass(frozen=True)
class Metadata:
    """All of a classifier except its network and its head."""

    recipe: Recipe
    labels: tuple[str, ...]
    activation: Activation
    card: dict[str, Any]
    confidence: Confidence


def parse_json(text: str, source: str, reads: int) -> dict[str, Any]:
    """The JSON object that `source` holds, in format `reads`. Raises `ClassifierError`."""
    try:
        content = json.loads(text)
        json.dumps(content, allow_nan=False)  # JSON has no NaN, and Python reads them
    except (ValueError, RecursionError) as error:
        raise ClassifierError(
            f"{source} is not a whole classifier: it is not JSON ({error}). Save, export or copy it again."
        ) from error
    if not isinstance(content, dict) or "format" not in content:
        raise ClassifierError(f"{source} is not a whole classifier: it names no format. Save, export or copy it again.")
    if content["format"] != reads or isinstance(content["format"], bool):
        raise ClassifierError(
            f"{source} was saved in format {str(content['format'])[:80]}; this hubbub reads {reads}. Update hubbub, or "
            "train and export it again with this one."
        )
    return content


def read_metadata(content: Mapping[str, Any], source: str) -> Metadata:
    """The JSON object of `source` -> the metadata in it. Raises `ClassifierError`."""
    missing = [name for name in ("recipe", "labels", "activation", "card", "confidence") if name not in content]
    if missing:
        raise _not_whole(source, f"'{missing[0]}' is missing")
    labels, activation, card, confidence = (content[name] for name in ("labels", "activation", "card", "confidence"))
    if not isinstance(labels, list) or not labels or not all(isinstance(one, str) and one.strip() for one in labels):
        raise _not_whole(source, "its labels are not a list of names")
    if len(set(labels)) < len(labels):
        raise _not_whole(source, "a label occurs twice")
    if activation not in get_args(Activation):
        raise _not_whole(source, f"its activation is neither {' nor '.join(get_args(Activation))}")
    if not isinstance(card, dict) or not _is_list_of_texts(card.get("not_comparable", [])):
        raise _not_whole(source, "its card is not an object, or its not_comparable is not a list of texts")
    if not isinstance(confidence, dict) or not _is_confidence(confidence):
        raise _not_whole(source, "its confidence is not two temperatures above 0, a threshold, a weight and shares")
    if confidence.get("events") is not None and len(confidence["events"]) != len(labels):
        raise _not_whole(source, "its thresholds of events are not as many as its labels")
    if not isinstance(content["recipe"], dict):
        raise _not_whole(source, "its recipe is not an object")
    try:
        recipe = Recipe.of(content["recipe"], source)
    except RecipeError as error:
        raise _not_whole(source, str(error)) from error
    events = confidence.get("events")
    of_events = {"events": None if events is None else tuple(map(float, events))}
    return Metadata(recipe, tuple(labels), activation, card, Confidence(**confidence | of_events))


def refuse_without_distances(metadata: Metadata, has: bool, source: str) -> None:
    """Raises `ClassifierError` where open-set rejection is by distance, and the distances are missing."""
    confidence = metadata.confidence
    if metadata.recipe.evaluate.unknown != DISTANCE or confidence.threshold is None:
        return
    if not has or confidence.typicality_weight is None:
        raise _not_whole(source, "its threshold is for distances to training clips, which are missing")


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_confidence(confidence: dict[str, Any]) -> bool:
    """Whether these are fields of `Confidence`: temperatures above 0, and a finite threshold and weight or None."""
    names, optional = {one.name for one in fields(Confidence)}, ("threshold", "typicality_weight")
    events = confidence.get("events")
    if events is not None and not (isinstance(events, list) and all(_is_share(one) for one in events)):
        return False
    numbers = {
        name: value
        for name, value in confidence.items()
        if name != "events" and (value is not None or name not in optional)
    }
    if not confidence.keys() <= names or not all(_is_number(value) for value in numbers.values()):
        return False
    return all(value > 0 for name, value in numbers.items() if name not in optional)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 < value <= 1


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )


def _not_whole(source: str, why: str) -> ClassifierError:
    return ClassifierError(f"{source} is not whole: {why}. Save, export or copy it again.")
