"""The shape of what a page is answered about an archive, for openapi.json."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from hubbub.archive.estimate import ClassEstimate
from hubbub.serve.explore.questions import How

__all__ = [
    *("ArchiveFacts", "Change", "Classes", "Estimates", "Kept", "MapPoints", "MapValues"),
    *("Segment", "SegmentFacts", "Segments", "Spoken", "Stored"),
]


class Spoken(BaseModel):
    """A statement; `class` is null for one of the whole segment."""

    class_: Annotated[str | None, Field(alias="class")]
    value: str
    who: str
    at: str


class Segment(BaseModel):
    """A segment: its place, what was said about it (the latest word on each class, the newest last), and what follows:
    the classes that are `yes` or `no`, `nothing` of the classes, `unsure`."""

    segment: int
    file: str = Field(description="The recording's path below the folder that was indexed.")
    start: float
    end: float
    site: str
    clock: str
    here: bool = Field(description="Whether the recording is there, unchanged since it was indexed.")
    score: float | None
    how: How = Field(description="How it was found; labels repeat it.")
    weight: float | None = Field(description="Of a random draw: how many segments it stands for.")
    reason: str = Field(description="Why it is asked about.")
    yes: list[str]
    no: list[str]
    nothing: bool
    unsure: bool
    said: list[Spoken]


class Segments(BaseModel):
    """Segments, the best first; `total` is the number that pass the filters; `version` that of the answer's state."""

    segments: list[Segment]
    total: int
    version: int


class SegmentFacts(Segment):
    """One segment, with the scores of all classes and everything that was ever said about it."""

    scores: dict[str, float]
    history: list[dict[str, Any]]


class Stored(BaseModel):
    """The segments that changed, as they are now."""

    segments: list[Segment]
    version: int


class ClassRow(BaseModel):
    """A class; how many segments are known to hold it or not; whether the head scores it, and how many segments
    score .5 or more."""

    name: str
    yes: int
    no: int
    scored: bool
    found: int


class Classes(BaseModel):
    """The classes in the order in which they were added, how many segments are labelled, unsure and hold none of the
    classes, and where the head is: `trained` it was on all labels, took `seconds`; `trouble` says what it lacks."""

    classes: list[ClassRow]
    labelled: int
    unsure: int
    nothing: int
    automatic: bool
    training: bool
    trained: bool
    seconds: float
    trouble: str
    version: int


class Kept(BaseModel):
    """Searches that people kept, the newest first."""

    searches: list[dict[str, Any]]


class MapPoints(BaseModel):
    """Places of the first segments in the plane, in thousandths; `final` where no better map will come, `failed` where
    it cannot be computed."""

    x: list[int]
    y: list[int]
    final: bool
    failed: bool
    step: int


class MapValues(BaseModel):
    """Of each segment: its score of the class in thousandths (-1: none), and what is known: 1 in it, 0 not, -1 not
    known. Without a class, the number of the class that it is known to hold, or -1."""

    scores: list[int]
    known: list[int]


class Change(BaseModel):
    """The version of the newest state, the step of the map, the number of heads that were trained, the number of the
    last statement, and the segments about which something was said since."""

    version: int
    step: int
    fits: int
    statement: int
    segments: list[int]


class Limits(BaseModel):
    max_mb: float
    max_seconds: float


class ArchiveFacts(BaseModel):
    """The archive and its network."""

    archive: str = Field(description="The folder's name.")
    id: str = Field(description="Another one for another archive.")
    recordings: int
    missing: int = Field(description="Recordings that are gone or changed since they were indexed.")
    hours: float
    segments: int
    segment_s: float
    sites: list[str]
    since: str
    until: str
    model: str
    texts: bool = Field(description="Whether it can be searched by words.")
    limits: Limits
    version: int
    hubbub: str


class Estimates(BaseModel):
    """The classes of which a random draw is labelled."""

    classes: list[ClassEstimate]
