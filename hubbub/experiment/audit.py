"""The audit of labels: `hubbub data audit` and `hubbub.audit`.

A head on frozen embeddings judges each clip that it was not fitted on. The folds are made by recording, whatever folds
the data have, and copies of one sound count as one recording: no copy of a clip votes for its own wrong label.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.config.data import Protocol
from hubbub.config.recipe import Recipe
from hubbub.config.run_options import common_settings
from hubbub.data.check import check_inputs
from hubbub.data.clips import Clips
from hubbub.data.folds import decide
from hubbub.data.open import open_clips
from hubbub.errors import HubbubError, examples
from hubbub.experiment.audit_samples import write_samples
from hubbub.experiment.audit_tables import Findings, copies_of, findings_of, tables_of
from hubbub.experiment.bench import print_line
from hubbub.experiment.fit import fit
from hubbub.experiment.own import Plan, plan
from hubbub.experiment.part import predict_part
from hubbub.experiment.prepare import Log, Prepared, prepare
from hubbub.report.audit_page import write_audit_page
from hubbub.report.label_audit import AUDIT, LabelAudit
from hubbub.report.run_folder import run_name
from hubbub.runtime import files
from hubbub.runtime.progress import track

__all__ = ["AuditError", "LISTENED", "audit", "run_audit"]

#: Clips that the page plays.
LISTENED = 100
#: The head is fitted on one embedding a clip and with one penalty: nothing is chosen, so no validation part is needed.
_HEAD = ("head.pool=mean", "head.c=[0.01]", "protocol.validation=none")


class AuditError(HubbubError):
    """Data whose labels cannot be audited."""


def audit(
    what: str | Path,
    *,
    backbone: str | None = None,
    folds: int | None = None,
    group: str | None = None,
    background: bool = False,
    multilabel: bool = False,
    empty: str | None = None,
    corrections: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    listen: int = LISTENED,
    out: str | Path = "audits",
    name: str | None = None,
    device: str | None = None,
    allow_missing: bool = False,
    quiet: bool = False,
) -> LabelAudit:
    """Looks for wrong labels, copies, outliers and classes that may be one, as `hubbub data audit` does.

    `what` and the options say which data, as for `hubbub.train`; `corrections` are applied first, so that what is left
    is found. Tables and a page to listen to the first `listen` clips go to the folder `out`/`name`, by default that of
    the data's name. Raises `HubbubError`, and `AuditError` for data that hold no sound, and where there is no frozen
    network that has not been trained on them.
    """
    planned = plan(
        str(what), common_settings(settings, None, None, device, allow_missing), backbone=backbone, folds=folds,
        group=group, background=background, multilabel=multilabel, empty=empty, corrections=corrections,
    )  # fmt: skip
    return run_audit(planned, Path(out), name, listen, (lambda line: None) if quiet else print_line)


def run_audit(planned: Plan, out: Path, name: str | None, listen: int, log: Log) -> LabelAudit:
    """Audits the data of a plan, and writes tables and page into the folder `out`/`name`."""
    folder = out / run_name("", given=planned.name if name is None else name)
    if strange := files.foreign_files(folder, AUDIT):
        raise AuditError(f"{folder} holds {examples(strange)}, and is not an audit. Give another --name or --out.")
    for line in planned.lines:
        log(line)
    prepared = prepare(_recipe(planned.recipe), log)
    found = _audit(prepared, log)
    log("drawing the clips to listen to")
    with files.whole_folder(folder, AUDIT) as place:
        found.write_tables(place)
        write_audit_page(place, found, write_samples(prepared, found, place, listen))
    return replace(found, folder=folder)


def _recipe(recipe: Recipe) -> Recipe:
    """The recipe with the audit's head and folds. Raises `AuditError` where it has no head or the data are no sound."""
    if recipe.head.name != "logreg":
        raise AuditError(
            f"{recipe.data.name}: an audit needs a frozen network that has not been trained on these clips, and there "
            "is none here. Get YAMNet's weights: hubbub data get yamnet."
        )
    clips = open_clips(recipe)
    if clips.kind != "sound":
        raise AuditError(
            f"{clips.name} holds {clips.kind}, and an audit is to be listened to. Audit the recordings that they "
            "were made of."
        )
    if clips.mixed:
        raise AuditError(
            f"{clips.name} holds scenes that hubbub mixed, whose labels are known. Audit the clips that they were made "
            "of."
        )
    return recipe.with_settings([*_HEAD, f"protocol.kind={_kind(clips)}"])


def _kind(clips: Clips) -> str:
    """`time` for the parts of a single recording, else `grouped`; folds of the data do not count."""
    return decide(replace(clips, table=clips.table.assign(fold="")), Protocol(kind="auto")).kind


def _audit(prepared: Prepared, log: Log) -> LabelAudit:
    clips = prepared.clips
    log(f"{len(prepared.splits)} folds: judging each clip by a head that was not fitted on it")
    rows, scores = _out_of_fold(prepared)
    found = findings_of(clips, prepared.targets, rows, scores, _embeddings(prepared))
    copies = copies_of(clips, prepared.sound.contents, prepared.near)
    return _result(prepared, found, copies)


def _result(prepared: Prepared, found: Findings, copies: Any) -> LabelAudit:
    clips = prepared.clips
    labels, classes, pairs = tables_of(clips, found, copies)
    notes = (*clips.notes, *prepared.caveats, *prepared.audit.warnings)
    return LabelAudit(
        clips.name, prepared.recipe.title, clips.labels, clips.multilabel, labels, copies, classes, pairs,
        check_inputs(clips, prepared.sound, prepared.near), notes,
    )  # fmt: skip


def _out_of_fold(prepared: Prepared) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """The clips that some head was not fitted on, `[N]`, and their probabilities by that head, `[N, K]`."""
    seed, rows, scores = prepared.recipe.train.seeds[0], [], []
    for split in track(prepared.splits, "judging", len(prepared.splits)):
        model = fit(prepared, split.train, split.validation, seed, Path()).final  # a head writes no files
        rows.append(split.test)
        scores.append(predict_part(prepared, model, split.test).by_clip)
    return np.concatenate(rows), np.concatenate(scores)


def _embeddings(prepared: Prepared) -> npt.NDArray[np.float32]:
    """The mean embedding of each clip, `[clips, D]`, of the signed logarithms of its segments' values."""
    segments = prepared.embedded
    assert segments is not None
    values = np.sign(segments.values) * np.log1p(np.abs(segments.values))
    sums = np.add.reduceat(values, segments.offsets[:-1], axis=0)
    means: npt.NDArray[np.float32] = np.divide(sums, np.diff(segments.offsets)[:, None], dtype=np.float32)
    return means
