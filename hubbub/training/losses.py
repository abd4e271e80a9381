"""Losses of clips that may hold several classes: each pair of clip and class is a decision of its own.

Binary cross-entropy, focal loss (Lin et al. 2017, https://arxiv.org/abs/1708.02002) and asymmetric loss (Ridnik et al.
2021, https://arxiv.org/abs/2009.14119). A loss is summed over the annotated classes of a clip and averaged over the
clips of a batch. So the gradient of a logit is as large as that of cross-entropy, whatever the number of classes:
learning rates, clipped gradients and a network's own regulariser keep their meaning, and a batch that is shared by
devices or accumulated is that of one device.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from hubbub.config.train import Train
from hubbub.training.fitted import TrainError

__all__ = ["MULTILABEL", "annotated_shares", "check_fit", "multilabel_loss"]

#: Focal loss: the power of what a pair's probability lacks.
FOCUS = 2
#: Asymmetric loss: the same power where a class is absent; probabilities up to the margin count as zero there. Where a
#: class is present, the loss is that of binary cross-entropy, as in most of the paper's figures.
ABSENT_FOCUS, MARGIN = 4, 0.05


def multilabel_loss(
    name: str,
    logits: Tensor,
    shares: Tensor,
    known: Tensor,
    positive_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The loss `name`, one of `MULTILABEL`, of logits `[B, K]`: a number.

    `shares` `[B, K]` is 1 where a class is present, 0 where it is absent, and between in mixtures. `known` `[B, K]`
    weighs the pairs: 0 where nobody annotated the class, which then has no gradient. `positive_weights` `[K]` multiply
    the loss of what is present. Label smoothing moves shares towards one half. Computed in single precision.
    """
    present, absent = MULTILABEL[name](logits.float())
    shares = shares.float() * (1 - label_smoothing) + label_smoothing / 2
    weights = shares if positive_weights is None else shares * positive_weights
    return (known * (weights * present + (1 - shares) * absent)).sum() / len(logits)


def annotated_shares(present: Tensor, known: Tensor) -> Tensor:
    """The share of what is annotated that is present, of a mixture's `present` and `known` shares; 0 where nothing is
    annotated."""
    return present / known.clamp_min(torch.finfo(known.dtype).tiny)


def _binary_cross_entropy(logits: Tensor) -> tuple[Tensor, Tensor]:
    return -logsigmoid(logits), -logsigmoid(-logits)


def _focal(logits: Tensor) -> tuple[Tensor, Tensor]:
    scores = logits.sigmoid()
    return -((1 - scores) ** FOCUS) * logsigmoid(logits), -(scores**FOCUS) * logsigmoid(-logits)


def _asymmetric(logits: Tensor) -> tuple[Tensor, Tensor]:
    scores = (logits.sigmoid() - MARGIN).clamp_min(0)
    return -logsigmoid(logits), -(scores**ABSENT_FOCUS) * torch.log1p(-scores)


#: Losses by the setting's value: logits -> the loss where a class is present, and where it is absent.
MULTILABEL: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "bce": _binary_cross_entropy,
    "focal": _focal,
    "asymmetric": _asymmetric,
}


def check_fit(settings: Train, multilabel: bool) -> None:
    """Raises `TrainError` where loss or monitor do not fit the clips: those of one label each, or of label sets."""
    if multilabel and settings.loss == "cross_entropy":
        raise TrainError(
            "train.loss 'cross_entropy' is for clips of one label each, and these may hold several. Use 'auto', 'bce', "
            "'focal' or 'asymmetric'."
        )
    if not multilabel and settings.loss in MULTILABEL:
        raise TrainError(
            f"train.loss '{settings.loss}' is for clips that may hold several labels (data.multilabel), and these have "
            "one each. Use 'auto' or 'cross_entropy'."
        )
    if multilabel and settings.monitor == "val_accuracy":
        raise TrainError(
            "train.monitor 'val_accuracy' is for clips of one label each, and these may hold several. Use 'val_loss', "
            "'val_macro_f1' or 'val_macro_map'."
        )
    if not multilabel and settings.monitor == "val_macro_map":
        raise TrainError(
            "train.monitor 'val_macro_map' is for clips that may hold several labels (data.multilabel), and these have "
            "one each. Use 'val_loss', 'val_accuracy' or 'val_macro_f1'."
        )
