"""Which device torch computes on."""

import torch

__all__ = ["choose_device"]


def choose_device(asked: str = "auto") -> str:
    """The device that was asked for; for `auto` the accelerator of this machine, else `cpu`."""
    if asked != "auto":
        return asked
    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if found else "cpu"
