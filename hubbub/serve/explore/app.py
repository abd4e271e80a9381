"""The routes of `hubbub explore`: search, listen, label, train and ask what to label next.

Numbers name segments: no request names a file. What an answer holds is in `answers`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from hubbub.archive import kept_searches, labels, tables
from hubbub.archive.ask import ask, draw
from hubbub.archive.labels import Statement
from hubbub.archive.session import Session
from hubbub.data.archive_file import ArchiveError
from hubbub.serve.build import build
from hubbub.serve.explore import answers, questions, schema
from hubbub.serve.explore.find import find
from hubbub.serve.explore.service import Service
from hubbub.serve.explore.sounds import MOST_PADDING_S
from hubbub.serve.limits import Limits, RefusedError
from hubbub.serve.metrics import Metrics
from hubbub.serve.schema import ALWAYS, REFUSALS, UPLOAD
from hubbub.serve.uploads import receive

__all__ = ["create_app"]

STATIC = Path(__file__).parent / "static"

#: Why a segment is asked about, in a word or two.
REASONS = {"random": "random", "uncertain": "unsure", "diverse": "unlike others", "likely-wrong": "wrong label?"}


async def _service(request: Request) -> Service:  # a plain function would be called in a thread
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]
Segment = Annotated[int, Query(ge=0, le=2**53, description="The segment's number.")]
router = APIRouter()
GONE: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    410: {"model": REFUSALS[400]["model"], "description": "The recording is not there any more."},
}


def _answers(model: type) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model}, **ALWAYS, 422: REFUSALS[422], 503: REFUSALS[503]}


@router.get("/v1/archive", responses=_answers(schema.ArchiveFacts))
def archive(service: Serving) -> Response:
    """The archive: hours, segments, sites, its network."""
    return JSONResponse(answers.archive_facts(service.session, service.state, service.limits))


@router.get("/v1/classes", responses=_answers(schema.Classes))
def classes(service: Serving) -> Response:
    """The classes with their counts, and where the head is."""
    return JSONResponse(answers.classes(service.session, service.state))


@router.post("/v1/classes", responses=_answers(schema.Classes))
def add_class(service: Serving, asked: questions.NewClass) -> Response:
    """Add a class; one that is there already stays as it is."""
    service.session.write(labels.add_class, asked.name, asked.who)
    return JSONResponse(answers.classes(service.session, service.state))


@router.post("/v1/search", responses=_answers(schema.Segments))
async def search(service: Serving, asked: questions.Search) -> Response:
    """Segments by their sound, a text, a class's scores, site, time and labels."""
    text = None
    if asked.by == "text":
        text = await run_in_threadpool(service.text, asked.text)

    def answer() -> dict[str, Any]:
        state = service.state
        found = find(state, asked, text)
        how = "search" if asked.by in ("like", "text") else "list"
        shown = answers.segments(service.session, state, found.segments, found.scores, how)
        return {"segments": shown, "total": found.total, "version": state.version}

    return JSONResponse(await run_in_threadpool(answer))


@router.get("/v1/segment", responses=_answers(schema.SegmentFacts))
def segment(service: Serving, segment: Segment) -> Response:
    """A segment, its scores of all classes and everything that was said about it."""
    return JSONResponse(answers.segment_facts(service.session, service.state, segment))


@router.get("/v1/sound", responses={200: {"content": {"audio/wav": {}}}, **GONE}, response_class=Response)
def sound(
    service: Serving,
    segment: Segment,
    padding: Annotated[
        float, Query(ge=0, le=MOST_PADDING_S, allow_inf_nan=False, description="Sound around it as well [s].")
    ] = 0.0,
) -> Response:
    """The sound of a segment, as WAV."""
    return Response(service.sounds.wav(segment, padding), media_type="audio/wav")


@router.get("/v1/spectrogram", responses={200: {"content": {"image/png": {}}}, **GONE}, response_class=Response)
def spectrogram(service: Serving, segment: Segment) -> Response:
    """The spectrogram of a segment, as PNG: time to the right, bands that are even in mel up to half the rate."""
    return Response(service.sounds.png(segment), media_type="image/png")


@router.post("/v1/example", responses={200: {"model": questions.Example}, **REFUSALS}, openapi_extra=UPLOAD)
async def example(
    request: Request,
    service: Serving,
    start: Annotated[float | None, Query(ge=0, allow_inf_nan=False, description="Only the part from here [s].")] = None,
    end: Annotated[float | None, Query(ge=0, allow_inf_nan=False, description="Only the part up to here [s].")] = None,
) -> Response:
    """What the archive's network makes of a sound that is sent, to search by. The sound is not kept."""
    upload = await receive(request, service.limits)
    with upload.file:
        found = await service.in_network_thread(service.embed_upload, upload, start, end)
    return JSONResponse({"name": upload.name, "values": found[0].tolist()})


@router.get("/v1/part", responses={200: {"model": questions.Example}, **GONE})
async def part(
    service: Serving,
    segment: Segment,
    start: Annotated[float, Query(ge=0, allow_inf_nan=False, description="From here in the recording [s].")],
    end: Annotated[float, Query(ge=0, allow_inf_nan=False, description="Up to here in the recording [s].")],
) -> Response:
    """What the archive's network makes of a part of a segment, to search by."""
    found = await service.in_network_thread(service.embed_part, segment, start, end)
    return JSONResponse({"name": f"{start:g} to {end:g} s of segment {segment}", "values": found[0].tolist()})


@router.post("/v1/labels", responses=_answers(schema.Stored))
def label(service: Serving, asked: questions.Statements) -> Response:
    """Store what a person says: it is on the disk when this answers. The same request again changes nothing."""
    said = [Statement(one.segment, one.class_, one.value, one.how, one.weight) for one in asked.statements]
    service.session.label(said, asked.who, asked.request)
    return _stored(service, sorted({one.segment for one in asked.statements}))


@router.post("/v1/undo", responses=_answers(schema.Stored))
def undo(service: Serving, asked: questions.Undo) -> Response:
    """Take back what a person said last; what was said before counts again."""
    return _stored(service, service.session.undo(asked.who, asked.request))


def _stored(service: Service, numbers: list[int]) -> Response:
    state = service.state
    shown = answers.segments(service.session, state, numbers)
    return JSONResponse({"segments": shown, "version": state.version})


@router.post("/v1/next", responses=_answers(schema.Segments))
def next_segments(service: Serving, asked: questions.Next) -> Response:
    """What to label next, each segment with the reason why. Labels must repeat its `how` and `weight`."""
    picks = ask(service.session, asked.count, () if asked.how == "all" else (asked.how,))
    state = service.state
    how = {one.segment: {"how": one.reason, "weight": one.weight, "reason": REASONS[one.reason]} for one in picks}
    shown = answers.segments(service.session, state, list(how), how=how)
    return JSONResponse({"segments": shown, "total": len(shown), "version": state.version})


@router.get("/v1/estimates", responses=_answers(schema.Estimates))
def estimates(service: Serving) -> Response:
    """How many segments of the archive hold each class, and how good its scores are, by random draws."""
    return JSONResponse({"classes": answers.estimates(service.session, service.state)})


@router.post("/v1/draws", responses=_answers(schema.Segments))
def draws(service: Serving, asked: questions.Draw) -> Response:
    """The random draws of a class that are still to be labelled; a new round, where there are none."""
    drawn = draw(service.session, asked.class_, asked.who, asked.count)
    state = service.state
    how = {"how": "stratum", "weight": None, "reason": "random"}
    shown = answers.segments(service.session, state, drawn[: questions.PAGE], how=dict.fromkeys(drawn, how))
    return JSONResponse({"segments": shown, "total": len(drawn), "version": state.version})


@router.post("/v1/train", responses=_answers(schema.Classes))
def train(service: Serving, asked: questions.Train) -> Response:
    """Train the head now; or choose whether it is trained after each label."""
    if asked.automatic is not None:
        service.session.automatic = asked.automatic
    if asked.automatic is not False:
        service.session.train()
    return JSONResponse(answers.classes(service.session, service.state))


@router.get("/v1/changes", responses=_answers(schema.Change))
async def changes(
    service: Serving,
    version: Annotated[int, Query(ge=0, le=2**53, description="The version that the page shows.")] = 0,
    step: Annotated[int, Query(ge=0, le=2**53, description="The step of the map that it shows.")] = 0,
    statement: Annotated[int, Query(ge=0, le=2**53, description="The last statement that it knows.")] = 0,
) -> Response:
    """Answers as soon as there is something else to show, or after some seconds."""
    return JSONResponse(await service.change(version, step, statement))


@router.get("/v1/map", responses=_answers(schema.MapPoints))
async def points(service: Serving) -> Response:
    """A place in the plane for each segment; the first question starts the computation."""
    return JSONResponse(await service.map())


@router.get("/v1/map/values", responses=_answers(schema.MapValues))
def map_values(
    service: Serving,
    name: Annotated[str | None, Query(alias="class", max_length=labels.LONGEST_NAME)] = None,
) -> Response:
    """What the map shows of each segment by colours."""
    return JSONResponse(answers.map_values(service.state, name))


@router.get("/v1/searches", responses=_answers(schema.Kept))
def searches(service: Serving) -> Response:
    """The searches that people kept."""
    return JSONResponse({"searches": service.session.read(kept_searches.kept)})


@router.post("/v1/searches", responses=_answers(schema.Kept))
def keep(service: Serving, asked: questions.Keep) -> Response:
    """Keep a search."""
    query = asked.query.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"skip"})
    service.session.write(kept_searches.keep, asked.name, query, asked.who)
    return JSONResponse({"searches": service.session.read(kept_searches.kept)})


@router.post("/v1/searches/delete", responses=_answers(schema.Kept))
def forget(service: Serving, asked: questions.Forget) -> Response:
    """Delete a kept search."""
    service.session.write(kept_searches.forget, asked.id)
    return JSONResponse({"searches": service.session.read(kept_searches.kept)})


@router.get("/v1/export/labels", responses={200: {"content": {"text/csv": {}}}, **ALWAYS}, response_class=Response)
def export_labels(service: Serving) -> Response:
    """What was said last of each segment and class, as CSV."""
    return _download(tables.labels_csv(service.session), "labels.csv")


@router.get("/v1/export/scores", responses={200: {"content": {"text/csv": {}}}, **ALWAYS}, response_class=Response)
def export_scores(
    service: Serving,
    threshold: Annotated[float, Query(ge=0, le=1, allow_inf_nan=False, description="Leave out lower scores.")] = 0.5,
) -> Response:
    """The scores of all classes, as CSV, in the columns of `hubbub classify --csv`."""
    return _download(tables.scores_csv(service.state, threshold), "scores.csv")


def _download(lines: Iterator[str], name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def create_app(
    session: Session,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    loopback: bool = True,
    names: tuple[str, ...] = (),
) -> FastAPI:
    """The ASGI app that explores a session's archive; options as those of `build.build`."""
    service = Service(session, limits or Limits(), Metrics())
    app = build(
        service,
        router,
        f"Explores the archive {answers.name_of(session.state.archive)}.",
        page=STATIC,
        uploads=("/v1/example",),
        token=token,
        loopback=loopback,
        names=names,
    )
    app.add_exception_handler(ArchiveError, _refuse)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    service: Service = request.app.state.service
    return RefusedError(422, answers.hide(service.session, str(error))).response()
