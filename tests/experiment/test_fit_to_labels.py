"""fit_to_labels: a recipe for one kind of labels is refused with others, or loses what does not apply, with a note."""

import pandas as pd
import pytest

from hubbub.config.recipe import Recipe
from hubbub.data.clips import Clips, ClipsError, build
from hubbub.experiment.fit_to_labels import fit_to_labels

ROWS = pd.DataFrame({"clip": list("abc"), "path": list("abc"), "group": list("abc")})
ONE = build("one", ROWS.assign(label=["dog", "rain", "dog"]))
SETS = build("sets", ROWS.assign(labels=[("dog",), (), ("dog", "rain")], unknown=[()] * 3))
TIMES = pd.DataFrame({"path": ["a"], "start": [0.0], "end": [1.0], "label": ["dog"]})
TIMED = build("timed", ROWS.assign(labels=[("dog",), (), ("dog", "rain")], unknown=[()] * 3), timed=TIMES)
FRAMEWISE = ("network.name=framewise", "frontend.hop=441")


def recipe(*settings: str) -> Recipe:
    return Recipe.load("esc50-compact", list(settings))


@pytest.mark.parametrize(
    ("clips", "settings", "message"),
    [
        (ONE, ("train.loss=bce",), "each clip has one label, and train.loss = 'bce' is for clips"),
        (ONE, ("train.monitor=val_macro_map",), "train.monitor = 'val_macro_map'"),
        (ONE, FRAMEWISE, "network.name = 'framewise'"),
        (ONE, ("evaluate.events=event_f1",), "is for annotations with times"),
        (SETS, ("evaluate.events=psds1",), "is for annotations with times"),
        (SETS, ("train.loss=cross_entropy",), "may hold several classes, and train.loss = 'cross_entropy'"),
        (SETS, ('data.held_out=["dog"]',), "data.held_out is for clips of one label"),
        (TIMED, (*FRAMEWISE, "train.balance=sampler"), "a sampler cannot balance frames"),
    ],
)
def test_what_cannot_be_is_refused(clips: Clips, settings: tuple[str, ...], message: str) -> None:
    with pytest.raises(ClipsError, match=message):
        fit_to_labels(recipe(*settings), clips)


def test_a_discriminant_analysis_is_refused_with_what_to_take_instead() -> None:
    with pytest.raises(ClipsError, match=r"head\.name = 'lda' is for clips of one label\. Use head"):
        fit_to_labels(Recipe.load("esc50-yamnet", ["head.name=lda"]), SETS)


def test_one_label_changes_nothing() -> None:
    before = recipe()
    assert fit_to_labels(before, ONE) == (before, ())


def test_label_sets_are_said_in_the_recipe_and_what_does_not_apply_is_left_out_with_a_note() -> None:
    given = recipe("augment.outliers.p=0.1", "evaluate.unknown=distance", "train.monitor=val_accuracy")
    found, notes = fit_to_labels(given, SETS)
    assert found.data.multilabel and found.augment.outliers is None and found.train.monitor == "val_macro_map"
    assert found.evaluate.unknown == "max_logit" and found.augment.time_shift is not None
    (note,) = notes
    assert all(name in note for name in ("distance", "augment.outliers", "val_accuracy"))
    assert fit_to_labels(found, SETS) == (found, ())


def test_frames_are_not_moved_within_their_segments() -> None:
    found, notes = fit_to_labels(recipe(*FRAMEWISE), TIMED)
    assert found.augment.time_shift is None and found.augment.freq_mask is not None
    assert notes == ("left out, not applicable to these labels: augment.time_shift",)
    ordinary, _ = fit_to_labels(recipe("augment.crop=true"), TIMED)
    assert not ordinary.augment.crop and ordinary.augment.time_shift is not None
