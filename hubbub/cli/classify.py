"""`hubbub classify`: classify files, folders and standard input; answers are printed or written to files."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hubbub.cli.day import Day, day_of
from hubbub.cli.options import (
    Address,
    Cpus,
    Debug,
    Device,
    Engine,
    Fast,
    Gap,
    Gpus,
    MinDuration,
    Model,
    Release,
    err,
    finite,
    load_classifier,
    model_or_default,
    out,
)
from hubbub.cli.print_results import print_results, report_problems
from hubbub.errors import HubbubError, count, examples
from hubbub.runtime.progress import file_bar

if TYPE_CHECKING:
    from hubbub.audio.find_files import Found
    from hubbub.classifier.base import Classifier
    from hubbub.inference.events import EventSettings
    from hubbub.inference.formats import Format
    from hubbub.inference.result import FileResult, PredictOptions

__all__ = ["classify"]

#: The format by the suffix of --out, if no option names one.
BY_SUFFIX = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet", "": "json"}
TOP_IN_TABLE, TOP_IN_JSON = 3, 5


def classify(
    paths: Annotated[
        list[str],
        typer.Argument(help="Sound files, folders of them, patterns such as '**/*.wav', or - for standard input."),
    ],
    model: Model = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", help="Classes in words, for --model clap or audioclip: 'dog barking, rain, siren'."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", help="With --labels: the text about a label, e.g. 'I hear {}.'"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each file.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one line for each segment, or each event.")] = False,
    as_audacity: Annotated[
        bool, typer.Option("--audacity", help="Print events as a label track for Audacity.")
    ] = False,
    as_raven: Annotated[bool, typer.Option("--raven", help="Print events as a selection table for Raven.")] = False,
    as_parquet: Annotated[
        bool, typer.Option("--parquet", help="Write the columns of --csv as Parquet; needs --out.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out", help="A file for all answers, or a folder with one for each recording. A second run continues it."
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            min=1,
            help="Classes shown for each file (default 3, in JSON 5), or for each segment in rows (default 1).",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            callback=finite,
            help="Leave out lower scores. For events: the score that an event reaches (default: the classifier's own "
            "of each class, or 0.5).",
        ),
    ] = None,
    events: Annotated[bool, typer.Option("--events", help="Merge neighbouring segments into events.")] = False,
    overview: Annotated[
        Path | None,
        typer.Option(
            "--overview", help="A picture of the day: classes by hour of the clock (.png or .svg); needs --events."
        ),
    ] = None,
    release: Release = None,
    shortest: MinDuration = 0.0,
    gap: Gap = 0.0,
    engine: Engine = "local",
    address: Address = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = None,
    device: Device = None,
    fast: Fast = False,
    debug: Debug = False,
) -> None:
    """Classify recordings: the classes in each file, and when they occur.

    Example: hubbub classify street.wav --model runs/demo
    """
    from hubbub.inference.result import PredictOptions

    flags = {"json": as_json, "csv": as_csv, "audacity": as_audacity, "raven": as_raven, "parquet": as_parquet}
    form = _format(flags, to)
    if to is None and form == "parquet":
        raise HubbubError("--parquet is not text. Write it to a file: --out answers.parquet.")
    classes = None if labels is None else [label.strip() for label in labels.split(",")]
    if model is None and classes is not None:
        raise HubbubError("--labels needs a model that understands words. Add --model clap, or audioclip.")
    name = model_or_default(model)
    options = PredictOptions(
        top or (1 if form or engine == "ray" else TOP_IN_TABLE),
        _event_settings(events or form in ("audacity", "raven"), threshold, release, shortest, gap),
        top or TOP_IN_JSON,
    )
    day = day_of(overview, options.events is not None, engine) if overview else None
    if engine == "ray":
        if classes is not None:
            raise HubbubError("--engine ray takes no --labels. Save the classifier in Python, and give its folder.")
        if to is None or to.suffix or form not in ("json", "parquet") or as_json:
            raise HubbubError("--engine ray writes Parquet files into a folder. Name one: --out answers.")
        failed = _classify_on_ray(to, paths, name, options, threshold or 0.0, address=address, cpus=cpus, gpus=gpus)
    else:
        classifier = load_classifier(name, device, fast, classes, template)
        if classes is not None:
            name = f"{name} of {', '.join(classes)}" + (f" ({template})" if template else "")
        if options.events:  # a release that does not fit is refused before anything is heard
            options.events.limits(classifier.confidence.events, len(classifier.labels))
        failed = _classify_here(to, form, paths, name, classifier, options, threshold or 0.0, day)
    if day:
        day.draw()
    if failed:
        raise typer.Exit(1)


def _classify_here(
    to: Path | None,
    form_name: str,
    paths: list[str],
    name: str,
    classifier: "Classifier",
    options: "PredictOptions",
    threshold: float,
    day: Day | None,
) -> int:
    """Classifies on this machine and returns how many inputs failed."""
    from hubbub.audio.find_files import find
    from hubbub.inference.formats import FORMATS
    from hubbub.inference.predict import predict_files

    search = find(paths, classifier.endings)
    found, missing = search.files, _report_left_out(search)
    form = FORMATS.get(form_name)
    if form and not form.several and to is None and len(found) > 1:
        raise HubbubError(
            f"--{form_name} is one file a recording, and there are {len(found)}. Give a folder: --out DIR."
        )

    def predict(files: Sequence[str]) -> "Iterator[FileResult]":
        with file_bar("classifying", files) as update:
            results = predict_files(classifier, files, name, options, update)
            yield from day.watch(results) if day else results

    if to is not None and form is not None:
        return missing + _write(to, form, found, paths, name, options, threshold, predict, day)
    return missing + print_results(form, predict(found), options, threshold)


def _format(flags: dict[str, bool], to: Path | None) -> str:
    """The name of the format; "" for the table."""
    options = [name for name, is_asked in flags.items() if is_asked]
    if len(options) > 1:
        raise HubbubError(f"--{' and --'.join(options)} were given. Choose one.")
    if options or to is None:
        return options[0] if options else ""
    if to.suffix.lower() not in BY_SUFFIX:
        raise HubbubError(
            f"--out {to} does not say the format. End it in .jsonl, .csv or .parquet, or add --json, --csv, "
            "--audacity, --raven or --parquet."
        )
    return BY_SUFFIX[to.suffix.lower()]


def _event_settings(
    events: bool, threshold: float | None, release: float | None, shortest: float, gap: float
) -> "EventSettings | None":
    from hubbub.inference.events import EventSettings

    if events:
        return EventSettings(threshold, release, shortest, gap)
    if release is not None or shortest or gap:
        raise HubbubError("--release, --min-duration and --gap are about events. Add --events.")
    return None


def _classify_on_ray(
    to: Path, paths: list[str], name: str, options: "PredictOptions", threshold: float, **cluster: Any
) -> int:
    from hubbub.audio.find_files import STDIN, find
    from hubbub.classifier.load import NAMED, load
    from hubbub.inference import ray

    if STDIN in paths:
        raise HubbubError("only this machine has standard input. Name files that all machines can read.")
    search = find(paths, load(name).endings)
    found, missing = [os.path.abspath(path) for path in search.files], _report_left_out(search)
    name = os.path.abspath(name) if name not in NAMED and os.path.exists(name) else name
    dependencies = _dependencies(name, options, threshold, "parquet")
    before, failed, odd = ray.classify(found, name, options, threshold, to.absolute(), dependencies, **cluster)
    _report_resumed(before, len(found))
    notes = f"; {failed} files failed: column error" if failed else ""
    notes += f"; {odd} files have warnings: column warnings" if odd else ""
    out.print(f"answers: {to}{notes}", soft_wrap=True)
    return failed + missing


def _write(
    to: Path,
    form: "Format",
    found: list[str],
    given: list[str],
    name: str,
    options: "PredictOptions",
    threshold: float,
    predict: "Callable[[Sequence[str]], Iterator[FileResult]]",
    day: Day | None,
) -> int:
    from hubbub.inference import formats, resume

    dependencies = _dependencies(name, options, threshold, form.ending) | {"columns": list(formats.COLUMNS)}
    with resume.open_results(to, form, found, given, threshold, dependencies) as results:
        _report_resumed(len(found) - len(results.missing), len(found))
        if day:
            missing = set(results.missing)
            day.add_saved([results.files[path] for path in found if path not in missing], form)
        if results.unrelated:
            there = count(
                len(results.unrelated),
                "answer there is for a recording that is not among these",
                "answers there are for recordings that are not among these",
            )
            err.print(f"{there}: {examples(file.relative_to(to) for file in results.unrelated)}", soft_wrap=True)
        for result in predict(results.missing):
            results.add(result)
            report_problems(result)
    out.print(f"answers: {to}", soft_wrap=True)
    return len(results.failed)


def _report_left_out(search: "Found") -> int:
    """Prints what is not classified on standard error; returns how many of the paths hold no recording."""
    from hubbub.audio.find_files import describe

    for line in describe(search.left_out):
        err.print(f"left out: {line}", soft_wrap=True)
    for path in search.without:
        err.print(f"error: {path} holds no recordings. Leave it out, or give the right path.", soft_wrap=True)
    return len(search.without)


def _report_resumed(answered: int, of: int) -> None:
    if answered:
        err.print(f"{answered} of {of} have answers from an earlier run", soft_wrap=True)


def _dependencies(name: str, options: "PredictOptions", threshold: float, form: str) -> dict[str, Any]:
    """What the answers of an earlier run depend on."""
    from hubbub import __version__
    from hubbub.inference import resume

    events = asdict(options.events) if options.events else None
    facts: dict[str, Any] = {
        "model": name,
        "files": resume.model_checksums(name),
        "format": form,
        "hubbub": __version__,
    }
    return facts | {"top": options.top, "scores": options.scores, "threshold": threshold, "events": events}
