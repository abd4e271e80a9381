"""Tables of a page: what validation chose, in words; without a plateau that lowered the rate, not a word of it."""

from typing import Any

import pytest

from hubbub.report.tables import describe_choice


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"epoch": 9, "lowered": [4, 8]}, "epoch 9, lowered after epoch 4, 8"),
        ({"epoch": 9, "lowered": []}, "epoch 9"),
        ({"c": 0.01}, "c 0.01"),
        ({}, "nothing to choose"),
    ],
)
def test_a_choice_in_words(choice: dict[str, Any], words: str) -> None:
    assert describe_choice(choice) == words
