"""Settings that a search found, carried over into another recipe: `hubbub bench RECIPE --from runs/SEARCH/best.toml`.

Data, protocol and title stay the recipe's. So do the test parts closed: a recipe may not test on what the search used.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubbub.config.data import Protocol
from hubbub.config.recipe import CANDIDATES, Recipe, RecipeError
from hubbub.config.searchable import FIXED, SEARCHED
from hubbub.config.settings import as_setting, short_value
from hubbub.experiment.resolve import middle_candidates

__all__ = ["BEST", "NOTHING", "CarriedOver", "carry_over"]

#: The recipe of a search's best trial, in the search's folder.
BEST = "best.toml"
#: Settings hold for these of a recipe alone.
_SAME = ("audio.rate_hz", "network.name", "network.weights", "network.mode", "head.name")
#: Reductions of the rate in a training that has no plateau to follow: as many as system C's search ends with.
_REDUCTIONS = 2
#: ESC-10 is a part of ESC-50, with the same folds.
_WHOLE = {"esc10": "esc50"}


@dataclass(frozen=True)
class CarriedOver:
    """What replaces a recipe's sections, settings that precede the user's own, and a line for each thing to be said."""

    sections: dict[str, Any]
    settings: tuple[str, ...]
    lines: tuple[str, ...]


#: No search, no settings.
NOTHING = CarriedOver({}, (), ())


def carry_over(source: Path, recipe: Recipe, name: str) -> CarriedOver:
    """All that a search may change, from the recipe file `source` or a search's folder, for the recipe called `name`.

    Where the recipe has no validation part, a plateau becomes the exponential schedule that ends where two of its
    reductions would, and of several candidates of a head's setting the middle one stays. Raises `RecipeError` where
    the settings are for another network, head or sample rate, and where the recipe tests on what the search used.
    """
    file = source / BEST if os.path.isdir(source) else source
    found = Recipe.load(file)
    if other := [field for field in _SAME if _value(found, field) != _value(recipe, field)]:
        theirs = ", ".join(f"{field} = {_value(found, field)!r}" for field in other)
        ours = ", ".join(repr(_value(recipe, field)) for field in other)
        settings = " ".join(f"--set {as_setting(field, _value(found, field))}" for field in other)
        raise RecipeError(
            f"--from {file}: its settings are for {theirs}, and {name} has {ours}. Give a recipe that has the same, or "
            f"{settings}."
        )
    folds = _closed_folds(file, found, recipe, name)
    own, sections = _sections(recipe), _sections(found)
    for section, field in (field.split(".") for field in FIXED):
        sections[section].pop(field, None)
        if field in own[section]:
            sections[section][field] = own[section][field]
    lines = _fit_to_protocol(sections, own, found, recipe)
    before, after = dict(_flat(own)), dict(_flat(sections))
    changed = [f"{field} = {short_value(after[field])}" for field in after if before.get(field) != after[field]]
    changed += [f"no {field}" for field in before if field not in after]
    lines.insert(0, f"from {file}: {', '.join(changed) or 'nothing, the recipe has these settings already'}")
    if folds:
        lines.append(f"tested on fold {', '.join(folds)} alone: the search used the others")
    return CarriedOver(sections, (as_setting("protocol.folds", list(folds)),) if folds else (), tuple(lines))


def _sections(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude_none=True, include=set(SEARCHED))


def _fit_to_protocol(sections: dict[str, Any], own: dict[str, Any], found: Recipe, recipe: Recipe) -> list[str]:
    """Replaces what needs a validation part where the recipe has none; a line for each."""
    if recipe.protocol.validation != "none":
        return []
    lines, train = [], sections["train"]
    if train["schedule"] == "plateau":
        factor, epochs = train["plateau_factor"], train["epochs"] - train["freeze_epochs"]
        gamma = round(factor ** (_REDUCTIONS / max(epochs, 1)), 4)
        train |= {"schedule": "exponential", "gamma": gamma}
        train |= {key: own["train"][key] for key in ("plateau_factor", "plateau_patience")}
        lines.append(
            f"train.schedule = plateau needs a validation part, and there is none; instead: exponential, gamma {gamma} "
            f"(ends where {_REDUCTIONS} reductions by {factor:.3g} would)"
        )
    key = CANDIDATES.get(found.head.name)
    if key and len(candidates := getattr(found.head, key)) > 1:
        sections["head"][key] = list(middle_candidates(found.head)[key])
        listed = ", ".join(map(str, candidates))
        lines.append(f"head.{key}: no validation part chooses among {listed}; instead: {sections['head'][key][0]}")
    return lines


def _closed_folds(file: Path, found: Recipe, recipe: Recipe, name: str) -> tuple[str, ...]:
    """The folds that the recipe is restricted to; none where it tests on nothing that the search used. Raises
    `RecipeError` where it does, or may do so."""
    theirs, ours = found.protocol, recipe.protocol
    same_data = _WHOLE.get(found.data.name, found.data.name) == _WHOLE.get(recipe.data.name, recipe.data.name)
    whole = theirs.kind in ("kfold", "logo") and not theirs.folds  # no search's: it leaves one fold out
    if not same_data or whole or ours.allow_leaky:
        return ()
    by_fold = ("kfold", "fixed")
    if theirs.kind != ours.kind and not (theirs.kind in by_fold and ours.kind in by_fold):
        raise RecipeError(
            f"--from {file}: the search split the data by protocol '{theirs.kind}', and {name} splits them by "
            f"'{ours.kind}', so its test part may hold clips that the search used. Give a recipe with "
            f"protocol.kind = '{theirs.kind}'."
        )
    if theirs.kind not in ("kfold", "fixed", "logo", "csv"):
        if theirs.model_copy(update={"folds": ours.folds}) != ours:
            raise RecipeError(
                f"--from {file}: the search split the data otherwise than {name}, so its test part may hold clips that "
                "the search used. Give both the same [protocol]."
            )
        return ()
    tested = ours.test if ours.kind in ("fixed", "csv") else ours.folds
    if not tested and theirs.folds:
        return theirs.folds
    if not tested or any(_is_used(theirs, fold) for fold in tested):
        on = f"fold {', '.join(tested)}" if tested else "all folds"
        others = f"fold {', '.join(theirs.folds)}" if theirs.folds else f"folds other than {', '.join(_named(theirs))}"
        raise RecipeError(
            f"--from {file}: {name} tests on {on}, and the search used some of these clips to choose the settings, so "
            f"the figure would be too good. Test on {others}."
        )
    return ()


def _named(protocol: Protocol) -> Sequence[str]:
    return tuple(dict.fromkeys((*protocol.train, *protocol.val)))


def _is_used(protocol: Protocol, fold: str) -> bool:
    """Whether the search of this protocol trained or validated on a fold."""
    if protocol.kind in ("fixed", "csv"):
        return fold in _named(protocol)
    return fold not in protocol.folds and (not protocol.train or fold in protocol.train)


def _value(recipe: Recipe, field: str) -> Any:
    section, name = field.split(".")
    return getattr(getattr(recipe, section), name)


def _flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
