"""The sections `[data]` and `[protocol]` of a recipe: which clips, and how they are split."""

from typing import Literal, Self

from pydantic import Field, model_validator

from hubbub.config.sections import Distinct, Section, Seed

__all__ = ["Data", "Protocol"]


class Data(Section):
    """The clips and their classes."""

    name: str = Field(
        description="a known data set (see hubbub data list), a CSV file, a folder with one subfolder per class, or "
        "OWNER/NAME on the Hugging Face hub"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="CSV: the columns that hold path, label, fold, group, clip, start and end, e.g. {path = 'file'}",
    )
    group: str = Field(
        "",
        description="which clips are of one source recording, where no column `group` says so; default: guessed from "
        "the file names; file: each file is a recording of its own; else a column of the table, or a regular "
        "expression whose first group (or whole match) in the clip's path names the recording",
    )
    root: str = Field(
        "",
        description="CSV: the folder that relative paths start from; default: the folder of the CSV; "
        "a known data set: its folder; default: that in a data home",
    )
    labels: Distinct[str] = Field((), description="the classes, in this order; default: those of the data set")
    held_out: Distinct[str] = Field(
        (),
        description="classes left out of training and validation: their test clips measure how well the classifier "
        "rejects unknown sounds (open set)",
    )
    overlap: float = Field(
        0.5,
        gt=0,
        le=1,
        description="annotations: the share of a window (or of an annotation that is shorter) that an annotation must "
        "fill to label the window",
    )
    multilabel: bool = Field(
        False,
        description="a clip may hold several classes, or none. Tables: several labels in a cell, or several rows a "
        "file; columns of 0 and 1, one a class, are always read so. Annotations: recordings are cut into clips of "
        "chunk_s, and each segment has the labels that fill it",
    )
    separator: str = Field(
        "", max_length=1, description="multilabel: what separates the labels in a cell; default: , or ; or |"
    )
    empty: Literal["refuse", "none", "unlabelled"] = Field(
        "refuse",
        description="multilabel: what a clip without any label means; none: it holds none of the classes; unlabelled: "
        "nobody labelled it, and it is left out",
    )
    chunk_s: float = Field(
        10.0, gt=0, le=3600, description="multilabel annotations: length of the clips that recordings are cut into [s]"
    )
    corrections: str = Field(
        "",
        description="a table of corrected labels (clip, given, corrected), as the page of hubbub data audit saves it; "
        "it is applied when the data are read, and the data stay as they are",
    )
    background: bool = Field(
        False, description="annotations: sample clips of a class `background` where nothing is annotated"
    )
    test: str = Field("", description="another data set or folder, with the same classes, which is the test part")
    allow_missing: bool = Field(False, description="run although clips are missing; every result says so")
    limit: int | None = Field(
        None, ge=1, le=10**9, description="largest number of clips per class and fold (for --quick)"
    )


class Protocol(Section):
    """How clips are split into training, validation and test."""

    kind: Literal["kfold", "grouped", "time", "fixed", "holdout", "logo", "csv", "auto"] = Field(
        "kfold",
        description="kfold: the data set's folds; grouped: stratified folds made by group; time: one recording, cut "
        "into parts of its time; fixed: named folds; holdout: a random split by group; logo: leave one group out; csv: "
        "one CSV file per part; auto: fixed, kfold, time or grouped, as the data allow",
    )
    validation: Literal["next", "previous", "none"] = Field(
        "next",
        description="kfold, grouped, time, logo: the validation part is the fold after the test fold, the fold before "
        "it, or none",
    )
    k: int = Field(
        5,
        ge=2,
        le=1000,
        description="grouped, time: the number of folds; fewer where a class has fewer recordings",
    )
    gap_s: float = Field(
        5.0, ge=0, description="time: training clips nearer to a test or validation clip are left out [s]"
    )
    folds: Distinct[str] = Field((), description="kfold, grouped, time, logo: the test folds to run; default: all")
    train: Distinct[str] = Field(
        (),
        description="fixed: the training folds; csv: the training file; kfold: use only these folds",
    )
    val: Distinct[str] = Field((), description="fixed: the validation folds; csv: the validation file")
    test: Distinct[str] = Field(
        (), description="fixed: the test folds; csv: the test file; default: none, the validation part is reported"
    )
    test_ratio: float = Field(0.2, gt=0, lt=1, description="holdout: share of clips in the test part")
    val_ratio: float = Field(0.2, gt=0, lt=1, description="holdout: share of clips in the validation part")
    seed: Seed = Field(0, description="holdout, grouped: seed of the random split")
    allow_leaky: bool = Field(False, description="run although the split leaks; every result says NOT COMPARABLE")

    @model_validator(mode="after")
    def _named_parts_are_used(self) -> Self:
        parts = ("train", "val", "test")
        rotating = dict.fromkeys(("grouped", "time", "logo", "auto"), ("folds",))
        used = {"kfold": ("folds", "train"), "holdout": (), **rotating}.get(self.kind, parts)
        idle = [name for name in ("folds", *parts) if getattr(self, name) and name not in used]
        if idle:
            raise ValueError(f"kind '{self.kind}' does not use {idle[0]}: leave it out, or set another kind")
        if self.kind == "csv" and any(len(getattr(self, name)) > 1 for name in parts):
            raise ValueError("kind 'csv' takes one file per part: join the rows in one file")
        if self.kind in ("fixed", "csv") and self.validation == "none" and self.val:
            raise ValueError("validation is 'none', so val must be empty: leave it out, or set validation = 'next'")
        return self

    @model_validator(mode="after")
    def _parts_leave_something_to_train_on(self) -> Self:
        if self.kind == "holdout" and self.test_ratio + self.val_ratio >= 1:
            raise ValueError(
                f"test_ratio {self.test_ratio:g} and val_ratio {self.val_ratio:g} leave nothing to train on"
            )
        return self
