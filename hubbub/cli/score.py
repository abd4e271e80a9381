"""`hubbub score`: the predictions of any program, judged as hubbub's own; for clips or for events."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hubbub.cli.options import AllowMissing, DataSettings, Debug, Group, Out, out
from hubbub.errors import HubbubError

__all__ = ["score"]

Unlisted = Literal["refuse", "empty", "leave-out"]
#: The columns that fit a terminal: of the figures all but the mean of classes; of the classes those by onsets.
FIGURES, CLASSES = (0, 1, 2, 4, 5, 6), (0, 1, 3, 4, 6)


def score(
    predictions: Annotated[
        Path,
        typer.Argument(
            help="A table (.csv, .parquet, .jsonl): one row a clip or segment, with a column 'clip' and either "
            "'prediction' or one column of probabilities a class. With --events: a table of events or of scores of "
            "frames, or a folder of them."
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", help="The data set: a known name, a table of files and labels, or a folder."),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option("--events", help="Score events in time, against these annotations: a table or a folder of them."),
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", help="With --events: a class is found where its score reaches this.")
    ] = 0.5,
    unlisted: Annotated[
        Unlisted,
        typer.Option("--unlisted", help="With --events: what recordings of the predictions without annotations are."),
    ] = "refuse",
    logits: Annotated[bool, typer.Option("--logits", help="The scores are logits: apply softmax.")] = False,
    group: Group = None,
    allow_missing: AllowMissing = False,
    name: Annotated[str | None, typer.Option("--name", help="The run folder's name. Default: the file's.")] = None,
    settings: DataSettings = None,
    out_dir: Out = Path("runs"),
    debug: Debug = False,
) -> None:
    """Score the predictions of any program: the figures and page of a run, or how well events were found.

    Example: hubbub score predictions.csv --data esc50

    Example: hubbub score predictions.csv --data labels.csv --group site --set data.columns.path=file

    Example: hubbub score found.csv --events annotations.csv
    """
    if (data is None) == (events is None):
        raise HubbubError("give the truth: --data for clips with one label each, or --events for events in time.")
    if events is not None:
        _score_events(predictions, events, threshold, unlisted, out_dir, name)
        return
    from hubbub.cli.bench import print_places, print_summary
    from hubbub.data.open import clip_settings, data_recipe
    from hubbub.experiment.score import score_predictions

    assert data is not None
    opened = data_recipe(data, [*clip_settings(group, allow_missing=allow_missing), *(settings or [])])
    run = score_predictions(predictions, opened, logits=logits, out=out_dir, name=name)
    print_summary(run.summary)
    print_places(run.folder)


def _score_events(
    predictions: Path, truth: Path, threshold: float, unlisted: Unlisted, out_dir: Path, name: str | None
) -> None:
    """Scores events, and prints the figures and where the page is."""
    from hubbub.cli.bench import print_table
    from hubbub.experiment.score_events import event_folder, score_events
    from hubbub.report.event_page import PAGE, class_table, figure_table, psds_in_words

    summary = score_events(predictions, truth, threshold=threshold, unlisted=unlisted, out=out_dir, name=name)
    out.print(f"\n{summary.title}", style="bold", soft_wrap=True)
    for table, shown in ((figure_table(summary), FIGURES), (class_table(summary), CLASSES)):
        heads, *rows = ([row[at] for at in shown] for row in (table.heads, *table.rows))
        print_table(table.caption, heads, rows)
    if said := psds_in_words(summary):
        out.print(said, soft_wrap=True)
    out.print(f"page: {event_folder(predictions, out_dir, name) / PAGE}", soft_wrap=True)
