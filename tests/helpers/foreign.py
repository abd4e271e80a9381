"""ONNX files as other teams may have made them, written operator by operator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

__all__ = ["BANDS", "foreign", "on_spectrograms", "write"]

#: Values of an embedding.
BANDS = 16
_SAMPLES, _STEP = 160, 80
Size = int | str


def foreign(
    outputs: Sequence[str] = ("embedding",),
    *,
    batch: Size = "batch",
    length: Size = "samples",
    channel: bool = False,
    kind: int = TensorProto.FLOAT,
    together: bool = True,
    axis: bool = True,
    opset: int = 17,
) -> ModelProto:
    """Waves `[batch, length]` to outputs by name: `power` `[B, 16, T]` and `turned` `[B, T, 16]` of frames, `one`
    `[B, 1, 16]`, `embedding` `[B, 16]`, `label` `[B, 3]` scores of classes, `steep` without a value for
    silence, `broken` with NaN, `constant` of any sound,
    `count` of whole numbers. Without `together` it takes batches by its word, and adds them up; without `axis` it takes
    one wave `[length]`.
    """
    rng = np.random.default_rng(0)
    times = np.arange(_SAMPLES) / 16_000
    waves = [np.cos(2 * np.pi * hz * times + np.pi / 4) for hz in np.linspace(200, 3_200, BANDS)]
    constants = {
        "filters": np.stack(waves)[:, None].astype(np.float32),
        "shape": np.array([0, 1, -1] if together and axis else [1, 1, -1], np.int64),
        "weights": rng.normal(size=(BANDS, 3)).astype(np.float32),
        "row": np.array([0, 1, BANDS], np.int64),
        "yes": np.array(True),
        "little": np.array(1e-3, np.float32),
        "nothing": np.zeros((BANDS,), np.float32),
    }
    inside = helper.make_graph(
        [helper.make_node("Mul", ["filtered", "filtered"], ["square"])], "then", [],
        [helper.make_tensor_value_info("square", TensorProto.FLOAT, None)],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Neg", ["filtered"], ["negative"])], "else", [],
        [helper.make_tensor_value_info("negative", TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["x"], ["single"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["single", "shape"], ["segments"]),
        helper.make_node("Conv", ["segments", "filters"], ["filtered"], strides=[_STEP]),
        helper.make_node("If", ["yes"], ["power"], then_branch=inside, else_branch=other),
        helper.make_node("Transpose", ["power"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("GlobalAveragePool", ["power"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Log", ["flat"], ["steep"]),
        helper.make_node("Add", ["flat", "little"], ["more"]),
        helper.make_node("Log", ["more"], ["embedding"]),
        helper.make_node("Reshape", ["embedding", "row"], ["one"]),
        helper.make_node("MatMul", ["embedding", "weights"], ["label"]),
        helper.make_node("Neg", ["flat"], ["below"]),
        helper.make_node("Sqrt", ["below"], ["broken"]),
        helper.make_node("Mul", ["flat", "nothing"], ["constant"]),
        helper.make_node("ArgMax", ["embedding"], ["count"], axis=1),
    ]
    shapes: dict[str, list[Any]] = {
        **{"power": [batch, BANDS, "frames"], "turned": [batch, "frames", BANDS], "one": [batch, 1, BANDS]},
        **{name: [batch, BANDS] for name in ("embedding", "steep", "broken", "constant")},
        **{"label": [batch, 3], "count": [batch, 1]},
    }
    size = [batch, 1, length] if channel else [batch, length] if axis else [length]
    return _model(nodes, ("x", kind, size), outputs, shapes, constants, opset)


def on_spectrograms(bands: Size, frames: Size, *, channel: bool = False, opset: int = 17) -> ModelProto:
    """Spectrograms `[batch, bands, frames]`, or with one channel, to their means over time `[B, bands]`."""
    shape = ["batch", *([1] if channel else []), bands, frames]
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["out"]),
    ]
    constants = {"shape": np.array([0, bands, -1], np.int64)}
    return _model(nodes, ("x", TensorProto.FLOAT, shape), ["out"], {"out": ["batch", bands]}, constants, opset)


def _model(
    nodes: list[Any],
    given: tuple[str, int, list[Any]],
    outputs: Sequence[str],
    shapes: dict[str, list[Any]],
    constants: dict[str, Any],
    opset: int,
) -> ModelProto:
    kinds = {"count": TensorProto.INT64}
    found = [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shapes[name]) for name in outputs]
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "theirs", [helper.make_tensor_value_info(*given)], found, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def write(file: Path, proto: ModelProto) -> Path:
    file.write_bytes(proto.SerializeToString())
    return file
