"""`hubbub tune` and `hubbub lr-find`: search for good settings of a recipe."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hubbub.cli.options import AllowMissing, Data, Debug, Device, Name, Out, Quick, Settings, as_settings, log, out

__all__ = ["lr_find", "tune"]

Recipe = Annotated[str, typer.Argument(help="A shipped recipe's name (hubbub recipes) or a TOML file.")]
Fold = Annotated[str | None, typer.Option("--fold", help="The test fold, which is not used. Default: the first.")]
SHOWN = 10


def tune(
    recipe: Recipe,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            min=1,
            help="How many settings to try in all, with those of earlier runs. Default: the recipe's.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Number of processes.")] = 1,
    fold: Fold = None,
    name: Name = None,
    quick: Quick = False,
    data: Data = None,
    allow_missing: AllowMissing = False,
    settings: Settings = None,
    out_dir: Out = Path("runs"),
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Search a recipe's tune.space for the settings that do best on the validation part; the test part is not used.

    The same command continues an interrupted search, and joins one that is running.

    Example: hubbub tune esc50-resnet18-validation --jobs 2
    """
    from hubbub.config.recipe import Recipe
    from hubbub.data.open import with_data
    from hubbub.report.run_folder import run_name

    extra = with_data(recipe, data, as_settings(settings, device, fold, allow_missing=allow_missing), quick=quick)
    plan = Recipe.load(recipe, extra + ([f"tune.trials={trials}"] if trials else []), quick=quick)
    from hubbub.experiment.tune import search_settings  # slow to import: after the recipe is checked

    folder = out_dir / run_name(recipe, quick, name, "-tune")
    summary = search_settings(plan, folder, jobs=jobs, quick=quick, log=log)
    _print_trials(summary, folder)


def lr_find(
    recipe: Recipe,
    fold: Fold = None,
    name: Name = None,
    quick: Quick = False,
    data: Data = None,
    allow_missing: AllowMissing = False,
    settings: Settings = None,
    out_dir: Out = Path("runs"),
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Find a learning rate: 100 training steps while the rate rises from 1e-7 to 10.

    Example: hubbub lr-find street-cnn
    """
    from hubbub.config.recipe import Recipe
    from hubbub.data.open import with_data
    from hubbub.report.run_folder import run_name

    extra = with_data(recipe, data, as_settings(settings, device, fold, allow_missing=allow_missing), quick=quick)
    plan = Recipe.load(recipe, extra, quick=quick)
    from hubbub.experiment.lr_find import run as find_rate

    folder = out_dir / run_name(recipe, quick, name, "-lr")
    found = find_rate(plan, folder, quick=quick, log=log)
    if found.steepest is None:
        out.print("the loss did not fall at any rate: no suggestion. See the plot.")
    else:
        out.print(f"suggested: train.learning_rate = {found.steepest:.2g}, where the loss falls fastest")
        out.print(f"another common rule, a tenth of the rate with the smallest loss: {found.tenth:.2g}")
    out.print(f"plot: {folder / 'lr-find.png'}", soft_wrap=True)


def _print_trials(summary: dict[str, Any], folder: Path) -> None:
    import pandas as pd

    from hubbub.config.settings import short_value

    name, best = summary["objective"], summary["best"]
    trials = pd.read_csv(folder / "trials.csv")
    done = trials[trials["state"] == "complete"].sort_values(
        name, ascending=summary["better"] == "smaller", kind="stable"
    )
    settings = [column for column in trials.columns if column not in ("trial", "state", name, "seconds", "why")]
    table = Table("trial", name, "settings", title=f"{summary['recipe']}\nthe best of {len(trials)} trials")
    for _, row in done.head(SHOWN).iterrows():
        named = (f"{setting} {short_value(row[setting])}" for setting in settings if pd.notna(row[setting]))
        table.add_row(str(row["trial"]), short_value(row[name]), ", ".join(named))
    out.print(table)
    counts = summary["trials"]
    out.print(f"{counts['complete']} complete, {counts['pruned']} stopped early, {counts['fail']} failed")
    if counts["running"]:
        out.print(f"{counts['running']} are still running in another process, which will update these files")
    if summary["importance"]:
        shares = sorted(summary["importance"].items(), key=lambda item: -item[1])
        out.print("importance: " + ", ".join(f"{setting} {share:.2f}" for setting, share in shares), soft_wrap=True)
    else:
        out.print(f"no importance: {summary['why_no_importance']}")
    out.print(
        f"best: trial {best['trial']}, {name} {best['value']:.4f}. Next: hubbub bench {folder / 'best.toml'}; or with "
        f"these settings in another recipe: hubbub bench RECIPE --from {folder}",
        soft_wrap=True,
    )
