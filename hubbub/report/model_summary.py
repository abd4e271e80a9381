"""What a recipe's network or a saved classifier consists of, as texts: layers, and facts about its size."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubbub.classifier.base import Classifier, ClassifierError
from hubbub.classifier.load import NAMED, is_exported, is_on_hub, load_torch
from hubbub.classifier.onnx_classifier import OnnxClassifier
from hubbub.config.recipe import Recipe
from hubbub.data.datasets import DATASETS
from hubbub.data.open import open_section
from hubbub.errors import HubbubError, count
from hubbub.report import run_folder
from hubbub.report.tables import Table

if TYPE_CHECKING:
    import onnx

    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.models.foreign import Foreign
    from hubbub.models.summary import NetworkSummary

__all__ = ["ModelSummary", "summarise_model"]

#: The number of classes where neither data nor option give one.
CLASSES = 10
#: Values that an optimizer keeps for each trained parameter.
_STATES = {"adam": 2, "adamw": 2, "sgd": 1}
#: The most kinds of operators that are listed.
OPERATORS = 12


@dataclass(frozen=True)
class ModelSummary:
    """A title, facts by name, and a table of layers; an exported file has one of operators."""

    title: str
    facts: dict[str, str]
    layers: Table


def summarise_model(
    what: str, settings: Sequence[str] = (), *, depth: int = 2, classes: int | None = None
) -> ModelSummary:
    """Summarises a run folder, a saved or exported classifier, `small`, `yamnet`, `hf:ORG/NAME`, a recipe or a TOML.

    A recipe's network gets random weights, so that none need be installed; the file of another team is read.
    `settings` override the recipe's fields, and `classes` is its number of classes where the data are not at hand.
    Layers are listed down to `depth`. Raises `ClassifierError`, `RecipeError` or `NetworkError`.
    """
    if is_exported(what):
        _refuse(what, settings, classes)
        return _of_exported(Path(what))
    if _is_named(what) or os.path.isdir(what):
        _refuse(what, settings, classes)
        return _of_saved(what, depth)
    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.models.foreign import Foreign
    from hubbub.models.weights import find_weights

    recipe = Recipe.load(what, list(settings))
    number, source = _classes(recipe, classes)
    model = TorchClassifier(recipe, tuple(map(str, range(number))))
    if isinstance(model.network, Foreign) and (file := find_weights(recipe)):
        model.network.read(file)
    title = f"{what}: {recipe.title or recipe.network.name}"
    return _of_torch(model, title, f"{number} ({source})", depth)


def _refuse(what: str, settings: Sequence[str], classes: int | None) -> None:
    if settings or classes:
        raise HubbubError(
            f"{what} is a classifier, which is as it is: --set and --classes are for recipes. Leave them out."
        )


def _classes(recipe: Recipe, given: int | None) -> tuple[int, str]:
    """The number of classes, and where it is from."""
    if given:
        return given, "as given"
    if recipe.data.labels:
        return len(set(recipe.data.labels) - set(recipe.data.held_out)), "of the recipe"
    if recipe.data.name in DATASETS:
        return DATASETS[recipe.data.name].classes - len(recipe.data.held_out), f"of {recipe.data.name}"
    try:
        labels = set(open_section(recipe).labels)
    except HubbubError:
        return CLASSES, f"assumed: {recipe.data.name} is not here, and --classes sets the number"
    return len(labels - set(recipe.data.held_out)), f"of {recipe.data.name}"


def _of_saved(what: str, depth: int) -> ModelSummary:
    place = Path(what)
    if not _is_named(what) and run_folder.is_begun(place) and not run_folder.classifier_folder(place).is_dir():
        of_cells = [run_folder.classifier_folder(cell) for _, _, cell in run_folder.cells(place)]
        place = next((folder for folder in of_cells if folder.is_dir()), place)
    model = load_torch(what if _is_named(what) else place)
    title = (
        what if _is_named(what) or str(place) == what else f"{what}: the classifier of {place.relative_to(what).parent}"
    )
    return _of_torch(model, title, str(len(model.labels)), depth)


def _is_named(what: str) -> bool:
    return what in NAMED or is_on_hub(what)


def _of_torch(model: "TorchClassifier", title: str, classes: str, depth: int) -> ModelSummary:
    import torch
    from torch import nn

    from hubbub.models.foreign import Foreign
    from hubbub.models.registry import input_size
    from hubbub.models.summary import summarise_network
    from hubbub.training.tuning import Tuning

    recipe, network = model.recipe, model.network
    under_head, dimension = recipe.head.name != "none", getattr(network.fc, "in_features", 0)
    if under_head:
        network.fc = nn.Identity()  # type: ignore[assignment]  # the head replaces it
    segment = torch.zeros(1, *input_size(recipe))
    groups = network.groups()
    trained = [] if under_head else Tuning(network, recipe, 0).trained
    found = summarise_network(network, segment, trained, depth)
    facts = {
        **_of_recipe(recipe, found.input, classes),
        "head": _head(model, dimension) if under_head else f"the network's last layer, on embeddings of {dimension}",
        **_sizes(recipe, found, sum(p.numel() for p in groups["head"])),
        **(_of_foreign(network) if isinstance(network, Foreign) else {}),
    }
    rows = [
        (
            "  " * (layer.depth - 1) + layer.name.rpartition(".")[2],
            layer.kind,
            "x".join(map(str, layer.output)) or "-",
            f"{layer.parameters:,}",
            _share(layer.trained, layer.parameters),
            f"{layer.multiply_adds / 1e6:,.1f}" if layer.multiply_adds else "-",
        )
        for layer in found.layers
    ]
    heads = ("layer", "kind", "output", "parameters", "trained", "M mult-adds")
    return ModelSummary(title, facts, Table("Layers, for one segment", heads, rows, words=(0, 1)))


def _share(trained: int, parameters: int) -> str:
    if not parameters:
        return "-"
    return "yes" if trained == parameters else "part" if trained else "no"


def _of_recipe(recipe: Recipe, taken: tuple[int, ...], classes: str) -> dict[str, str]:
    """Segments, front end and classes."""
    length, rate, settings = recipe.windows.length, recipe.audio.rate_hz, recipe.frontend
    shape = "x".join(map(str, taken))
    frontend = {
        "none": f"part of {recipe.network.name}, which takes waves",
        "logmel": f"log-mel spectrogram, {settings.n_mels} bands, n_fft {settings.n_fft}, hop {settings.hop}; the "
        f"network takes {shape}; not counted below",
        "precomputed": f"none: takes spectrograms or images that were made elsewhere, {shape}",
    }[settings.name]
    return {
        "classes": classes,
        "segment": f"{length / rate:.3g} s: {length:,} samples at {rate:,} Hz",
        "front end": frontend,
    }


def _head(model: "TorchClassifier", dimension: int) -> str:
    settings = model.recipe.head
    text = f"{settings.name} on embeddings of {dimension}, pooled: {settings.pool}"
    if model.head is None:
        return text
    numbers = sum(array.size for array in model.head.arrays().values())
    trees = sum(lines.count("\nTree=") for lines in model.head.texts().values())
    parts = [f"{numbers:,} fitted numbers"] * bool(numbers) + [f"{trees:,} trees"] * bool(trees)
    return "; ".join([text, *parts])


def _sizes(recipe: Recipe, found: "NetworkSummary", added: int) -> dict[str, str]:
    """Parameters, multiply-adds and memory."""
    frozen, settings = found.parameters - found.trained, recipe.train
    trained = f"{found.trained:,} trained, {frozen:,} frozen"
    if recipe.network.lora_rank:
        trained += f"; {found.trained - added:,} are adapters, which a saved classifier has merged into its weights"
    if recipe.head.name == "none" and recipe.network.mode == "auto":
        trained += f"; without an accelerator {added:,} trained, {found.parameters - added:,} frozen"
    elif recipe.head.name == "none" and recipe.network.mode == "finetune" and settings.freeze_epochs:
        trained += f"; in the first {count(settings.freeze_epochs, 'epoch')} {added:,} trained"
    facts = {
        "parameters": f"{found.parameters:,}: {trained}",
        "multiply-adds": f"{found.multiply_adds / 1e6:,.1f} million a segment",
        "memory": f"parameters {_mb(found.parameter_bytes)}, activations of one segment {_mb(found.activation_bytes)}",
    }
    if found.trained == found.parameters:
        values = 2 + _STATES[settings.optimizer]
        total = values * found.parameter_bytes + settings.batch_size * found.activation_bytes
        facts["memory of training"] = (
            f"about {_mb(total)} in fp32: {values} values a parameter, and the activations of a batch of "
            f"{settings.batch_size}"
        )
    return facts


def _mb(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def _of_foreign(network: "Foreign") -> dict[str, str]:
    """The file of another team, whose numbers are no parameters here."""
    runner = network.opened.runner
    return {
        f"{runner.format} file": f"{network.opened.describe()}; {runner.operators:,} operators, "
        f"{_mb(len(network.graph))}",
        "stored numbers": f"{_stored(runner.stored)}; frozen, and not counted above",
    }


def _stored(kinds: Counter[str]) -> str:
    """The numbers that a graph stores, in all and by kind."""
    return f"{kinds.total():,}: " + ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())


def _of_exported(file: Path) -> ModelSummary:
    """An exported file: its graph has operators and stored numbers, and says nothing about training."""
    classifier: Classifier = OnnxClassifier.load(file)
    try:
        import onnx
    except ImportError as error:
        raise ClassifierError(f"{file} can only be summarised where onnx is installed: pip install onnx.") from error
    from hubbub.models.onnx_graph import stored_numbers

    graph = onnx.load(file).graph
    recipe = classifier.recipe
    facts = {
        "classes": str(len(classifier.labels)),
        "network": recipe.network.name
        + (f", {recipe.head.name} on its embeddings" if recipe.head.name != "none" else ""),
        "segment": f"{recipe.windows.length / recipe.audio.rate_hz:.3g} s: {recipe.windows.length:,} samples at "
        f"{recipe.audio.rate_hz:,} Hz",
        "front end": "part of the graph" if recipe.frontend.name == "logmel" else "none",
        "input": _named(graph.input),
        "outputs": _named(graph.output),
        "stored numbers": _stored(stored_numbers(graph)),
        "file": _mb(file.stat().st_size),
        "not in the file": "layers, what was trained, multiply-adds: show the run that it came from",
    }
    operators = Counter(node.op_type for node in graph.node).most_common(OPERATORS)
    rows = [(name, f"{number:,}") for name, number in operators]
    return ModelSummary(str(file), facts, Table("Its most frequent operators", ("operator", "nodes"), rows))


def _named(values: "Sequence[onnx.ValueInfoProto]") -> str:
    """Names and shapes of a graph's inputs or outputs."""
    shapes = {one.name: [d.dim_param or str(d.dim_value) for d in one.type.tensor_type.shape.dim] for one in values}
    return ", ".join(f"{name} [{', '.join(shape)}]" for name, shape in shapes.items())
