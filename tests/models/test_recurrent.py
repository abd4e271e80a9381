"""recurrent: a GRU that exports as one operation gives what torch's gives."""

import numpy as np
import onnxruntime
import pytest
import torch

from hubbub.models.recurrent import BiGRU, translations


@pytest.fixture(scope="module")
def gru() -> BiGRU:
    torch.manual_seed(0)
    return BiGRU(6, 4).eval()


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (5, 40)])
def test_the_exported_operation_is_the_network(gru: BiGRU, shape: tuple[int, int]) -> None:
    """The export of any batch, in onnxruntime; its graph has one GRU, not one step after another."""
    x = torch.randn(*shape, 6)
    dynamic = ({0: torch.export.Dim("batch", min=1, max=64)},)
    example = torch.randn(3, shape[1], 6)
    program = torch.export.export(gru, (example,), dynamic_shapes=dynamic, strict=False)
    exported = torch.onnx.export(
        program, dynamo=True, opset_version=20, verbose=False, custom_translation_table=translations()
    )
    assert exported is not None
    kinds = [node.op_type for node in exported.model_proto.graph.node]
    assert kinds.count("GRU") == 1 and len(kinds) < 40
    session = onnxruntime.InferenceSession(exported.model_proto.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, gru(x).numpy(), atol=1e-6)


def test_the_operation_alone_is_onnx_definition(gru: BiGRU) -> None:
    """The operation computes step by step what it stands for, and torch knows its shape without computing."""
    captured = torch.export.export(gru, (torch.randn(2, 9, 6),), strict=False)
    x = torch.randn(2, 9, 6)
    with torch.no_grad():
        np.testing.assert_allclose(captured.module()(x).numpy(), gru(x).numpy(), atol=1e-6)
