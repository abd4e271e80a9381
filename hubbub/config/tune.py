"""The `[tune]` section of a recipe: which settings are searched, in which ranges, and for how long."""

import math
from typing import Any, Self

from pydantic import Field, model_validator

from hubbub.config.sections import Distinct, Section, Seed

__all__ = ["Range", "Tune"]


class Range(Section):
    """The values of one searched setting: `choices`, or a number from `low` to `high`."""

    choices: tuple[Any, ...] = Field((), description="the values to choose from")
    low: int | float | None = Field(
        None, description="smallest value; if low and high are whole numbers, so are the values"
    )
    high: int | float | None = Field(None, description="largest value, included")
    log: bool = Field(False, description="search on a logarithmic scale")
    at_low: dict[str, Any] = Field(
        default_factory=dict,
        description="if one number sets several fields: the values of these fields at `low`; between `low` and `high`, "
        "all numbers, also those in lists and tables, change linearly from `at_low` to `at_high`",
    )
    at_high: dict[str, Any] = Field(default_factory=dict, description="the values of these fields at `high`")

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
        """The values at the ends of the range, or all choices: if they are valid, so are those between."""
        return self.choices or (self.low, self.high)

    def fields(self, name: str, value: Any) -> dict[str, Any]:
        """A value of the range -> dotted fields of the recipe and their values."""
        if not self.at_low:
            return {name: value}
        assert self.low is not None and self.high is not None
        scale = math.log if self.log else float
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return {field: _between(low, self.at_high[field], share) for field, low in self.at_low.items()}


def _between(low: Any, high: Any, share: float) -> Any:
    """Interpolate: `share` of the way from `low` to `high`; whole numbers are rounded."""
    if low == high:
        return low
    if isinstance(low, list) and isinstance(high, list) and len(low) == len(high):
        return [_between(a, b, share) for a, b in zip(low, high, strict=True)]
    if isinstance(low, dict) and isinstance(high, dict) and low.keys() == high.keys():
        return {key: _between(value, high[key], share) for key, value in low.items()}
    numbers = [value for value in (low, high) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < 2:
        raise ValueError(f"{low!r} and {high!r} cannot be interpolated: give numbers, or the same value in both")
    value = low + share * (high - low)
    return round(value) if isinstance(low, int) and isinstance(high, int) else float(value)


class Tune(Section):
    """A search of settings by `hubbub tune`."""

    space: dict[str, Range] = Field(
        min_length=1,
        description="the searched settings: section.field and its range; or, with at_low and at_high, any name and its "
        "range",
    )
    trials: int = Field(25, ge=1, le=1_000_000, description="number of trials")
    epochs: int | None = Field(
        None, ge=1, le=100_000, description="train.epochs in each trial; default: that of the recipe"
    )
    folds: Distinct[str] = Field(
        (),
        description="kfold, logo: folds (or groups) that are the validation part in turn, while all others except the "
        "test fold are used for training; default: the one validation fold of the recipe",
    )
    seed: Seed = Field(42, description="seed of the search")
