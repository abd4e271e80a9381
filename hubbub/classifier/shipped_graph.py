"""The exported graph of the classifier that comes with the package, behind it another head.

A frozen `small` always computes the same embeddings, so a classifier on them need not be traced whole, which takes many
times longer than to fit it.
"""

from typing import TYPE_CHECKING

import safetensors.torch
import torch
from torch import nn

from hubbub.classifier.onnx_classifier import EMBEDDINGS, LOGITS, SEGMENTS
from hubbub.models.small import Small
from hubbub.runtime.shipped import GRAPH, WEIGHTS

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["computes", "with_head"]


def computes(network: nn.Module) -> bool:
    """Whether the shipped graph computes a network's embeddings: it is a `small` with the shipped weights."""
    if not isinstance(network, Small):
        return False
    held, shipped = network.state_dict(), safetensors.torch.load_file(WEIGHTS)
    return all(torch.equal(held[name], value.float()) for name, value in shipped.items() if not name.startswith("fc."))


def with_head(head: "ModelProto") -> "ModelProto":
    """Segments `[B, N]` of any length -> embeddings `[B, D]` and the logits `[B, K]` that `head` makes of them."""
    import onnx
    from onnx.compose import add_prefix
    from onnx.utils import Extractor

    graph: ModelProto = Extractor(onnx.load(str(GRAPH))).extract_model([SEGMENTS], [EMBEDDINGS])
    last = add_prefix(head, "head.", rename_inputs=False, rename_outputs=False).graph
    graph.graph.node.extend(last.node)
    graph.graph.initializer.extend(last.initializer)
    graph.graph.output.extend(value for value in last.output if value.name == LOGITS)
    return graph
