"""The frames of a recording, from those of its overlapping segments: which segment answers for which instant.

Every instant belongs to the segment whose centre is nearest, because a segment knows least about the sound at its ends.
That holds for the frames of a frame-wise network, and for whole segments that are scored at a small hop.
"""

import numpy as np
import numpy.typing as npt

from hubbub.audio.windows import WindowError

__all__ = ["hop_frames", "join", "lead", "nearest", "spans"]

Doubles = npt.NDArray[np.float64]


def hop_frames(length: int, hop: int, frame: int) -> int:
    """The number of frames of `frame` samples from one segment's start to the next one's.

    Raises `WindowError` unless segments and hops are whole frames.
    """
    if length % frame or hop % frame:
        raise WindowError(
            f"windows of {length} samples every {hop} in frames of {frame}: windows.length and windows.hop must be "
            f"multiples of {frame}."
        )
    return hop // frame


def lead(frames: int, hop: int) -> int:
    """How many first frames of a segment of `frames`, every `hop` frames, the segment before it answers for.

    So a segment answers for `hop` frames from there on; the first one also for those before, the last one also for
    those after.
    """
    return (frames - hop) // 2


def join(outputs: npt.NDArray[np.float32], hop: int, count: int) -> npt.NDArray[np.float32]:
    """Outputs of the frames of segments `[S, T, ...]`, every `hop` frames -> the recording's first `count`."""
    first = lead(outputs.shape[1], hop)
    parts = [outputs[0, :first], *outputs[:, first : first + hop], outputs[-1, first + hop :]]
    return np.concatenate(parts)[:count]


def spans(samples: int, rate_hz: int, frame: int) -> Doubles:
    """Start and end [s] of each frame of `frame` samples that a recording of `samples` has, `[N, 2]`; the last one may
    be shorter."""
    edges = np.minimum(np.arange(-(-samples // frame) + 1) * frame, samples) / rate_hz
    return np.stack([edges[:-1], edges[1:]], axis=1)


def nearest(segments: Doubles) -> Doubles:
    """Start and end of each segment `[S, 2]` [s], in order -> the part of it that it answers for, `[S, 2]`."""
    parts = np.array(segments, np.float64)
    middles = (segments[1:, 0] + segments[:-1, 1]) / 2
    overlap = segments[1:, 0] < segments[:-1, 1]
    parts[1:, 0] = np.where(overlap, middles, segments[1:, 0])
    parts[:-1, 1] = np.where(overlap, middles, segments[:-1, 1])
    return parts
