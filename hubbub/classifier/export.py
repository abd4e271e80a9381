"""A classifier as one ONNX file (https://onnx.ai): waves in, embeddings and logits out, the front end inside.

torch.export traces the modules that training used (https://docs.pytorch.org/docs/stable/onnx_export.html). Before
anything is written, the file's scores of real clips are compared with the classifier's; a file that differs is
refused. All else that predictions need is its metadata, which `onnx_classifier` reads. `quantize` rounds to 8 bits.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hubbub.audio import decode
from hubbub.classifier import joined_graph, onnx_classifier, quantize, shipped_graph
from hubbub.classifier.head_graph import OPSET, head_graph, linear_graph
from hubbub.classifier.joined_graph import ExportError
from hubbub.classifier.linked_weights import link
from hubbub.classifier.onnx_classifier import ANY_LENGTH, BATCH, EMBEDDINGS, LOGITS, SEGMENTS, OnnxClassifier
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.models.foreign import Foreign
from hubbub.models.network import Network
from hubbub.models.recurrent import translations
from hubbub.runtime import files
from hubbub.runtime.progress import track

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["CLIPS", "INT8_CLIPS", "OPSET", "TOLERANCE", "ExportError", "Sounds", "export", "exported", "sounds"]

Array = npt.NDArray[np.float32]
#: The largest difference between a classifier and its file: of probabilities, and of embeddings and logits as shares of
#: the largest of them.
TOLERANCE = 1e-4
#: How many clips the two are compared on, and how many int8 uses: a third sets ranges, the rest measure the cost.
CLIPS, INT8_CLIPS = 20, 300
LARGEST = 2**31 - 1  # bytes of a protobuf message


@dataclass(frozen=True)
class Sounds:
    """Clips to check a file on: a data set's name, waves `[T]` at the classifier's rate and, where known, classes."""

    name: str
    waves: list[Array]
    targets: npt.NDArray[Any] | None = None


def sounds(model: TorchClassifier, most: int = CLIPS) -> Sounds:
    """Clips to check an export on: of the classifier's own data set, else of ESC-50, else of `street`, which is
    synthesised."""
    # Here, since YAMNet's first export needs none of them, and pandas takes long to import.
    from hubbub.config.data import Data
    from hubbub.data.clips import ClipsError
    from hubbub.data.open import open_section
    from hubbub.runtime.homes import StoreError

    for data in (model.recipe.data, Data(name="esc50"), Data(name="street")):
        try:
            held = data.model_copy(update={"allow_missing": True})
            clips = open_section(model.recipe.model_copy(update={"data": held}))
        except (ClipsError, StoreError):
            continue
        if clips.kind == "sound":
            break
    chosen = np.random.default_rng(0).permutation(len(clips))[:most]
    rows = clips.table.iloc[chosen]
    places = zip(rows["path"], rows["start"], rows["end"], strict=True)
    waves = [decode.load(path, model.rate_hz, start, end) for path, start, end in track(places, "decoding", len(rows))]
    known = clips.labels == model.labels
    return Sounds(clips.name, waves, clips.targets()[chosen] if known else None)


def export(model: TorchClassifier, file: str | Path, checked_on: Sounds, *, int8: bool = False) -> OnnxClassifier:
    """Write a classifier as one ONNX file, whole or not at all, and return what `hubbub.load` gives of it.

    Its `exported` holds the measurements: `difference` on `clips`, whether it takes segments of `any_length`, and for
    `int8` what was rounded to 8 bits and the cost, on the clips that did not set its ranges. The classifier moves to
    the CPU. Raises `ExportError` where it cannot be exported, or where the file's scores differ from the
    classifier's by more than `TOLERANCE`.
    """
    content = exported(model, checked_on, int8=int8)
    with files.whole_file(file) as temporary:
        temporary.write_bytes(content)
    return OnnxClassifier(content, str(file))


def exported(model: TorchClassifier, checked_on: Sounds, *, int8: bool = False, beside: Path | None = None) -> bytes:
    """The content of the file that `export` writes; raises as it does. Weights that the safetensors file `beside` holds
    in half precision are not in it: both must lie in one folder."""
    _refuse_without_graph(model, int8)
    if int8 and len(checked_on.waves) < 3:
        raise ExportError(f"{len(checked_on.waves)} clips are too few to measure what int8 costs. Give three or more.")
    graph = _Graph(model.to("cpu").eval())
    metadata = _Metadata(model, _pooled_head(model))
    waves, name = checked_on.waves, checked_on.name
    with _double_precision(model.network):
        if isinstance(model.network, Foreign):
            proto, any_length = _joined(model, model.network), False
        elif model.head is not None and not int8 and shipped_graph.computes(model.network):
            proto, any_length = shipped_graph.with_head(_head(model)), True
        else:  # also with the shipped graph, which is not in the form that can be rounded
            proto, any_length = _traced(graph, metadata, optimize=beside is None)
        exact = OnnxClassifier(metadata.to_bytes(proto))
        difference = _difference(model, graph, exact, waves[:CLIPS])
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the file's scores would differ from the classifier's by {difference:.2g} on {name}, and {TOLERANCE:g} is "
            "allowed. Nothing was written; please report the recipe."
        )
    facts: dict[str, Any] = {
        "clips": min(len(waves), CLIPS),
        "of": name,
        "difference": difference,
        "any_length": any_length,
    }
    if int8:
        proto, facts["int8"] = _quantized(proto, metadata, exact, checked_on)
    return metadata.to_bytes(link(proto, beside) if beside else proto, facts)


@contextmanager
def _double_precision(network: nn.Module) -> Iterator[None]:
    """Compute spectra in double precision, where a network can, so that rounding does not count as a difference."""
    parts = [part for part in network.modules() if isinstance(part, Network)]
    for part in parts:
        part.exact = True
    try:
        yield
    finally:
        for part in parts:
            part.exact = False


class _Graph(nn.Module):
    """Segments `[B, N]` -> embeddings `[B, D]`, logits `[B, K]`; a head on pooled embeddings takes each as a clip."""

    def __init__(self, model: TorchClassifier) -> None:
        super().__init__()
        self.frontend = model.frontend or nn.Identity()
        self.network = model.network
        self.last: nn.Module = model.network.fc
        self.twice = False
        if model.head is not None and (fitted := model.head.module()):
            self.last, self.twice = fitted, model.recipe.head.pool == "mean+max"

    def forward(self, segments: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.network.embed(self.frontend(segments))
        return embeddings, self.last(torch.cat([embeddings, embeddings], dim=1) if self.twice else embeddings)


def _refuse_without_graph(model: TorchClassifier, int8: bool) -> None:
    if not model.takes_sound:
        raise ExportError(
            "this classifier takes spectrograms or images, and an exported file takes sound. Export one that was "
            "trained on sound."
        )
    name = model.recipe.head.name
    if name != "none" and model.head is None:
        raise ExportError("this classifier's head has not been fitted. Train it before it is exported.")
    if isinstance(model.network, Foreign) and model.network.opened.runner.format != "ONNX":
        raise ExportError(
            f"a {model.network.opened.runner.format} file of another team cannot be part of an ONNX graph. Use the "
            "classifier as it is, or convert the file to ONNX and train on that."
        )
    if int8 and isinstance(model.network, Foreign):
        raise ExportError("--int8 rounds hubbub's own networks, not an ONNX file of another team. Leave it out.")
    if model.head is not None and model.head.module() is None:
        raise ExportError(
            f"a classifier with the head '{name}' cannot be exported: trees are not tensors. Train one with "
            "head.name = 'logreg', 'lda' or 'mlp', or use it as it is."
        )


@dataclass(frozen=True)
class _Metadata:
    """All that a file holds beside its graph."""

    model: TorchClassifier
    head: bytes | None

    def to_bytes(self, proto: "ModelProto", facts: Mapping[str, Any] = MappingProxyType({})) -> bytes:
        """A graph and measurements -> the content of its file."""
        content = {
            "recipe": self.model.recipe.model_dump(mode="json", exclude_none=True),
            "labels": list(self.model.labels),
            "activation": self.model.activation,
            "card": self.model.card,
            "confidence": asdict(self.model.confidence),
            "exported": {"hubbub": version("hubbub"), "torch": torch.__version__, "opset": OPSET, **facts},
        }
        if (size := proto.ByteSize()) > LARGEST:
            raise ExportError(f"a graph of {size:,} bytes: an ONNX file holds 2 GB. Export a smaller network.")
        typicality = None if self.model.typicality is None else self.model.typicality.to_bytes()
        return onnx_classifier.to_bytes(proto, content, self.head, typicality)


def _pooled_head(model: TorchClassifier) -> bytes | None:
    """A head on pooled embeddings as a graph of its own, for clips of several segments; None for other heads."""
    if model.head is None or model.recipe.head.pool == "segment":
        return None
    return head_graph(model.head.arrays(), model.recipe.head.compress).SerializeToString()


def _head(model: TorchClassifier) -> "ModelProto":
    """The classifier's head, or else its last layer, as a graph."""
    if model.head is None:
        return linear_graph(model.network.fc.weight.detach().numpy(), model.network.fc.bias.detach().numpy())
    return head_graph(model.head.arrays(), model.recipe.head.compress, twice=model.recipe.head.pool == "mean+max")


def _joined(model: TorchClassifier, network: Foreign) -> "ModelProto":
    """The ONNX file of another team between the front end and the classifier's head."""
    length, front = model.recipe.windows.length, None
    if model.frontend:
        front = _as_onnx(model.frontend, torch.zeros(3, length), (SEGMENTS,), ("features",))
    return joined_graph.joined(network, _head(model), length, front)


def _traced(graph: _Graph, metadata: _Metadata, *, optimize: bool) -> tuple["ModelProto", bool]:
    """The graph in ONNX for any batch, and whether it takes segments of any length. Without `optimize` it has the
    network's own weights: else BatchNorm is folded into convolutions."""
    length = metadata.model.recipe.windows.length
    other = 0.1 * torch.randn(3, length + length // 3, generator=torch.Generator().manual_seed(0))
    example = other[:, :length].clone()
    to_onnx = partial(_as_onnx, graph, example, (SEGMENTS,), (EMBEDDINGS, LOGITS), optimize=optimize)
    with torch.no_grad():
        short = graph(example)  # fills caches before tracing
    with suppress(Exception):  # torch, its exporter and the runtime each raise where a length is fixed
        with torch.no_grad():
            expected = graph(other)
        if not torch.equal(expected[1], short[1]):  # else it ignores the end
            proto = to_onnx(any_length=True)
            found = OnnxClassifier(metadata.to_bytes(proto)).embeddings_and_logits(other.numpy())
            if all(_share(ours, theirs.numpy()) <= TOLERANCE for ours, theirs in zip(found, expected, strict=True)):
                return proto, True
    return to_onnx(), False


def _as_onnx(
    module: nn.Module,
    example: Tensor,
    inputs: tuple[str],
    outputs: tuple[str, ...],
    *,
    any_length: bool = False,
    optimize: bool = True,
) -> "ModelProto":
    """A module of one input `[B, N]`, of any batch and where asked any length, as an ONNX graph."""
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim.AUTO if any_length else torch.export.Dim.STATIC}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own future
        program = torch.export.export(module, (example,), dynamic_shapes=(sizes,), strict=False)
        pooling = torch.ops.aten.adaptive_max_pool2d.default
        if any(node.target is pooling for node in program.graph.nodes):
            program = program.run_decompositions({pooling: _adaptive_max_pool2d})
        exported = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, input_names=inputs, output_names=outputs, verbose=False,
            optimize=optimize, custom_translation_table=translations(),
        )  # fmt: skip
    assert exported is not None
    if not optimize:
        from onnxscript import ir, optimizer

        optimizer.fold_constants(exported.model, onnx_shape_inference=True)
        optimizer.remove_unused_nodes(exported.model)
        ir.passes.common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(exported.model)
    proto: ModelProto = exported.model_proto
    del proto.graph.value_info[:]  # torch's names of sizes; a runtime infers them
    for node in proto.graph.node:
        del node.metadata_props[:]  # where in the source it comes from, with the paths of this machine
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    if any_length:
        proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = ANY_LENGTH
    return proto


def _adaptive_max_pool2d(x: Tensor, size: list[int]) -> tuple[Tensor, Tensor]:
    """Adaptive max pooling in operations that ONNX has; the indices of the maxima are zeros."""
    for axis, count in zip((x.dim() - 2, x.dim() - 1), size, strict=True):
        length, place = x.shape[axis], torch.arange(count, device=x.device)
        if count == 1:
            x = x.amax(axis, keepdim=True)
            continue
        starts, last = place * length // count, ((place + 1) * length + count - 1) // count - 1
        longest = max(-(-(i + 1) * length // count) - i * length // count for i in range(count))
        steps = [x.index_select(axis, torch.minimum(starts + step, last)) for step in range(longest)]
        x = torch.stack(steps).amax(0)
    return x, torch.zeros_like(x, dtype=torch.int64)


def _difference(model: TorchClassifier, graph: _Graph, written: OnnxClassifier, waves: list[Array]) -> float:
    """The largest difference between a classifier and its file on waves; see `TOLERANCE`."""
    cuts = [model.cut(wave) for wave in track(waves, "comparing", len(waves))]
    offsets = np.cumsum([0, *(len(cut) for cut in cuts[:-1])])
    segments = np.concatenate(cuts)
    found = [written.embeddings_and_logits(part) for part in _parts(segments)]
    with torch.no_grad():
        expected = [[out.numpy() for out in graph(torch.from_numpy(part))] for part in _parts(segments)]
    outputs = [
        _share(np.concatenate(ours), np.concatenate(theirs))
        for ours, theirs in zip(zip(*found, strict=True), zip(*expected, strict=True), strict=True)
    ]
    if not np.isfinite(outputs).all():
        return float(np.max(outputs))  # numpy's maximum: Python's ignores NaN
    ours, theirs = (one.predict_proba(one.outputs(segments), offsets) for one in (written, model))
    return float(np.max([*outputs, *(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True))]))


def _quantized(
    proto: "ModelProto", metadata: _Metadata, exact: OnnxClassifier, sounds: Sounds
) -> tuple["ModelProto", dict[str, Any]]:
    """The graph in 8 bits, and the cost."""
    count = len(sounds.waves) // 3
    ranges, waves = sounds.waves[:count], sounds.waves[count:]
    targets, before = None if sounds.targets is None else sounds.targets[count:], _clip_scores(exact, waves)
    small, facts = quantize.quantized(proto, np.concatenate([exact.cut(wave) for wave in ranges]))
    after = _clip_scores(OnnxClassifier(metadata.to_bytes(small)), waves)
    cost = quantize.cost(before, after, targets, multilabel=metadata.model.multilabel)
    return small, {**facts, **cost}


def _clip_scores(model: OnnxClassifier, waves: list[Array]) -> Array:
    """Probabilities of clips, `[C, K]`."""
    tracked = track(waves, "measuring", len(waves))
    return np.concatenate([model.predict_proba(model.outputs(model.cut(wave)), [0])[1] for wave in tracked])


def _parts(segments: Array) -> list[Array]:
    return [np.ascontiguousarray(segments[i : i + BATCH]) for i in range(0, len(segments), BATCH)]


def _share(ours: Array, theirs: Array) -> float:
    """The largest difference as a share of the largest value."""
    return float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), np.finfo(np.float32).tiny))
