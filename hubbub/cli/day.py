"""The picture of `hubbub classify --overview`: what it needs of the results, and when it cannot be drawn."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hubbub.cli.options import err
from hubbub.errors import HubbubError, count

if TYPE_CHECKING:
    from hubbub.inference.day_overview import Listened
    from hubbub.inference.formats import Format
    from hubbub.inference.result import FileResult

__all__ = ["Day", "day_of"]

PICTURES = (".png", ".svg")


def day_of(picture: Path, has_events: bool, engine: str) -> "Day":
    """The day of which a picture is asked for. Raises `HubbubError` where it cannot be drawn whatever is found."""
    if picture.suffix.lower() not in PICTURES:
        raise HubbubError(f"--overview {picture} is not the name of a picture. End it in .png or .svg.")
    if not has_events:
        raise HubbubError("--overview shows when events occur. Add --events.")
    if engine == "ray":
        raise HubbubError("--overview needs all events on this machine. Leave --engine ray out, or --overview.")
    return Day(picture)


@dataclass
class Day:
    """Collects the recordings that the picture shows."""

    picture: Path
    recordings: "list[Listened]" = field(default_factory=list)

    def watch(self, results: "Iterable[FileResult]") -> "Iterator[FileResult]":
        """The same results; of each, its events are noted."""
        from hubbub.inference.day_overview import Listened

        for result in results:
            if prediction := result.prediction:
                self.recordings.append(Listened(result.recorded, prediction.seconds, prediction.events or ()))
            yield result

    def add_saved(self, answers: Sequence[Path], form: "Format") -> None:
        """Note the events in answers of an earlier run. Raises `HubbubError` where their format does not hold all."""
        from hubbub.inference.day_overview import Listened
        from hubbub.inference.formats import FORMATS

        if answers and form is not FORMATS["json"]:
            raise HubbubError(
                f"--overview needs the length of every recording, which {form.ending} does not hold, and "
                f"{count(len(answers), 'answer is', 'answers are')} from an earlier run. Give a new --out, or write "
                "JSON lines: --out answers.jsonl."
            )
        for file in answers:
            try:
                self.recordings.append(Listened.of_saved(json.loads(file.read_text(encoding="utf-8"))))
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                raise HubbubError(
                    f"{file} is no answer of `hubbub classify --json --events` ({error!r}). Delete it: the recording "
                    "is then classified again."
                ) from error

    def draw(self) -> None:
        """Draw the picture. Raises `HubbubError` where no recording has a known time."""
        from hubbub.inference.day_overview import day_overview
        from hubbub.report.day_plot import plot_day

        overview = day_overview(self.recordings)
        if not overview.dated:
            raise HubbubError(
                f"--overview draws nothing: of {count(overview.undated, 'recording')} none says when it began. Times "
                "are read from GUANO, AudioMoth and BWF metadata and from names such as 20240514_101500.wav."
            )
        plot_day(overview, self.picture)
        err.print(f"overview: {self.picture}", soft_wrap=True)
