"""Write lists of training, validation and test clips, for `protocol.kind = "csv"`."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from hubbub.data import manifest
from hubbub.data.clips import SET_COLUMNS, Clips
from hubbub.data.multilabel_lists import class_cells
from hubbub.data.splits import SplitError, sample_groups, without_copies
from hubbub.runtime.files import write_csv

__all__ = ["write_lists"]


def write_lists(
    clips: Clips, folder: Path, val_ratio: float, seed: int, test_ratio: float = 0.0
) -> tuple[list[Path], str]:
    """Write grouped, stratified lists `train.csv`, `val.csv` and, with a `test_ratio`, `test.csv`: no source recording
    or speaker is in two of them.

    Augmented copies are only in `train.csv`. Returns the lists and the folder that their paths start from, which
    `protocol.kind = "csv"` needs as `data.root`. Label sets are written as one column a class.
    """
    if clips.kind == "spectrograms":
        raise SplitError(
            f"{clips.name} holds spectrograms, which a list cannot name. Split the sounds they were made from."
        )
    if clips.mixed:
        raise SplitError(
            f"{clips.name}: scenes of one fold are mixed from the same recordings, so lists would part these. Use the "
            "folds: hubbub train takes them as they are."
        )
    if clips.timed is not None:
        raise SplitError(
            f"{clips.name}: lists would lose the times of the labels. Have folds made instead: hubbub train does so by "
            "itself."
        )
    if manifest.holds_generated_files(folder):
        raise SplitError(f"{folder} holds images or sounds that hubbub made. Write the lists to another folder.")
    if val_ratio + test_ratio >= 1:
        raise SplitError(
            f"a validation part of {val_ratio:g} and a test part of {test_ratio:g} leave nothing to train on."
        )
    parts, rest, targets = {}, np.arange(len(clips)), clips.targets()
    for part, ratio in (("test", test_ratio), ("validation", val_ratio)):
        if not ratio:
            continue
        of_rest, groups = ratio * len(clips) / len(rest), clips.table["group"].to_numpy()[rest]
        rows = rest[sample_groups(targets[rest], groups, of_rest, seed)]
        rest, parts[part] = np.setdiff1d(rest, rows), without_copies(clips, rows)
        if not len(parts[part]) or not len(rest):
            raise SplitError(
                f"{clips.name}: {clips.table['group'].nunique()} source recordings cannot give a {part} part of "
                f"{ratio:g}. Ask for another ratio."
            )
    root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in clips.table["path"]])
    written = []
    lists = {"train": rest, "val": parts["validation"]} | ({"test": parts["test"]} if test_ratio else {})
    for name, rows in lists.items():
        table = clips.table.iloc[rows]
        paths = [Path(os.path.relpath(path, root)).as_posix() for path in table["path"]]
        table = table.assign(path=paths)
        if clips.multilabel:
            cells = [class_cells(clip, clips.labels) for _, clip in table.iterrows()]
            table = table.drop(columns=["label", *SET_COLUMNS]).join(pd.DataFrame(cells, index=table.index))
        if clips.kind == "images":
            table = table.rename(columns={"path": "spec_file_name", "label": "class", "group": "source"})
            table["augmentation"] = np.where(table.pop("split_hint") == "train", "augmented", "original")
        write_csv(folder / f"{name}.csv", table)
        written.append(folder / f"{name}.csv")
    manifest.write_for_lists(clips, folder, [path.name for path in written])
    return written, root
