"""The result of checking a data set: its classes, what was found in it, and how its classes differ as files."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["SEVERITIES", "ClassFacts", "DataCheck", "Finding", "PropertyTest", "Severity"]

Severity = Literal["wrong", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("wrong", "warning", "note")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ClassFacts(_Frozen):
    """One class: its clips, their total length [s], its recordings (groups), and its files' sample rates [Hz].

    `seconds` is None and `rates_hz` is empty for images and spectrograms.
    """

    label: str
    clips: int
    recordings: int
    seconds: float | None = None
    rates_hz: tuple[int, ...] = ()


class Finding(_Frozen):
    """One kind of finding: a sentence, what to do about it (may be empty), and the clips it is about (may be empty).

    `wrong` spoils a result, `warning` may spoil it, `note` is good to know.
    """

    kind: str
    severity: Severity
    text: str
    advice: str = ""
    clips: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The text and the advice."""
        return f"{self.text}. {self.advice}" if self.advice else self.text


class PropertyTest(_Frozen):
    """How well a decision tree predicts the class from one family of file properties, on recordings it has not seen.

    `accuracy` is its balanced accuracy, `chance` that of guessing, `p` the probability of as much by luck. `classes`
    are those that it tells from all others. `alarming`: the classes differ more than by luck, and clearly.
    """

    family: str
    properties: tuple[str, ...]
    recordings: int
    accuracy: float
    chance: float
    p: float
    classes: tuple[str, ...] = ()
    alarming: bool = False


class DataCheck(_Frozen):
    """All that was found in a data set. `left_out` lists files and rows that were skipped, with the reason."""

    name: str
    kind: str
    folds: tuple[str, ...] = ()
    classes: tuple[ClassFacts, ...]
    findings: tuple[Finding, ...] = ()
    properties: tuple[PropertyTest, ...] = ()
    left_out: tuple[str, ...] = ()
    shortest_s: float | None = None
    longest_s: float | None = None
    recordings: int

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def clips(self) -> int:
        return sum(one.clips for one in self.classes)

    @property
    def seconds(self) -> float | None:
        """The length of all clips [s]; None for images and spectrograms."""
        lengths = [one.seconds for one in self.classes if one.seconds is not None]
        return sum(lengths) if lengths else None


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, the most severe first."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
