"""The section "Data" of a run's page: its classes, what was left out, the findings, and the test of file properties."""

from collections.abc import Iterator
from typing import Any

from hubbub.data.findings import CLASS_HEADS, SEVERITIES, DataCheck, Finding, PropertyTest, Severity
from hubbub.report.tables import Table

__all__ = ["data_section"]

#: Clips of a finding that are listed on the page.
_MOST = 500
_TITLES: dict[Severity, str] = {"wrong": "Wrong", "warning": "Warnings", "note": "Notes"}


def data_section(check: DataCheck | None) -> dict[str, Any] | None:
    """What the template shows of a data check; None where the data were not checked."""
    if check is None:
        return None
    return {
        "summary": check.summary,
        "classes": Table(
            f"{len(check.classes):,} classes; a recording is what must not be parted by a split",
            CLASS_HEADS, [one.cells for one in check.classes], words=(4,),
        ),
        "left_out": check.left_out,
        "findings": [(_TITLES[s], [_listed(finding) for finding in check.of(s)]) for s in SEVERITIES if check.of(s)],
        "properties": _property_table(check.properties) if check.properties else None,
    }  # fmt: skip


def _listed(finding: Finding) -> dict[str, Any]:
    clips = list(finding.clips[:_MOST])
    if len(finding.clips) > _MOST:
        clips.append(f"and {len(finding.clips) - _MOST:,} more")
    return {"text": finding.text, "advice": finding.advice, "count": f"{len(finding.clips):,}", "clips": clips}


def _property_table(tests: tuple[PropertyTest, ...]) -> Table:
    heads = ("properties", "balanced accuracy", "chance", "p", "classes told from all others")
    caption = (
        "Classes told by file properties alone: a decision tree on each family of properties, cross-validated over "
        f"{tests[0].recordings:,} recordings. More than chance means that a classifier may learn the recorder"
    )
    return Table(caption, heads, list(_rows(tests)), words=(4,))


def _rows(tests: tuple[PropertyTest, ...]) -> Iterator[tuple[str, ...]]:
    for test in tests:
        p = "< 0.01" if test.p < 0.01 else f"{test.p:.2f}"
        yield test.family, f"{test.accuracy:.3f}", f"{test.chance:.3f}", p, ", ".join(test.classes) or "-"
