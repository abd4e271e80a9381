"""LiteRT files (`.tflite`) of other teams, run by LiteRT (https://ai.google.dev/edge/litert) with `hubbub[litert]`.

LiteRT checks that a file is whole, and trusts what it says otherwise; `litert_trial` has what this means.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hubbub.models.errors import NetworkError
from hubbub.models.graph_runner import Array, Port, first_line

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

__all__ = ["LiteRtGraph", "is_litert"]

#: Marks LiteRT files, behind an offset.
MARK = b"TFL3"
#: The end of the message where `hubbub[litert]` is not installed.
INSTALL = "LiteRT files need ai-edge-litert: pip install 'hubbub[litert]'"


def is_litert(content: bytes) -> bool:
    """Whether the content of a file says that it is a LiteRT file."""
    return content[4:8] == MARK


class LiteRtGraph:
    """The content of a LiteRT file, ready to run one segment at a time.

    `output` may name a value inside of the graph, which then becomes an output. Raises `NetworkError` for what is no
    whole LiteRT file, and where LiteRT is not installed; `source` names the file.
    """

    format, batches, rate_hz = "LiteRT", False, None

    def __init__(self, content: bytes, source: str, output: str = "") -> None:
        self._content, self._source = content, source
        interpreter, layout = self._read()
        if output in layout.inner and output not in layout.outputs:
            self._content = _with_output(content, layout.inner[output])
            interpreter, layout = self._read()
        self._indices, self.inner = layout.outputs, list(layout.inner)
        self.operators, self.stored, self._custom = layout.operators, layout.stored, layout.custom
        #: Interpreters that no thread uses now, with the shape that each is laid out for.
        self._idle: deque[tuple[Interpreter, tuple[int, ...]]] = deque([(interpreter, ())])

    def run(self, names: list[str], batch: Array) -> list[Array]:
        try:
            interpreter, shape = self._idle.pop()
        except IndexError:
            interpreter, shape = self._open(), ()
        try:
            index = interpreter.get_input_details()[0]["index"]
            if shape != batch.shape:
                interpreter.resize_tensor_input(index, batch.shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(index, batch)
            interpreter.invoke()
            values = [interpreter.get_tensor(self._indices[name]) for name in names]
        except Exception as error:
            if not self._custom:
                raise
            why = first_line(error).partition(". ")[0]
            raise NetworkError(
                f"{self._source} cannot be run by LiteRT ({why}). It has operators that are not LiteRT's "
                f"own: {', '.join(self._custom)}. Convert it with LiteRT's built-in operators alone."
            ) from error
        self._idle.append((interpreter, batch.shape))
        return values

    def _open(self) -> "Interpreter":
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise NetworkError(f"{self._source}: {INSTALL}") from error
        try:
            return Interpreter(model_content=self._content, num_threads=1)
        except Exception as error:  # ValueError and RuntimeError
            raise self._broken(first_line(error)) from error

    def _read(self) -> "tuple[Interpreter, _Layout]":
        """What the file says of its graph. LiteRT has found every offset inside of the file, but not every index."""
        interpreter = self._open()
        try:
            layout = _Layout(self._content)
            self.inputs = [_port(one, layout.inputs) for one in interpreter.get_input_details()]
            self.outputs = [_port(one, layout.outputs) for one in interpreter.get_output_details()]
        except Exception as error:  # of many kinds
            raise self._broken("its graph refers to what it does not have") from error
        return interpreter, layout

    def _broken(self, why: str) -> NetworkError:
        return NetworkError(f"{self._source} cannot be run by LiteRT ({why}). Download or convert it again.")


class _Layout:
    """What the content of a whole LiteRT file says of its graph: names, operators and stored numbers."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        model = schema.Model.GetRootAs(content)
        graph, types = model.Subgraphs(0), _names_in(schema.TensorType)
        signature = model.SignatureDefs(0) if model.SignatureDefsLength() else None
        self.inputs = _named(graph, _every(graph, "Inputs"), _every(signature, "Inputs"))
        self.outputs = _named(graph, _every(graph, "Outputs"), _every(signature, "Outputs"))
        #: What its operators compute.
        self.inner = _named(graph, [n for node in _every(graph, "Operators") for n in _every(node, "Outputs")], ())
        graphs = list(_every(model, "Subgraphs"))
        self.operators = sum(one.OperatorsLength() for one in graphs)
        self.stored = Counter[str]()
        for tensor in (tensor for one in graphs for tensor in _every(one, "Tensors")):
            if model.Buffers(tensor.Buffer()).DataLength() or model.Buffers(tensor.Buffer()).Size() > 1:
                self.stored[types[tensor.Type()]] += int(np.prod(tensor.ShapeAsNumpy(), dtype=np.int64))
        #: Operators that are not LiteRT's own.
        self.custom = [_text(one.CustomCode()) for one in _every(model, "OperatorCodes") if one.CustomCode()]


def _with_output(content: bytes, index: int) -> bytes:
    """A file whose first output is another tensor."""
    from ai_edge_litert import schema_py_generated as schema

    changed = bytearray(content)
    schema.Model.GetRootAs(changed).Subgraphs(0).OutputsAsNumpy()[0] = index
    return bytes(changed)


def _every(table: Any, what: str) -> Iterator[Any]:
    """The members of a list in a table of the file, which may have none."""
    count = getattr(table, f"{what}Length")() if table is not None else 0
    return map(getattr(table, what), range(count)) if count else iter(())


def _named(graph: Any, indices: Iterable[int], maps: Iterable[Any]) -> dict[str, int]:
    """Tensors by the name that a signature gives them, else by their own; of two with one name the first."""
    names = {one.TensorIndex(): _text(one.Name()) for one in maps}
    found: dict[str, int] = {}
    for index in indices:
        if not 0 <= index < graph.TensorsLength():
            raise IndexError(index)
        found.setdefault(names.get(index) or _text(graph.Tensors(index).Name()), int(index))
    return found


def _names_in(enumeration: type) -> dict[int, str]:
    return {value: name.lower() for name, value in vars(enumeration).items() if isinstance(value, int)}


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", errors="replace")


def _port(details: dict[str, Any], names: dict[str, int]) -> Port:
    name = next((name for name, index in names.items() if index == details["index"]), details["name"])
    sizes = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    shape = tuple(int(n) if n >= 0 else None for n in sizes)
    return Port(name, shape, np.dtype(details["dtype"]).name, details["dtype"] is np.float32)
