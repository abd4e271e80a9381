"""Which device torch computes on."""

import torch

__all__ = ["choose_device"]


def choose_device(name: str = "auto") -> str:
    """The device of that name; for `auto` the accelerator of this machine, else `cpu`."""
    if name != "auto":
        return name
    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if found else "cpu"
