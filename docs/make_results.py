"""Keeps docs/results/, a small file a measured run, and the table of docs/results.md.

    python docs/make_results.py add runs/esc50-yamnet --command "hubbub bench esc50-yamnet" --took 240
    python docs/make_results.py        # writes the table: `make docs`

`add` writes the figures of a finished run to docs/results/NAME.json, as its summary.json has them, and what they were
computed from, the decisions on the test clips, to docs/results/NAME.csv.gz.
"""

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import pandas as pd
from pydantic import BaseModel, ConfigDict, TypeAdapter

from hubbub.classifier.load import load
from hubbub.config.recipe import Recipe, shipped
from hubbub.config.titles import DATA_TITLES, describe_weights
from hubbub.errors import HubbubError
from hubbub.report import run_folder
from hubbub.report.caveats import tags
from hubbub.report.level_results import LEVELS, Figure, FoldScores, LevelCalibration, LevelName, Spread, Unknown
from hubbub.report.results import Environment, Seconds
from hubbub.report.summary import INTERVALS, as_arrays
from hubbub.report.tables import UNKNOWN_NAMES
from hubbub.report.verify import verify
from hubbub.runtime import files

PAGE = Path(__file__).with_name("results.md")
RESULTS = Path(__file__).with_name("results")
RECIPES = "../hubbub/config/recipes"
BEGIN, END = "<!-- The table is written by docs/make_results.py. -->\n", "<!-- End of the table. -->\n"
HEADS = (
    *("task", "clip accuracy", "95 % interval", "clip macro-F1", "segment accuracy, macro-F1", "recipe"),
    *("has also learnt from", "command", "trained parameters", "time", "date"),
)
#: Files of docs/results/ that hold no measured run.
OTHERS = ("published", "small-unknown")
#: The largest file of decisions that is kept [bytes].
LARGEST = 200_000

Task = Literal[
    "ESC-50",
    "ESC-10",
    "UrbanSound8K, fold 10",
    "EmoDB, 2 s",
    "ESC-50, open set",
    "small as a backbone: UrbanSound8K, fold 10",
    "small as a backbone: EmoDB, 2 s",
]
#: What a network has learnt from whose teacher is YAMNet.
TAUGHT = "AudioSet, through its teacher YAMNet"
#: In this order in the table.
TASKS: tuple[Task, ...] = get_args(Task)
_OF_DATA = {"esc50": "ESC-50", "esc10": "ESC-10", "emodb": "EmoDB, 2 s"}
Metric = Literal["accuracy", "macro_f1"]
METRICS: tuple[Metric, ...] = ("accuracy", "macro_f1")


class Row(BaseModel):
    """A measured run. `predictions` names the file of its decisions, which `rescored` reads; it is None for runs whose
    folder is lost. Times are in seconds: `seconds` as the run measured them, `command_seconds` that of the command."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Task
    title: str
    recipe: str
    command: str
    learnt_from: str
    data: str
    test_folds: list[str]
    protocol: str
    clips: int
    recordings: int | None
    why_not_comparable: list[str]
    clip: dict[Metric, Figure]
    segment: dict[Metric, Figure]
    folds: list[FoldScores]
    calibration: dict[LevelName, LevelCalibration]
    unknown: Unknown | None
    trained_parameters: int | None
    seconds: Seconds | None
    command_seconds: float | None = None
    threads: list[int | str]
    processor: str
    date: datetime.date
    versions: dict[str, str]
    weights: dict[str, str]
    licence: str
    predictions: str | None
    note: str = ""

    @property
    def score(self) -> float:
        """What rows of a task are sorted by: AUROC for the open set, clip accuracy elsewhere."""
        return self.unknown.scores(self.unknown.by)["auroc"].mean if self.unknown else self.clip["accuracy"].mean or 0


class Published(NamedTuple):
    """A figure that others report."""

    task: Task
    system: str
    accuracy: float
    learnt_from: str
    source: str


def add(run: Path, command: str, name: str | None = None, results: Path = RESULTS, **given: Any) -> Path:
    """Writes the row of a finished run and its decisions; returns the row's file. `given` replaces fields of the row.

    Raises `HubbubError` for a run whose summary differs from its predictions.
    """
    if differences := verify(run):
        raise HubbubError(f"{run}: {differences[0]}. Its summary is of other predictions: run the command again.")
    found = _facts(run, command) | given
    if missing := [option for option in ("task", "date", "learnt_from") if option not in found]:
        options = ", ".join(f"--{option.replace('_', '-')}" for option in missing)
        raise HubbubError(f"{run} does not say all that a row needs. Give {options}; tasks are {'; '.join(TASKS)}.")
    name = name or run.absolute().name
    path = results / f"{name}.csv.gz"
    kept = decisions(run_folder.predictions(run))
    kept.to_csv(path, index=False, lineterminator="\n", compression={"method": "gzip", "mtime": 0})
    if path.stat().st_size > LARGEST:
        path.unlink()
    row = Row(**found, predictions=path.name if path.is_file() else None)
    files.write_json(results / f"{name}.json", row.model_dump(mode="json", exclude_unset=True))
    return results / f"{name}.json"


def decisions(predicted: pd.DataFrame) -> pd.DataFrame:
    """The decision on each test clip and its probability, from a run's predictions."""
    clips = predicted[predicted["level"] == "clip"]
    _, scores, labels = as_arrays(clips)
    facts = clips.reset_index(["fold", "seed"])[["clip", "fold", "seed", "group", "label"]]
    decided = pd.Index(labels)[scores.argmax(axis=1)]
    return facts.assign(predicted=decided, probability=scores.max(axis=1).astype(float).round(4))


def _facts(run: Path, command: str) -> dict[str, Any]:
    """The fields of a row that a run folder gives; `task` where it is known."""
    summary, environment = run_folder.read_summary(run), run_folder.read_environment(run)
    recipe, machine = run_folder.read_recipe(run), environment.machine
    cells = [run_folder.read_result(place) for _, _, place in run_folder.cells(run)]
    threads: set[int | str] = {count for cell in cells for count in cell.threads}
    opened = [cell.test_opened.date() for cell in cells if cell.test_opened]
    same = ("data", "protocol", "clips", "recordings", "why_not_comparable", "calibration", "unknown", "seconds")
    return {
        **({"task": task} if (task := _task(environment, recipe)) in TASKS else {}),
        **{name: getattr(summary, name) for name in same},
        "recipe": next((word for word in command.split() if word in shipped()), run.absolute().name),
        "title": summary.title,
        "command": command,
        **({} if environment.scored else {"learnt_from": _learnt_from(recipe)}),
        "test_folds": environment.test_folds,
        **{level: {metric: summary.level(level).figure(metric) for metric in METRICS} for level in LEVELS},
        "folds": [_main_figures(one) for one in summary.folds],
        "trained_parameters": cells[0].trainable_parameters or _fitted_numbers(run, recipe),
        "threads": sorted(threads or {machine.threads}, key=str),
        "processor": machine.processor,
        **({"date": max(opened)} if opened else {}),
        "versions": {"hubbub": environment.hubbub, "python": environment.python, **environment.libraries},
        "weights": environment.weights,
        "licence": environment.data.licence,
    }


def _main_figures(one: FoldScores) -> FoldScores:
    return one.model_copy(update={level: {name: getattr(one, level)[name] for name in METRICS} for level in LEVELS})


def _task(environment: Environment, recipe: Recipe) -> str | None:
    """The task that data, folds, held-out classes and network belong to, if there is one."""
    name, folds = environment.data.name, environment.test_folds
    task = _OF_DATA.get(name) or ("UrbanSound8K, fold 10" if (name, folds) == ("urbansound8k", ["10"]) else None)
    if recipe.network.name == "small":
        return f"small as a backbone: {task}"
    return f"{task}, open set" if recipe.data.held_out else task


def _learnt_from(recipe: Recipe) -> str:
    """What the network has learnt from beside the training clips; "" for nothing."""
    if recipe.network.name == "small":
        return f"ESC-50; UrbanSound8K, folds 1 to 9, without labels; {TAUGHT}"
    own = describe_weights(recipe).removeprefix("from ").replace("scratch", "")
    pretrained = recipe.teacher.pretrain if recipe.teacher else None
    unlabelled = f"{DATA_TITLES.get(pretrained.data, pretrained.data)}, without labels" if pretrained else ""
    return "; ".join(filter(None, (own, unlabelled, TAUGHT if recipe.teacher else "")))


def _fitted_numbers(run: Path, recipe: Recipe) -> int | None:
    """The fitted numbers of a head; None for trees and where there is no classifier."""
    place = run_folder.cells(run)[0][2]
    if recipe.head.name == "none" or not run_folder.classifier_folder(place).is_dir():
        return None
    head = getattr(load(place), "head", None)
    return sum(array.size for array in head.arrays().values()) or None if head else None


def rows(results: Path = RESULTS) -> dict[str, Row]:
    """All measured rows by name."""
    paths = sorted(path for path in results.glob("*.json") if path.stem not in OTHERS)
    return {path.stem: Row.model_validate_json(path.read_text(encoding="utf-8")) for path in paths}


def table(results: Path = RESULTS) -> str:
    """The whole table: tasks in order, the best row of each first."""
    theirs = TypeAdapter(list[Published]).validate_json((results / "published.json").read_text(encoding="utf-8"))
    found = [(row.task, row.score, _measured(name, row)) for name, row in rows(results).items()]
    for one in theirs:
        texts = one.task, f"{one.accuracy:g}", "", "", "", f"published: {one.system}; {one.source}", one.learnt_from
        found.append((one.task, one.accuracy, (*texts, "", "", "", "")))
    found.sort(key=lambda entry: (TASKS.index(entry[0]), -entry[1]))
    lines = [HEADS, tuple("---" for _ in HEADS), *(texts for _, _, texts in found)]
    return "".join(f"| {' | '.join(text or '-' for text in texts)} |\n" for texts in lines)


def _measured(name: str, row: Row) -> tuple[str, ...]:
    accuracy, segment, figure = row.clip["accuracy"], row.segment, _spread(row.clip["accuracy"])
    if row.unknown:
        auroc, fpr = (_spread(row.unknown.scores(row.unknown.by)[name], 3) for name in ("auroc", "fpr95"))
        figure = f"AUROC {auroc}, FPR {fpr} ({UNKNOWN_NAMES[row.unknown.by]}); known classes {figure}"
    caveats = f" ({tags(row.why_not_comparable)})" if row.why_not_comparable else ""
    recipe = f"[{row.recipe}]({RECIPES}/{row.recipe}.toml)" if row.recipe in shipped() else row.recipe
    return (
        row.task + caveats,
        f"[{figure}](results/{name}.json)",
        _interval(accuracy),
        _spread(row.clip.get("macro_f1")),
        f"{_spread(segment['accuracy'])}, {_spread(segment['macro_f1'])}" if segment else "",
        recipe,
        row.learnt_from,
        f"`{row.command}`".replace("|", "\\|"),
        f"{row.trained_parameters:,}" if row.trained_parameters else "",
        _time(row),
        row.date.isoformat() + (f"; {row.note}" if row.note else ""),
    )


def _spread(figure: Figure | Spread | None, digits: int = 4) -> str:
    if figure is None:
        return ""
    return f"{figure.mean:.{digits}f}" + ("" if figure.sd is None else f" +- {figure.sd:.{digits}f}")


def _interval(figure: Figure) -> str:
    if figure.ci95 is None:
        return ""
    method = INTERVALS.get(figure.interval, figure.interval)
    return f"{figure.ci95[0]:.3f} to {figure.ci95[1]:.3f}" + ("" if method == "exact binomial" else f", {method}")


def _time(row: Row) -> str:
    spent = row.command_seconds or (row.seconds and row.seconds.minutes * 60)
    if not spent:
        return ""
    kind = "" if row.command_seconds else ", fit and predict"
    words = f"{spent:.0f} s" if spent < 100 else f"{spent / 60:.2g} min" if spent < 5400 else f"{spent / 3600:.1f} h"
    return words + kind


def page(text: str, results: Path = RESULTS) -> str:
    """The page with the current table between its two markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{table(results)}\n{end}{after}"


def _options(arguments: Sequence[str] | None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command = parser.add_subparsers(dest="action").add_parser("add", argument_default=argparse.SUPPRESS)
    command.add_argument("run", type=Path)
    command.add_argument("--command", required=True, help="the command that made the run, as it was typed")
    command.add_argument("--name", help="of the row; by default that of the run folder")
    command.add_argument("--task", choices=TASKS)
    command.add_argument("--learnt-from", help="beside the training clips; by default by the recipe's weights")
    command.add_argument("--took", type=float, dest="command_seconds", help="time of the whole command [s]")
    command.add_argument("--processor", help="its name; by default what the run recorded")
    command.add_argument("--date", help="YYYY-MM-DD; by default when the last test was opened")
    command.add_argument("--note", help="a few words beside the date")
    return vars(parser.parse_args(arguments))


def main(arguments: Sequence[str] | None = None) -> None:
    """Adds a run, if one is given, and writes the page's table."""
    given = _options(arguments)
    if given.pop("action") == "add":
        print(f"wrote {add(**given)}")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
