"""hubbub classify: what is heard in files, folders and standard input, printed or kept in files."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hubbub.cli.options import (
    Address,
    Cpus,
    Debug,
    Device,
    Engine,
    Gap,
    Gpus,
    MinDuration,
    Model,
    Release,
    err,
    finite,
    log_warnings,
    out,
)
from hubbub.errors import HubbubError, count, examples
from hubbub.runtime.progress import bar

if TYPE_CHECKING:
    from hubbub.audio.find_files import Found
    from hubbub.inference.events import EventSettings
    from hubbub.inference.formats import Format
    from hubbub.inference.result import FileResult, PredictOptions

__all__ = ["classify"]

#: What --out's ending says where no format was asked for.
BY_ENDING = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet", "": "json"}
TOP_IN_TABLE = 3


def classify(
    paths: Annotated[
        list[str], typer.Argument(help="Sound files, folders of them, patterns ('**/*.wav'), or - for standard input.")
    ],
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line a segment, or an event.")] = False,
    as_audacity: Annotated[bool, typer.Option("--audacity", help="Events as a label track for Audacity.")] = False,
    as_raven: Annotated[bool, typer.Option("--raven", help="Events as a selection table for Raven.")] = False,
    as_parquet: Annotated[bool, typer.Option("--parquet", help="The columns of --csv; needs --out.")] = False,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="A file for all answers, or a folder with one a recording. Goes on where it was."),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="Classes a file in the table (3), a segment in rows (1).")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", callback=finite, help="Leave out what scores less. Of events: what one reaches (.5)."
        ),
    ] = None,
    events: Annotated[bool, typer.Option("--events", help="Merge neighbouring segments into events.")] = False,
    release: Release = None,
    shortest: MinDuration = 0.0,
    gap: Gap = 0.0,
    engine: Engine = "local",
    address: Address = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = None,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Say what is heard in each file, and when.

    Example: hubbub classify street.wav --model runs/demo
    """
    from hubbub.audio.find_files import find
    from hubbub.classifier.load import default_model, load
    from hubbub.inference.formats import FORMATS
    from hubbub.inference.predict import predict_files
    from hubbub.inference.result import PredictOptions

    wanted = _format(
        {"json": as_json, "csv": as_csv, "audacity": as_audacity, "raven": as_raven, "parquet": as_parquet}, to
    )
    event_settings = _event_settings(events or wanted in ("audacity", "raven"), threshold, release, shortest, gap)
    if to is None and wanted == "parquet":
        raise HubbubError("--parquet is no text. Say where it shall go: --out heard.parquet.")
    name = default_model() if model is None else model
    if engine == "ray":
        if to is None or to.suffix or wanted not in ("json", "parquet") or as_json:
            raise HubbubError("--engine ray writes parquet files into a folder. Name one: --out heard.")
        options = PredictOptions(top or 1, event_settings)
        failed = _keep_by_ray(to, paths, name, options, threshold or 0.0, address=address, cpus=cpus, gpus=gpus)
        raise typer.Exit(1 if failed else 0)
    classifier = load(name).to(device or "auto")
    search = find(paths, classifier.endings)
    found, missed = search.files, _say_left_out(search)
    options = PredictOptions(top or (1 if wanted else TOP_IN_TABLE), event_settings)
    form = FORMATS.get(wanted)
    if form and not form.several and to is None and len(found) > 1:
        raise HubbubError(f"--{wanted} is one file a recording, and there are {len(found)}. Give a folder: --out DIR.")

    def predict(some: Sequence[str]) -> "Iterator[FileResult]":
        with _progress(some) as progress:
            yield from predict_files(classifier, some, name, options, progress)

    if to is not None and form is not None:
        failed = _keep(to, form, found, paths, name, options, threshold or 0.0, predict)
    else:
        failed = _print(form, predict(found), options, threshold or 0.0)
    if failed + missed:
        raise typer.Exit(1)


def _format(flags: dict[str, bool], to: Path | None) -> str:
    """The format's name; none for the table."""
    asked = [name for name, is_asked in flags.items() if is_asked]
    if len(asked) > 1:
        raise HubbubError(f"--{' and --'.join(asked)} were given. Choose one; --out keeps its answers.")
    if asked or to is None:
        return asked[0] if asked else ""
    if to.suffix.lower() not in BY_ENDING:
        raise HubbubError(
            f"--out {to} does not say the format. End it in .jsonl, .csv or .parquet, or add --json, --csv, "
            "--audacity, --raven or --parquet."
        )
    return BY_ENDING[to.suffix.lower()]


def _event_settings(
    events: bool, threshold: float | None, release: float | None, shortest: float, gap: float
) -> "EventSettings | None":
    from hubbub.inference.events import EventSettings

    if events:
        return EventSettings(EventSettings.threshold if threshold is None else threshold, release, shortest, gap)
    if release is not None or shortest or gap:
        raise HubbubError("--release, --min-duration and --gap are about events. Ask for them: --events.")
    return None


def _keep_by_ray(
    to: Path, paths: list[str], name: str, options: "PredictOptions", threshold: float, **cluster: Any
) -> int:
    from hubbub.audio.find_files import STDIN, find
    from hubbub.classifier.load import load
    from hubbub.inference import ray

    if STDIN in paths:
        raise HubbubError("standard input is on this machine alone. Name files that all machines see.")
    search = find(paths, load(name).endings)
    found, missed = [os.path.abspath(path) for path in search.files], _say_left_out(search)
    name = os.path.abspath(name) if os.path.exists(name) else name
    facts = _facts(name, options, threshold, "parquet")
    before, failed, odd = ray.classify(found, name, options, threshold, to.absolute(), facts, **cluster)
    _say_before(before, len(found))
    said = f"; {failed} files could not be heard: column error" if failed else ""
    said += f"; {odd} files have warnings: column warnings" if odd else ""
    out.print(f"answers: {to}{said}", soft_wrap=True)
    return failed + missed


def _keep(
    to: Path,
    form: "Format",
    found: list[str],
    given: list[str],
    name: str,
    options: "PredictOptions",
    threshold: float,
    predict: "Callable[[Sequence[str]], Iterator[FileResult]]",
) -> int:
    from hubbub.inference import resume

    facts = _facts(name, options, threshold, form.ending)
    with resume.open_results(to, form, found, given, threshold, facts) as place:
        _say_before(len(found) - len(place.missing), len(found))
        if place.unrelated:
            there = count(
                len(place.unrelated),
                "answer there is of a recording that was not given now",
                "answers there are of recordings that were not given now",
            )
            err.print(f"{there}: {examples(file.relative_to(to) for file in place.unrelated)}", soft_wrap=True)
        for result in predict(place.missing):
            place.add(result)
            _say_what_is_wrong(result)
    out.print(f"answers: {to}", soft_wrap=True)
    return len(place.failed)


def _say_left_out(search: "Found") -> int:
    """Names what was not classified on standard error -> how many of the paths asked for hold no recording."""
    from hubbub.audio.find_files import describe

    for line in describe(search.left_out):
        err.print(f"left out: {line}", soft_wrap=True)
    for path in search.without:
        err.print(f"error: {path} holds no recordings. Leave it out, or give the right path.", soft_wrap=True)
    return len(search.without)


def _say_before(answered: int, of: int) -> None:
    if answered:
        err.print(f"{answered} of {of} were answered before", soft_wrap=True)


def _facts(name: str, options: "PredictOptions", threshold: float, form: str) -> dict[str, Any]:
    """What kept answers depend on."""
    from hubbub import __version__
    from hubbub.inference import resume

    events = asdict(options.events) if options.events else None
    facts: dict[str, Any] = {
        "model": name,
        "files": resume.model_checksums(name),
        "format": form,
        "hubbub": __version__,
    }
    return facts | {"top": options.top, "threshold": threshold, "events": events}


def _print(form: "Format | None", results: "Iterator[FileResult]", options: "PredictOptions", threshold: float) -> int:
    from hubbub.inference.formats import FORMATS

    failed = 0
    if form:
        sys.stdout.write(form.header)
    else:
        out.print(HEADERS[options.events is not None])
    for result in results:
        failed += result.prediction is None
        if form is not FORMATS["json"]:  # which says it itself
            _say_what_is_wrong(result)
        if result.prediction is None and form is not FORMATS["json"]:
            continue
        if form:
            sys.stdout.write(form.body(result, threshold))
            sys.stdout.flush()
        elif options.events:
            _print_events(result)
        else:
            _print_row(result, options.top, threshold)
    return failed


def _say_what_is_wrong(result: "FileResult") -> None:
    """Why there is no answer, or what is odd about the recording."""
    if result.prediction is None:
        err.print(f"error: {result.error}", soft_wrap=True)
    else:
        log_warnings(result.file, result.prediction.warnings)


#: The table's first line: of files, of events.
HEADERS = (
    f"{'seconds':>9}  {'heard':<24} score  file  (next)",
    f"{'start':>9}  {'end':>9}  {'heard':<24} score  file",
)


def _print_row(result: "FileResult", top: int, threshold: float) -> None:
    from hubbub.inference.formats import name_of

    prediction = result.prediction
    if prediction is None:
        return
    best = [one for one in prediction.top(top) if one[1] >= threshold]
    (label, score), *others = best or [("-", prediction.score)]
    also = ", ".join(f"{name_of(name)} {other:.2f}" for name, other in others)
    if prediction.known is False:
        also = "probably none of these" + (f"; {also}" if also else "")
    file = name_of(result.file)
    out.print(f"{prediction.seconds:>9.2f}  {name_of(label):<24}  {score:.2f}  {file}  ({also})", soft_wrap=True)


def _print_events(result: "FileResult") -> None:
    from hubbub.inference.formats import name_of, rows

    file = name_of(result.file)
    for e in rows(result):
        out.print(f"{e.start:>9.2f}  {e.end:>9.2f}  {name_of(e.label):<24}  {e.score:.2f}  {file}", soft_wrap=True)


@contextmanager
def _progress(paths: Sequence[str]) -> "Iterator[Callable[[str, float], None]]":
    """A bar over the bytes of all files, told what share of each is done."""
    sizes = [os.path.getsize(path) if os.path.isfile(path) else 0 for path in paths]
    before = dict(zip(paths, accumulate(sizes, initial=0), strict=False))
    size = dict(zip(paths, sizes, strict=True))
    with bar("listening", sum(sizes)) as reach:
        yield lambda path, share: reach(before[path] + share * size[path])
