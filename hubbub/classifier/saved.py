"""The folder of a saved classifier: its files, and the check that none was changed since it was saved.

It is read without torch: `network.onnx`, where there is one, holds all that predictions need.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from hubbub.classifier.base import ClassifierError
from hubbub.classifier.metadata import parse_json
from hubbub.runtime import files

__all__ = ["CARD", "EXPORTED", "FORMAT", "HEAD", "NETWORK", "TYPICALITY", "is_part", "read_card", "sign"]

FORMAT = 2
CARD, NETWORK, HEAD = "classifier.json", "network.safetensors", "head.safetensors"
#: The distances of open-set rejection, where it uses them.
TYPICALITY = "typicality.safetensors"
#: The classifier as an exported file.
EXPORTED = "network.onnx"
#: The texts of a head that safetensors cannot hold, such as trees.
_TEXT = re.compile(r"head\.[A-Za-z0-9_]+\.txt")


def is_part(name: str) -> bool:
    """Whether a saved classifier may have a file of that name: arrays, text and JSON, nothing that runs when read."""
    return name in (CARD, NETWORK, HEAD, TYPICALITY, EXPORTED) or bool(_TEXT.fullmatch(name))


def sign(card: dict[str, Any], folder: Path) -> None:
    """Add to a card the sha256 of each file that lies in the folder, and its own."""
    card["sha256"] = {file.name: files.sha256(file) for file in sorted(folder.iterdir())}
    card["sha256"][CARD] = _checksum(card)


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a saved classifier. Raises `ClassifierError` where it is none, and where a file was changed since.

    The checksums find damage and mistakes, not forgery: whoever can write the files can write checksums too.
    """
    card = parse_json((folder / CARD).read_bytes(), str(folder / CARD), FORMAT)
    written = card.get("sha256")
    if not isinstance(written, dict) or CARD not in written or any(Path(name).name != name for name in written):
        raise ClassifierError(f"{folder / CARD} holds no checksums of the files beside it. Train or copy it again.")
    if missing := [name for name in written if name != CARD and not (folder / name).is_file()]:
        raise ClassifierError(f"{folder} is not a whole classifier ({missing[0]} is missing). Train or copy it again.")
    found = {CARD: _checksum(card)} | {name: files.sha256(folder / name) for name in written if name != CARD}
    for name, digest in found.items():
        if digest != written[name]:
            raise ClassifierError(
                f"{folder / name} is not the file that was saved: its sha256 is {digest}, and {written[name]} was "
                "noted. Copy the classifier again from its source, or train it again."
            )
    return card


def _checksum(card: dict[str, Any]) -> str:
    """sha256 of a card without its own checksum."""
    others = {name: digest for name, digest in card["sha256"].items() if name != CARD}
    return hashlib.sha256(json.dumps(card | {"sha256": others}, sort_keys=True).encode()).hexdigest()
