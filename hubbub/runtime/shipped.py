"""The classifier that comes with the package: its name, its files, and what it is not for.

It is the folder of a saved classifier, with the weights in half precision. They are those of the backbone `small` and
of the exported graph, which predictions use. `benchmarks/ship.py` makes it from a run.
"""

from pathlib import Path

__all__ = ["FOLDER", "GRAPH", "LARGEST", "NOT_FOR", "SMALL", "WEIGHTS"]

#: The name of the classifier, of the network in recipes, and of the backbone.
SMALL = "small"
FOLDER = Path(__file__).parents[1] / "models" / "shipped" / SMALL
#: The weights of the network.
WEIGHTS = FOLDER / "network.safetensors"
#: Its exported form, which takes its weights from that file.
GRAPH = FOLDER / "network.onnx"
#: The most bytes that all its files may have.
LARGEST = 4_000_000
#: What is said wherever it answers without having been asked for by name.
NOT_FOR = (
    "50 everyday sounds of ESC-50; not for alarms or safety, speech, or commercial use (ESC-50 is CC BY-NC); "
    "--model names another"
)
