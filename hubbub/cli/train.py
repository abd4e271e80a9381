"""`hubbub train`: from one's own recordings, or one recipe, to an evaluated classifier."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from hubbub.cli.bench import exit_if_failed, print_results, run_grid
from hubbub.cli.options import (
    AllowLeaky,
    AllowMissing,
    Data,
    Debug,
    Device,
    From,
    Jobs,
    Name,
    Out,
    Quick,
    Seeds,
    Settings,
    as_settings,
    finite,
    log,
    out,
)

__all__ = ["train"]

Heads = Literal["logreg", "lda", "mlp", "lightgbm", "ensemble"]


def train(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A folder of recordings (one folder for each class, or annotation tables beside them), a table of "
            "files and labels, a known data set, a recipe or a TOML file.",
        ),
    ],
    data: Data = None,
    recipe: Annotated[str | None, typer.Option("--recipe", help="Train this recipe on the data.")] = None,
    backbone: Annotated[
        str | None, typer.Option("--backbone", help="The frozen network under the head. Default: yamnet.")
    ] = None,
    head: Annotated[Heads | None, typer.Option("--head", help="The head on the frozen network.")] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Train a small network on these recordings alone.")
    ] = False,
    folds: Annotated[
        int | None, typer.Option("--folds", min=2, help="The number of folds to make, where the data have none.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            help="Which clips are of one recording: a column, a regular expression for the paths, or 'file': each file "
            "is a recording of its own. Default: guessed from the file names.",
        ),
    ] = None,
    test: Annotated[
        str | None, typer.Option("--test", help="Another folder or table with the same classes: the test part.")
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help="Annotations: add a class of what is not annotated.")
    ] = False,
    fold: Annotated[str | None, typer.Option("--fold", help="Run these test folds only, e.g. 1 or 1,2.")] = None,
    refit: Annotated[
        bool, typer.Option(" /--no-refit", help="Stop after the evaluation, without a classifier trained on all clips.")
    ] = True,
    seeds: Seeds = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="The most epochs.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", callback=finite, help="The largest learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Segments in a batch.")] = None,
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
        background=background, quick=quick, data=data, source=found,
    )  # fmt: skip
    for line in planned.lines:
        log(line)
    runs = [planned.run(out_dir, name, refit=refit)]
    ends = run_grid(runs, lambda: run_all(runs, local_engine(runs, jobs, log), log))
    print_results(ends)
    exit_if_failed(ends, debug)
    if refit:
        _print_next(ends[0].run.folder, what)


def _print_next(folder: Path, what: str) -> None:
    """Prints the three commands that most people want next."""
    from hubbub.audio.find_files import search

    found = search(what).files if Path(what).is_dir() else []
    file = shlex.quote(found[0]) if found else "FILE"
    run = shlex.quote(str(folder))
    out.print("next:")
    for line in (f"classify {file} --model {run}", f"explain {run} {file}", f"serve {run}"):
        out.print(f"  hubbub {line}", soft_wrap=True)
