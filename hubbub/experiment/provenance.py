"""TO BE DESCRIBED."""

import hashlib
import platform
from importlib import metadata
from typing import Any

from hubbub.data import splits
from hubbub.experiment.prepare import Material
from hubbub.runtime import files

__all__ = ["card", "environment", "manifest"]


_LIBRARIES = ("torch", "lightning", "numpy", "scipy", "scikit-learn", "lightgbm", "soundfile", "soxr", "pandas")


def manifest(material: Material) -> str:
    """A hash of the clips, their facts and how they sound: another one means other data."""
    table = material.clips.table[["clip", "start", "end", "label", "fold", "group"]]
    return hashlib.sha256(table.assign(content=material.sound.contents).to_csv(index=False).encode()).hexdigest()


def environment(material: Material) -> dict[str, Any]:
    import torch

    clips = material.clips
    return {
        "hubbub": metadata.version("hubbub"),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        },
        "data": {
            "name": clips.name,
            "licence": clips.licence,
            "citation": clips.citation,
            "clips": len(clips),
            "listed": clips.listed,
            "missing": list(clips.missing),
            "notes": list(clips.notes),
            "warnings": list(material.audit.warnings),
            "manifest": manifest(material),
        },
        "weights": {path.name: files.sha256(path) for path in [material.weights] if path},
        "protocol": _protocol_in_words(material),
        "test_folds": [split.name for split in material.splits],
        "why_not_comparable": _reasons(material),
    }


def card(material: Material, trained_on: str) -> dict[str, Any]:
    clips = material.clips
    return {
        "trained_on": f"{clips.name}: {trained_on}",
        "not_comparable": _reasons(material),
        "licence": clips.licence,
        "citation": clips.citation,
        "hubbub": metadata.version("hubbub"),
    }


def _reasons(material: Material) -> list[str]:
    """Why the figures may not stand beside published ones; empty where they may."""
    reasons = [f"NOT COMPARABLE: {leak}" for leak in material.audit.leaks] + list(material.clips.notes)
    protocol, names = material.recipe.protocol, [split.name for split in material.splits]
    if protocol.folds or protocol.kind == "fixed":
        reasons.append(f"PART OF THE FOLDS: tested on fold {', '.join(names)} alone")
    if all(len(split.test) for split in material.splits):  # else the test parts are closed
        reasons += splits.untestable(material.clips, material.splits)
    reasons += material.remarks
    if material.quick:
        reasons.append("QUICK: a reduced run to see that it works")
    return reasons


def _protocol_in_words(material: Material) -> str:
    protocol, count = material.recipe.protocol, len(material.splits)
    chosen = "nothing chosen" if protocol.validation == "none" else "choices on the validation part"
    if protocol.kind == "fixed":
        train, val, test = ("+".join(part) for part in (protocol.train, protocol.val, protocol.test))
        words = f"train on folds {train}, " + (f"validate on {val}, " if val else "") + f"test on {test}"
    elif protocol.kind in ("kfold", "logo"):
        left_out = "official folds" if protocol.kind == "kfold" else "groups"
        words = f"{count} {left_out}, each the test part once"
    else:
        words = {"holdout": "grouped hold-out", "csv": "given split files"}[protocol.kind]
    return f"{words}; {chosen}; test opened once"
