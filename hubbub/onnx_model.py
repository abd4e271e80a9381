"""A classifier from an exported file: heard by onnxruntime, also where torch is not installed.

The file is an ONNX graph (https://onnx.ai) from segments `[B, N]` to embeddings `[B, D]` and logits `[B, K]`; what
turns these into an answer travels as its metadata. Loading executes nothing but graphs.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from hubbub import windows
from hubbub.confidence import Confidence
from hubbub.hearing import ClassifierError, Hearing
from hubbub.recipe import Recipe, RecipeError

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

__all__ = ["ANY_LENGTH", "BATCH", "EMBEDDINGS", "ENDING", "LOGITS", "SEGMENTS", "OnnxClassifier", "written"]

Array = npt.NDArray[np.float32]
ENDING = ".onnx"
FORMAT = 1
#: The metadata that is ours, as JSON.
META = "hubbub"
#: Names in the graphs; the last is of a size: a segment of any length.
SEGMENTS, EMBEDDINGS, LOGITS, ANY_LENGTH = "segments", "embeddings", "logits", "samples"
#: Larger batches fall out of a processor's caches.
BATCH = 32
#: What stands in the metadata for the file's own sha256 while that is computed.
UNSIGNED = b"the sha256 of this file with these words in its place".ljust(64)


class OnnxClassifier(Hearing):
    """What `hubbub export` wrote, from the content of its file. Raises `ClassifierError` for any other."""

    def __init__(self, content: bytes, source: str = "an exported classifier") -> None:
        self._session = _session(content, source)
        held = _metadata(self._session, content, source)
        try:
            self.recipe = Recipe.of(held["recipe"], source)
            self.labels, self.card = tuple(held["labels"]), dict(held["card"])
            self.activation: windows.Activation = held["activation"]
            self.confidence = Confidence(**held["confidence"])
            #: What exported it, and what was found then; see `export.export`.
            self.exported: dict[str, Any] = held["exported"]
            self._head = _session(base64.b64decode(held["head"]), source) if held["head"] else None
        except (KeyError, TypeError, ValueError, RecipeError) as error:
            raise ClassifierError(f"{source} is not whole ({error}). Export it again.") from error

    @classmethod
    def load(cls, file: str | Path) -> Self:
        """Read an exported file. Raises `ClassifierError` where it is not one or is not whole."""
        try:
            return cls(Path(file).read_bytes(), str(file))
        except OSError as error:
            raise ClassifierError(
                f"{file} cannot be read: {error.strerror}. Make it with: hubbub export MODEL --to onnx --out {file}"
            ) from error

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

    def both(self, segments: Array) -> tuple[Array, Array]:
        """Segments `[B, N]` -> embeddings `[B, D]` and logits `[B, K]`: of a head on pooled embeddings, as of whole
        clips."""
        embeddings, logits = self._session.run([EMBEDDINGS, LOGITS], {SEGMENTS: segments})
        return embeddings, logits

    def _hear(self, segments: Array) -> Array:
        """Embeddings where a head takes them pooled, else logits."""
        return self._session.run([EMBEDDINGS if self._head else LOGITS], {SEGMENTS: segments})[0]

    def _last_layer(self, evidence: Array) -> Array:
        return self._head.run([LOGITS], {EMBEDDINGS: evidence})[0] if self._head else evidence


def _session(graph: bytes, source: str) -> "InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about its own choices
    if b"QuantizeLinear" not in graph:  # where weights alone have 8 bits, they are unpacked once and not in every pass
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has one exception a status, none with a root of its own
        why = str(error).splitlines()[0]
        raise ClassifierError(f"{source} is not a whole ONNX file ({why}). Export or copy it again.") from error


def _metadata(session: "InferenceSession", content: bytes, source: str) -> dict[str, Any]:
    """What `written` put beside the graph, checked."""
    properties = session.get_modelmeta().custom_metadata_map
    if META not in properties:
        raise ClassifierError(
            f"{source} is an ONNX file that hubbub did not write: it has no labels and no windows. Make one with: "
            "hubbub export MODEL --to onnx"
        )
    try:
        held: dict[str, Any] = json.loads(properties[META])
        found, digest = held["format"], held["sha256"].encode()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClassifierError(f"{source}: its metadata cannot be read ({error}). Export it again.") from error
    if found != FORMAT:
        raise ClassifierError(f"{source} was exported in format {found}; this hubbub reads {FORMAT}. Update hubbub.")
    if hashlib.sha256(content.replace(digest, UNSIGNED, 1)).hexdigest().encode() != digest:
        raise ClassifierError(
            f"{source} is not the file that was exported: its sha256 differs. Export or copy it again."
        )
    return held


def written(proto: "ModelProto", held: Mapping[str, Any], head: bytes | None) -> bytes:
    """A graph, what turns its outputs into answers, and the head where it is a graph of its own -> a file's content."""
    ours = {
        **held,
        "format": FORMAT,
        "sha256": UNSIGNED.decode(),
        "head": base64.b64encode(head).decode() if head else None,
    }
    signed = type(proto)()
    signed.CopyFrom(proto)
    signed.producer_name, signed.producer_version = "hubbub", str(held["exported"]["hubbub"])
    signed.metadata_props.add(key=META, value=json.dumps(ours, allow_nan=False))
    content: bytes = signed.SerializeToString()
    return content.replace(UNSIGNED, hashlib.sha256(content).hexdigest().encode(), 1)
