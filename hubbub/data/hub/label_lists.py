"""The label sets of hub data sets: a column of lists, cells with several labels, or one column a class."""

import json
from dataclasses import replace

import pandas as pd
import pyarrow as pa

from hubbub.data import label_sets
from hubbub.data.label_sets import LabelSets
from hubbub.data.multilabel_lists import SetRule, class_note, classes_in
from hubbub.data.values import ClipsError

__all__ = ["class_names", "list_column", "sets_of"]

#: Columns that may hold lists of labels; names come before AudioSet's ids.
_LISTS = ("human_labels", "labels", "classes", "class", "label", "category", "categories", "tags")


def list_column(schema: pa.Schema) -> str:
    """The column that holds a list of labels for each clip, "" if there is none."""
    there = {field.name: field.type for field in schema}
    for name in _LISTS:
        kind = there.get(name, pa.null())
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        if is_list and (pa.types.is_string(kind.value_type) or pa.types.is_integer(kind.value_type)):
            return name
    return ""


def class_names(schema: pa.Schema, column: str) -> list[str]:
    """The class names of a column of numbers or of lists of them, which `datasets` stores in the schema's metadata (its
    `ClassLabel`)."""
    try:
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"][column]
        info = info[0] if isinstance(info, list) else info
        names = info.get("feature", info)["names"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []
    return [str(name) for name in names]


def sets_of(
    name: str,
    rows: pd.DataFrame,
    table: pd.DataFrame,
    label: str,
    names: list[str],
    labels: tuple[str, ...],
    rule: SetRule,
) -> LabelSets:
    """The label sets of the rows, by the column `label`, or by columns of 0 and 1 where there is none; `names` are
    those of numbered classes. Raises `ClipsError`."""
    own = table.assign(path=[f"row {row}" for row in rows.index])  # each row has a sound of its own
    if not label:
        classes = classes_in(rows, {}, labels)
        found = label_sets.from_class_columns(own.join(rows[[one for one in classes if one in rows]]), name, classes)
        return replace(found, notes=(*class_note(classes), *found.notes))
    if not rows[label].map(lambda cell: hasattr(cell, "__len__") and not isinstance(cell, str)).any():
        return label_sets.from_column(own, name, rule.separator, labels or names, rule.empty)
    cells = [[] if cell is None or isinstance(cell, float) else list(cell) for cell in rows[label]]
    if names and (odd := next((one for cell in cells for one in cell if not 0 <= int(one) < len(names)), None)):
        raise ClipsError(f"{name}: the label {odd} is none of its {len(names)} classes. Fetch or save it again.")
    held = [[names[int(one)] if names else str(one).strip() for one in cell] for cell in cells]
    sets = pd.Series(held, index=rows.index, dtype=object)
    return label_sets.build(name, own.assign(labels=sets), labels or names, empty=rule.empty)
