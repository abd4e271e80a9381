"""What a process above rank 0 does where torchrun has started several: it takes part in rank 0's fits, in nothing else.

It is told the numbers of the clips that train and validate, never of those that test, reads clips on its own machine
and writes nothing but its cache. Weights and checkpoints come from rank 0.
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
from hubbub.train import fit
from hubbub.train.fit import FitRequest, Targets

__all__ = ["run_worker"]


@dataclass(frozen=True)
class _Data:
    recipe: Recipe
    sound: Inputs
    targets: Targets


def run_worker() -> None:
    """Take part in every fit that rank 0 tells of, until it tells the end. Raises `RankError` where rank 0 is lost."""
    data: _Data | None = None
    while task := distributed.receive():
        data = distributed.build_on_all(partial(_open, task.recipe, data), _content, "clips or kind of device")
        _take_part(task, data)


def _open(recipe: Recipe, before: _Data | None) -> _Data:
    if before and before.recipe == recipe:
        return before
    clips = hold_out(open_clips(recipe), recipe.data.held_out)
    return _Data(recipe, arrays.load_inputs(clips, recipe), clips.targets())


def _content(data: _Data) -> str:
    return fit.data_key(data.sound, data.targets, data.recipe.train.device)


def _take_part(task: FitRequest, data: _Data) -> None:
    model = TorchClassifier(
        task.recipe, task.labels, seed=task.seed
    )  # its weights become rank 0's before the first step
    module = fit.build_module(model, data.sound, data.targets, task.train, task.validation, task.seed, task.lowered)
    fit.run_training(module, task.checkpoints, task.epochs, resume=task.resume, loggers=[])
