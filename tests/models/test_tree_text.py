"""tree_text: the text of a LightGBM model is checked before LightGBM, which believes it, reads it."""

import lightgbm
import numpy as np
import pytest

from hubbub.models.errors import NetworkError
from hubbub.models.tree_heads import LightGBMHead
from hubbub.models.tree_text import check_trees

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(90, 5)), np.arange(90) % 3


def text(**settings: object) -> str:
    """Three rounds of trees that tell three classes."""
    settings = {
        "objective": "multiclass",
        "num_class": 3,
        "num_leaves": 5,
        "verbosity": -1,
        "num_threads": 1,
        **settings,
    }
    return str(lightgbm.train(settings, lightgbm.Dataset(X, Y), 3).model_to_string())


WHOLE = text()


def test_what_lightgbm_writes_is_whole() -> None:
    check_trees(WHOLE, 3)
    check_trees(text(num_leaves=2), 3)
    same = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "num_threads": 1}, lightgbm.Dataset(X, np.ones(90)), 2
    )
    assert "num_leaves=1\n" in same.model_to_string()
    check_trees(same.model_to_string(), 1)


@pytest.mark.parametrize(
    "old, new, why",
    [
        ("threshold=", "threshold=x", "threshold"),
        ("leaf_value=", "leaf_value=1 ", "leaf_value"),
        ("left_child=1", "left_child=0", "not one tree"),
        ("left_child=1 ", "left_child=3 ", "not one tree"),
        ("split_feature=", "split_feature=9", "feature"),
        ("decision_type=2", "decision_type=3", "decides"),
        ("num_cat=0", "num_cat=1", "constants"),
        ("is_linear=0", "is_linear=1", "constants"),
        ("num_leaves=", "num_leaves=9", "not 9"),
        ("num_class=3", "num_class=4", "classes"),
        ("max_feature_idx=4", "max_feature_idx=5", "features"),
        ("tree_sizes=", "tree_sizes=9 9 9 ", "LightGBM"),
        ("Tree=0", "Tree=1", "another one"),
        ("shrinkage=1", "theirs=1", "unknown"),
        ("tree\n", "trees\n", "head"),
        ("end of trees", "end", "end"),
        ("version=v4", "version=v\u0664", "letters"),
        ("num_cat=0", "num_cat=0\nnum_cat=0", "twice"),
    ],
)
def test_what_lightgbm_would_believe_is_refused(old: str, new: str, why: str) -> None:
    assert old in WHOLE
    changed = WHOLE.replace(old, new, 1)
    if old != "tree_sizes=" and changed.count("tree_sizes="):  # the text is as long as it says
        first = int(WHOLE.split("tree_sizes=")[1].split()[0])
        grown = first + len(changed) - len(WHOLE) if WHOLE.find(old) > WHOLE.find("Tree=0") - 1 else first
        changed = changed.replace(f"tree_sizes={first} ", f"tree_sizes={grown} ")
    with pytest.raises(NetworkError, match=why):
        check_trees(changed, 3)


@pytest.mark.parametrize("names, multilabel", [((), False), (("lightgbm", "more"), False), (("lightgbm7",), True)])
def test_trees_of_other_names_are_refused(names: tuple[str, ...], multilabel: bool) -> None:
    with pytest.raises(NetworkError, match="its trees are called"):
        LightGBMHead().restore({"constant": np.zeros(3)}, dict.fromkeys(names, WHOLE), 3, multilabel)
