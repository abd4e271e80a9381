"""A classifier from an exported file, run by onnxruntime, also where torch is not installed.

The file is an ONNX graph (https://onnx.ai) from segments `[B, N]` to embeddings `[B, D]` and logits `[B, K]`; its
metadata holds all else that predictions need. Loading executes nothing but graphs.
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
from hubbub.classifier.metadata import parse_json, read_metadata, read_typicality
from hubbub.runtime import onnx_session
from hubbub.runtime.parts import PART, run_parts
from hubbub.runtime.processes import cores

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

    from hubbub.classifier.fast_session import FastSession

__all__ = [
    "ANY_LENGTH",
    "BATCH",
    "EMBEDDINGS",
    "ENDING",
    "LOGITS",
    "SEGMENTS",
    "OnnxClassifier",
    "open_session",
    "to_bytes",
]

Array = npt.NDArray[np.float32]
ENDING = ".onnx"
FORMAT = 1
#: The key of hubbub's metadata, which is JSON.
META = "hubbub"
#: Names in the graphs; the last names the size of a segment where any length is taken.
SEGMENTS, EMBEDDINGS, LOGITS, ANY_LENGTH = "segments", "embeddings", "logits", "samples"
#: Segments a pass when a graph is made and compared.
BATCH = 32
#: The placeholder in the metadata for the file's own sha256 while that is computed.
UNSIGNED = b"the sha256 of this file with these words in its place".ljust(64)
#: Finds the sha256 in the content, behind the format.
SIGNED = re.compile(rb'"format": ([0-9]{1,9}), "sha256": "([0-9a-f]{64})"')


class OnnxClassifier(Classifier):
    """A classifier from the content of a file that `hubbub export` wrote. Raises `ClassifierError` for any other file;
    `load` also for one whose scores are not finite. `folder` holds the weights that the file does not."""

    def __init__(
        self,
        content: bytes,
        source: str = "an exported classifier",
        *,
        fast: bool = False,
        folder: Path | None = None,
    ) -> None:
        signed = _refuse_altered(content, source)
        session = open_session(content, source, folder)
        self._session: InferenceSession | FastSession = session
        properties = _read_properties(session, signed, source)
        metadata = read_metadata(properties, source)
        self.recipe, self.labels, self.card = metadata.recipe, metadata.labels, metadata.card
        self.activation: pooling.Activation = metadata.activation
        self.confidence = metadata.confidence
        #: The versions that exported it, and the measurements made then; see `export.export`.
        self.exported: dict[str, Any] = properties["exported"]
        self._head = open_session(properties["head"], source) if properties["head"] else None
        self.typicality = read_typicality(metadata, properties["typicality"] or None, source)
        if fast and self.recipe.network.name == "onnx":
            raise ClassifierError(f"{source}: --fast is not for the ONNX file of another team. Leave it out.")
        if fast:
            from hubbub.classifier import fast_session

            self._session = found = fast_session.FastSession(content, PART, self.recipe.windows.length, folder)
            self.precision = found.precision

    def _check_scores(self, source: str) -> None:
        """Refuse a graph that does not take the metadata's segments, or whose scores are not finite."""
        length = self.recipe.windows.length
        noise = np.random.default_rng(0).normal(0, 0.1, length).astype(np.float32)
        try:
            self.predict_proba(self.outputs(np.stack([np.zeros(length, np.float32), noise])), [0])
        except ClassifierError as error:
            raise ClassifierError(f"{source}: {error}") from error
        except Exception as error:  # any of onnxruntime's and numpy's, for a graph from elsewhere
            why = str(error).splitlines()[0]
            raise ClassifierError(
                f"{source} is not whole: its graph cannot be run ({why}). Export it again."
            ) from error

    @classmethod
    def load(cls, file: str | Path, *, fast: bool = False) -> Self:
        """Read an exported file, to run in the fastest form that this processor has where `fast`. Raises
        `ClassifierError` where it is not one or is not whole."""
        advice = f"Make it with: hubbub export MODEL --to onnx --out {file}"
        if not os.path.isfile(file):  # reading a pipe or a device might never end
            raise ClassifierError(f"{file} cannot be read: there is no such file. {advice}")
        try:
            content = Path(file).read_bytes()
        except OSError as error:
            raise ClassifierError(f"{file} cannot be read: {error.strerror}. {advice}") from error
        model = cls(content, str(file), fast=fast, folder=Path(file).parent)
        model._check_scores(str(file))
        return model

    def to(self, device: str) -> Self:
        """It stays on the CPU."""
        if device not in ("auto", "cpu"):
            raise ClassifierError(
                f"an exported file runs on the CPU, not on '{device}'. Use auto, or the classifier it came from."
            )
        return self

    @property
    def batch(self) -> int:
        return 2 * PART * cores()

    def _run(self, names: list[str], segments: Array) -> list[Array]:
        """The named outputs of the graph for segments `[B, N]`."""
        return run_parts(lambda part: list(self._session.run(names, {SEGMENTS: part})), segments)

    def embeddings_and_logits(self, segments: Array) -> tuple[Array, Array]:
        """Segments `[B, N]` -> embeddings `[B, D]` and logits `[B, K]`; a head on pooled embeddings takes each segment
        as a clip."""
        embeddings, logits = self._run([EMBEDDINGS, LOGITS], segments)
        return embeddings, logits

    def forward(self, segments: Array) -> Array:
        """Embeddings for a head on pooled ones, else logits."""
        return self._run([EMBEDDINGS if self._head else LOGITS], segments)[0]

    @property
    def gives_embeddings(self) -> bool:
        return self._head is not None

    def segment_embeddings(self, segments: Array) -> Array:
        embeddings, logits = self.embeddings_and_logits(segments)
        if np.array_equal(embeddings, logits):
            raise ClassifierError("this exported file has no embeddings: they are the logits. Use outputs(segments).")
        return embeddings

    def head_logits(self, outputs: Array) -> Array:
        return self._head.run([LOGITS], {EMBEDDINGS: outputs})[0] if self._head else outputs


def open_session(graph: bytes, source: str, folder: Path | None = None) -> "InferenceSession":
    """A session of one thread; `folder` holds the weights that the graph does not. Raises `ClassifierError` where the
    graph is damaged; `source` names it."""
    try:
        return onnx_session.open_session(graph, folder)
    except Exception as error:  # its exceptions have no common base
        why = str(error).splitlines()[0]
        raise ClassifierError(f"{source} is not a whole ONNX file ({why}). Export or copy it again.") from error


def _refuse_altered(content: bytes, source: str) -> bool:
    """Refuse a file that was changed since its export -> whether it holds a sha256. A file without one is no export or
    not whole, which is found when it is read."""
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


def _read_properties(session: "InferenceSession", signed: bool, source: str) -> dict[str, Any]:
    """The metadata that `to_bytes` wrote beside the graph, checked; `head` and `typicality` as bytes."""
    try:
        properties = session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise ClassifierError(f"{source} is not whole: its metadata is not text ({error}). Export it again.") from error
    if META not in properties:
        raise ClassifierError(
            f"{source} is an ONNX file that hubbub did not write: it has no labels and no windows. Make one with: "
            "hubbub export MODEL --to onnx"
        )
    content = parse_json(properties[META], source, FORMAT)
    if not signed:
        raise ClassifierError(f"{source} is not whole: its metadata holds no sha256. Export it again.")
    if not isinstance(content.get("exported"), dict):
        raise ClassifierError(f"{source} is not whole: it does not say what exported it. Export it again.")
    content.setdefault("typicality", None)  # of earlier versions
    for name in ("head", "typicality"):
        try:
            content[name] = base64.b64decode(content[name], validate=True) if content[name] is not None else b""
        except (KeyError, TypeError, ValueError) as error:
            raise ClassifierError(
                f"{source} is not whole: its {name} is not base64 ({error}). Export it again."
            ) from error
    return content


def to_bytes(
    proto: "ModelProto", metadata: Mapping[str, Any], head: bytes | None, typicality: bytes | None = None
) -> bytes:
    """A graph, its metadata, the head where it is a graph of its own, and the content of the file of typicality where
    there is one -> the content of a file."""
    properties = {
        **metadata,
        "format": FORMAT,
        "sha256": UNSIGNED.decode(),
        "head": base64.b64encode(head).decode() if head else None,
        **({"typicality": base64.b64encode(typicality).decode()} if typicality else {}),
    }
    signed = type(proto)()
    signed.CopyFrom(proto)
    signed.producer_name, signed.producer_version = "hubbub", str(metadata["exported"]["hubbub"])
    signed.metadata_props.add(key=META, value=json.dumps(properties, allow_nan=False))
    content: bytes = signed.SerializeToString()
    return content.replace(UNSIGNED, hashlib.sha256(content).hexdigest().encode(), 1)
