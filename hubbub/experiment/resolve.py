"""The one place that resolves a recipe: what the machine and the data decide, before anything else is done.

`network.mode = "auto"` becomes `head` or `finetune`, and `protocol.kind = "auto"` the protocol that the data allow.
For spectrograms and images as data, the front end and the augmentation are reduced to what applies to them. A resolved
recipe stays as it is when it is resolved again.
"""

from dataclasses import dataclass

from hubbub.config.augment import SPECTROGRAM, Augment
from hubbub.config.data import Protocol
from hubbub.config.recipe import Recipe
from hubbub.config.sections import Head
from hubbub.data import folds, splits
from hubbub.data.clips import Clips, ClipsError, hold_out
from hubbub.data.features import LATER
from hubbub.data.folds import decide
from hubbub.data.open import open_clips
from hubbub.experiment.fit_to_labels import fit_to_labels

__all__ = ["Resolved", "fit_to_data", "middle_candidates", "resolve", "with_protocol"]

#: Front-end settings that are applied after the stored arrays were made, so the recipe may change them.
_APPLIED_LATER = {
    "images": {"size", "standardise"},
    "spectrograms": set(LATER),
}
#: Settings of heads whose candidates the validation part chooses from.
_CHOSEN = ("c", "shrinkage", "epochs")


@dataclass(frozen=True)
class Resolved:
    """A recipe with nothing left to decide but the number of folds that are made, and its clips with folds, without
    held-out classes in training.

    `caveats` belong beside every figure of the recipe; `notes` are for the log.
    """

    recipe: Recipe
    clips: Clips
    caveats: tuple[str, ...]
    notes: tuple[str, ...]


def resolve(recipe: Recipe, *, one_fold: bool = False) -> Resolved:
    """Decides what a recipe leaves open. With `one_fold`, k-fold and leave-one-group-out whose recipe names no folds
    test their first fold only. Raises `ClipsError` or `SplitError` where recipe and data do not fit together."""
    recipe, caveats = _fit_to_machine(recipe)
    clips = open_clips(recipe)
    recipe, on_labels = fit_to_labels(recipe, clips)
    clips = hold_out(clips, recipe.data.held_out)
    recipe = with_protocol(recipe, decide(clips, recipe.protocol))
    recipe, notes = fit_to_data(recipe, clips)
    notes = (*on_labels, *notes)
    splits.refuse_one_class(clips)
    clips, _ = folds.make_folds(clips, recipe.protocol)
    found = splits.make_splits(clips, recipe.protocol)  # refuses what cannot be split, before anything is decoded
    if one_fold and recipe.protocol.kind in ("kfold", "logo") and len(found) > 1 and not recipe.protocol.folds:
        first = recipe.protocol.model_copy(update={"folds": (found[0].name,)})
        recipe = with_protocol(recipe, first).retitled(recipe)
        notes += (f"--quick tests fold {found[0].name} alone, the first of {len(found)}; protocol.folds names others",)
    return Resolved(recipe, clips, caveats, notes)


def with_protocol(recipe: Recipe, protocol: Protocol) -> Recipe:
    """The recipe under another protocol. Without a validation part nothing is chosen: of several candidates of a head's
    setting the middle one stays."""
    if protocol == recipe.protocol:
        return recipe
    head = recipe.head
    if protocol.validation == "none" and recipe.protocol.validation != "none":
        head = head.model_copy(update=middle_candidates(head))
    return recipe.model_copy(update={"protocol": protocol, "head": head})


def middle_candidates(head: Head) -> dict[str, tuple[float, ...]]:
    """The middle one of the candidates of each of a head's settings, where no validation part chooses."""
    candidates = {name: getattr(head, name) for name in _CHOSEN}
    return {name: values[(len(values) - 1) // 2 :][:1] for name, values in candidates.items()}


def _fit_to_machine(recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
    from hubbub.runtime.devices import choose_device

    if recipe.network.mode != "auto":
        return recipe, ()
    mode = "head" if choose_device(recipe.train.device) == "cpu" else "finetune"
    network = recipe.network.model_copy(update={"mode": mode})
    caveat = "HEAD ONLY: without an accelerator the network stayed frozen, but for its last layer and any attention"
    return recipe.model_copy(update={"network": network}).retitled(recipe), (caveat,) if mode == "head" else ()


def fit_to_data(recipe: Recipe, clips: Clips) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe as it applies to these clips, and notes on what is left out of it.

    Sound changes nothing. For spectrograms and images the settings that made them must be the recipe's; where these
    are not known, the front end is `precomputed`. Augmentation of waves (and for images, of spectrograms) is left out:
    the augmented copies of the data set replace it. Raises `ClipsError` where recipe and data do not fit together.
    """
    if clips.kind == "sound":
        if recipe.frontend.name == "precomputed":
            raise ClipsError(
                f"{clips.name} holds sound, which frontend.name = 'precomputed' does not take. Set it to 'logmel'."
            )
        return recipe, ()
    if recipe.frontend.name == "none":
        raise ClipsError(
            f"{recipe.network.name} takes sound, and {clips.name} holds {clips.kind}. Use a network that takes "
            "spectrograms, with frontend.name = 'logmel'."
        )
    if recipe.teacher:
        raise ClipsError(
            f"the teacher takes sound, and {clips.name} holds {clips.kind}. Leave [teacher] out of the recipe."
        )
    if recipe.evaluate.hop:
        raise ClipsError(
            f"evaluate.hop cuts sound into other segments, and {clips.name} holds {clips.kind}. Leave it out."
        )
    content = recipe.model_dump(exclude_none=True)
    if clips.settings is None:
        content["frontend"]["name"] = "precomputed"
    elif recipe.frontend.name == "logmel":
        _refuse_other_settings(recipe, clips)
    applicable = {"mixup", *(SPECTROGRAM if clips.kind == "spectrograms" else ())}
    dropped = [name for name in Augment.model_fields if getattr(recipe.augment, name) and name not in applicable]
    for name in dropped:
        del content["augment"][name]
    notes = (f"left out, not applicable to {clips.kind}: augment.{', '.join(dropped)}",) if dropped else ()
    return Recipe.of(content, clips.name), notes


def _refuse_other_settings(recipe: Recipe, clips: Clips) -> None:
    assert clips.settings is not None
    ours = recipe.model_dump(mode="json")
    for section in ("audio", "windows", "frontend"):
        for name, stored in clips.settings[section].items():
            later = section == "frontend" and name in _APPLIED_LATER[clips.kind]
            if not later and ours[section].get(name) != stored:
                raise ClipsError(
                    f"{clips.name}: its {clips.kind} were made with {section}.{name} = {stored!r}, and the recipe has "
                    f"{ours[section].get(name)!r}. Use the recipe they were made with, or set frontend.name = "
                    "'precomputed' for a classifier that takes only such data."
                )
