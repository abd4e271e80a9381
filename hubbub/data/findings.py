"""The result of checking a data set: its classes, what was found in it, and how its classes differ as files."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from hubbub.errors import count

__all__ = [
    *("CLASS_HEADS", "SEVERITIES", "ClassFacts", "DataCheck", "Finding", "PropertyTest", "SetFacts", "Severity"),
    "in_order",
]

Severity = Literal["wrong", "warning", "note"]
CLASS_HEADS = ("class", "clips", "length", "recordings", "sample rates [Hz]")
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

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """The row of a table with the heads `CLASS_HEADS`."""
        rates = ", ".join(f"{rate:,}" for rate in self.rates_hz)
        return self.label, f"{self.clips:,}", _duration(self.seconds), f"{self.recordings:,}", rates or "-"


class SetFacts(_Frozen):
    """Clips with label sets: how many there are and how long they are [s], how many hold none of the classes, how many
    classes a clip holds on average, and the pairs of classes that are together in most clips, with their number.

    `unknown` counts the clips in which nobody annotated a class, for those classes where there are any.
    """

    clips: int
    seconds: float | None = None
    without: int = 0
    classes_a_clip: float = 0.0
    pairs: tuple[tuple[str, str, int], ...] = ()
    unknown: dict[str, int] = {}

    @property
    def lines(self) -> tuple[str, ...]:
        """What there is to say about them, a sentence each."""
        found = [
            f"{self.classes_a_clip:.2f} classes a clip on average; {count(self.without, 'clip')} with none of them"
        ]
        if self.pairs:
            pairs = ", ".join(f"{one} and {other} ({number:,})" for one, other, number in self.pairs)
            found.append(f"most often together: {pairs}")
        if self.unknown:
            named = ", ".join(f"{label} ({number:,})" for label, number in self.unknown.items())
            found.append(f"clips in which nobody annotated a class: {named}")
        return tuple(found)


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
    """All that was found in a data set. `left_out` lists files and rows that were skipped, with the reason. `sets` is
    about clips that may hold several classes, each of which counts a clip."""

    name: str
    read_as: str = ""
    kind: str
    folds: tuple[str, ...] = ()
    classes: tuple[ClassFacts, ...]
    findings: tuple[Finding, ...] = ()
    properties: tuple[PropertyTest, ...] = ()
    left_out: tuple[str, ...] = ()
    shortest_s: float | None = None
    longest_s: float | None = None
    recordings: int
    sets: SetFacts | None = None

    @model_serializer(mode="wrap")
    def _only_facts(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = serialise(self)
        if self.sets is None:
            del written["sets"]
        return written

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def clips(self) -> int:
        return self.sets.clips if self.sets else sum(one.clips for one in self.classes)

    @property
    def seconds(self) -> float | None:
        """The length of all clips [s]; None for images and spectrograms."""
        if self.sets:
            return self.sets.seconds
        lengths = [one.seconds for one in self.classes if one.seconds is not None]
        return sum(lengths) if lengths else None

    @property
    def summary(self) -> str:
        """The name and the size of the data set, in a line."""
        parts = [f"{count(self.clips, 'clip')} of {count(len(self.classes), 'class', 'classes')}"]
        if self.seconds is not None and self.shortest_s is not None and self.longest_s is not None:
            low, high = (f"{round(s, 2):g}" for s in (self.shortest_s, self.longest_s))
            parts.append(f"{_duration(self.seconds)} ({low if low == high else f'{low} to {high}'} s each)")
        parts += [count(self.recordings, "recording"), f"folds {', '.join(self.folds)}" if self.folds else "no folds"]
        return f"{self.name}: {', '.join(parts)}"

    @property
    def told_by_file(self) -> str:
        """How well each family of file properties tells the class, in a line; "" where it was not tested."""
        if not self.properties:
            return ""
        figures = (f"{test.family} {test.accuracy:.3f}" for test in self.properties)
        return (
            f"classes told by file properties alone, balanced accuracy (chance {self.properties[0].chance:.3f}): "
            + ", ".join(figures)
        )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3600:.1f} h"


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, the most severe first."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
