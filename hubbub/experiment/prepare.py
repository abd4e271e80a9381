"""What the cells of a run share, and what must be said of every figure that comes from it.

Clips, sound, splits, the network they start from, and a frozen network's evidence, made once; then in words: the
environment, the protocol, and the reasons why a figure may not stand beside published ones.
This room fits nothing and writes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubbub.config.recipe import Recipe
from hubbub.data import arrays, cache, leaks, splits
from hubbub.data.cache import Segments
from hubbub.data.clips import Clips, hold_out
from hubbub.data.inputs import Inputs
from hubbub.data.leaks import Audit
from hubbub.data.open import open_clips
from hubbub.data.splits import Split
from hubbub.errors import examples
from hubbub.runtime import distributed, homes
from hubbub.runtime.names import colliding_names

if TYPE_CHECKING:
    from hubbub.classifier.torch_classifier import TorchClassifier

__all__ = ["Material", "fresh", "prepare"]

Log = Callable[[str], None]


@dataclass(frozen=True)
class Material:
    """Everything the cells of a run share: clips, their sound or spectrograms, splits, a frozen network's evidence."""

    recipe: Recipe
    clips: Clips
    sound: Inputs
    splits: list[Split]
    audit: Audit
    base: "TorchClassifier"
    weights: Path | None
    embedded: Segments | None
    targets: npt.NDArray[np.int64]
    quick: bool
    remarks: tuple[str, ...]

    @property
    def inputs(self) -> Inputs | Segments:
        """What a fit starts from: the embeddings where the network is frozen, else the sound."""
        return self.sound if self.embedded is None else self.embedded


def prepare(
    recipe: Recipe,
    log: Log = lambda line: None,
    *,
    quick: bool = False,
    parts: Sequence[str] = splits.PARTS,
) -> Material:
    """Find and decode the clips, split them, audit the splits, and embed once where the network is frozen.

    With fewer `parts`, only the first split is made, of clips that stand in them: those of the other parts are out of
    the table before anything is decoded, so nothing that is given this material can hear them. The folds of
    `[tune]` then validate in turn, if it names any.
    """
    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.models import weights as weights_

    recipe, remarks = _for_this_machine(recipe)
    clips = hold_out(open_clips(recipe), recipe.data.held_out)
    recipe, left_out = arrays.adapt_recipe(recipe, clips)
    protocol = recipe.protocol
    base = TorchClassifier(recipe, clips.labels).to(recipe.train.device)
    weights = _weights(recipe, quick)  # a download, so after what could refuse the recipe
    if weights:
        log(weights_.load_weights(base.network, weights))
    elif (
        base.frozen
        or recipe.network.mode == "head"
        or (recipe.network.weights != "none" and weights_.published(recipe))
    ):
        remarks += (f"RANDOM INITIALISATION: the {recipe.network.name}'s weights were drawn, not trained",)
    made = splits.make_splits(clips, protocol)
    if alike := colliding_names(split.name for split in made):
        raise splits.SplitError(
            f"{clips.name}: the test folds {alike[0]!r} and {alike[1]!r} differ in case or in how a letter is written "
            "alone, and some file systems would keep them in one folder. Write them alike, or rename one."
        )
    if set(parts) < set(splits.PARTS):
        leaks.audit(clips, made[:1], [""] * len(clips), allow_leaky=protocol.allow_leaky)  # by recording alone
        turns = recipe.tune.folds if recipe.tune and "validation" in parts else ()
        clips, made = splits.restrict(clips, made[0], protocol, parts, turns)
        log(f"{clips.name}: {len(clips):,} clips of {' and '.join(parts)}; the rest stays closed (fold {made[0].name})")
    else:
        log(f"{clips.name}: {len(clips):,} clips, {len(clips.labels)} classes, {len(made)} test folds; reading")
    for line in left_out:
        log(line)
    for line in clips.left_out:
        log(f"left out: {line}")
    kept = arrays.load_inputs(clips, recipe)
    audit = leaks.audit(clips, made, kept.contents, allow_leaky=protocol.allow_leaky)
    if isinstance(kept, cache.Waves) and kept.warnings:
        audit = replace(audit, warnings=(*audit.warnings, _odd_ones(clips, kept.warnings)))
    for line in (*clips.notes, *remarks, *audit.warnings, *(f"NOT COMPARABLE, it leaks: {x}" for x in audit.leaks)):
        log(f"warning: {line}")
    embedded = None
    if base.frozen:
        if distributed.this_process().world_size > 1:
            log("one process does all: frozen embeddings need no second device. The others wait for it to end")
        log(f"{recipe.network.name}: embedding {len(clips):,} clips once")
        embedded = cache.embed(kept, base)
    return Material(recipe, clips, kept, made, audit, base, weights, embedded, clips.targets(), quick, remarks)


def _odd_ones(clips: Clips, odd: dict[int, list[str]]) -> str:
    """One sentence about the recordings that decode with warnings."""
    each = (f"{clips.table['clip'].iloc[clip]} ({' '.join(said).rstrip('.')})" for clip, said in odd.items())
    verb = "recording is" if len(odd) == 1 else "recordings are"
    return f"{len(odd)} {verb} odd: {examples(each)}. hubbub data check lists all."


def _for_this_machine(recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with `network.mode = "auto"` decided, and what is to be said of that."""
    from hubbub.runtime.devices import choose_device

    if recipe.network.mode != "auto":
        return recipe, ()
    mode = "head" if choose_device(recipe.train.device) == "cpu" else "finetune"
    network = recipe.network.model_copy(update={"mode": mode})
    remark = "HEAD ONLY: without an accelerator the network stayed frozen, but for its last layer and any attention"
    return recipe.model_copy(update={"network": network}), (remark,) if mode == "head" else ()


def _weights(recipe: Recipe, quick: bool) -> Path | None:
    """The weights to start from; a quick run goes on without published ones that cannot be had."""
    from hubbub.models import weights as weights_

    try:
        return weights_.find_weights(recipe)
    except homes.StoreError:
        if quick:
            return None
        raise


def fresh(material: Material, seed: int) -> "TorchClassifier":
    """A classifier to fit, initialised from the seed; published weights are loaded, a frozen network is shared."""
    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.models import weights as weights_

    if material.recipe.head.name != "none":
        return TorchClassifier(material.recipe, material.clips.labels, network=material.base.network)
    model = TorchClassifier(material.recipe, material.clips.labels, seed=seed)
    if material.weights:
        weights_.load_weights(model.network, material.weights)
    elif material.embedded is not None:
        ours = {name: tensor for name, tensor in model.network.state_dict().items() if name.startswith("fc.")}
        model.network.load_state_dict(material.base.network.state_dict() | ours)
    return model
