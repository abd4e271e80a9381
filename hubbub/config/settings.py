"""Settings as `--set` takes them, `train.epochs=3`, and the TOML that their values and recipes are written in."""

import tomllib
from collections.abc import Mapping
from typing import Any

import tomli_w

from hubbub.config.sections import RETIRED
from hubbub.errors import HubbubError

__all__ = [
    *("RecipeError", "as_setting", "asks_for_another", "merge", "nested", "parse_setting", "read_toml", "short_value"),
]


class RecipeError(HubbubError):
    """A recipe that does not exist, cannot be read or contradicts itself."""


def as_setting(field: str, value: Any) -> str:
    """A field and its value in the form that `--set` takes, quoted as TOML."""
    if isinstance(value, Mapping):  # tomli_w writes a table over several lines, which --set does not take
        return f"{field}={{{', '.join(as_setting(_key(key), one) for key, one in value.items())}}}"
    return f"{field}={tomli_w.dumps({'v': value}).partition('=')[2].strip()}"


def short_value(value: Any) -> str:
    """A setting's value for people: numbers with four digits, `[0.1, 8]` for a list."""
    if isinstance(value, list):
        return f"[{', '.join(map(short_value, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _key(name: str) -> str:
    """A key as TOML writes it, quoted where it must be."""
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")


def read_toml(content: str | bytes, source: str) -> dict[str, Any]:
    """TOML -> a dict. Raises `RecipeError` for invalid or too deeply nested TOML."""
    try:
        return tomllib.loads(content.decode("utf-8") if isinstance(content, bytes) else content)
    except ValueError as error:  # TOMLDecodeError, bytes that are not UTF-8, a number of thousands of digits
        raise RecipeError(f"{source} is not valid TOML: {error}.") from error
    except RecursionError as error:
        raise RecipeError(f"{source} is nested too deeply. No setting is more than a few levels deep.") from error


def parse_setting(setting: str) -> dict[str, Any]:
    """`train.epochs=3` -> {"train": {"epochs": 3}}; what is not TOML is taken as a string."""
    key, equals, value = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(f"--set {setting}: write section.field=value, for example --set train.epochs=3.")
    try:
        held = read_toml(f"v = {value}", "the value")
        parsed: Any = held["v"] if len(held) == 1 else value
    except RecipeError as error:
        if isinstance(error.__cause__, RecursionError):
            raise RecipeError(f"--set {key.strip()}: {error}") from error
        parsed = value
    found = nested(parts, parsed)
    for name, reason in RETIRED.items():
        if _field(found, *name.split(".")) is not None:
            raise RecipeError(f"--set {name}: {reason}")
    return found


def _field(content: dict[str, Any], section: str, field: str) -> Any:
    held = content.get(section)
    return held.get(field) if isinstance(held, dict) else None


def nested(keys: list[str], value: Any) -> dict[str, Any]:
    """["train", "epochs"], 3 -> {"train": {"epochs": 3}}"""
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def asks_for_another(reduced: Any, overrides: list[dict[str, Any]]) -> bool:
    """Whether settings name another protocol than the reduced one: its kind, or test folds of the recipe's own kind."""
    named = {key for one in overrides if isinstance(part := one.get("protocol"), dict) for key in part}
    return isinstance(reduced, dict) and ("kind" in named or ("folds" in named and "kind" in reduced))


def merge(content: dict[str, Any], changes: dict[str, Any]) -> None:
    """Apply nested changes to the content of a recipe, in place."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            merge(content[key], value)
        else:
            content[key] = value
