"""`hubbub listen`: classify live sound, from a microphone or a pipe."""

import json
import signal
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hubbub.cli.options import (
    Debug,
    Device,
    Fast,
    Gap,
    MinDuration,
    Model,
    Release,
    err,
    finite,
    load_classifier,
    log_warnings,
    model_or_default,
    out,
)
from hubbub.runtime.escape import escape_control

if TYPE_CHECKING:
    from hubbub.classifier.prediction import Event, Prediction
    from hubbub.inference.live import LiveClassifier

__all__ = ["LETTERS", "big_letters", "listen"]

#: Classes with a bar, classes that are written large at once, and events in the list.
BARS, BIG, LAST = 3, 3, 6
REFRESH_HZ = 8
#: Block letters, to be read from a distance: A to Z and digits.
HEIGHT = 5
_ROWS = {
    "ABCDEFGHI": (
        ".#. ##. .## ##. ### ### .## #.# ###",
        "#.# #.# #.. #.# #.. #.. #.. #.# .#.",
        "### ##. #.. #.# ##. ##. #.# ### .#.",
        "#.# #.# #.. #.# #.. #.. #.# #.# .#.",
        "#.# ##. .## ##. ### #.. .## #.# ###",
    ),
    "JKLMNOPQR": (
        "..# #.# #.. #...# #..# .#. ##. .#.. ##.",
        "..# #.# #.. ##.## ##.# #.# #.# #.#. #.#",
        "..# ##. #.. #.#.# #.## #.# ##. #.#. ##.",
        "#.# #.# #.. #...# #..# #.# #.. #.#. #.#",
        ".#. #.# ### #...# #..# .#. #.. .#.# #.#",
    ),
    "STUVWXYZ ": (
        ".## ### #.# #.# #...# #.# #.# ### ..",
        "#.. .#. #.# #.# #...# #.# #.# ..# ..",
        ".#. .#. #.# #.# #.#.# .#. .#. .#. ..",
        "..# .#. #.# #.# ##.## #.# .#. #.. ..",
        "##. .#. ### .#. #...# #.# .#. ### ..",
    ),
    "0123456789": (
        "### .#. ##. ##. #.# ### .## ### ### ###",
        "#.# ##. ..# ..# #.# #.. #.. ..# #.# #.#",
        "#.# .#. .#. .#. ### ##. ### .#. ### ###",
        "#.# .#. #.. ..# ..# ..# #.# .#. #.# ..#",
        "### ### ### ##. ..# ##. ### .#. ### ##.",
    ),
}
LETTERS = {
    letter: tuple(row.split()[at] for row in rows)
    for letters, rows in _ROWS.items()
    for at, letter in enumerate(letters)
}
HALVES = {"..": " ", "#.": "▀", ".#": "▄", "##": "█"}


def listen(
    source: Annotated[
        str | None,
        typer.Argument(help="- for standard input, or the path of a pipe or WAV file. Default: the microphone."),
    ] = None,
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each segment and event.")] = False,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=0.001, callback=finite, help="Stop after this many seconds of sound."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            callback=finite,
            help="The score that an event reaches. Default: the classifier's own of each class, or 0.5.",
        ),
    ] = None,
    release: Release = None,
    shortest: MinDuration = 0.0,
    gap: Gap = 0.0,
    rate: Annotated[
        int | None,
        typer.Option(
            "--rate", help="Sample rate of a raw pipe or the microphone, in Hz. Default of a pipe: the classifier's."
        ),
    ] = None,
    channels: Annotated[
        int | None, typer.Option("--channels", min=1, help="Channels of a raw pipe. Default: 1.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option("--encoding", help="Encoding of a raw pipe: u8, s16le, s24le, s32le, f32le or f64le.")
    ] = None,
    microphone: Annotated[
        str | None, typer.Option("--microphone", help="Name of the microphone or a part of it, if there are several.")
    ] = None,
    device: Device = None,
    fast: Fast = False,
    debug: Debug = False,
) -> None:
    """Classify live sound and show how far behind the answers are. Ctrl-C ends it.

    Example: hubbub listen --model runs/demo
    """
    from hubbub.audio import capture
    from hubbub.inference.events import EventSettings
    from hubbub.inference.live import LiveClassifier

    name = model_or_default(model)
    classifier = load_classifier(name, device, fast)
    sound = capture.open_source(source, classifier.rate_hz, rate, channels, encoding, microphone)
    settings = EventSettings(threshold, release, shortest, gap)
    live = LiveClassifier(classifier, sound, settings)
    title = f"{name}, {sound.name}"
    with _stop_on_ctrl_c(live):
        if as_json:
            _print_json(live, seconds, name)
        elif out.is_terminal:
            reach, _ = settings.limits(classifier.confidence.events, len(classifier.labels))
            _show(live, seconds, title, dict(zip(classifier.labels, reach.tolist(), strict=True)))
        else:
            err.print(f"{title}\n   from      to  score  class", soft_wrap=True)
            _print_events(live, seconds)
    if not as_json:
        whole = live.prediction
        unknown = ", probably none of the classes" if whole.known is False else ""
        found = f"{whole.label} {whole.score:.2f}"
        if whole.present is not None:
            found = ", ".join(f"{name} {score:.2f}" for name, score in whole.present.items()) or "none of the classes"
        _print_line(f"whole recording: {found}{unknown}; {_latency_line(live)}")
        log_warnings(sound.name, whole.warnings)


@contextmanager
def _stop_on_ctrl_c(live: "LiveClassifier") -> Iterator[None]:
    """The first Ctrl-C ends listening like the end of the sound; the second ends the command."""

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
        if isinstance(one, Event):
            _print_line(json.dumps({"type": "event", **one.to_dict()}))
        else:
            present = {} if one.present is None else {"present": one.present}
            _print_line(json.dumps({"type": "segment", **next(one.best_segments())[0].to_dict(), **present}))
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


def _text(text: str, **style: Any) -> Text:
    return Text(escape_control(text), **style)


def _show(live: "LiveClassifier", seconds: float | None, title: str, reach: Mapping[str, float]) -> None:
    """Shows the display and updates it with every segment; `reach` is the score of an event of each class."""
    from hubbub.classifier.prediction import Event

    last: deque[Event] = deque(maxlen=LAST)
    with Live(_text(f"{title}\nlistening"), console=out, refresh_per_second=REFRESH_HZ) as display:
        for one in live.run(seconds):
            if isinstance(one, Event):
                last.appendleft(one)
            else:
                display.update(_display(one, live, title, reach, last))


def _display(
    segment: "Prediction", live: "LiveClassifier", title: str, reach: Mapping[str, float], last: "deque[Event]"
) -> Group:
    active = [label for label, score in segment.top(BIG) if score >= reach[label]]
    large = 1 if len(active) > 1 else 2
    names = [big_letters(escape_control(label), out.width - 1, large) for label in active or [segment.label]]
    word = Text("\n\n".join(names), style="bold bright_green" if active else "dim", no_wrap=True)
    bars = Table.grid(padding=(0, 2))
    for label, score in segment.top(BARS):
        style = "bright_green" if score >= reach[label] else "white"
        bar = ProgressBar(total=1.0, completed=score, width=max(out.width - 40, 10), complete_style=style)
        bars.add_row(_text(label, style="bold", overflow="ellipsis", no_wrap=True), f"{score:.2f}", bar)
    least = f"{min(reach.values()):g}" if len(set(reach.values())) == 1 else "its threshold"
    lines = [_text(_row(event)) for event in last] or [Text(f"no event yet: none has reached {least}", style="dim")]
    return Group(_text(title, style="dim"), "", word, "", bars, "", *lines, "", Text(_latency_line(live), style="dim"))


def _latency_line(live: "LiveClassifier") -> str:
    figures = live.figures
    return (
        f"{figures.seconds:.1f} s of sound, answers {figures.latency_s:.2f} s behind "
        f"(mean {figures.mean_latency_s:.2f}, worst {figures.worst_latency_s:.2f}), "
        f"{figures.dropped_blocks} blocks dropped ({figures.dropped_s:.1f} s)"
    )


def big_letters(word: str, width: int, max_scale: int = 2) -> str:
    """A word in block letters, as large as fits into `width` characters, at most `max_scale` times five lines high.

    Returns the word itself if it does not fit or has letters without a block form."""
    letters = [LETTERS.get(letter) for letter in word.replace("_", " ").replace("-", " ").upper()]
    if not word or None in letters:
        return word
    rows = [".".join(letter[row] for letter in letters if letter) for row in range(HEIGHT)]
    for scale in range(max_scale, 0, -1):
        if 2 * scale * len(rows[0]) <= width:
            wide = [row.replace("#", "█" * 2 * scale).replace(".", " " * 2 * scale) for row in rows]
            return "\n".join(row for row in wide for _ in range(scale))
    if len(rows[0]) <= width:
        pairs = zip([*rows, "." * len(rows[0])][::2], [*rows, "." * len(rows[0])][1::2], strict=True)
        return "\n".join("".join(HALVES[a + b] for a, b in zip(x, y, strict=True)) for x, y in pairs)
    return word
