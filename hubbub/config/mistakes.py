"""What is wrong in a recipe, in words: pydantic's errors as lines that name the field, the rule and what was given."""

from typing import Any, get_args

from pydantic import BaseModel

from hubbub.config.other_names import explain_name
from hubbub.errors import did_you_mean

__all__ = ["explain_error"]


def explain_error(error: Any, recipe: type[BaseModel]) -> str:
    """An error of pydantic in a recipe, in one line; an unknown key with what it may stand for."""
    model = recipe
    where = ".".join(str(part) for part in error["loc"]) or "recipe"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg'].removeprefix('Value error, ')} (given: {_shorten(error['input'])})"
    for part in error["loc"][:-1]:
        if part not in model.model_fields:  # a name in a table
            continue
        annotation = model.model_fields[str(part)].annotation
        kinds = [annotation, *get_args(annotation)]  # a section, or a section or None
        model = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    name = str(error["loc"][-1])
    return f"there is no {where}. {explain_name(name, recipe) or did_you_mean(name, model.model_fields)}"


def _shorten(value: object, most: int = 60) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; lists in lists
        return type(value).__name__
    return text if len(text) <= most else text[: most - 1] + "…"
