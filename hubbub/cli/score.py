"""`hubbub score`: the predictions of any program, judged as hubbub's own."""

from pathlib import Path
from typing import Annotated

import typer

from hubbub.cli.options import AllowMissing, DataSettings, Debug, Group, Out

__all__ = ["score"]


def score(
    predictions: Annotated[
        Path,
        typer.Argument(
            help="A table (.csv, .parquet, .jsonl): one row a clip or segment, with a column 'clip' and either "
            "'prediction' or one column of probabilities a class."
        ),
    ],
    data: Annotated[
        str, typer.Option("--data", help="The data set: a known name, a table of files and labels, or a folder.")
    ],
    logits: Annotated[bool, typer.Option("--logits", help="The scores are logits: apply softmax.")] = False,
    group: Group = None,
    allow_missing: AllowMissing = False,
    name: Annotated[str | None, typer.Option("--name", help="The run folder's name. Default: the file's.")] = None,
    settings: DataSettings = None,
    out_dir: Out = Path("runs"),
    debug: Debug = False,
) -> None:
    """Score the predictions of any program: the figures, page and comparison of a run.

    Example: hubbub score predictions.csv --data esc50

    Example: hubbub score predictions.csv --data labels.csv --group site --set data.columns.path=file
    """
    from hubbub.cli.bench import print_places, print_summary
    from hubbub.data.open import clip_settings, data_recipe
    from hubbub.experiment.score import score_predictions

    opened = data_recipe(data, [*clip_settings(group, allow_missing=allow_missing), *(settings or [])])
    run = score_predictions(predictions, opened, logits=logits, out=out_dir, name=name)
    print_summary(run.summary)
    print_places(run.folder)
