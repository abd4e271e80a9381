"""A recipe as it applies to clips of one label each, to clips that may hold several, or to annotations with times."""

from typing import Any

from hubbub.classifier.calibration import BY_EMBEDDING, UNKNOWN
from hubbub.classifier.event_thresholds import FILTERED
from hubbub.config.augment import MOVES, Augment
from hubbub.config.recipe import Recipe
from hubbub.data.clips import Clips, ClipsError

__all__ = ["fit_to_labels"]


def fit_to_labels(recipe: Recipe, clips: Clips) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe for these clips, and notes on what is left out of it.

    Raises `ClipsError` where recipe and labels do not fit together.
    """
    if recipe.evaluate.events in FILTERED and (clips.timed is None or clips.timed.empty):
        raise ClipsError(
            f"{clips.name}: evaluate.events = '{recipe.evaluate.events}' is for annotations with times, with "
            "data.multilabel. Set it to best_f1, precision, false_alarms or none."
        )
    if clips.multilabel:
        return _for_label_sets(recipe, clips)
    _refuse_one_label(recipe, clips.name)
    return recipe, ()


def _refuse_one_label(recipe: Recipe, name: str) -> None:
    """Raises `ClipsError` where a recipe is for clips that may hold several labels."""
    of_sets = {
        f"network.name = '{recipe.network.name}'": recipe.framewise,
        f"train.loss = '{recipe.train.loss}'": recipe.train.loss not in ("auto", "cross_entropy"),
        f"train.monitor = '{recipe.train.monitor}'": recipe.train.monitor == "val_macro_map",
    }
    if wrong := [setting for setting, there in of_sets.items() if there]:
        raise ClipsError(
            f"{name}: each clip has one label, and {wrong[0]} is for clips that may hold several. Change it, or add "
            "--multilabel if they may."
        )


def _for_label_sets(recipe: Recipe, clips: Clips) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe without what is for clips of one label. Raises `ClipsError` where it cannot do without."""
    of_one = {
        "[teacher]": recipe.teacher is not None,
        "data.held_out": bool(recipe.data.held_out),
        "head.name = 'lda'": recipe.head.name == "lda",
        "head.name = 'zeroshot'": recipe.head.name == "zeroshot",
        "train.loss = 'cross_entropy'": recipe.train.loss == "cross_entropy",
    }
    if wrong := [setting for setting, there in of_one.items() if there]:
        instead = "Use head.name = 'logreg'." if "head.name" in wrong[0] else "Leave it out, or use another recipe."
        raise ClipsError(
            f"{clips.name}: a clip may hold several classes, and {wrong[0]} is for clips of one label. {instead}"
        )
    if recipe.framewise and "sampler" in recipe.train.balance:
        raise ClipsError(f"{clips.name}: a sampler cannot balance frames. Set train.balance to weights or none.")
    changed: dict[str, dict[str, Any]] = {"data": {"multilabel": True}}
    left_out = []
    if recipe.evaluate.unknown in BY_EMBEDDING:
        changed["evaluate"] = {"unknown": UNKNOWN[0]}
        left_out.append(f"evaluate.unknown = '{recipe.evaluate.unknown}'")
    moving = (*(MOVES if recipe.framewise else ()), *(("crop",) if clips.timed is not None else ()))
    if dropped := [key for key in dict.fromkeys(("outliers", *moving)) if getattr(recipe.augment, key)]:
        changed["augment"] = {key: Augment.model_fields[key].default for key in dropped}
        left_out += [f"augment.{key}" for key in dropped]
    if recipe.train.monitor == "val_accuracy":
        changed["train"] = {"monitor": "val_macro_map"}
        left_out.append("train.monitor = 'val_accuracy' (val_macro_map chooses the epoch)")
    sections = {name: getattr(recipe, name).model_copy(update=values) for name, values in changed.items()}
    notes = (f"left out, not applicable to these labels: {', '.join(left_out)}",) if left_out else ()
    return recipe.model_copy(update=sections).retitled(recipe), notes
