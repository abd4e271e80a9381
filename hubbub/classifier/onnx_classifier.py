"""A classifier from an exported file: heard by onnxruntime, also where torch is not installed.

The file is an ONNX graph (https://onnx.ai) from segments `[B, N]` to embeddings `[B, D]` and logits `[B, K]`; what
turns these into an answer travels as its metadata. Loading executes nothing but graphs.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from hubbub.classifier import pooling
from hubbub.classifier.base import Classifier, ClassifierError
from hubbub.classifier.metadata import described, parsed

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
#: Where it stands in the content, behind the format.
SIGNED = re.compile(rb'"format": ([0-9]{1,9}), "sha256": "([0-9a-f]{64})"')


class OnnxClassifier(Classifier):
    """What `hubbub export` wrote, from the content of its file. Raises `ClassifierError` for any other; `load` also for
    one that gives no numbers."""

    def __init__(self, content: bytes, source: str = "an exported classifier") -> None:
        signed = _refuse_altered(content, source)
        self._session = _session(content, source)
        held = _metadata(self._session, signed, source)
        said = described(held, source)
        self.recipe, self.labels, self.card = said.recipe, said.labels, said.card
        self.activation: pooling.Activation = said.activation
        self.confidence = said.confidence
        #: What exported it, and what was found then; see `export.export`.
        self.exported: dict[str, Any] = held["exported"]
        self._head = _session(held["head"], source) if held["head"] else None

    def _answer_once(self, source: str) -> None:
        """Refuse a graph that does not take the segments that the metadata speaks of, or gives no numbers."""
        length = self.recipe.windows.length
        noise = np.random.default_rng(0).normal(0, 0.1, length).astype(np.float32)
        try:
            self.predict_proba(self.outputs(np.stack([np.zeros(length, np.float32), noise])), [0])
        except ClassifierError as error:
            raise ClassifierError(f"{source}: {error}") from error
        except Exception as error:  # onnxruntime's and numpy's, of a graph that is not ours
            why = str(error).splitlines()[0]
            raise ClassifierError(f"{source} is not whole: it hears nothing ({why}). Export it again.") from error

    @classmethod
    def load(cls, file: str | Path) -> Self:
        """Read an exported file. Raises `ClassifierError` where it is not one or is not whole."""
        advice = f"Make it with: hubbub export MODEL --to onnx --out {file}"
        if not os.path.isfile(file):  # a pipe or a device would never end
            raise ClassifierError(f"{file} cannot be read: there is no such file. {advice}")
        try:
            content = Path(file).read_bytes()
        except OSError as error:
            raise ClassifierError(f"{file} cannot be read: {error.strerror}. {advice}") from error
        model = cls(content, str(file))
        model._answer_once(str(file))
        return model

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

    def _forward(self, segments: Array) -> Array:
        """Embeddings where a head takes them pooled, else logits."""
        return self._session.run([EMBEDDINGS if self._head else LOGITS], {SEGMENTS: segments})[0]

    def _last_layer(self, outputs: Array) -> Array:
        return self._head.run([LOGITS], {EMBEDDINGS: outputs})[0] if self._head else outputs


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


def _refuse_altered(content: bytes, source: str) -> bool:
    """Refuse a file that is not the one that was exported, before anything is made of it -> whether it holds a sha256;
    where it does not, it is not ours or not whole, and what reads it says so."""
    found = list(SIGNED.finditer(content))
    if not found:
        return False
    form, (start, end) = int(found[-1][1]), found[-1].span(2)
    if form != FORMAT:
        raise ClassifierError(f"{source} was exported in format {form}; this hubbub reads {FORMAT}. Update hubbub.")
    digest = hashlib.sha256(content[:start])
    digest.update(UNSIGNED)
    digest.update(memoryview(content)[end:])
    if digest.hexdigest().encode() != content[start:end]:
        raise ClassifierError(
            f"{source} is not the file that was exported: its sha256 differs. Export or copy it again."
        )
    return True


def _metadata(session: "InferenceSession", signed: bool, source: str) -> dict[str, Any]:
    """What `written` put beside the graph, checked; `head` as bytes."""
    try:
        properties = session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise ClassifierError(f"{source} is not whole: its metadata is no text ({error}). Export it again.") from error
    if META not in properties:
        raise ClassifierError(
            f"{source} is an ONNX file that hubbub did not write: it has no labels and no windows. Make one with: "
            "hubbub export MODEL --to onnx"
        )
    held = parsed(properties[META], source, FORMAT)
    if not signed:
        raise ClassifierError(
            f"{source} is not whole: its metadata cannot be read, for it holds no sha256. Export it again."
        )
    if not isinstance(held.get("exported"), dict):
        raise ClassifierError(f"{source} is not whole: it does not say what exported it. Export it again.")
    try:
        held["head"] = base64.b64decode(held["head"], validate=True) if held["head"] is not None else b""
    except (KeyError, TypeError, ValueError) as error:
        raise ClassifierError(f"{source} is not whole: its head is none ({error}). Export it again.") from error
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
