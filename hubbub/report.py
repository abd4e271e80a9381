"""Runs to tables, a summary and one self-contained page.

Everything here is made from the files of a run folder, so it can be made again, and a resumed run ends with the same
figures as one that was never stopped.
"""

import base64
import html
import io
import json
import statistics
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub import files, metrics, plots
from hubbub.recipe import Recipe

__all__ = ["NAMES", "classes", "fold_table", "goals", "read_json", "summarise", "write_page"]

Scores = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
LEVELS = ("clip", "segment")
NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "top3": "top-3 accuracy",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
}
#: System A's goals and the recipes that pursue them.
GOALS = {
    "A1": "us8k-yamnet-lgbm",
    "A1-V5": "us8k-yamnet-ensemble",
    "A2": "us8k-esresnext",
    "A3": "us8k-audioclip",
}
_GOAL_ROWS = [
    *("run", "segment accuracy", "segment macro-F1", "clip accuracy", "clip macro-F1", "segments a second"),
    *("seconds of training", "best epoch", "trainable parameters", "GPU needed", "read first"),
]


def read_json(path: Path) -> Any:
    """A JSON file's content."""
    return json.loads(path.read_text(encoding="utf-8"))


def summarise(folder: Path) -> dict[str, Any]:
    """The run's figures from its cells' predictions, written to `summary.json` and returned."""
    recipe = Recipe.load(folder / "recipe.toml")
    environment = read_json(folder / "environment.json")
    entries, tables, speeds = [], [], []
    seconds = {"fit": 0.0, "predict": 0.0}
    for fold in environment["test_folds"]:
        for seed in recipe.train.seeds:
            place = folder / f"test-{fold}" / f"seed-{seed}"
            figures = read_json(place / "metrics_test.json")
            speeds.append(read_json(place / "metrics_throughput.json")["segments_per_second"])
            seconds = {key: total + figures["seconds"][key] for key, total in seconds.items()}
            levels = {level: {m: figures[f"{level}_{m}"] for m in metrics.METRICS} for level in LEVELS}
            entries.append({"fold": fold, "seed": seed, **levels})
            tables.append(pd.read_parquet(place / "predictions.parquet").assign(seed=seed))
    predicted = pd.concat(tables, ignore_index=True)
    reasons = environment["why_not_comparable"]
    summary = {
        "recipe": recipe.title or folder.name,
        "protocol": environment["protocol"],
        "comparable": not reasons,
        "why_not_comparable": reasons,
        **{f"{level}s": int((predicted["level"] == level).sum()) // len(recipe.train.seeds) for level in LEVELS},
        "folds": entries,
        **{level: _over_folds(predicted, level, entries, recipe) for level in LEVELS},
        "seconds": seconds,
        "segments_per_second": statistics.median(speeds),
    }
    files.write_json(folder / "summary.json", summary)
    return summary


def _over_folds(predicted: pd.DataFrame, level: str, entries: list[dict[str, Any]], recipe: Recipe) -> dict[str, Any]:
    rows = predicted[predicted["level"] == level]
    targets, scores, _ = _arrays(rows)
    by_seed = [(rows["seed"] == seed).to_numpy() for seed in recipe.train.seeds]
    pooled = [metrics.evaluate(targets[at], scores[at]) for at in by_seed]
    intervals = metrics.bootstrap(targets, scores, rows["group"], recipe.evaluate.resamples)
    return metrics.aggregate([{"fold": e["fold"], **e[level]} for e in entries], pooled, intervals)


def _arrays(predicted: pd.DataFrame) -> tuple[Targets, Scores, tuple[str, ...]]:
    """Targets, scores and labels of a predictions table: the classes are the columns after `end`, less the seed."""
    labels = tuple(predicted.columns[list(predicted.columns).index("end") + 1 :].drop("seed", errors="ignore"))
    targets = pd.Categorical(predicted["label"], categories=list(labels)).codes.astype(np.int64)
    return targets, predicted[list(labels)].to_numpy(), labels


def classes(
    clip_targets: Targets,
    clip_scores: Scores,
    segment_targets: Targets,
    segment_scores: Scores,
    labels: tuple[str, ...],
) -> pd.DataFrame:
    """Precision, recall, F1, support and AUC of each class, at clip and at segment level."""
    tables = []
    for level, targets, scores in (("clip", clip_targets, clip_scores), ("segment", segment_targets, segment_scores)):
        table = pd.DataFrame(metrics.per_class(targets, scores))
        table.insert(0, "class", labels)
        table.insert(0, "level", level)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def fold_table(summary: dict[str, Any]) -> pd.DataFrame:
    """Fold, seed, and the main figures at both levels, as the summary holds them."""
    return pd.DataFrame(
        {
            "test fold": entry["fold"],
            "seed": entry["seed"],
            "clip accuracy": entry["clip"]["accuracy"],
            "clip macro-F1": entry["clip"]["macro_f1"],
            "segment accuracy": entry["segment"]["accuracy"],
            "segment macro-F1": entry["segment"]["macro_f1"],
        }
        for entry in summary["folds"]
    )


def goals(runs: Path) -> pd.DataFrame:
    """System A's comparison table from the run folders in `runs`: a column a goal, a row a fact, all as text.

    A goal whose recipe has no finished run there says how to run it; a quick run stands in for a full one, marked.
    """
    return pd.DataFrame({goal: _goal(runs, recipe) for goal, recipe in GOALS.items()})


def _goal(runs: Path, recipe: str) -> pd.Series:
    done = [runs / name for name in (recipe, f"{recipe}-quick") if (runs / name / "summary.json").is_file()]
    if not done:
        return pd.Series({"run": f"not yet: hubbub bench {recipe}"}, index=_GOAL_ROWS).fillna("-")
    summary, settings = read_json(done[0] / "summary.json"), Recipe.load(done[0] / "recipe.toml")
    test = read_json(next(done[0].glob("test-*/seed-*/metrics_test.json")))
    facts = {
        f"{level} {NAMES[metric]}": f"{summary[level][metric]['mean']:.4f}"
        for level in ("segment", "clip")
        for metric in ("accuracy", "macro_f1")
    }
    trained, epoch = test.get("trainable_parameters"), test["choice"].get("epoch")
    fine_tuned = settings.head.name == "none" and settings.network.mode == "finetune"
    facts |= {
        "run": done[0].name,
        "segments a second": f"{summary['segments_per_second']:,.0f}",
        "seconds of training": f"{summary['seconds']['fit']:,.0f}",
        "best epoch": "-" if epoch is None else str(epoch),
        "trainable parameters": "-" if trained is None else f"{trained:,}",
        "GPU needed": "yes" if fine_tuned else "no",
        "read first": "; ".join(reason.partition(":")[0] for reason in summary["why_not_comparable"]),
    }
    return pd.Series(facts, index=_GOAL_ROWS)


def write_page(folder: Path) -> Path:
    """`report.html` of a run folder: one file without outside requests."""
    summary = read_json(folder / "summary.json")
    environment = read_json(folder / "environment.json")
    predicted = pd.concat(pd.read_parquet(p) for p in sorted(folder.glob("test-*/seed-*/predictions.parquet")))
    clips = predicted[predicted["level"] == "clip"]
    targets, scores, labels = _arrays(clips)
    warnings = summary["why_not_comparable"] + environment["data"]["warnings"]
    data = environment["data"]
    first = sorted(folder.glob("test-*/seed-*"))[0]
    page = Template(_PAGE).substitute(
        title=html.escape(summary["recipe"]),
        headline=_headline(summary),
        warnings="".join(f"<li>{html.escape(line)}</li>" for line in warnings),
        hidden="" if warnings else "hidden",
        figures=_html_table(_figures(summary), "{:.4f}"),
        folds=_html_table(fold_table(summary), "{:.4f}"),
        classes=_html_table(_by_class(targets, scores, labels), "{:.3f}"),
        confusion=_embedded(lambda path: plots.confusion(targets, scores, labels, path)),
        roc=_embedded(lambda path: plots.roc(targets, scores, labels, path)),
        curves=_stored(first / "curves.png", f"learning curves, {first.parent.name}, {first.name}"),
        data=html.escape(f"{data['name']}: {data['clips']:,} of {data['listed']:,} listed clips; {data['licence']}"),
        citation=html.escape(data["citation"]),
        recipe=html.escape((folder / "recipe.toml").read_text(encoding="utf-8")),
        environment=html.escape(json.dumps({k: v for k, v in environment.items() if k != "data"}, indent=2)),
        speed=f"{summary['segments_per_second']:,.0f}",
        fit=f"{summary['seconds']['fit']:,.1f}",
    )
    files.write_text(folder / "report.html", page)
    return folder / "report.html"


def _headline(summary: dict[str, Any]) -> str:
    accuracy = summary["clip"]["accuracy"]
    spread = f" &plusmn; {accuracy['sd']:.3f} over folds" if accuracy["sd"] is not None else ""
    interval = ""
    if accuracy["ci95"]:
        low, high = accuracy["ci95"]
        interval = f", 95&nbsp;% interval {low:.3f} to {high:.3f} (pooled, drawn by source recording)"
    return (
        f"clip accuracy <strong>{accuracy['mean']:.3f}</strong>{spread}{interval}; {summary['clips']:,} clips, "
        f"{html.escape(summary['protocol'])}"
    )


def _figures(summary: dict[str, Any]) -> pd.DataFrame:
    rows = []
    for level in ("clip", "segment"):
        for name, values in summary[level].items():
            low, high = values["ci95"] or (np.nan, np.nan)
            rows.append(
                {"level": level, "figure": NAMES[name], "mean of folds": values["mean"], "sd": values["sd"] or np.nan,
                 "pooled": values["pooled"], "95 % from": low, "to": high}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _by_class(targets: Targets, scores: Scores, labels: tuple[str, ...]) -> pd.DataFrame:
    table = pd.DataFrame(metrics.per_class(targets, scores)).rename(columns={"f1": "F1", "roc_auc": "AUC"})
    table.insert(0, "class", labels)
    table["support"] = table["support"].astype(int)
    return table.sort_values("F1")


def _html_table(table: pd.DataFrame, number: str) -> str:
    return table.to_html(index=False, border=0, na_rep="-", float_format=number.format)


def _embedded(draw: Any) -> str:
    stream = io.BytesIO()
    draw(stream)
    return base64.b64encode(stream.getvalue()).decode()


def _stored(path: Path, caption: str) -> str:
    if not path.is_file():
        return ""
    picture = base64.b64encode(path.read_bytes()).decode()
    return f'<h2>Learning</h2><img alt="{caption}" src="data:image/png;base64,{picture}">'


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8886; --warn: #b45309; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
strong { font-size: 1.4em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child, td:nth-child(2) { text-align: left; }
.warnings { border-left: .3rem solid var(--warn); padding: .3rem 1rem; }
img { max-width: 100%; height: auto; background: white; }
pre { overflow-x: auto; font-size: .85rem; border: 1px solid var(--line); padding: .7rem; }
</style></head><body>
<h1>$title</h1>
<section class="warnings" $hidden><h2>Read this first</h2><ul>$warnings</ul></section>
<p>$headline</p>
<h2>Figures</h2>$figures
<h2>Folds and seeds</h2>$folds
<h2>Classes (clips, pooled, weakest first)</h2>$classes
<h2>Confusion (clips, pooled)</h2><img alt="confusion matrix" src="data:image/png;base64,$confusion">
<h2>ROC (clips, pooled)</h2><img alt="ROC curves" src="data:image/png;base64,$roc">
$curves
<h2>Speed</h2><p>$speed segments a second from waves to probabilities; $fit s of fitting in all.</p>
<h2>Data</h2><p>$data</p><p>Cite: $citation</p>
<details><summary>Recipe, every field</summary><pre>$recipe</pre></details>
<details><summary>Environment</summary><pre>$environment</pre></details>
</body></html>
"""
