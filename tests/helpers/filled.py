"""Weights that are functions of their names and shapes, as the golden values of published networks were made with."""

import importlib.util
import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

__all__ = ["filled", "golden_folder", "layout"]


def golden_folder(home: Callable[[str, str], Path]) -> Path:
    """The folder of the golden values of published networks; skips the test where a home has none."""
    folder = home("data", "esc50").parents[1] / "golden" / "backbones"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


def layout(folder: Path, name: str) -> dict[str, Any]:
    """What is known of the published file: names and shapes in `state_dict`, and more."""
    return json.loads((folder / f"{name}_state_dict.json").read_text(encoding="utf-8"))


def filled(folder: Path, name: str) -> OrderedDict[str, Tensor]:
    """The published state dict of the network `name`; zeros stand for what a network computes itself."""
    fill = _fill_more(folder)
    state: OrderedDict[str, Tensor] = OrderedDict()  # not OrderedDict[...](), whose pickle names its type
    for key, shape in layout(folder, name)["state_dict"].items():
        value = fill(name, key, tuple(shape))
        numbers = torch.int64 if key.endswith("num_batches_tracked") else torch.float32
        state[key] = torch.zeros(shape, dtype=numbers) if value is None else torch.from_numpy(value)
    return state


def _fill_more(folder: Path) -> Callable[[str, str, tuple[int, ...]], npt.NDArray[np.float32] | None]:
    """The function beside the golden values, which imports one of the folder above."""
    spec = importlib.util.spec_from_file_location("fill_more", folder / "fill_more.py")
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder.parent))
    return module.fill_more
