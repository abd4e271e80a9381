"""The shape of the server's answers, for openapi.json."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    *("ALWAYS", "METRICS", "READY", "REFUSALS", "UPLOAD"),
    *("ClassifyResponse", "Error", "ExplainResponse", "ModelInfo", "Status"),
]


class Error(BaseModel):
    """A refusal."""

    error: str = Field(description="What was sent, what the rule is, what to do next.")


#: Of the field `warnings`.
WARNINGS = "What may spoil the answer for this recording; only if there is something."
#: Of the field `present`.
PRESENT = (
    "The classes that it holds and their scores, the likeliest first; only if the model can find several at once, or "
    "none."
)


class Segment(BaseModel):
    """The predicted class from `start` to `end` [s]."""

    start: float
    end: float
    label: str
    score: float
    present: dict[str, float] | None = Field(None, description=PRESENT)


class ClassifyResponse(BaseModel):
    """The object of `hubbub classify --json`."""

    model_config = ConfigDict(extra="forbid")

    file: str = Field(description="The file name that the client sent, without folders.")
    seconds: float
    label: str = Field(description="The class with the highest score.")
    score: float
    present: dict[str, float] | None = Field(None, description=PRESENT)
    known: bool | None = Field(
        None, description="False: probably none of the classes. Missing if the model cannot tell."
    )
    warnings: list[str] | None = Field(None, description=WARNINGS)
    scores: dict[str, float] = Field(description="The probability of each class, for the whole recording.")
    segments: list[Segment]
    events: list[Segment] | None = Field(None, description="Only if events or a threshold were asked for.")
    model: str


class ExplainedSegment(BaseModel):
    start: float
    end: float
    score: float
    picture: str | None = Field(
        description="The name of its image under `media`; only the strongest segments have one."
    )


class ExplainResponse(BaseModel):
    """`explanation.json` of `hubbub explain`, with its images and sounds."""

    model_config = ConfigDict(extra="forbid")

    label: str
    method: str = Field(description="Grad-CAM or occlusion.")
    remarks: list[str]
    warnings: list[str] | None = Field(None, description=WARNINGS)
    scores: dict[str, dict[str, float]] = Field(
        description="Of the original, of the part that the model used, of the rest."
    )
    seconds: float
    segments: list[ExplainedSegment]
    files: dict[str, str] = Field(description="Names under `media` of clip, listened and rest.")
    file: str
    model: str
    media: dict[str, str] = Field(description="`data:` addresses of PNG images and WAV sounds, by name.")


class Status(BaseModel):
    """The answer to a probe."""

    model_config = ConfigDict(extra="forbid")

    status: str


class UploadLimits(BaseModel):
    """The limits of uploads."""

    max_mb: float
    max_seconds: float
    explain_seconds: float


class ModelInfo(BaseModel):
    """The model, its card and the caveats of its answers."""

    model_config = ConfigDict(extra="forbid")

    model: str
    labels: list[str]
    rate_hz: int
    segment_seconds: float
    hop_seconds: float
    warnings: list[str]
    card: dict[str, Any]
    limits: UploadLimits
    hubbub: str


_WHY = {
    400: "The request is not valid.",
    401: "The token is missing or wrong.",
    403: "The request comes from a page of another origin, or by an unknown host name.",
    408: "The client stopped sending.",
    413: "Too large or too long.",
    415: "Not sound, or an unknown format.",
    422: "A damaged or unusable sound, or a class that the model does not know.",
    429: "Too many requests at once from one address; Retry-After says when to try again.",
    500: "An error inside the server; its log shows which.",
    503: "Too many requests at once, not ready yet or shutting down; Retry-After says when to try again.",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": reason} for status, reason in _WHY.items()
}
#: The refusals of every route; READY is for those that refuse until the model is ready.
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
