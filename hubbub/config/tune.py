"""The `[tune]` section of a recipe: which settings are searched, in which ranges, and for how long.

Frozen pydantic models as in `settings.py`. A drawn value becomes fields of the recipe here; who draws it is not known.
"""

import math
from typing import Any, Self

from pydantic import Field, model_validator

from hubbub.config.sections import Distinct, Section, Seed

__all__ = ["Range", "Tune"]


class Range(Section):
    """What one drawn value may be: `choices`, or a number from `low` to `high`."""

    choices: tuple[Any, ...] = Field((), description="the values to choose from")
    low: int | float | None = Field(None, description="smallest value; whole numbers are drawn where both ends are")
    high: int | float | None = Field(None, description="largest value, itself included")
    log: bool = Field(False, description="draw evenly on a logarithmic scale")
    at_low: dict[str, Any] = Field(
        default_factory=dict,
        description="where one number moves several fields: their values at `low`; numbers, and lists and tables of "
        "them, go evenly to those in `at_high`",
    )
    at_high: dict[str, Any] = Field(default_factory=dict, description="their values at `high`")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.choices) == (self.low is not None or self.high is not None):
            raise ValueError("give either choices, or low and high")
        if self.choices:
            if len(self.choices) < 2 or self.log or self.at_low or self.at_high:
                raise ValueError("choices are two or more values, without log, at_low and at_high")
        elif self.low is None or self.high is None or self.low >= self.high:
            raise ValueError(f"low {self.low} must lie below high {self.high}")
        elif self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0 (given: {self.low})")
        if self.at_low.keys() != self.at_high.keys():
            raise ValueError("at_low and at_high must name the same fields")
        for name, value in self.at_low.items():
            _between(value, self.at_high[name], 0.5)
        return self

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that must hold for all between them to do so."""
        return self.choices or (self.low, self.high)

    def fields(self, name: str, drawn: Any) -> dict[str, Any]:
        """A drawn value -> dotted fields of the recipe and what they become."""
        if not self.at_low:
            return {name: drawn}
        assert self.low is not None and self.high is not None
        scale = math.log if self.log else float
        share = (scale(drawn) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return {field: _between(value, self.at_high[field], share) for field, value in self.at_low.items()}


def _between(low: Any, high: Any, share: float) -> Any:
    """What lies `share` of the way from one value to the other; whole numbers are rounded."""
    if low == high:
        return low
    if isinstance(low, list) and isinstance(high, list) and len(low) == len(high):
        return [_between(a, b, share) for a, b in zip(low, high, strict=True)]
    if isinstance(low, dict) and isinstance(high, dict) and low.keys() == high.keys():
        return {key: _between(value, high[key], share) for key, value in low.items()}
    numbers = [value for value in (low, high) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < 2:
        raise ValueError(f"nothing lies between {low!r} and {high!r}: give numbers, or the same value in both")
    value = low + share * (high - low)
    return round(value) if isinstance(low, int) and isinstance(high, int) else float(value)


class Tune(Section):
    """A search: `hubbub tune`."""

    space: dict[str, Range] = Field(
        min_length=1, description="section.field (or any name, where at_low and at_high name the fields) -> its range"
    )
    trials: int = Field(25, ge=1, le=1_000_000, description="how many settings are tried")
    epochs: int | None = Field(None, ge=1, le=100_000, description="train.epochs of a trial; default: the recipe's")
    folds: Distinct[str] = Field(
        (),
        description="kfold and logo: folds (or groups) that validate in turn, trained on all others but the test "
        "fold; default: the recipe's one validation fold",
    )
    seed: Seed = Field(42, description="seed of what is tried")
