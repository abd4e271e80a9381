"""What a fit returns, and the errors of a fit that fails."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubbub.errors import HubbubError

if TYPE_CHECKING:
    import pandas as pd

    from hubbub.classifier.torch_classifier import TorchClassifier

__all__ = ["DivergedError", "Fitted", "TrainError"]


class TrainError(HubbubError):
    """A training that cannot start or go on."""


class DivergedError(TrainError):
    """A training whose loss is not finite any more."""


@dataclass(frozen=True)
class Fitted:
    """The result of a fit.

    `chosen` was fitted on the training part only, so its validation metrics are unbiased. `final` is the one to test:
    the same for a network, refitted on training + validation for a head. `choice` is what validation chose. Of a
    network: `history`, the loss and validation metrics of each epoch; `trainable`, the number of trained parameters;
    `threads`, the numbers of CPU threads used.
    """

    chosen: "TorchClassifier"
    final: "TorchClassifier"
    choice: dict[str, Any]
    history: "pd.DataFrame | None" = None
    trainable: int | None = None
    threads: tuple[int, ...] = ()
