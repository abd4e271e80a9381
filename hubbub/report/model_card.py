"""The card of a published classifier: Markdown with a header in YAML, made from a run.

The header's fields: https://huggingface.co/docs/hub/model-cards. What must be read before a figure comes first.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hubbub.classifier.saved import read_card
from hubbub.config.recipe import Recipe
from hubbub.data.hub.build import licence_id, non_commercial
from hubbub.report import run_folder
from hubbub.report.caveats import read_first
from hubbub.report.headline import headline, metric_names
from hubbub.report.level_results import ClassFigures, SetClassScores
from hubbub.report.results import Environment, Summary
from hubbub.report.summary import INTERVALS, describe_interval
from hubbub.runtime.catalogue import ASSETS
from hubbub.runtime.escape import escape_markdown, single_line
from hubbub.runtime.hub import NAME

__all__ = ["PAGE", "model_card"]

PAGE = "README.md"
_LIMITS = (
    "Not for safety, alarms, medicine, legal use or the surveillance of people: a missed sound must harm nobody.",
    "It knows the classes below and no others. Any other sound may be taken for one of them.",
    "Other microphones, rooms, distances and codecs than those of the training data are harder. Measure it on your own "
    "recordings before you use it: `hubbub score`.",
)
_NON_COMMERCIAL = (
    "**Commercial use.** The classifier was trained on data that may not be used commercially. Whether weights inherit "
    "such a condition is not settled law. Do not use it commercially without advice of your own; train one on data "
    "whose licence permits it, with the same command."
)


def model_card(folder: Path, name: str) -> str:
    """The card of a finished run's classifier, published as `name` (OWNER/NAME)."""
    summary, environment = run_folder.read_summary(folder), run_folder.read_environment(folder)
    recipe = run_folder.read_recipe(folder)
    card = read_card(run_folder.classifier_folder(folder))
    sections = [
        _header(recipe, environment),
        f"# {name.partition('/')[2]}",
        *_warnings(summary, environment),
        _what_it_is(summary, recipe, card["labels"]),
        _usage(name, recipe),
        "## Limits",
        _bullets(_LIMITS),
        "## Figures",
        *_figures(summary, environment, card["card"]),
        "## Classes",
        _classes(summary.classes) or _bullets(map(escape_markdown, card["labels"])),
        "## Data and licences",
        *_licences(environment),
        "## Environment",
        _environment(environment),
    ]
    return "\n\n".join(sections) + "\n"


def _header(recipe: Recipe, environment: Environment) -> str:
    """The YAML header. Quoted texts are JSON, which YAML contains."""
    licence = environment.data.licence
    stated = licence and licence != "not stated"
    lines = [f"license: {licence_id(licence)}" if stated else "license: unknown"]
    if stated and licence_id(licence) == "other":
        lines.append(f"license_name: {json.dumps(single_line(licence))}")
    tags = ["environmental-sound", *([] if _own_network(recipe) else [recipe.network.name])]
    lines += ["library_name: hubbub", "pipeline_tag: audio-classification", "tags:"]
    lines += [f"- {json.dumps(tag)}" for tag in tags]
    if NAME.fullmatch(recipe.data.name):
        lines += ["datasets:", f"- {recipe.data.name}"]
    return "\n".join(["---", *lines, "---"])


def _warnings(summary: Summary, environment: Environment) -> Iterator[str]:
    if lines := read_first(summary, environment):
        yield "**Read first.** What must be known beside the figures of this classifier:"
        yield _bullets(map(escape_markdown, lines))


def _what_it_is(summary: Summary, recipe: Recipe, labels: Sequence[str]) -> str:
    seconds = recipe.windows.length / recipe.audio.rate_hz
    several = "any number of them" if summary.multilabel else "one of them"
    return (
        f"A classifier of sounds, trained by hubbub: {escape_markdown(summary.title)}. It knows {len(labels)} classes, "
        f"and a recording holds {several}. It scores segments of {seconds:.3g} s, so it also says when they occur. "
        "Recordings may have any format, sample rate and length."
    )


def _usage(name: str, recipe: Recipe) -> str:
    mine = _own_network(recipe)
    own = f", network={mine}" if mine else ""
    needed = f"The network is the class `{mine}`, which whoever loads the classifier must have.\n\n" if mine else ""
    return f"""## Use

Install hubbub with `pip install 'hubbub[hub]'`. Then:

    import hubbub
    model = hubbub.load("hf:{name}"{own})
    print(model.classify("street.wav"))

{needed}On the command line: `hubbub classify street.wav --model hf:{name}`. A commit behind the name pins it:
`hf:{name}@COMMIT`."""


def _own_network(recipe: Recipe) -> str:
    """The class of the caller's own that made the network; "" for hubbub's networks."""
    from hubbub.models.custom import is_custom

    return recipe.network.name.rpartition(".")[2] if is_custom(recipe.network.name) else ""


def _figures(summary: Summary, environment: Environment, card: Mapping[str, Any]) -> Iterator[str]:
    metric, main = headline(summary)
    mean = "not defined" if main.mean is None else f"{main.mean:.3f}"
    interval = describe_interval(main, summary.recordings)
    yield (
        f"Clip {metric} **{mean}**{f', {interval}' if interval else ''}. {summary.clips:,} clips were tested. "
        f"Protocol: {escape_markdown(environment.protocol)}."
    )
    rows = [
        (name, *(_number(value) for level in (summary.clip, summary.segment) for value in _values(level.figure(key))))
        for key, name in metric_names(summary.multilabel).items()
    ]
    heads = ("metric", "clips", "sd over tests", "95 % interval", "segments", "sd over tests", "95 % interval")
    yield _table(heads, rows)
    if method := INTERVALS.get(main.interval, main.interval):
        yield f"Intervals: {method}."
    trained = escape_markdown(str(card.get("trained_on", "")))
    yield (
        f"The figures are those of classifiers that were not trained on the clips they were tested on. The published "
        f"classifier was trained afterwards ({trained}) and has no figures of its own."
    )


def _values(figure: Any) -> tuple[float | None, float | None, tuple[float, float] | None]:
    return figure.mean, figure.sd, figure.ci95


def _number(value: float | tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value[0]:.3f} to {value[1]:.3f}" if isinstance(value, tuple) else f"{value:.3f}"


def _classes(classes: Sequence[ClassFigures]) -> str:
    """The table of classes in the order of the labels; "" for runs of versions that had no figures of classes."""
    rows = []
    for one in classes:
        precise = (one.average_precision,) if isinstance(one, SetClassScores) else ()
        figures = (*precise, one.recall, one.recall_ci95, one.precision, one.f1)
        rows.append((one.label, f"{one.clips:,}", f"{one.recordings:,}", *map(_number, figures)))
    if not rows:
        return ""
    precise_head = ("average precision",) if isinstance(classes[0], SetClassScores) else ()
    heads = ("class", "clips", "recordings", *precise_head, "recall", "95 % interval", "precision", "F1")
    return _table(heads, rows)


def _licences(environment: Environment) -> Iterator[str]:
    data = environment.data
    by_file = {asset.file: asset.licence for asset in ASSETS.values()}
    licence = data.licence or "not stated"
    rows = [(data.name, f"{data.clips:,} clips for training and testing", licence)]
    rows += [(file, "initial weights", by_file.get(file, "see its authors")) for file in environment.weights]
    yield _table(("what", "used for", "licence"), rows)
    if data.citation not in ("", "not stated"):
        yield f"Cite: {escape_markdown(data.citation)}"
    if non_commercial(licence):
        yield _NON_COMMERCIAL
    if licence == "not stated":
        yield "The licence of the recordings is not stated. Ask whoever published this classifier before you use it."


def _environment(environment: Environment) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in environment.libraries.items())
    processor, accelerator = map(escape_markdown, (environment.machine.processor, environment.machine.accelerator))
    return (
        f"hubbub {environment.hubbub}, Python {environment.python}; {libraries}. Processor: {processor}; "
        f"accelerator: {accelerator}. sha256 of the table of clips and their content: "
        f"`{environment.data.manifest}`. The recipe is in `classifier.json`."
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(escape_markdown, line))} |" for line in lines)


def _bullets(lines: Any) -> str:
    return "\n".join(f"- {line}" for line in lines)
