"""The shape of what a page asks of an archive and of the answers, for openapi.json."""

from datetime import datetime, time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hubbub.archive.labels import LONGEST_NAME

__all__ = [
    *("ArchiveFacts", "Change", "ClassRow", "Classes", "Estimates", "Example", "Kept", "MapPoints", "Next", "NewClass"),
    *("Search", "Segment", "SegmentFacts", "Segments", "Spoken", "Statements", "Stored", "Train", "Undo"),
]

#: The most segments in one answer, in a list of a request, and that a page may have seen before; the most statements.
PAGE, BULK, SEEN, SAID = 200, 1_000, 20_000, 10_000
#: The widest embedding.
WIDEST = 8_192


def _clean(text: str) -> str:
    clean = " ".join(text.split())
    if not clean or not clean.isprintable():
        raise ValueError("give a name of printable characters")
    return clean


Number = Annotated[int, Field(ge=0, le=2**53)]
Name = Annotated[str, Field(max_length=LONGEST_NAME)]
Who = Annotated[str, Field(max_length=60, description="Who says it."), AfterValidator(_clean)]
Request = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_-]{8,64}$", description="The sender's own number of it: sent twice, it counts once."),
]
How = Literal["random", "stratum", "uncertain", "diverse", "likely-wrong", "search", "list", "map"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Example(Strict):
    """A sound that is not a segment, to search by: a name for people, and its embedding."""

    name: Annotated[str, Field(max_length=200)]
    values: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1, max_length=WIDEST)]


class Search(Strict):
    """Which segments, and in which order.

    `like`: the most like the segments `like` and the `examples`, and not like the segments `unlike`; `text`: the most
    like a text; `highest`, `lowest` and `around` (a `value`): by the scores of a `class`; `place`: as they lie in the
    archive; `random`: any; `these`: the segments `like` themselves.
    """

    by: Literal["like", "text", "highest", "lowest", "around", "place", "random", "these"] = "place"
    like: Annotated[list[Number], Field(max_length=BULK)] = []
    unlike: Annotated[list[Number], Field(max_length=BULK)] = []
    examples: Annotated[list[Example], Field(max_length=20)] = []
    text: Annotated[str, Field(max_length=200)] = ""
    class_: Annotated[Name | None, Field(alias="class")] = None
    value: Annotated[float, Field(ge=0, le=1)] = 0.5
    sites: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=BULK)] = []
    since: datetime | None = Field(None, description="Local time.")
    until: datetime | None = None
    from_: Annotated[time | None, Field(alias="from", description="Time of day.")] = None
    to: time | None = None
    labelled: Annotated[
        Literal["any", "yes", "no", "unknown", "unsure"],
        Field(description="Of the class, or without one of any: in it, not in it, not known. Default: any."),
    ] = "any"
    skip: Annotated[list[Number], Field(max_length=SEEN, description="Segments to leave out.")] = []
    limit: Annotated[int, Field(ge=1, le=PAGE)] = 60


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


class Statement(Strict):
    """What is said: of a class `yes`, `no` or "" (taken back); without one `nothing`, `unsure` or "". It repeats the
    segment's `how` and `weight`."""

    segment: Number
    class_: Annotated[Name | None, Field(alias="class")] = None
    value: Literal["yes", "no", "nothing", "unsure", ""]
    how: How = "list"
    weight: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None


class Statements(Strict):
    """What a person says, stored all or nothing."""

    who: Who
    request: Request
    statements: Annotated[list[Statement], Field(min_length=1, max_length=SAID)]


class Undo(Strict):
    who: Who
    request: Request


class Stored(BaseModel):
    """The segments that changed, as they are now."""

    segments: list[Segment]
    version: int


class NewClass(Strict):
    who: Who
    name: Name


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


class Train(Strict):
    """Train now; or with `automatic` after each label from now on, or only when asked."""

    automatic: bool | None = None


class Next(Strict):
    """What to label next: some segments, chosen in one way or in all."""

    count: Annotated[int, Field(ge=1, le=PAGE)] = 12
    how: Literal["random", "uncertain", "diverse", "likely-wrong", "all"] = "all"


class Draw(Strict):
    """Draws of a class to label: those of its latest round that are open, or of a new round of about `count`."""

    who: Who
    class_: Annotated[Name, Field(alias="class")]
    count: Annotated[int, Field(ge=1, le=BULK)] = 60


class Keep(Strict):
    who: Who
    name: Annotated[str, Field(max_length=200), AfterValidator(_clean)]
    query: Search


class Forget(Strict):
    id: Number


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


class Figure(BaseModel):
    """A figure (null: not known yet), the ends of its 95 % interval, and about how many more random labels bring the
    share behind it to ±.05 (null: that is not known yet)."""

    value: float | None
    low: float
    high: float
    more: int | None


class Stratum(BaseModel):
    """The segments whose scores were from `low` to below `high` when the round began, the draws of them that are
    labelled, how many of those hold the class, and the precision."""

    low: float
    high: float
    segments: int
    labelled: int
    positives: int
    precision: Figure


class Estimate(BaseModel):
    """What random draws say of a class: the number of segments that hold it, and of a round also the precision and
    recall of scores from .5 on."""

    name: str
    draws: int
    open: int
    unsure: int
    segments: Figure
    precision: Figure | None
    recall: Figure | None
    strata: list[Stratum]


class Estimates(BaseModel):
    """The classes of which a random draw is labelled."""

    classes: list[Estimate]
