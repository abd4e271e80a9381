"""`hubbub data audit`: wrong labels, copies, outliers, and classes that may be one."""

from pathlib import Path
from typing import Annotated

import typer

from hubbub.cli.options import (
    AllowMissing,
    Background,
    Corrections,
    DataSettings,
    Debug,
    Device,
    Empty,
    Group,
    Multilabel,
    as_settings,
    log,
    out,
)

__all__ = ["data_audit"]


def data_audit(
    name: Annotated[str, typer.Argument(metavar="DATA", help="A known data set, a table of files, or a folder.")],
    backbone: Annotated[
        str | None, typer.Option("--backbone", help="The frozen network under the head, e.g. yamnet or small.")
    ] = None,
    folds: Annotated[int | None, typer.Option("--folds", min=2, help="The number of folds. Default: 5.")] = None,
    group: Group = None,
    background: Background = False,
    multilabel: Multilabel = False,
    empty: Empty = None,
    corrections: Corrections = None,
    listen: Annotated[int, typer.Option("--listen", min=0, help="Clips that the page plays.")] = 100,
    named: Annotated[str | None, typer.Option("--name", help="The audit's folder. Default: the data's name.")] = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for audits.")] = Path("audits"),
    allow_missing: AllowMissing = False,
    settings: DataSettings = None,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Find likely wrong labels, copies of one sound, outliers, and classes that may be one; a page to listen to them.

    Example: hubbub data audit recordings/

    Example: hubbub data audit labels.csv --corrections corrections.csv
    """
    from hubbub.experiment.audit import run_audit
    from hubbub.experiment.own import plan
    from hubbub.report.audit_page import PAGE

    planned = plan(
        name, as_settings(settings, device, allow_missing=allow_missing), backbone=backbone, folds=folds, group=group,
        background=background, multilabel=multilabel, empty=empty, corrections=corrections,
    )  # fmt: skip
    found = run_audit(planned, out_dir, named, listen, log)
    for line in found.lines:
        out.print(line, soft_wrap=True)
    assert found.folder is not None
    for what, file in (("tables", "labels.csv"), ("page", PAGE)):
        out.print(f"{what}: {found.folder / file}", soft_wrap=True)
