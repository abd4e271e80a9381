"""What a frame-wise network learns: which classes are in each frame, and which are anywhere in a segment.

Where annotations have times, frames are known (strong labels); where only the clip is labelled, it is known that a
class is somewhere in the segment, and not where (weak labels). Both are learnt together, as in the baseline of DCASE's
task on sound events: Turpault et al. 2019, https://hal.science/hal-02160855.
"""

import torch
from torch import Tensor

from hubbub.models.network import Network
from hubbub.training.losses import annotated_shares, multilabel_loss
from hubbub.training.targets import SOMEWHERE

__all__ = ["encoded", "frame_loss", "to_validate"]


def encoded(targets: Tensor, classes: int) -> Tensor:
    """Targets of frames `[B, F * K]` (1 present, 0 absent, -1 not annotated, `SOMEWHERE`) -> shares and weights that
    can be mixed, `[B, 2 * F * K + 2 * K]`: present and annotated frames, then present and annotated classes."""
    frames = targets.view(len(targets), -1, classes)
    of_segment = ((frames > 0).any(1), (frames >= 0).any(1))
    return torch.cat([targets == 1, (targets == 0) | (targets == 1), *of_segment], dim=1).float()


def frame_loss(
    name: str,
    network: Network,
    logits: Tensor,
    targets: Tensor,
    weak: float,
    positive_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The loss `name` of logits `[B, F, K]` against `encoded` targets: the share `weak` of it is that of whole
    segments, whose logits the network pools from those of frames."""
    count, classes = logits.shape[1:]
    sizes = [count * classes, count * classes, classes, classes]
    present, known, held, annotated = targets.split(sizes, dim=1)
    pairs = ((logits.flatten(0, 1), present, known), (network.segment_logits(logits), held, annotated))
    strong_loss, weak_loss = (
        multilabel_loss(
            name,
            values,
            annotated_shares(here, there).reshape(-1, classes),
            there.reshape(-1, classes),
            positive_weights,
            label_smoothing,
        )
        for values, here, there in pairs
    )
    return (1 - weak) * strong_loss + weak * weak_loss


def to_validate(network: Network, targets: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Targets `[S, F * K]` and logits `[S, F, K]` -> those of frames, `[S * F, K]` each; where only clips are labelled,
    those of segments, `[S, K]`."""
    classes = logits.shape[2]
    frames = targets.view(len(targets), -1, classes)
    if not (targets == SOMEWHERE).any():
        return frames.flatten(0, 1), logits.flatten(0, 1)
    return frames.clamp_max(1).amax(1), network.segment_logits(logits)
