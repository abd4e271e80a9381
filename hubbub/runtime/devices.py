"""Which device torch computes on."""

import os
import platform
import shutil
import sys

__all__ = ["choose_device", "is_cpu"]

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
