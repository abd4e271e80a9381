"""A recipe is resolved once: nothing is left to decide, and resolving it again changes nothing."""

import pytest

from hubbub.config.recipe import Recipe
from hubbub.data.clips import ClipsError
from hubbub.experiment.resolve import resolve

SMALL = ["data.limit=1", "network.width=4", 'train.device="cpu"']


def test_the_machine_decides_the_mode_and_a_caveat_says_so() -> None:
    first = resolve(Recipe.load("street-cnn", [*SMALL, "network.mode=auto"]))
    assert first.recipe.network.mode == "head"
    assert [caveat.partition(":")[0] for caveat in first.caveats] == ["HEAD ONLY"]
    again = resolve(first.recipe)
    assert again.recipe == first.recipe and again.caveats == ()


def test_a_recipe_with_nothing_open_stays_as_it_is() -> None:
    recipe = Recipe.load("street-cnn", SMALL)
    resolved = resolve(recipe)
    assert resolved.recipe is recipe
    assert resolved.caveats == () == resolved.notes
    assert len(resolved.clips) == len(resolved.clips.table) > 0


def test_sound_is_no_precomputed_spectrogram() -> None:
    with pytest.raises(ClipsError, match=r"frontend\.name = 'precomputed' does not take"):
        resolve(Recipe.load("street-cnn", [*SMALL, "frontend.name=precomputed", "frontend.size=[32,48]"]))
