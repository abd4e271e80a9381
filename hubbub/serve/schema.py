"""What the server's answers look like, for openapi.json: they describe, other rooms make."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ALWAYS", "About", "Classified", "Error", "Explained", "METRICS", "READY", "REFUSALS", "Status", "UPLOAD"]


class Error(BaseModel):
    """A refusal."""

    error: str = Field(description="What was given, what the rule is, what to do next.")


#: Of a recording that is odd.
WARNINGS = "What is odd about the recording, in sentences; only where there is something."


class Segment(BaseModel):
    """A class that was heard from `start` to `end` [s]."""

    start: float
    end: float
    label: str
    score: float


class Classified(BaseModel):
    """The object of `hubbub classify --json`."""

    model_config = ConfigDict(extra="forbid")

    file: str = Field(description="The name that the client gave, without its folders.")
    seconds: float
    label: str = Field(description="The class with the highest score.")
    score: float
    known: bool | None = Field(None, description="False: probably none of the classes. Where the model can tell.")
    warnings: list[str] | None = Field(None, description=WARNINGS)
    scores: dict[str, float] = Field(description="One probability a class, for the whole recording.")
    segments: list[Segment]
    events: list[Segment] | None = Field(None, description="Where a threshold was given.")
    model: str


class ExplainedSegment(BaseModel):
    start: float
    end: float
    score: float
    picture: str | None = Field(description="The name of its picture under `media`; only the strongest are drawn.")


class Explained(BaseModel):
    """`explanation.json` of `hubbub explain`, with its pictures and sounds."""

    model_config = ConfigDict(extra="forbid")

    label: str
    method: str = Field(description="Grad-CAM or occlusion.")
    remarks: list[str]
    warnings: list[str] | None = Field(None, description=WARNINGS)
    scores: dict[str, dict[str, float]] = Field(description="Of the original, of what was listened to, of the rest.")
    seconds: float
    segments: list[ExplainedSegment]
    files: dict[str, str] = Field(description="clip, listened and rest: their names under `media`.")
    file: str
    model: str
    media: dict[str, str] = Field(description="data: addresses of PNG pictures and WAV sounds, by name.")


class Status(BaseModel):
    """What a probe is told."""

    model_config = ConfigDict(extra="forbid")

    status: str


class Most(BaseModel):
    """The largest that is taken."""

    max_mb: float
    max_seconds: float
    explain_seconds: float


class About(BaseModel):
    """The model, and what must be said beside its answers."""

    model_config = ConfigDict(extra="forbid")

    model: str
    labels: list[str]
    rate_hz: int
    segment_seconds: float
    hop_seconds: float
    explains: bool
    warnings: list[str]
    card: dict[str, Any]
    limits: Most
    hubbub: str


_WHY = {
    400: "The request is not clear.",
    401: "The token is missing or wrong.",
    403: "The page or the name that it comes by is a stranger.",
    408: "The client did not go on.",
    413: "Too large or too long.",
    415: "No sound, or none that is known.",
    422: "A sound that cannot be trusted, or a class that the model does not know.",
    429: "Too much at once from one address; Retry-After says when to try again.",
    500: "The server made a mistake, which its log names.",
    501: "This model cannot be asked so.",
    503: "Too much at once, not ready yet or being shut down; Retry-After says when to try again.",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": reason} for status, reason in _WHY.items()
}
#: Any route may say so; a probe, when it is asked too early.
ALWAYS: dict[int | str, dict[str, Any]] = {status: REFUSALS[status] for status in (400, 401, 403, 408, 413, 500)}
READY: dict[int | str, dict[str, Any]] = ALWAYS | {503: REFUSALS[503]}
METRICS: dict[int | str, dict[str, Any]] = ALWAYS | {
    200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_BYTES = {"type": "string", "format": "binary"}
UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": {"file": _BYTES}}},
            "application/octet-stream": {"schema": _BYTES},
        },
    }
}
