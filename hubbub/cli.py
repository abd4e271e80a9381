"""The command line: one function a command; parse, call, print. No logic lives here.

Exit status: 0 done, 1 some inputs failed, 2 unusable request.
"""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hubbub import cli_data, cli_hub, cli_listen, cli_serve, cli_tune
from hubbub.cli_options import (
    AllowLeaky,
    AllowMissing,
    Debug,
    Device,
    Folds,
    Name,
    Out,
    Quick,
    Seeds,
    Settings,
    as_settings,
    err,
    out,
)
from hubbub.errors import HubbubError

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="From labelled recordings of sounds to a classifier one can trust. Start with: hubbub demo",
)
cli_data.app.add_typer(cli_hub.app, name="hub")
app.add_typer(cli_data.app, name="data")
app.command("tune")(cli_tune.tune)
app.command("lr-find")(cli_tune.lr_find)
app.command()(cli_listen.listen)
app.command()(cli_serve.serve)


def _print_version(asked: bool) -> None:
    if asked:
        from hubbub import __version__

        out.print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before any command."""


@app.command()
def demo(out_dir: Out = Path("runs"), device: Device = None, debug: Debug = False) -> None:
    """The whole way once, on what is at hand: data, training, honest evaluation, report, a sound classified.

    Example: hubbub demo
    """
    from hubbub import demo as main_job

    main_job.run(out_dir, as_settings(None, device), say=_say)


@app.command()
def bench(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name (hubbub recipes) or a TOML file.")],
    folds: Folds = None,
    seeds: Seeds = None,
    name: Name = None,
    quick: Quick = False,
    allow_missing: AllowMissing = False,
    allow_leaky: AllowLeaky = False,
    settings: Settings = None,
    out_dir: Out = Path("runs"),
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Run a recipe over all its folds and seeds; a killed run goes on where it stopped.

    Example: hubbub bench esc50-yamnet
    """
    extra = as_settings(settings, device, folds, seeds, allow_missing, allow_leaky)
    _run(recipe, extra, out_dir / (name or _run_name(recipe, quick)), quick=quick, refit=True)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name (hubbub recipes) or a TOML file.")],
    fold: Annotated[
        str | None, typer.Option("--fold", help="The test fold that stays untouched until the end.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random draw.")] = 42,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Longest training.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Largest learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Segments a step.")] = None,
    name: Name = None,
    quick: Quick = False,
    allow_missing: AllowMissing = False,
    allow_leaky: AllowLeaky = False,
    settings: Settings = None,
    out_dir: Out = Path("runs"),
    device: Device = None,
    debug: Debug = False,
) -> None:
    """One split, one seed, for looking closely.

    Example: hubbub train street-cnn --fold 1 --epochs 5
    """
    given = {"train.epochs": epochs, "train.learning_rate": lr, "train.batch_size": batch_size}
    extra = [f"{key}={value}" for key, value in given.items() if value is not None]
    extra = as_settings(settings, device, fold, str(seed), allow_missing, allow_leaky) + extra
    folder = out_dir / (name or f"{_run_name(recipe, quick)}-fold{fold or ''}-seed{seed}")
    _run(recipe, extra, folder, quick=quick, refit=False)


@app.command()
def recipes() -> None:
    """List the shipped recipes."""
    from hubbub.recipe import shipped

    table = Table("recipe", "what it is")
    for name, title in shipped().items():
        table.add_row(name, title)
    out.print(table)


@app.command()
def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="First compute the figures again from the predictions: do they agree?")
    ] = False,
    goals: Annotated[
        bool, typer.Option("--goals", help="System A's comparison: its four recipes, as far as they have been run.")
    ] = False,
    out_dir: Out = Path("runs"),
    debug: Debug = False,
) -> None:
    """Write a run's page again and print its figures.

    Example: hubbub report runs/demo
    """
    from hubbub import page
    from hubbub import report as tables

    if not runs and not goals:
        raise HubbubError("name a run folder, for example: hubbub report runs/demo, or ask for --goals.")
    failed = False
    for folder in runs or []:
        if not (folder / "summary.json").is_file():
            raise HubbubError(f"{folder} has no summary.json: it is not a finished run. Finish it with hubbub bench.")
        _print_summary(tables.read_json(folder / "summary.json"))
        if verify and (differences := tables.verify(folder)):
            failed = True
            for line in differences:
                err.print(f"does not agree: {line}", style="red", soft_wrap=True)
            continue
        if verify:
            out.print("verified: summary.json agrees with the predictions")
        out.print(f"page: {page.write(folder)}")
    if goals:
        frame = tables.goals(out_dir)
        table = Table("", title="system A: UrbanSound8K, test fold 10 alone")
        for goal in frame.columns:
            table.add_column(goal, overflow="fold")
        for row in frame.itertuples():
            table.add_row(*row)
        out.print(table)
    if failed:
        raise typer.Exit(1)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, two or more.")],
    page: Annotated[Path, typer.Option("--out", help="The page; all figures go beside it as .json.")] = Path(
        "comparison.html"
    ),
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare what is not comparable, on the clips in common, labelled so.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Which of several runs is better, and which differences are noise.

    Example: hubbub compare runs/esc50-yamnet runs/esc50-logreg
    """
    from hubbub import compare as room
    from hubbub import comparison

    result = room.compare(runs, anyway=anyway)
    for line in result["warnings"]:
        out.print(line, style="yellow", soft_wrap=True)
    ranking = comparison.ranking(result)
    table = Table(title=ranking.caption)
    for head in ranking.heads[:6]:
        table.add_column(head, overflow="fold", no_wrap=head == "run")
    for row in ranking.rows:
        table.add_row(*row[:6])
    out.print(table)
    pairs = comparison.pairs(result)
    for name, verdict, difference, interval, *tests in pairs.rows:
        out.print(f"{name}: {difference} ({interval}), {verdict}", soft_wrap=True)
        said = ", ".join(f"{head} {test}" for head, test in zip(pairs.heads[4:], tests, strict=True))
        out.print(f"    {said}", soft_wrap=True)
    out.print(comparison.headline(result), soft_wrap=True)
    out.print(f"page: {comparison.write(result, page)}", soft_wrap=True)


@app.command()
def classify(
    paths: Annotated[list[str], typer.Argument(help="Sound files, or folders of them.")],
    model: Annotated[str | None, typer.Option("--model", help="A run folder, a saved classifier, or 'yamnet'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line a segment.")] = False,
    top: Annotated[int, typer.Option("--top", min=1, help="Classes shown in the table.")] = 3,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Say what is heard in each file.

    Example: hubbub classify street.wav --model runs/demo
    """
    from hubbub import predict
    from hubbub.loading import load

    name = model or predict.default_model()
    classifier = load(name).to(device or "auto")
    print_answer = _answer_printer(as_json, as_csv, top)
    failed = 0
    for answer in predict.answers(classifier, predict.find(paths, classifier.endings), name):
        failed += answer.heard is None
        print_answer(answer)
    if failed:
        raise typer.Exit(1)


@app.command()
def explain(
    model: Annotated[str, typer.Argument(help="A run folder, a saved classifier, or 'yamnet'.")],
    file: Annotated[Path, typer.Argument(help="A sound file; or a picture or .npy, for models of such.")],
    label: Annotated[
        str | None, typer.Option("--label", help="The class to explain. Default: the one decided.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for pictures and sounds. Default: explanations/FILE.")
    ] = None,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Show where in a recording a class was found, and let it be heard.

    Example: hubbub explain runs/demo street.wav
    """
    from hubbub import explain as room
    from hubbub.classifier import load
    from hubbub.hearing import GIVEN

    classifier = load(model).to(device or "auto")
    folder = out_dir or Path("explanations") / file.stem
    if file.suffix.lower() in GIVEN:
        card = room.write_given(classifier, file, folder, label)
    else:
        card = room.write(classifier, room.explain(classifier, file, label=label), folder)
    out.print(f"{card['label']}, by {card['method']}")
    for remark in card["remarks"]:
        out.print(remark, style="yellow", soft_wrap=True)
    words = {"original": "as it is", "listened": "what was listened to", "rest": "the rest"}
    for name, scores in card["scores"].items():
        out.print(f"{scores[card['label']]:.3f}  {words[name]}")
    out.print(f"all of it: {folder}", soft_wrap=True)


def _run_name(recipe: str, quick: bool) -> str:
    return Path(recipe).stem + ("-quick" if quick else "")


def _run(name: str, settings: list[str], folder: Path, *, quick: bool, refit: bool) -> None:
    from hubbub.recipe import Recipe

    recipe = Recipe.load(name, settings, quick=quick)
    from hubbub import experiment  # seconds of imports: only for a recipe that holds

    summary = experiment.run(recipe, folder, quick=quick, refit=refit, say=_say)
    _print_summary(summary)
    out.print(f"run folder: {folder}   page: {folder / 'report.html'}")


def _print_summary(summary: dict[str, Any]) -> None:
    from hubbub.report import NAMES, fold_table

    out.print(f"\n{summary['recipe']}", style="bold")
    out.print(summary["protocol"])
    for reason in summary["why_not_comparable"]:
        out.print(reason, style="yellow", soft_wrap=True)
    frame = fold_table(summary)
    table = Table(*frame.columns)
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row))
    out.print(table)
    table = Table("figure", "level", "mean", "sd over folds", "sd over seeds", "pooled", "95 %")
    for level in ("clip", "segment"):
        for key, values in summary[level].items():
            interval = " to ".join(f"{v:.4f}" for v in values["ci95"]) if values["ci95"] else "-"
            figures = (values.get(k) for k in ("mean", "sd", "sd_seeds", "pooled"))
            table.add_row(NAMES[key], level, *("-" if f is None else f"{f:.4f}" for f in figures), interval)
    out.print(table)


def _answer_printer(as_json: bool, as_csv: bool, top: int) -> Callable[[Any], None]:
    if as_json:
        return lambda answer: print(answer.to_json())
    if as_csv:
        import csv

        writer = csv.writer(sys.stdout)
        writer.writerow(["file", "start", "end", "label", "score"])
        return lambda answer: _print_csv(writer, answer)
    out.print(f"{'seconds':>9}  {'heard':<24} score  file  (next)")
    return lambda answer: _print_row(answer, top)


def _print_csv(writer: Any, answer: Any) -> None:
    if answer.heard is None:
        err.print(f"error: {answer.error}", soft_wrap=True)
        return
    for segment in answer.to_dict()["segments"]:
        writer.writerow([answer.file, *(segment[key] for key in ("start", "end", "label", "score"))])


def _print_row(answer: Any, top: int) -> None:
    if answer.heard is None:
        err.print(f"error: {answer.error}", soft_wrap=True)
        return
    (label, score), *others = answer.heard.top(top)
    also = ", ".join(f"{name} {other:.2f}" for name, other in others)
    out.print(f"{answer.heard.seconds:>9.2f}  {label:<24}  {score:.2f}  {answer.file}  ({also})", soft_wrap=True)


def _say(line: str) -> None:
    err.print(line, soft_wrap=True)


def main() -> None:
    """Run the command line; an error of hubbub's own is one line and exit status 2."""
    # Threads that spin for long while they wait make everything slow as soon as another program needs a core.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        app()
    except HubbubError as error:
        if "--debug" in sys.argv:
            raise
        err.print(f"error: {error}", style="red", soft_wrap=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        err.print("stopped; the same command goes on where it was")
        raise SystemExit(130) from None
