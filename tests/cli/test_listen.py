"""The block letters of `hubbub listen`; `tests/inference/test_live.py` runs the command."""

import pytest

from hubbub.cli.listen import LETTERS, big_letters


def test_letters_have_one_size() -> None:
    assert {len(rows) for rows in LETTERS.values()} == {5}
    assert all(len({len(row) for row in rows}) == 1 for rows in LETTERS.values())
    assert {"A", "Z", "0", "9", " "} <= set(LETTERS)


@pytest.mark.parametrize(("width", "height"), [(200, 10), (60, 5), (30, 3), (10, 1)])
def test_a_word_is_as_large_as_fits(width: int, height: int) -> None:
    lines = big_letters("siren", width).splitlines()
    assert len(lines) == height
    assert max(map(len, lines)) <= max(width, len("siren"))
    filled = sum("█▀▄".find(c) >= 0 for line in lines for c in line)
    assert bool(filled) == (height > 1)


def test_words_of_other_letters_stay_as_they_are() -> None:
    assert big_letters("Motorsäge", 200) == "Motorsäge"
    assert big_letters("", 200) == ""
    assert big_letters("dog_bark", 200) == big_letters("dog bark", 200) != "dog_bark"
