"""The targets of a training: those of clips, or of segments by their place in the clip where labels are timed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbub.classifier.base import Classifier
from hubbub.data.cache import Segments, rows_of
from hubbub.data.clips import Clips
from hubbub.data.inputs import Inputs
from hubbub.data.timed_labels import nearest_parts, segment_targets, unplaced

__all__ = ["SOMEWHERE", "ClipTargets", "SegmentTargets", "Targets", "of_clips", "of_embeddings", "targets_of"]

#: The target of a frame of a clip that holds the class, it is not known where.
SOMEWHERE = 2

Rows = npt.NDArray[np.intp]
Spans = npt.NDArray[np.float64]
#: Class numbers `[C]` int64, or `[C, K]` int8: 1 present, 0 absent, -1 not annotated.
ClipTargets = npt.NDArray[Any]


@dataclass(frozen=True)
class SegmentTargets:
    """The targets of clips with timed labels, in which those of a segment depend on its place.

    `clips` `[C, K]` are the targets of whole clips. `of` maps a clip number and spans `[S, 2]` from the clip's start
    [s] to the targets `[S, K]` of segments there. `spans` maps a clip number to the spans of its embeddings.
    """

    clips: ClipTargets
    of: Callable[[int, Spans], ClipTargets]
    spans: Callable[[int], Spans]

    @cached_property
    def embeddings(self) -> ClipTargets:
        """The targets of the embeddings of all clips, `[S, K]`."""
        return np.concatenate([self.of(clip, self.spans(clip)) for clip in range(len(self.clips))])


#: What a fit gets: the targets of clips, which all their segments share, or timed ones.
Targets = ClipTargets | SegmentTargets


def targets_of(clips: Clips, inputs: Inputs, model: Classifier) -> Targets:
    """The targets of clips, whose segments share them; or, where labels are timed, those of segments by their place.
    Of a frame-wise network those of a segment are those of its frames, one after another, `[S, F * K]`."""
    if clips.timed is None and model.frames == 1:
        return clips.targets()
    overlap = model.recipe.data.overlap

    def of(clip: int, spans: Spans) -> ClipTargets:
        times, inside = model.frame_spans(spans)
        found = segment_targets(clips, clip, nearest_parts(times), overlap)
        if model.frames > 1:
            found[~inside] = -1
            found[(found > 0) & unplaced(clips, clip)] = SOMEWHERE
        return found.reshape(len(spans), -1)

    return SegmentTargets(clips.targets(), of, lambda clip: inputs.spans(clip, model))


def of_clips(targets: Targets) -> ClipTargets:
    """The targets of clips, `[C]` or `[C, K]`."""
    return targets.clips if isinstance(targets, SegmentTargets) else targets


def of_embeddings(targets: Targets, segments: Segments, clips: Rows) -> ClipTargets:
    """The targets of the embeddings `segments` of some clips, `[S]` or `[S, K]`."""
    rows, counts = rows_of(segments.offsets, clips)
    return targets.embeddings[rows] if isinstance(targets, SegmentTargets) else np.repeat(targets[clips], counts, 0)
