"""Prints the check of a data set: its classes, what was left out, and the findings, the most severe first."""

from rich.table import Table

from hubbub.cli.options import out
from hubbub.data.findings import CLASS_HEADS, SEVERITIES, DataCheck
from hubbub.errors import count

__all__ = ["show"]

#: Classes of which all are listed, and the number of those that are listed of more.
_ALL, _SMALLEST = 12, 6


def show(found: DataCheck, every: bool = False) -> None:
    """Prints a check; with `every` all classes, else those of the fewest recordings where there are many."""
    if found.read_as:
        out.print(found.read_as, soft_wrap=True)
    out.print(found.summary, soft_wrap=True)
    _show_classes(found, every)
    for line in found.sets.lines if found.sets else ():
        out.print(line, soft_wrap=True)
    for line in found.left_out:
        out.print(f"left out: {line}", soft_wrap=True)
    for severity in SEVERITIES:
        for finding in found.of(severity):
            out.print(f"{severity}: {finding.sentence}", soft_wrap=True)
    if found.told_by_file:
        out.print(found.told_by_file, soft_wrap=True)
    wrong, warnings = len(found.of("wrong")), len(found.of("warning"))
    if wrong or warnings:
        out.print(", ".join([f"{wrong:,} wrong"] * (wrong > 0) + [count(warnings, "warning")] * (warnings > 0)))
    else:
        out.print("no problems found")


def _show_classes(found: DataCheck, every: bool) -> None:
    listed = list(found.classes)
    if len(listed) > _ALL and not every:
        listed = sorted(listed, key=lambda one: (one.recordings, one.clips))[:_SMALLEST]
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(CLASS_HEADS):
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for one in listed:
        table.add_row(*one.cells)
    out.print(table)
    if more := len(found.classes) - len(listed):
        out.print(f"and {more:,} more of at least as many recordings; --all lists them")
