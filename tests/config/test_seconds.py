"""Lengths in seconds become samples at the recipe's rate."""

from pathlib import Path
from typing import Any

import pytest

from hubbub.config.recipe import Recipe, RecipeError
from hubbub.config.seconds import in_samples


@pytest.mark.parametrize(
    ("length", "hop", "rate", "samples"),
    [
        ("0.96 s", "0.48 s", 16_000, (15_360, 7_680)),  # system A's windows at both of its rates
        ("0.96 s", "0.48 s", 44_100, (42_336, 21_168)),
        ("960ms", "480 ms", 44_100, (42_336, 21_168)),
        ("5s", ".5 s", 22_050, (110_250, 11_025)),
    ],
)
def test_seconds_are_samples_at_the_rate(length: str, hop: str, rate: int, samples: tuple[int, int]) -> None:
    settings = [f'windows.length="{length}"', f"windows.hop={hop}", f"audio.rate_hz={rate}"]
    for one in (Recipe.load("us8k-esresnext", settings), Recipe.load("us8k-esresnext", settings[::-1])):
        assert (one.windows.length, one.windows.hop) == samples


def test_a_file_may_say_seconds_and_the_resolved_recipe_keeps_samples(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[data]\nname = "esc50"\n[windows]\nlength = "0.96 s"\nhop = "0.48 s"\n[evaluate]\nhop = "240 ms"\n'
        '[quick.windows]\nlength = "1 s"\n',
        "utf-8",
    )
    recipe = Recipe.load(file, ["audio.rate_hz=32000"])
    assert (recipe.windows.length, recipe.windows.hop, recipe.evaluate.hop) == (30_720, 15_360, 7_680)
    assert Recipe.load(file, quick=True).windows.length == 16_000
    assert "length = 30720" in recipe.to_toml()
    again = tmp_path / "again.toml"
    again.write_text(recipe.to_toml(), "utf-8")
    assert Recipe.load(again) == recipe


@pytest.mark.parametrize("value", ["one second", "0.96", "-1 s", "1e3 s", "s", "1 h", "0 s", "1 s 2 s"])
def test_other_texts_are_refused(value: str) -> None:
    with pytest.raises(RecipeError, match=r"windows\.length"):
        Recipe.load("esc50-compact", [f'windows.length="{value}"'])


@pytest.mark.parametrize("content", [3, {"windows": 3}, {"windows": {"length": "1 s"}, "audio": {"rate_hz": "x"}}])
def test_what_is_no_recipe_stays_as_it_is(content: Any) -> None:
    assert in_samples(content, 16_000) == content


def test_a_search_may_try_seconds() -> None:
    space = 'tune.space={"windows.length" = {choices = ["1 s", "2 s"]}}'
    recipe = Recipe.load("esc50-compact", [space, "windows.hop=100"])
    assert recipe.altered({"windows.length": "2 s"}).windows.length == 2 * recipe.audio.rate_hz
