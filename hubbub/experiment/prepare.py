"""What the cells of a run share: clips, sound, splits, the initial network, and a frozen network's embeddings."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubbub.config.recipe import Recipe
from hubbub.config.teacher import Teacher
from hubbub.data import arrays, cache, class_folders, leaks, near_duplicates, splits
from hubbub.data.cache import Segments
from hubbub.data.clips import Clips
from hubbub.data.folds import JOINED, make_folds
from hubbub.data.inputs import Inputs
from hubbub.data.leaks import Audit
from hubbub.data.near_duplicates import NearDuplicate
from hubbub.data.splits import Split
from hubbub.data.timed_labels import nearest_parts, segment_targets, unplaced
from hubbub.errors import count, examples
from hubbub.experiment.resolve import resolve, with_protocol
from hubbub.experiment.typicality import refuse_few_clips, refuse_pictures
from hubbub.runtime import distributed, homes
from hubbub.runtime.hub import HubError
from hubbub.runtime.names import colliding_names

if TYPE_CHECKING:
    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.models.custom import NetworkFactory
    from hubbub.training.teacher import TeacherOutputs

__all__ = ["Log", "Prepared", "prepare"]

Log = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """The data and the initial network that all cells of a run share.

    `recipe` is resolved. `near` are pairs of clips of different groups that hold nearly the same sound. `base` is the
    network before any training, `embedded` its embeddings where it is frozen. `targets` are those of `clips.targets()`.
    `caveats` belong beside every figure of the run. `network` makes the networks where the caller gave a class,
    `teacher` is what the recipe's teacher makes of the clips.
    """

    recipe: Recipe
    clips: Clips
    sound: Inputs
    splits: list[Split]
    audit: Audit
    near: Sequence[NearDuplicate]
    base: "TorchClassifier"
    weights: Path | None
    embedded: Segments | None
    targets: npt.NDArray[Any]
    quick: bool
    caveats: tuple[str, ...]
    network: "NetworkFactory | None" = None
    teacher: "TeacherOutputs | None" = None

    @property
    def inputs(self) -> Inputs | Segments:
        """The inputs of training: the embeddings of a frozen network, else the sound or spectrograms."""
        return self.sound if self.embedded is None else self.embedded

    def frame_spans(self, row: int) -> npt.NDArray[np.float64]:
        """Start and end [s] of what is scored in a clip: its segments, or for a frame-wise network its frames."""
        times, inside = self.base.frame_spans(self.sound.spans(row, self.base))
        return times[inside]

    def segment_targets(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """The targets of all segments (or frames) of the clips `rows`, `[S]` or for label sets `[S, K]`: those of their
        clips, or by the times of the annotations, where a class without times is unknown in each."""
        spans = [self.frame_spans(int(row)) for row in rows]
        if self.clips.timed is None:
            return np.repeat(self.targets[rows], [len(one) for one in spans], axis=0)
        overlap, each = self.recipe.data.overlap, []
        for row, one in zip(rows, spans, strict=True):
            targets = segment_targets(self.clips, int(row), nearest_parts(one), overlap)
            targets[:, unplaced(self.clips, int(row))] = -1
            each.append(targets)
        return np.concatenate([np.zeros((0, len(self.clips.labels)), np.int8), *each])

    @property
    def why_not_comparable(self) -> list[str]:
        """The reasons against comparing the figures with published ones; empty where there are none."""
        reasons = [f"NOT COMPARABLE: {leak}" for leak in self.audit.leaks] + list(self.clips.notes)
        if all(len(split.test) for split in self.splits):  # else the test parts are sealed
            reasons += self._on_test_parts()
        reasons += self.caveats
        if self.quick:
            reasons.append("QUICK: a reduced run to see that it works")
        return reasons

    def _on_test_parts(self) -> Iterator[str]:
        protocol, names = self.recipe.protocol, [split.name for split in self.splits]
        named_parts = all(class_folders.part_named(fold).isalpha() for fold in self.clips.folds)
        if protocol.folds or (protocol.kind == "fixed" and not named_parts):
            yield f"PART OF THE FOLDS: tested on fold {', '.join(names)} alone"
        yield from splits.untestable(self.clips, self.splits)
        if protocol.kind == "time":
            yield (
                "ONE RECORDING: training and test parts are stretches of one recording, each counted as a recording "
                "here. The figures say nothing about other recordings: annotate several"
            )
        if any(split.without_test for split in self.splits):
            yield (
                "VALIDATION FIGURE: no list is a test part, so the figures are of the validation part, which also "
                "chose epochs and settings; a test would be lower"
            )

    def with_recipe(self, recipe: Recipe) -> "Prepared":
        """The same data for a recipe that differs in training, head or network settings only."""
        from hubbub.classifier.torch_classifier import TorchClassifier

        base = TorchClassifier(recipe, self.base.labels, network=self.base.network, head=self.base.head)
        return replace(self, recipe=recipe, base=base)


def prepare(
    recipe: Recipe,
    log: Log = lambda line: None,
    *,
    quick: bool = False,
    parts: Sequence[str] = splits.PARTS,
    network: "NetworkFactory | None" = None,
) -> Prepared:
    """Resolves the recipe, opens and decodes the clips, splits and audits them, and embeds them for a frozen network.
    `network` makes the network of a recipe that names a class of the caller's own.

    With fewer `parts`, only the first split is made, of the clips of these parts: those of the other parts are removed
    from the table before anything is decoded, so nothing can use them. The folds of `[tune]`, if it names any, then
    validate in turn.
    """
    from hubbub.classifier.torch_classifier import TorchClassifier
    from hubbub.models.custom import is_custom

    sealed = set(parts) < set(splits.PARTS)
    resolved = resolve(recipe, one_fold=quick and not sealed)
    recipe, clips, caveats = resolved.recipe, resolved.clips, resolved.caveats
    base = TorchClassifier(recipe, clips.labels, network=network).to(recipe.train.device)
    refuse_pictures(base)
    weights, random = _load_weights(base, quick, log, network)  # may download, so after all that can refuse the recipe
    caveats += random
    if random and not is_custom(recipe.network.name):
        untrained = recipe.model_copy(update={"network": recipe.network.model_copy(update={"weights": "none"})})
        recipe = recipe.model_copy(update={"title": untrained.retitled(recipe).title})
    log(f"{clips.name}: {len(clips):,} clips, {len(clips.labels)} classes; reading")
    for line in (*filter(None, [clips.read_as]), *resolved.notes, *(f"left out: {line}" for line in clips.left_out)):
        log(line)
    sound: Inputs | None = None
    near: list[NearDuplicate] = []
    if recipe.protocol.kind in JOINED or not sealed:
        sound, near = _read(recipe, clips)
    if recipe.protocol.kind in JOINED:
        clips, joined = near_duplicates.join_groups(clips, near)
        clips = replace(clips, notes=(*clips.notes, *joined))
    clips, protocol = make_folds(clips, recipe.protocol)  # again where clips were joined
    if protocol != recipe.protocol:
        recipe = with_protocol(recipe, protocol)
        base = TorchClassifier(recipe, base.labels, network=base.network)
    if recipe.head.name == "zeroshot":
        from hubbub.models.zero_shot import zero_shot_head

        base.head = zero_shot_head(
            recipe.network.name, base.labels, recipe.head.template, weights, base.network.fc.in_features
        )
    found = _split(clips, recipe)
    if sealed:
        leaks.audit(  # by recording alone
            clips, found[:1], [""] * len(clips), network=recipe.network, allow_leaky=recipe.protocol.allow_leaky
        )
        turns = recipe.tune.folds if recipe.tune and "validation" in parts else ()
        clips, found = splits.restrict(clips, found[0], recipe.protocol, parts, turns)
        log(
            f"{clips.name}: {len(clips):,} clips of {' and '.join(parts)}; the rest stays closed (fold {found[0].name})"
        )
        sound, near = arrays.load_inputs(clips, recipe), []
    assert sound is not None
    refuse_few_clips(recipe, found, clips.targets())
    audit = leaks.audit(
        clips, found, sound.contents, near, network=recipe.network, allow_leaky=recipe.protocol.allow_leaky
    )
    if isinstance(sound, cache.Waves) and sound.warnings:
        audit = replace(audit, warnings=(*audit.warnings, _decoding_warning(clips, sound.warnings)))
    prepared = Prepared(
        recipe, clips, sound, found, audit, near, base, weights, None, clips.targets(), quick, caveats, network
    )
    for line in (*audit.warnings, *prepared.why_not_comparable):
        log(f"warning: {line}")
    if base.frozen:
        if distributed.this_process().world_size > 1:
            log("frozen embeddings need no second device: one process does all the work, the others wait")
        log(f"{recipe.network.name}: embedding {len(clips):,} clips once")
        prepared = replace(prepared, embedded=cache.embed(sound, base))
    if recipe.teacher:
        prepared = replace(prepared, teacher=_teacher_outputs(prepared, recipe.teacher, log))
    return prepared


def _read(recipe: Recipe, clips: Clips) -> tuple[Inputs, list[NearDuplicate]]:
    """The decoded clips, and pairs of different groups that hold nearly the same sound."""
    sound = arrays.load_inputs(clips, recipe)
    return sound, near_duplicates.between_groups(clips, sound, recipe.protocol.kind)


def _load_weights(
    base: "TorchClassifier", quick: bool, log: Log, factory: "NetworkFactory | None"
) -> tuple[Path | None, tuple[str, ...]]:
    """Loads the weights that the recipe names; returns their file, and the caveat of a network that should have some.

    A quick run goes on without published weights that cannot be downloaded.
    """
    from hubbub.models.weights import find_weights, load_weights

    network = base.recipe.network
    weights, missing = None, False
    try:
        weights = find_weights(base.recipe)
    except (homes.StoreError, HubError):
        if not quick:
            raise
        missing = True
    if weights:
        log(load_weights(base.network, weights))
    elif factory is not None:
        return None, _own_weights(base, factory) if base.frozen or network.keeps_weights else ()
    elif base.frozen or network.keeps_weights or missing:
        return None, (f"RANDOM INITIALISATION: the {network.name}'s weights were drawn, not trained",)
    return weights, ()


def _own_weights(base: "TorchClassifier", factory: "NetworkFactory") -> tuple[str, ...]:
    """The caveat of a frozen network that the caller's class or function makes; none where it has no weights."""
    from hubbub.models.custom import name_of, random_weights

    drawn, weights = random_weights(factory, base.network, len(base.labels))
    name = name_of(factory)
    if not weights:
        return ()
    if not drawn:
        return (
            f"UNKNOWN WEIGHTS: {name} has the same weights each time it is made; what they learnt from is not known",
        )
    if len(drawn) == weights:
        return (f"RANDOM INITIALISATION: the weights of {name} were drawn, not trained",)
    return (f"RANDOM INITIALISATION: {len(drawn)} of {weights} weights of {name} were drawn ({examples(drawn)})",)


def _teacher_outputs(prepared: Prepared, teacher: Teacher, log: Log) -> "TeacherOutputs":
    """What the recipe's teacher makes of the clips, and what the network learns from it before it gets labels."""
    from hubbub.training.teacher import teach

    clips = prepared.clips
    log(f"{teacher.network}, the teacher: embedding {len(clips):,} clips once")
    outputs = teach(prepared.recipe, clips)
    if teacher.pretrain is None:
        return outputs
    from hubbub.training.pretrain import heard, pretrain, unlabelled, without_copies_of

    found, network = unlabelled(teacher.pretrain, clips), prepared.recipe.network.name
    assert isinstance(prepared.sound, cache.Waves)
    others = without_copies_of(prepared.sound, found)
    if copies := len(found) - len(others):
        log(f"{network}: {count(copies, 'clip')} of {found.name} left out, whose sound {clips.name} has too")
    if teacher.pretrain.outliers:  # may refuse their names, so before the long pretraining
        taken = heard(prepared.base, others)
        log(
            f"{teacher.network} takes {count(len(taken.outliers), 'clip')} of {others.name} for "
            f"{' or '.join(teacher.pretrain.outliers)}: outliers of open-set rejection"
        )
        outputs = replace(outputs, heard=taken)
    log(f"{network}: pretraining once on sounds made of {len(others):,} clips of {others.name}")
    return replace(outputs, pretrained=pretrain(prepared.base, others))


def _split(clips: Clips, recipe: Recipe) -> list[Split]:
    found = splits.make_splits(clips, recipe.protocol)
    if alike := colliding_names(split.name for split in found):
        raise splits.SplitError(
            f"{clips.name}: the test folds {alike[0]!r} and {alike[1]!r} differ only in case or in how a letter is "
            "encoded, and some file systems would put them into one folder. Write them alike, or rename one."
        )
    return found


def _decoding_warning(clips: Clips, odd: dict[int, list[str]]) -> str:
    """One sentence about the recordings that decode with warnings."""
    each = (f"{clips.table['clip'].iloc[clip]} ({' '.join(lines).rstrip('.')})" for clip, lines in odd.items())
    subject = "recording decodes" if len(odd) == 1 else "recordings decode"
    return f"{len(odd)} {subject} with warnings: {examples(each)}. hubbub data check lists all."
