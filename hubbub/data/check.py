"""Checks of a data set (counts, durations, decodability, duplicates) and of a recipe's splits."""

from collections import Counter
from dataclasses import replace

import pandas as pd

from hubbub.audio.waves import SILENCE
from hubbub.config.recipe import Recipe
from hubbub.data import arrays, cache, images, splits
from hubbub.data.clips import Clips, hold_out
from hubbub.data.datasets import DATASETS
from hubbub.data.leaks import Audit, audit, duplicates
from hubbub.data.open import open_clips, open_data
from hubbub.errors import examples

__all__ = ["check_data", "check_leaks"]

_TOLERANCE_S = 0.01
_INSPECT = {"sound": cache.inspect_sounds, "spectrograms": arrays.inspect_spectrograms, "images": images.inspect_images}


def check_data(name: str, allow_missing: bool = False) -> tuple[Clips, list[str]]:
    """Open and read every clip -> the clips, with notes on untestable classes and recordings with warnings; and the
    findings, one line per kind, none if all is well.

    Opening verifies that folds, labels and file names agree, and raises `ClipsError` where they do not.
    """
    clips = open_data(name, allow_missing=allow_missing)
    untestable = splits.untestable(clips)
    findings = untestable if clips.table["label"].nunique() == 1 else []  # a single class: nothing can be trained
    clips = replace(clips, notes=clips.notes if findings else (*clips.notes, *untestable))
    found = _INSPECT[clips.kind](clips)
    broken = found[found["error"] != ""]
    if len(broken):
        findings.append(f"{len(broken)} files cannot be used: {examples(broken['error'], len(broken))}")
    readable = found[found["error"] == ""]
    if clips.kind == "images":
        findings += _images(readable)
    elif clips.kind == "sound":
        findings += _sounds(name, readable)
        clips = replace(clips, notes=(*clips.notes, *_warnings(readable)))
    labelled = readable.assign(
        label=readable["clip"].map(dict(zip(clips.table["clip"], clips.table["label"], strict=True)))
    )
    findings += duplicates(labelled, readable["content"], clips.kind)
    return clips, findings


def _sounds(name: str, sound: pd.DataFrame) -> list[str]:
    findings = []
    if name in DATASETS:
        low, high = DATASETS[name].seconds
        odd = sound[(sound["seconds"] < low - _TOLERANCE_S) | (sound["seconds"] > high + _TOLERANCE_S)]
        if len(odd):
            length = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            findings.append(f"{len(odd)} clips do not last {length} s: {examples(odd['clip'])}")
    silent = sound[[SILENCE in warnings for warnings in sound["warnings"]]]
    if len(silent):
        findings.append(f"{len(silent)} clips are digital silence: {examples(silent['clip'])}")
    return findings


def _warnings(sound: pd.DataFrame) -> list[str]:
    """The decoder's warnings, one line per recording; silence is a separate finding."""
    odd = zip(sound["clip"], sound["warnings"], strict=True)
    return [f"{clip}: {warning}" for clip, warnings in odd for warning in warnings if warning != SILENCE]


def _images(readable: pd.DataFrame) -> list[str]:
    findings = []
    sizes = Counter(zip(readable["height"], readable["width"], strict=True)).most_common()
    if len(sizes) > 1:
        listed = (f"{count} of {height} x {width}" for (height, width), count in sizes)
        findings.append(f"images differ in height and width: {examples(listed)}")
    constant = readable[readable["constant"]]
    if len(constant):
        findings.append(f"{len(constant)} images are of one colour: {examples(constant['clip'])}")
    return findings


def check_leaks(recipe: Recipe) -> Audit:
    """The audit of a recipe's splits, with leaks listed, not raised."""
    clips = hold_out(open_clips(recipe), recipe.data.held_out)
    contents = list(_INSPECT[clips.kind](clips)["content"])
    return audit(clips, splits.make_splits(clips, recipe.protocol), contents, allow_leaky=True)
