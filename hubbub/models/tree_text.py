"""Checks the text of a LightGBM model before LightGBM reads it.

LightGBM believes the text: a number that is none ends the process, and a node that leads back, or to a feature that
there is not, makes it read for ever or outside of its memory. Its format:
https://github.com/microsoft/LightGBM/blob/v4.6.0/src/io/tree.cpp (`Tree::ToString`).
"""

import re

import numpy as np

from hubbub.models.errors import NetworkError

__all__ = ["check_trees"]

_INTEGER, _NUMBER = r"-?\d{1,18}", r"-?\d{1,40}(?:\.\d{1,40})?(?:e[-+]?\d{1,3})?"
_INTEGERS, _NUMBERS = (re.compile(rf"(?:{one}(?: {one})*)?") for one in (_INTEGER, _NUMBER))
#: The fields of a tree: those of nodes, those of leaves; integers, or any numbers.
_OF_NODES = {
    **dict.fromkeys(("split_feature", "decision_type", "left_child", "right_child", "internal_count"), _INTEGERS),
    **dict.fromkeys(("split_gain", "threshold", "internal_value", "internal_weight"), _NUMBERS),
}
_OF_LEAVES = {"leaf_value": _NUMBERS, "leaf_weight": _NUMBERS, "leaf_count": _INTEGERS}
_SINGLE = {"Tree", "num_leaves", "num_cat", "is_linear", "shrinkage"}
_END = "end of trees\n"
#: The largest `decision_type`, in which 1 would be a split by categories.
_MOST_DECISION = 15


def check_trees(text: str, classes: int) -> None:
    """Raises `NetworkError` for what is no text of trees over numbers that gives so many scores a row."""
    try:
        _check(text, classes)
    except (ValueError, KeyError, IndexError) as error:
        raise NetworkError(f"its trees are not a whole text of LightGBM ({error}). Train or copy it again.") from error


def _check(text: str, classes: int) -> None:
    if not text.isascii() or "\0" in text:
        raise ValueError("it holds other letters than numbers need")
    start, end = text.find("\n\n") + 2, text.find(_END)
    if not text.startswith("tree\n") or start < 2 or end < start:
        raise ValueError("it has no head, or no end")
    head = _fields(text[: start - 1].removeprefix("tree\n"))
    features = int(_one(head["max_feature_idx"])) + 1
    if len(head["feature_names"].split(" ")) != features or len(head["feature_infos"].split(" ")) != features:
        raise ValueError("its features are not as many as it says")
    if not int(_one(head["num_class"])) == int(_one(head["num_tree_per_iteration"])) == classes:
        raise ValueError("its scores are not as many as the classes")
    sizes = _integers(head["tree_sizes"])
    if len(sizes) % classes or (sizes <= 0).any():
        raise ValueError("its rounds are not whole")
    at = start
    for number, size in enumerate(sizes.tolist()):
        _check_tree(_fields(text[at : at + size]), number, features)
        at += size
    if at != end:
        raise ValueError("its trees are longer or shorter than it says")


def _check_tree(tree: dict[str, str], number: int, features: int) -> None:
    leaves = int(_one(tree["num_leaves"]))
    if int(_one(tree["Tree"])) != number or leaves < 1 or tree.keys() - _SINGLE - _OF_NODES.keys() - _OF_LEAVES.keys():
        raise ValueError(f"tree {number} is another one, or has unknown fields")
    if tree["num_cat"] != "0" or tree.get("is_linear", "0") != "0" or not _NUMBERS.fullmatch(_one(tree["shrinkage"])):
        raise ValueError(f"tree {number} is not of constants over numbers")
    for fields, count in ((_OF_NODES, leaves - 1), (_OF_LEAVES, leaves)):
        for name, form in fields.items():
            found = tree.get(name, "")
            there = found.count(" ") + 1 if found else 0
            if not form.fullmatch(found) or (there != count and (found or name in ("leaf_value", "left_child"))):
                raise ValueError(f"'{name}' of tree {number} is not {count} numbers")
    if leaves > 1:
        _check_nodes(tree, number, leaves, features)


def _check_nodes(tree: dict[str, str], number: int, leaves: int, features: int) -> None:
    """Each node and each leaf has one parent, which comes before it; a leaf is -1 - its number."""
    left, right, split, decision = (
        _integers(tree[name]) for name in ("left_child", "right_child", "split_feature", "decision_type")
    )
    below = np.concatenate([left, right])
    if (np.sort(below) != [*range(-leaves, 0), *range(1, leaves - 1)]).any():
        raise ValueError(f"the nodes of tree {number} are not one tree")
    if ((below >= 0) & (below <= np.tile(np.arange(leaves - 1), 2))).any():
        raise ValueError(f"a node of tree {number} leads back")
    if len(split) != leaves - 1 or (split < 0).any() or (split >= features).any():
        raise ValueError(f"tree {number} asks for a feature that there is not")
    if len(decision) != leaves - 1 or (decision < 0).any() or (decision > _MOST_DECISION).any() or (decision & 1).any():
        raise ValueError(f"tree {number} decides by what is no number")
    if len(tree["threshold"].split(" ")) != leaves - 1:
        raise ValueError(f"'threshold' of tree {number} is not {leaves - 1} numbers")


def _fields(lines: str) -> dict[str, str]:
    """`name=value` lines. A name that is there twice is refused."""
    pairs = [line.split("=", 1) for line in lines.splitlines() if line]
    found = {pair[0]: pair[1] for pair in pairs}
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found


def _one(value: str) -> str:
    """A single number, as a text."""
    if not value or " " in value or not _NUMBERS.fullmatch(value):
        raise ValueError(f"'{value[:40]}' is no number")
    return value


def _integers(value: str) -> np.ndarray:
    if not _INTEGERS.fullmatch(value):
        raise ValueError(f"'{value[:40]}' are no whole numbers")
    return np.array(value.split(), dtype=np.int64)
