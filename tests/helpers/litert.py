"""LiteRT files as other teams may have made them, written operator by operator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray

from tests.helpers.foreign import BANDS

__all__ = ["SAMPLES", "directly", "litert", "model", "written"]

#: The length of a segment.
SAMPLES = 1_600
_WINDOW, _STEP = 160, 80
_FRAMES = (SAMPLES - _WINDOW) // _STEP + 1
_KINDS = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
}
#: The options that an operator has, where they are not those of its own name.
_OPTIONS = {"CONV_2D": "Conv2D", "MEAN": "Reducer", "FULLY_CONNECTED": "FullyConnected", "ARG_MAX": "ArgMax"}


def litert(outputs: Sequence[str] = ("embedding",), **made: Any) -> bytes:
    """The content of the file of `model`."""
    return written(model(outputs, **made))


def model(
    outputs: Sequence[str] = ("embedding",),
    *,
    given: str = "x",
    batch: int = 1,
    free: bool = False,
    axis: bool = True,
    rounded: bool = False,
    signature: bool = False,
    custom: str = "",
) -> schema.ModelT:
    """Waves `x` `[batch, 1600]` to outputs by name: `power` `[B, T, 16]` of frames, `embedding` `[B, 16]`, `label`
    `[B, 3]` scores of classes, `steep` without a value for silence, `constant` of any sound, `count` of whole numbers,
    `rounded` in 8 bits.

    `given` names the tensor that is the input. `free`: batch and length are open. Without `axis`, `x` is `[1600]`.
    `rounded` stores weights in 8 bits. With `signature` the names are in a signature alone. `custom` is an operator
    that LiteRT does not have, before all others.
    """
    graph = _Graph()
    rng = np.random.default_rng(0)
    times = np.arange(_WINDOW) / 16_000
    waves = [np.cos(2 * np.pi * hz * times + np.pi / 4) for hz in np.linspace(200, 3_200, BANDS)]
    weights = rng.normal(size=(3, BANDS)).astype(np.float32)
    shape = [batch, SAMPLES] if axis else [SAMPLES]
    graph.tensor("x", shape, signature=[-1] * len(shape) if free else None)
    graph.constant("filters", np.stack(waves)[:, :, None, None].astype(np.float32))
    graph.constant("none", np.zeros(BANDS, np.float32))
    graph.constant("shape", np.array([batch, -1, 1, 1], np.int32))
    graph.constant("frames", np.array([batch, -1, BANDS], np.int32))
    graph.constant("time", np.array([1], np.int32))
    graph.constant("last", np.array(1, np.int32))
    graph.constant("little", np.array([1e-3], np.float32))
    graph.constant("weights", weights, scale=float(np.abs(weights).max() / 127) if rounded else None)
    graph.constant("offsets", np.zeros(3, np.float32))
    if custom:
        graph.operator(custom, ["x"], "y", shape)
    graph.operator("RESHAPE", ["y" if custom else "x", "shape"], "column", [batch, SAMPLES, 1, 1])
    steps = {"padding": schema.Padding.VALID, "strideH": _STEP, "strideW": 1}
    graph.operator("CONV_2D", ["column", "filters", "none"], "filtered", [batch, _FRAMES, 1, BANDS], **steps)
    graph.operator("MUL", ["filtered", "filtered"], "square", [batch, _FRAMES, 1, BANDS])
    graph.operator("RESHAPE", ["square", "frames"], "power", [batch, _FRAMES, BANDS])
    graph.operator("MEAN", ["power", "time"], "mean", [batch, BANDS])
    graph.operator("LOG", ["mean"], "steep", [batch, BANDS])
    graph.operator("ADD", ["mean", "little"], "more", [batch, BANDS])
    graph.operator("LOG", ["more"], "embedding", [batch, BANDS])
    graph.operator("FULLY_CONNECTED", ["embedding", "weights", "offsets"], "label", [batch, 3])
    graph.operator("MUL", ["mean", "none"], "constant", [batch, BANDS])
    graph.operator("ARG_MAX", ["embedding", "last"], "count", [batch], kind="int32", outputType=_KINDS["int32"])
    graph.operator("QUANTIZE", ["embedding"], "rounded", [batch, BANDS], kind="int8", scale=0.1)
    graph.graph.inputs = [graph.names.index(given)]
    graph.graph.outputs = [graph.names.index(name) for name in outputs]
    if signature:
        graph.hide_names(outputs)
    return graph.model


def directly(content: bytes, name: str, waves: Any) -> Any:
    """The tensor of a name for each of the waves `[B, N]` alone, all tensors kept and no delegate."""
    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    given = interpreter.get_input_details()[0]
    found = []
    for wave in waves:
        fed = wave[None] if len(given["shape"]) == 2 else wave
        interpreter.resize_tensor_input(given["index"], fed.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], fed)
        interpreter.invoke()
        index = next(one["index"] for one in interpreter.get_tensor_details() if one["name"] == name)
        found.append(interpreter.get_tensor(index))
    return np.concatenate(found)


def written(content: schema.ModelT) -> bytes:
    return bytes(convert_object_to_bytearray(content))


class _Graph:
    """A model to which tensors and operators are added."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.description = 3, "theirs"
        self.model.buffers, self.model.operatorCodes, self.model.subgraphs = [schema.BufferT()], [], [self.graph]
        self.graph.tensors, self.graph.operators = [], []
        self.names: list[str] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        kind: str = "float32",
        signature: Sequence[int] | None = None,
        scale: float | None = None,
        buffer: int = 0,
    ) -> None:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), _KINDS[kind], buffer
        tensor.shapeSignature = signature
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]
        self.names.append(name)
        self.graph.tensors.append(tensor)

    def hide_names(self, outputs: Sequence[str]) -> None:
        """Move the names of outputs to a signature, as converters write it."""
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.inputs, signature.outputs = "serving_default", [], []
        for number, name in enumerate(outputs):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, self.names.index(name)
            signature.outputs.append(entry)
            self.graph.tensors[entry.tensorIndex].name = f"StatefulPartitionedCall:{number}"
        self.model.signatureDefs = [signature]

    def constant(self, name: str, values: Any, scale: float | None = None) -> None:
        """A stored tensor; with a scale, in 8 bits."""
        if scale is not None:
            values = np.round(values / scale).astype(np.int8)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.tensor(name, values.shape, values.dtype.name, scale=scale, buffer=len(self.model.buffers) - 1)

    def operator(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        shape: Sequence[int],
        kind: str = "float32",
        scale: float | None = None,
        **options: Any,
    ) -> None:
        """An operator of LiteRT, or another by its name, and the tensor that it computes."""
        code, node = schema.OperatorCodeT(), schema.OperatorT()
        code.version = 1
        if hasattr(schema.BuiltinOperator, operator):
            code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, operator)
        else:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
            code.customCode = operator
        own = _OPTIONS.get(operator, operator.capitalize()) + "Options"
        if hasattr(schema.BuiltinOptions, own):
            node.builtinOptionsType = getattr(schema.BuiltinOptions, own)
            node.builtinOptions = getattr(schema, own + "T")()
            vars(node.builtinOptions).update(options)
        self.tensor(output, shape, kind, scale=scale)
        node.inputs, node.outputs = [self.names.index(name) for name in inputs], [self.names.index(output)]
        node.opcodeIndex = len(self.model.operatorCodes)
        self.model.operatorCodes.append(code)
        self.graph.operators.append(node)
