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


def test_one_fold_is_the_first_and_only_where_the_recipe_names_none() -> None:
    settings = [*SMALL, "protocol.kind=kfold"]
    recipe = Recipe.load("street-cnn", settings, quick=True)
    assert recipe.protocol.folds == (), "the small form's folds are of its own protocol"
    assert resolve(recipe).recipe is recipe
    one = resolve(recipe, one_fold=True)
    assert one.recipe.protocol.folds == ("1",) and "tested on fold 1 alone" in one.recipe.title
    assert one.notes == ("--quick tests fold 1 alone, the first of 5; protocol.folds names others",)
    again = resolve(one.recipe, one_fold=True)
    assert again.recipe == one.recipe and again.notes == ()


def test_one_fold_leaves_named_folds_and_other_protocols() -> None:
    for settings in (['protocol.folds=["2","3"]'], ["protocol.kind=grouped"], ["protocol.kind=holdout"]):
        recipe = Recipe.load("street-cnn", [*SMALL, *settings], quick=True)
        assert resolve(recipe, one_fold=True).recipe.protocol == resolve(recipe).recipe.protocol
