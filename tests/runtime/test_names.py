"""Names from data as parts of paths: valid on every system, and different for different values."""

import re
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.runtime.names import colliding_names, name_problem, safe_name

#: What can stand in a name on some system, and is not the same on all.
ODD = ["~", "Köln", "東京", "🐶", "u\u0308", "ü", "a-0123456789ab"]
NO_NAMES = [
    *("../../../../victim", "..", ".", "...", "/etc/passwd", "C:\\x", "a\\..\\b", "a/b", "", " ", "a ", " a", "a."),
    *("a\0b", "a\nb", "a" * 300, "é" * 300, "CON", "nul.txt", "com1", "LPT9.x", "a\u200bb", "\udc80", "-a"),
    *("a:b", "a*b", ".hidden", "\u202e"),
]
HOSTILE = [*ODD, *NO_NAMES]


@pytest.mark.parametrize(
    "value", ["1", "03", "Berlin", "fold_2", "a.b+c-d", "2024-05-01", "stretch0.9-1.1", "a-12345678"]
)
def test_a_plain_name_is_itself(value: str) -> None:
    assert safe_name(value) == value


def check_safe(value: str) -> None:
    name = safe_name(value)
    assert name_problem(name) == "" and name.isascii() and len(name) <= 120
    assert Path(name).name == name and PureWindowsPath(name).name == name
    assert name == value or (re.search(r"-[0-9a-f]{12}$", name) and safe_name(name) != name)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_becomes_one_name(value: str) -> None:
    check_safe(value)
    assert safe_name(value) != value


def test_names_stay_readable_and_apart() -> None:
    assert re.fullmatch(r"victim-[0-9a-f]{12}", safe_name("../../../../victim"))
    assert re.fullmatch(r"Koln-Sud-[0-9a-f]{12}", safe_name("Köln Süd"))
    names = {safe_name(value).casefold() for value in HOSTILE}
    assert len(names) == len(HOSTILE)


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_two_values_have_two_safe_names(one: str, other: str) -> None:
    """On systems where upper and lower case are alike, too, but for plain names: those `colliding_names` finds."""
    check_safe(one)
    if one != other and safe_name(one).casefold() == safe_name(other).casefold():
        assert one.isascii() and one.casefold() == other.casefold() and colliding_names([one, other]) == (one, other)


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_no_system_takes_as_a_name_is_told(name: str) -> None:
    assert name_problem(name)


def test_colliding_names_differ_in_case_or_in_how_a_letter_is_written() -> None:
    assert colliding_names(["a", "b", "a"]) is None
    assert colliding_names(["Berlin", "x", "berlin"]) == ("Berlin", "berlin")
    assert colliding_names(["\u00fc", "u\u0308"]) == ("\u00fc", "u\u0308")
