"""hubbub listen: what is heard now, from a microphone or a pipe."""

import json
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hubbub.cli.letters import large
from hubbub.cli.options import Debug, Device, Gap, MinDuration, Model, Release, err, finite, log_warnings, out
from hubbub.runtime.escape import escape_control

if TYPE_CHECKING:
    from hubbub.classifier.prediction import Event, Prediction
    from hubbub.inference.live import LiveClassifier

__all__ = ["listen"]

BARS, LAST = 3, 6
REDRAWN_HZ = 8


def listen(
    source: Annotated[
        str | None,
        typer.Argument(help="- for standard input, or the path of a pipe or WAV. Default: the microphone."),
    ] = None,
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a segment and an event.")] = False,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.001, callback=finite, help="Stop after so much sound.")
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", callback=finite, help="What an event's score reaches.")
    ] = 0.5,
    release: Release = None,
    shortest: MinDuration = 0.0,
    gap: Gap = 0.0,
    rate: Annotated[
        int | None, typer.Option("--rate", help="Samples a second. Default: a raw pipe has the classifier's.")
    ] = None,
    channels: Annotated[int | None, typer.Option("--channels", min=1, help="Of a raw pipe. Default: 1.")] = None,
    encoding: Annotated[
        str | None, typer.Option("--encoding", help="Of a raw pipe: u8, s16le, s24le, s32le, f32le, f64le.")
    ] = None,
    microphone: Annotated[
        str | None, typer.Option("--microphone", help="Its name or a part of it, where there are several.")
    ] = None,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Say what is heard now, and how far behind the answers are. Ctrl-C ends it.

    Example: hubbub listen --model runs/demo
    """
    from hubbub.audio import capture
    from hubbub.classifier.load import default_model, load
    from hubbub.inference.events import EventSettings
    from hubbub.inference.live import LiveClassifier

    name = default_model() if model is None else model
    merging = EventSettings(threshold, release, shortest, gap)
    classifier = load(name).to(device or "auto")
    place = capture.open_source(source, classifier.rate_hz, rate, channels, encoding, microphone)
    live = LiveClassifier(classifier, place, merging)
    title = f"{name}, {place.name}"
    with _ended_by_ctrl_c(live):
        if as_json:
            _print_json(live, seconds, name)
        elif out.is_terminal:
            _show(live, seconds, title, threshold)
        else:
            err.print(f"{title}\n   from      to  score  heard", soft_wrap=True)
            _print_events(live, seconds)
    if not as_json:
        whole = live.prediction
        unsure = ", probably none of the classes" if whole.known is False else ""
        _print_line(f"all of it: {whole.label} {whole.score:.2f}{unsure}; {_how_it_goes(live)}")
        log_warnings(place.name, whole.warnings)


@contextmanager
def _ended_by_ctrl_c(live: "LiveClassifier") -> Iterator[None]:
    """The first Ctrl-C ends listening as the end of the sound does; the second ends the command."""

    def stop(number: int, frame: Any) -> None:
        live.stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _print_json(live: "LiveClassifier", seconds: float | None, name: str) -> None:
    from hubbub.classifier.prediction import Event

    for one in live.run(seconds):
        event = one if isinstance(one, Event) else next(one.best_segments())[0]
        _print_line(json.dumps({"type": "event" if one is event else "segment", **event.to_dict()}))
    figures = live.figures
    latency = {"mean": figures.mean_latency_s, "worst": figures.worst_latency_s}
    dropped = {"dropped_blocks": figures.dropped_blocks, "dropped_seconds": figures.dropped_s}
    end = {"type": "end", **live.prediction.to_dict(), "latency_seconds": latency, **dropped, "model": name}
    _print_line(json.dumps(end))


def _print_events(live: "LiveClassifier", seconds: float | None) -> None:
    from hubbub.classifier.prediction import Event

    for one in live.run(seconds):
        if isinstance(one, Event):
            _print_line(_row(one))


def _print_line(line: str) -> None:
    out.print(line, soft_wrap=True)
    out.file.flush()


def _row(event: "Event") -> str:
    return f"{event.start:>7.2f} {event.end:>7.2f}   {event.score:.2f}  {event.label}"


def _text(shown: str, **look: Any) -> Text:
    return Text(escape_control(shown), **look)


def _show(live: "LiveClassifier", seconds: float | None, title: str, threshold: float) -> None:
    """The display: drawn anew with every segment."""
    from hubbub.classifier.prediction import Event

    last: deque[Event] = deque(maxlen=LAST)
    with Live(_text(f"{title}\nlistening"), console=out, refresh_per_second=REDRAWN_HZ) as display:
        for one in live.run(seconds):
            if isinstance(one, Event):
                last.appendleft(one)
            else:
                display.update(_picture(one, live, title, threshold, last))


def _picture(
    segment: "Prediction", live: "LiveClassifier", title: str, threshold: float, last: "deque[Event]"
) -> Group:
    sure = segment.score >= threshold
    word = Text(
        large(escape_control(segment.label), out.width - 1), style="bold bright_green" if sure else "dim", no_wrap=True
    )
    bars = Table.grid(padding=(0, 2))
    for label, score in segment.top(BARS):
        style = "bright_green" if score >= threshold else "white"
        bar = ProgressBar(total=1.0, completed=score, width=max(out.width - 40, 10), complete_style=style)
        bars.add_row(_text(label, style="bold", overflow="ellipsis", no_wrap=True), f"{score:.2f}", bar)
    lines = [_text(_row(event)) for event in last] or [
        Text(f"no event yet: none has reached {threshold:g}", style="dim")
    ]
    return Group(_text(title, style="dim"), "", word, "", bars, "", *lines, "", Text(_how_it_goes(live), style="dim"))


def _how_it_goes(live: "LiveClassifier") -> str:
    figures = live.figures
    return (
        f"{figures.seconds:.1f} s heard, answers {figures.latency_s:.2f} s behind (mean {figures.mean_latency_s:.2f}, "
        f"worst {figures.worst_latency_s:.2f}), {figures.dropped_blocks} blocks dropped ({figures.dropped_s:.1f} s)"
    )
