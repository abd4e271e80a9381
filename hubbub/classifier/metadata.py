"""What a saved or exported classifier says of itself, checked before anything is made of it.

It is JSON that anybody may have written or damaged: `classifier.json` of a folder, the metadata of an ONNX file. What
is not as hubbub writes it is a `ClassifierError` here, and no other exception later.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from hubbub.classifier.base import ClassifierError
from hubbub.classifier.calibration import Confidence
from hubbub.classifier.pooling import Activation
from hubbub.config.recipe import Recipe, RecipeError

__all__ = ["Described", "described", "parsed"]


@dataclass(frozen=True)
class Described:
    """All of a classifier but its network and its head."""

    recipe: Recipe
    labels: tuple[str, ...]
    activation: Activation
    card: dict[str, Any]
    confidence: Confidence


def parsed(text: str, source: str, reads: int) -> dict[str, Any]:
    """The JSON object that `source` holds, of the format that is read here. Raises `ClassifierError`."""
    try:
        held = json.loads(text)
        json.dumps(held, allow_nan=False)  # JSON has no NaN, and Python reads them
    except (ValueError, RecursionError) as error:
        raise ClassifierError(
            f"{source} is not a whole classifier: it is no JSON ({error}). Save, export or copy it again."
        ) from error
    if not isinstance(held, dict) or "format" not in held:
        raise ClassifierError(f"{source} is not a whole classifier: it says no format. Save, export or copy it again.")
    if held["format"] != reads or isinstance(held["format"], bool):
        raise ClassifierError(
            f"{source} was saved in format {str(held['format'])[:80]}; this hubbub reads {reads}. Update hubbub, or "
            "train and export it again with this one."
        )
    return held


def described(held: Mapping[str, Any], source: str) -> Described:
    """What `parsed` gave -> its parts. Raises `ClassifierError`."""
    missing = [name for name in ("recipe", "labels", "activation", "card", "confidence") if name not in held]
    if missing:
        raise _not_whole(source, f"'{missing[0]}' is missing")
    labels, activation, card, confidence = (held[name] for name in ("labels", "activation", "card", "confidence"))
    if not isinstance(labels, list) or not labels or not all(isinstance(one, str) and one.strip() for one in labels):
        raise _not_whole(source, "its labels are no list of names")
    if len(set(labels)) < len(labels):
        raise _not_whole(source, "a label stands there twice")
    if activation not in get_args(Activation):
        raise _not_whole(source, f"its activation is neither {' nor '.join(get_args(Activation))}")
    if not isinstance(card, dict) or not _is_list_of_texts(card.get("not_comparable", [])):
        raise _not_whole(source, "its card is none")
    if not isinstance(confidence, dict) or not _is_confidence(confidence):
        raise _not_whole(source, "its confidence is not two temperatures above 0 and a threshold")
    if not isinstance(held["recipe"], dict):
        raise _not_whole(source, "its recipe is none")
    try:
        recipe = Recipe.of(held["recipe"], source)
    except RecipeError as error:
        raise _not_whole(source, str(error)) from error
    return Described(recipe, tuple(labels), activation, card, Confidence(**confidence))


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_confidence(given: dict[str, Any]) -> bool:
    """Whether `Confidence` can be made of it: temperatures above 0, and a finite threshold where there is one."""
    names = {one.name for one in fields(Confidence)}
    numbers = {name: value for name, value in given.items() if (name, value) != ("threshold", None)}
    if not given.keys() <= names or not all(_is_number(value) for value in numbers.values()):
        return False
    return all(value > 0 for name, value in numbers.items() if name != "threshold")


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )


def _not_whole(source: str, why: str) -> ClassifierError:
    return ClassifierError(f"{source} is not whole: {why}. Save, export or copy it again.")
