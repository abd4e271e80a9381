"""The shape of what a page asks of an archive, for openapi.json."""

from datetime import datetime, time
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hubbub.archive.labels import LONGEST_NAME

__all__ = [
    *("Draw", "Example", "Forget", "How", "Keep", "NewClass", "Next", "PAGE", "Search"),
    *("Statement", "Statements", "Train", "Undo"),
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


class NewClass(Strict):
    who: Who
    name: Name


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
