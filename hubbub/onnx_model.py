"""A classifier from an exported file: heard by onnxruntime, also where torch is not installed.

The file is an ONNX graph (https://onnx.ai) from segments `[B, N]` to embeddings `[B, D]` and logits `[B, K]`; what turns
these into an answer travels as its metadata. Loading executes nothing but graphs.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from hubbub import windows
from hubbub.hearing import ClassifierError, Hearing
from hubbub.recipe import Recipe, RecipeError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["EMBEDDINGS", "ENDING", "FORMAT", "LOGITS", "META", "SEGMENTS", "OnnxClassifier"]

Array = npt.NDArray[np.float32]
ENDING = ".onnx"
FORMAT = 1
#: Metadata: all that is not arithmetic, as JSON; and the head, a graph of its own, where it is for pooled embeddings.
META, HEAD = "hubbub", "hubbub_head"
#: Names in the graphs.
SEGMENTS, EMBEDDINGS, LOGITS = "segments", "embeddings", "logits"
# Larger batches fall out of a processor's caches.
BATCH = 32


class OnnxClassifier(Hearing):
    """What `hubbub export` wrote. `bytes` in the file's place will do."""

    def __init__(self, file: str | Path | bytes) -> None:
        source = "an exported classifier" if isinstance(file, bytes) else str(file)
        self._session = _session(file if isinstance(file, bytes) else str(file), source)
        held = self._session.get_modelmeta().custom_metadata_map
        content = _content(held, source)
        try:
            self.recipe = Recipe.of(content["recipe"], source)
            self.labels, self.card = tuple(content["labels"]), dict(content["card"])
            self.activation: windows.Activation = content["activation"]
            #: The hubbub that exported it, the largest difference found then, and what was rounded to int8.
            self.exported: dict[str, Any] = content["exported"]
            pooled = self.recipe.head.name != "none" and self.recipe.head.pool != "segment"
            self._head = _session(base64.b64decode(held[HEAD], validate=True), source) if pooled else None
        except (KeyError, TypeError, ValueError, binascii.Error, RecipeError) as error:
            raise ClassifierError(f"{source} is not whole ({error}). Export it again.") from error
        shapes = {one.name: one.shape for one in (*self._session.get_inputs(), *self._session.get_outputs())}
        length, classes = self.recipe.windows.length, len(self.labels)
        fits = {SEGMENTS, EMBEDDINGS, LOGITS} <= set(shapes) and shapes[LOGITS][-1] == classes
        if not fits or shapes[SEGMENTS][-1] not in (length, "samples"):
            raise ClassifierError(
                f"{source}: its graph does not take {length} samples or does not give {classes} classes, as it says of "
                "itself. Export it again."
            )

    @classmethod
    def load(cls, file: str | Path) -> Self:
        """Read an exported file. Raises `ClassifierError` where it is not one or is not whole."""
        if not Path(file).is_file():
            raise ClassifierError(f"{file} is not a file. Make it with: hubbub export MODEL --to onnx --out {file}")
        return cls(file)

    def to(self, device: str) -> Self:
        """It stays where it is, on the processor."""
        if device not in ("auto", "cpu"):
            raise ClassifierError(
                f"an exported file runs on the processor, not on '{device}'. Use auto, or the classifier it came from."
            )
        return self

    @property
    def batch(self) -> int:
        return BATCH

    def embed(self, segments: Array) -> Array:
        """Segments `[B, N]` -> embeddings `[B, D]`."""
        return self._ran(EMBEDDINGS, segments)

    def logits(self, segments: Array) -> Array:
        """Segments `[B, N]` -> logits `[B, K]`: of a head on pooled embeddings, those of clips of one segment."""
        return self._ran(LOGITS, segments)

    def _ran(self, output: str, segments: Array) -> Array:
        return self._session.run([output], {SEGMENTS: segments})[0]

    def _hear(self, segments: Array) -> Array:
        """Embeddings where a head takes them pooled, else logits."""
        return self.embed(segments) if self._head else self.logits(segments)

    def _last_layer(self, evidence: Array) -> Array:
        return self._head.run([LOGITS], {EMBEDDINGS: evidence})[0] if self._head else evidence


def _session(graph: str | bytes, source: str) -> "InferenceSession":
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)  # its warnings are about its own choices
    try:
        return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has one exception a status, none with a root of its own
        why = str(error).splitlines()[0]
        raise ClassifierError(f"{source} is not a whole ONNX file ({why}). Export or copy it again.") from error


def _content(held: Mapping[str, str], source: str) -> dict[str, Any]:
    """The metadata, of the format that is read here."""
    if META not in held:
        raise ClassifierError(
            f"{source} is an ONNX file that hubbub did not write: labels and windows are missing. Make one with: "
            "hubbub export MODEL --to onnx"
        )
    try:
        content: dict[str, Any] = json.loads(held[META])
        found = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ClassifierError(f"{source}: its metadata cannot be read ({error}). Export it again.") from error
    if found != FORMAT:
        raise ClassifierError(f"{source} was exported in format {found}; this hubbub reads {FORMAT}. Update hubbub.")
    return content
