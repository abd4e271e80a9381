"""The result of an audit of labels: its tables, its lines, and its files."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hubbub.data.findings import DataCheck
from hubbub.errors import count
from hubbub.runtime import files
from hubbub.runtime.escape import escape_table

__all__ = ["AUDIT", "REASONS", "LabelAudit"]

#: The file of facts, by which a folder is known as an audit's, and the files of the tables.
AUDIT = "audit.json"
TABLES = ("labels", "copies", "classes", "pairs", "outliers")
#: Why a clip is to be listened to, in the order of the list.
REASONS = {
    "copy": "the same sound has another label",
    "label": "the label is likely wrong",
    "outlier": "unlike its class and all others",
}


@dataclass(frozen=True)
class LabelAudit:
    """What was found about the labels of a data set `name`; each table has a row for what its name says.

    `labels`: every clip, the likeliest wrong labels first. `rank`, `clip`, `path`, `start` and `end` [s, NaN for a
    whole file], `group`, `fold`, `label` (as given), `suggested`, `reason` (a key of `REASONS`, "" for
    none), `quality` (0: another class is certain, 1: the label is; NaN where the clip could not be judged), `score` and
    `suggested_score` (out-of-fold probabilities; NaN for label sets), `far` (deviations above the median distance).
    `copies`: pairs of clips with the same sound. `classes`: clips, recordings and suspects of each class. `pairs`:
    classes that may be one. `outliers`: the part of `labels` that lies far from everything. `check` are the findings of
    `hubbub data check`; `notes` belong beside every figure. `classes_of_clips` are the classes.
    """

    name: str
    title: str
    classes_of_clips: tuple[str, ...]
    multilabel: bool
    labels: pd.DataFrame
    copies: pd.DataFrame
    classes: pd.DataFrame
    pairs: pd.DataFrame
    check: DataCheck
    notes: tuple[str, ...] = ()
    folder: Path | None = field(default=None)

    @property
    def suspects(self) -> pd.DataFrame:
        """The clips whose label is likely wrong: copies with another label first, then by rising quality."""
        return self.labels[self.labels["reason"].isin(("copy", "label"))]

    @property
    def outliers(self) -> pd.DataFrame:
        """The clips that lie far from their class and from all others, the farthest first."""
        return self.labels[self.labels["outlier"]].sort_values("far", ascending=False, kind="stable")

    @property
    def lines(self) -> tuple[str, ...]:
        """What was found, a sentence each."""
        suspects, judged = self.suspects, int(self.labels["quality"].notna().sum())
        conflicting = int(self.copies["conflicting"].sum())
        found = [
            f"likely wrong labels: {len(suspects):,} of {judged:,} judged clips",
            f"copies of one sound: {count(len(self.copies), 'pair')}, {conflicting:,} with different labels",
            f"outliers: {count(len(self.outliers), 'clip')} far from their class and from all others",
        ]
        if left := len(self.labels) - judged:
            found.insert(1, f"not judged: {count(left, 'clip')}, as their class cannot be both trained and tested")
        for pair in self.pairs.itertuples():
            found.append(
                f"may be one class: {pair.first} and {pair.second} ({pair.first_as_second:.0%} and "
                f"{pair.second_as_first:.0%} are taken for the other; AUC {pair.auc:.2f})"
            )
        return tuple(found)

    def facts(self) -> dict[str, object]:
        """What `audit.json` holds."""
        return {
            "name": self.name, "title": self.title, "classes": list(self.classes_of_clips),
            "multilabel": self.multilabel, "found": list(self.lines), "notes": list(self.notes),
            "check": self.check.model_dump(mode="json"),
        }  # fmt: skip

    def write_tables(self, folder: Path) -> None:
        """Writes each table as CSV, and `audit.json`, into a folder that exists."""
        for name in TABLES:
            files.write_csv(folder / f"{name}.csv", escape_table(getattr(self, name)))
        files.write_json(folder / AUDIT, self.facts())
