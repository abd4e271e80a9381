"""Writes docs/recipe-reference.md from the settings' own descriptions: `make docs`."""

import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tomli_w
from pydantic.fields import FieldInfo

from hubbub.config.recipe import Recipe
from hubbub.config.sections import Section

PAGE = Path(__file__).with_name("recipe-reference.md")
HEAD = """# Recipe reference

Every setting of a recipe: its name, default, allowed values and meaning. Set a field in a recipe's TOML file, below
the heading of its section, or on the command line with `--set section.field=value`. A dash means that the field has
no default value; its meaning says what applies without it. Rules that concern several fields are checked when the
recipe is read, and the error names them.

`title` is one line for people. `[quick]` holds the settings that `--quick` changes: sections as below, e.g.
`[quick.train]`. How recipes are used: [recipes.md](recipes.md); training: [training.md](training.md).

This page is generated from the descriptions in `hubbub/config/`: change those, then run `make docs`.
"""


_BOUNDS = (("ge", "low", "from"), ("gt", "low", "above"), ("le", "high", "to"), ("lt", "high", "below"))


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, field in Recipe.model_fields.items():
        section = _section(field.annotation)
        if section is not None:
            parts.append(_table(name, section))
    return "\n".join(parts)


def _table(name: str, section: type[Section]) -> str:
    """A section's heading, description and table, then those of the tables inside it."""
    lines = [f"## [{name}]", "", " ".join((section.__doc__ or "").split()), ""]
    lines += ["| field | default | values | meaning |", "|---|---|---|---|"]
    inner = []
    for key, field in section.model_fields.items():
        below = _section(field.annotation)
        place = f"{name}.{key}" if get_origin(field.annotation) is not dict else f'{name}.{key}."NAME"'
        if below is not None:
            inner.append(_table(place, below))
        values = f"table [{place}]" if below else _values(field.annotation, field.metadata)
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{key}` | {_default(field)} | {values} | {meaning} |")
    return "\n".join([*lines, "", *inner])


def _section(annotation: Any) -> type[Section] | None:
    """The section that a field holds, if it holds one."""
    kinds = [annotation, *get_args(annotation)]
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, Section)), None)


def _default(field: FieldInfo) -> str:
    """The default as TOML."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "-" if default is None else f"`{_toml(default)}`"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return tomli_w.dumps({"v": value}).partition("=")[2].strip() if value != {} else "{}"


def _values(annotation: Any, metadata: list[Any]) -> str:
    """What a field may hold, in words."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(args[0], [*args[1:], *metadata])
    if origin in (Union, types.UnionType):
        kinds = [arg for arg in args if arg is not type(None)]
        return " or ".join(dict.fromkeys(_values(kind, metadata) for kind in kinds))
    if origin is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in args)
    if origin is tuple and args[-1] is Ellipsis:
        return f"list of: {_values(args[0], [])}"
    if origin is tuple:
        parts = list(dict.fromkeys(_values(arg, []) for arg in args))
        return f"two: {parts[0]}" if len(parts) == 1 else "two: " + "; ".join(parts)
    plain = {bool: "`true`, `false`", str: "text", int: "whole number", float: "number", dict: "table", Any: "any"}
    kind = plain[origin or annotation]
    limits = _limits(metadata) if annotation in (int, float) else ""
    return f"{kind} {limits}".strip()


def _limits(metadata: list[Any]) -> str:
    """`1 to 1024`, `above 0`: the bounds of a number."""
    found: dict[str, str] = {}
    for rule in metadata:
        for one in [rule, *getattr(rule, "metadata", [])]:
            for name, end, word in _BOUNDS:
                if hasattr(one, name):
                    found[end] = f"{word} {getattr(one, name):,}"
    return " ".join(found[end] for end in ("low", "high") if end in found)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
    print(f"wrote {PAGE}")
