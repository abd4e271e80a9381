"""Which device torch computes on."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["choose_device", "full_precision", "has_bfloat16", "is_cpu"]

#: Devices of the drivers of NVIDIA, of AMD, and of Windows' Linux.
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def choose_device(name: str = "auto") -> str:
    """The device of that name; for `auto` the accelerator of this machine, else `cpu`."""
    import torch

    if name != "auto":
        return name
    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if found else "cpu"


def is_cpu(name: str) -> bool:
    """Whether a device is the CPU for certain, seen without torch: `cpu`, or `auto` where no accelerator has a
    driver."""
    if name != "auto":
        return name == "cpu"
    if sys.platform == "darwin":
        return platform.machine() != "arm64"
    return shutil.which("nvidia-smi") is None and not any(map(os.path.exists, _DRIVERS))


def has_bfloat16(name: str) -> bool:
    """Whether the device of that name is an accelerator whose hardware computes in bfloat16."""
    import torch

    return name == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def full_precision(name: str) -> Iterator[None]:
    """Within it a device convolves single-precision numbers as they are. By default torch lets NVIDIA's accelerators
    round them to TF32, whose 10 bits give other probabilities than the CPU."""
    if name != "cuda":
        yield
        return
    from torch.backends import cudnn

    kept = {"enabled": cudnn.enabled, "benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic}
    with cudnn.flags(**kept, allow_tf32=False):
        yield
