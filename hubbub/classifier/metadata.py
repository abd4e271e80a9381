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
from hubbub.classifier.calibration import BY_EMBEDDING, DISTANCE, OUTLIERS, Confidence
from hubbub.classifier.known_outliers import KnownOutliers
from hubbub.classifier.pooling import Activation
from hubbub.classifier.postprocess import Filter, PostProcessError
from hubbub.classifier.typicality import Typicality, TypicalityError
from hubbub.config.recipe import Recipe, RecipeError

__all__ = ["Metadata", "parse_json", "read_metadata", "read_typicality"]


#: The fields of `Confidence` that may have an entry for each class.
_BY_CLASS = {
    "events": "thresholds of events",
    "clips": "thresholds of clips",
    "segment": "temperatures of segments",
    "clip": "temperatures of clips",
    "filters": "filters of frames",
}


@dataclass(frozen=True)
class Metadata:
    """All of a classifier except its network and its head."""

    recipe: Recipe
    labels: tuple[str, ...]
    activation: Activation
    card: dict[str, Any]
    confidence: Confidence


def parse_json(text: str | bytes, source: str, reads: int) -> dict[str, Any]:
    """The JSON object that `source` holds, in format `reads`. Raises `ClassifierError`."""
    try:
        content = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
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
    for name in _BY_CLASS:
        if isinstance(confidence.get(name), list) and len(confidence[name]) != len(labels):
            raise _not_whole(source, f"its {_BY_CLASS[name]} are not as many as its labels")
    if not isinstance(content["recipe"], dict):
        raise _not_whole(source, "its recipe is not an object")
    try:
        recipe = Recipe.of(content["recipe"], source)
    except RecipeError as error:
        raise _not_whole(source, str(error)) from error
    if activation == "softmax" and any(isinstance(confidence.get(name), list) for name in ("segment", "clip", "clips")):
        raise _not_whole(source, "its classes exclude each other, and are calibrated one by one")
    return Metadata(
        recipe, tuple(labels), activation, card, Confidence(**{k: _frozen(v) for k, v in confidence.items()})
    )


def read_typicality(metadata: Metadata, content: bytes | None, source: str) -> Typicality | KnownOutliers | None:
    """What open-set rejection needs of embeddings, from the content of its file; None where there is no file. Raises
    `ClassifierError` where it is damaged, and where the classifier's threshold needs it and it is missing."""
    how, confidence = metadata.recipe.evaluate.unknown, metadata.confidence
    missing = content is None or (how == DISTANCE and confidence.typicality_weight is None)
    if missing and how in BY_EMBEDDING and confidence.threshold is not None:
        needed = "known outliers" if how == OUTLIERS else "distances to training clips"
        raise _not_whole(source, f"its threshold is for {needed}, which are missing")
    if content is None:
        return None
    try:
        if how == OUTLIERS:
            return KnownOutliers.from_bytes(content)
        return Typicality.from_bytes(content, metadata.recipe.head.compress)
    except TypicalityError as error:
        raise _not_whole(source, str(error)) from error


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_confidence(confidence: dict[str, Any]) -> bool:
    """Whether these are fields of `Confidence`: temperatures above 0, a finite threshold and weight or None, and
    thresholds of classes that are shares."""
    checks = {
        "segment": _is_scaling,
        "clip": _is_scaling,
        "threshold": lambda value: value is None or _is_number(value),
        "typicality_weight": lambda value: value is None or _is_number(value),
        "events": _are_shares,
        "clips": _are_shares,
        "filters": _are_filters,
    }
    assert checks.keys() == {one.name for one in fields(Confidence)}
    return confidence.keys() <= checks.keys() and all(checks[name](value) for name, value in confidence.items())


def _is_scaling(value: Any) -> bool:
    """Whether this is a temperature, or a list of pairs of a temperature and an offset."""
    if not isinstance(value, list):
        return _is_number(value) and value > 0
    pairs = all(isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) for pair in value)
    return bool(value) and pairs and all(temperature > 0 for temperature, _ in value)


def _are_shares(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(_is_share(one) for one in value))


def _are_filters(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return False
    try:
        return all(_is_number(part) for one in value for name, part in one.items() if name != "kind") and bool(
            [Filter.of(one) for one in value]
        )
    except (PostProcessError, TypeError):
        return False


def _frozen(value: Any) -> Any:
    """JSON's lists as tuples, and its objects as filters."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return Filter.of(value) if isinstance(value, dict) else value


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 < value <= 1


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )


def _not_whole(source: str, why: str) -> ClassifierError:
    return ClassifierError(f"{source} is not whole: {why}. Save, export or copy it again.")
