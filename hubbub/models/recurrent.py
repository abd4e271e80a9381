"""A bidirectional GRU that exports as one ONNX operation.

torch.export unrolls a GRU step by step, which takes minutes for hundreds of frames. Within an export `BiGRU` is one
operation of our own instead, whose weights are in ONNX's order, and `to_onnx` translates it (ONNX's operator GRU,
https://onnx.ai/onnx/operators/onnx__GRU.html). Everywhere else it is `torch.nn.GRU`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["BiGRU", "translations"]


class BiGRU(nn.GRU):
    """Rows `[B, T, D]` -> `[B, T, 2 * size]`: one layer that reads forwards, beside one that reads backwards."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__(channels, size, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if not torch.compiler.is_exporting():
            rows: Tensor = super().forward(x)[0]
            return rows
        sides = [
            [getattr(self, f"{name}_l0{side}") for side in ("", "_reverse")] for name in ("weight_ih", "weight_hh")
        ]
        biases = [
            torch.cat([_as_onnx(getattr(self, f"bias_{name}_l0{side}")) for name in ("ih", "hh")])
            for side in ("", "_reverse")
        ]
        weights, recurrent = (torch.stack([_as_onnx(one) for one in both]) for both in sides)
        found: Tensor = torch.ops.hubbub.bigru(x, weights, recurrent, torch.stack(biases))
        return found


def _as_onnx(gates: Tensor) -> Tensor:
    """The rows of the gates reset, update and new `[3 * H, ...]` in ONNX's order: update, reset, new."""
    size = len(gates) // 3
    return torch.cat([gates[size : 2 * size], gates[:size], gates[2 * size :]])


@torch.library.custom_op("hubbub::bigru", mutates_args=())
def _bigru(x: Tensor, weights: Tensor, recurrent: Tensor, biases: Tensor) -> Tensor:
    """ONNX's GRU step by step: `x` `[B, T, D]`, `weights` `[2, 3 * H, D]`, `recurrent` `[2, 3 * H, H]`, `biases`
    `[2, 6 * H]` -> `[B, T, 2 * H]`."""
    sides = []
    for side, order in enumerate((range(x.shape[1]), range(x.shape[1] - 1, -1, -1))):
        given, own = biases[side].chunk(2)
        state, states = x.new_zeros(len(x), recurrent.shape[2]), [x.new_zeros(0)] * x.shape[1]
        for t in order:
            update, reset, new = (x[:, t] @ weights[side].T + given).chunk(3, dim=1)
            own_update, own_reset, own_new = (state @ recurrent[side].T + own).chunk(3, dim=1)
            keep = (update + own_update).sigmoid()
            state = (1 - keep) * (new + (reset + own_reset).sigmoid() * own_new).tanh() + keep * state
            states[t] = state
        sides.append(torch.stack(states, dim=1))
    return torch.cat(sides, dim=2)


@_bigru.register_fake
def _(x: Tensor, weights: Tensor, recurrent: Tensor, biases: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1], 2 * recurrent.shape[2])


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The translations of our own operations for `torch.onnx.export(custom_translation_table=...)`."""
    from onnxscript import opset20 as op

    def to_onnx(x: Any, weights: Any, recurrent: Any, biases: Any) -> Any:
        rows, _ = op.GRU(
            op.Transpose(x, perm=[1, 0, 2]), weights, recurrent, biases, direction="bidirectional",
            hidden_size=int(recurrent.shape[2]), linear_before_reset=1,
        )  # fmt: skip
        by_frame: Any = op.Transpose(rows, perm=[2, 0, 1, 3])
        sizes: Any = op.Constant(value_ints=[0, 0, -1])
        return op.Reshape(by_frame, sizes)

    return {torch.ops.hubbub.bigru.default: to_onnx}
