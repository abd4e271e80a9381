"""`hubbub score`: the predictions of any program, judged as hubbub's own."""

from pathlib import Path
from typing import Annotated

import typer

from hubbub.cli.options import AllowMissing, Debug, Out

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
    allow_missing: AllowMissing = False,
    name: Annotated[str | None, typer.Option("--name", help="The run folder's name. Default: the file's.")] = None,
    out_dir: Out = Path("runs"),
    debug: Debug = False,
) -> None:
    """Score the predictions of any program: the figures, page and comparison of a run.

    Example: hubbub score predictions.csv --data esc50
    """
    from hubbub.cli.bench import print_places, print_summary
    from hubbub.experiment.score import score as score_predictions

    run = score_predictions(predictions, data, logits=logits, allow_missing=allow_missing, out=out_dir, name=name)
    print_summary(run.summary)
    print_places(run.folder)
