"""`hubbub train`: from one's own recordings, or one recipe, to an evaluated classifier."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from hubbub.cli.bench import exit_if_failed, print_results, run_grid
from hubbub.cli.options import (
    AllowLeaky,
    AllowMissing,
    Background,
    Corrections,
    Data,
    Debug,
    Device,
    Empty,
    From,
    Group,
    Jobs,
    Multilabel,
    Name,
    Out,
    Quick,
    Seeds,
    Settings,
    TestData,
    as_settings,
    finite,
    log,
    out,
)

__all__ = ["train"]

What = Annotated[
    str,
    typer.Argument(
        metavar="WHAT",
        help="A folder of recordings (one folder for each class, or annotation tables beside them), a table of files "
        "and labels, a known data set, a recipe or a TOML file.",
    ),
]
# What is trained.
Recipe = Annotated[str | None, typer.Option("--recipe", help="Train this recipe on the data.")]
Backbone = Annotated[
    str | None, typer.Option("--backbone", help="The frozen network under the head, e.g. yamnet or small.")
]
Head = Annotated[
    Literal["logreg", "lda", "mlp", "lightgbm", "ensemble"] | None,
    typer.Option("--head", help="The head on the frozen network."),
]
FromScratch = Annotated[bool, typer.Option("--from-scratch", help="Train a small network on these recordings alone.")]
# How the data are split.
FoldsToMake = Annotated[
    int | None, typer.Option("--folds", min=2, help="The number of folds to make, where the data have none.")
]
Fold = Annotated[str | None, typer.Option("--fold", help="Run these test folds only, e.g. 1 or 1,2.")]
# How it is trained.
Refit = Annotated[
    bool, typer.Option(" /--no-refit", help="Stop after the evaluation, without a classifier trained on all clips.")
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="The most epochs.")]
LearningRate = Annotated[float | None, typer.Option("--lr", callback=finite, help="The largest learning rate.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Segments in a batch.")]


def train(
    what: What,
    data: Data = None,
    recipe: Recipe = None,
    backbone: Backbone = None,
    head: Head = None,
    from_scratch: FromScratch = False,
    folds: FoldsToMake = None,
    group: Group = None,
    test: TestData = None,
    background: Background = False,
    multilabel: Multilabel = False,
    empty: Empty = None,
    corrections: Corrections = None,
    fold: Fold = None,
    refit: Refit = True,
    seeds: Seeds = None,
    epochs: Epochs = None,
    lr: LearningRate = None,
    batch_size: BatchSize = None,
    found: From = None,
    jobs: Jobs = None,
    name: Name = None,
    quick: Quick = False,
    allow_missing: AllowMissing = False,
    allow_leaky: AllowLeaky = False,
    settings: Settings = None,
    out_dir: Out = Path("runs"),
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Train and evaluate a classifier on your recordings.

    Example: hubbub train recordings/

    Example: hubbub train labels.csv --group site --head lda

    Example: hubbub train labels.csv --multilabel --empty none

    Example: hubbub train labels.csv --corrections corrections.csv

    Example: hubbub train street-cnn --fold 1 --no-refit
    """
    from hubbub.experiment.local import local_engine
    from hubbub.experiment.own import plan
    from hubbub.experiment.run import run_all

    options = {"train.epochs": epochs, "train.learning_rate": lr, "train.batch_size": batch_size}
    extra = [f"{key}={value}" for key, value in options.items() if value is not None]
    planned = plan(
        what, [*as_settings(settings, device, fold, seeds, allow_missing, allow_leaky), *extra], recipe=recipe,
        backbone=backbone, head=head, from_scratch=from_scratch, folds=folds, group=group, test=test,
        background=background, multilabel=multilabel, empty=empty, corrections=corrections, quick=quick,
        data=data, source=found,
    )  # fmt: skip
    for line in planned.lines:
        log(line)
    runs = [planned.run(out_dir, name, refit=refit)]
    ends = run_grid(runs, lambda: run_all(runs, local_engine(runs, jobs, log), log))
    print_results(ends)
    exit_if_failed(ends, debug)
    if refit:
        _print_next(ends[0].run.folder, ends[0].recording)


def _print_next(folder: Path, recording: str) -> None:
    """Prints the three commands that most people want next."""
    run, file = shlex.quote(str(folder)), shlex.quote(recording) if recording else "FILE"
    out.print("next:")
    for line in (f"classify {file} --model {run}", f"explain {run} {file}", f"serve {run}"):
        out.print(f"  hubbub {line}", soft_wrap=True)
