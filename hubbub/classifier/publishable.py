"""A saved classifier as others may have it: its recipe names no folders of the machine that trained it."""

import base64
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

from hubbub.classifier.onnx_classifier import META, to_bytes
from hubbub.classifier.saved import CARD, EXPORTED, read_card, sign

__all__ = ["publishable"]


@contextmanager
def publishable(folder: Path) -> Iterator[Path]:
    """The folder of a saved classifier whose recipe has the last parts of absolute paths in their place: the folder
    itself where there are none, else a copy that lasts as long as the block. Raises `ClassifierError` where a file was
    changed since it was saved."""
    card = read_card(folder)
    recipe = _without_folders(card["recipe"])
    if recipe == card["recipe"]:
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary)
        for name in card["sha256"]:
            if name not in (CARD, EXPORTED):
                shutil.copyfile(folder / name, copy / name)
        if EXPORTED in card["sha256"]:
            (copy / EXPORTED).write_bytes(_exported(folder / EXPORTED, recipe))
        card["recipe"] = recipe
        del card["sha256"]
        sign(card, copy)
        (copy / CARD).write_text(json.dumps(card, indent=2, allow_nan=False), encoding="utf-8")
        yield copy


def _without_folders(value: Any) -> Any:
    """A JSON value with the last part of each absolute path in its place."""
    if isinstance(value, dict):
        return {key: _without_folders(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    if isinstance(value, str) and (value.startswith(("/", "~")) or PureWindowsPath(value).is_absolute()):
        kind = PureWindowsPath if PureWindowsPath(value).drive else PurePath
        return kind(value).name or value
    return value


def _exported(file: Path, recipe: dict[str, Any]) -> bytes:
    """The content of an exported file with another recipe."""
    import onnx

    proto = onnx.load(str(file), load_external_data=False)
    (held,) = (json.loads(prop.value) for prop in proto.metadata_props if prop.key == META)
    kept = [prop for prop in proto.metadata_props if prop.key != META]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    head, typicality = (base64.b64decode(held.get(name) or "") or None for name in ("head", "typicality"))
    return to_bytes(proto, held | {"recipe": recipe}, head, typicality)
