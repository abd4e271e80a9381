"""The worker: a process of rank 1 or higher under torchrun, which only takes part in the fits of rank 0.

It receives the numbers of training and validation clips, never of test clips, reads the clips on its own machine and
writes only its cache. Weights and checkpoints come from rank 0.
"""

from dataclasses import dataclass
from functools import partial

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.data import arrays
from hubbub.data.clips import hold_out
from hubbub.data.inputs import Inputs
from hubbub.data.open import open_clips
from hubbub.runtime import distributed
from hubbub.training import fit
from hubbub.training.fit import FitRequest
from hubbub.training.targets import Targets, targets_of

__all__ = ["run_worker"]


@dataclass(frozen=True)
class _Data:
    recipe: Recipe
    inputs: Inputs
    targets: Targets


def run_worker() -> None:
    """Take part in every fit that rank 0 requests, until it ends. Raises `RankError` if rank 0 is lost."""
    data: _Data | None = None
    while request := distributed.receive():
        data = distributed.build_on_all(partial(_load_data, request.recipe, data), _data_key, "clips or kind of device")
        _fit(request, data)


def _load_data(recipe: Recipe, loaded: _Data | None) -> _Data:
    if loaded and loaded.recipe == recipe:
        return loaded
    clips = hold_out(open_clips(recipe), recipe.data.held_out)
    inputs = arrays.load_inputs(clips, recipe)
    return _Data(recipe, inputs, targets_of(clips, inputs, TorchClassifier(recipe, clips.labels)))


def _data_key(data: _Data) -> str:
    return fit.data_key(data.inputs, data.targets, data.recipe.train.device)


def _fit(request: FitRequest, data: _Data) -> None:
    classifier = TorchClassifier(request.recipe, request.labels, seed=request.seed)  # DDP copies rank 0's weights
    module = fit.build_module(
        *(classifier, data.inputs, data.targets, request.train, request.validation, request.seed, request.lowered),
        lessons=request.lessons,
    )
    fit.run_training(module, request.checkpoints, request.epochs, resume=request.resume, loggers=[])
