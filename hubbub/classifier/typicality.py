"""Typicality of a sound: how near its embedding is to those of the training clips, for open-set rejection.

It is the relative Mahalanobis distance, negated (Ren et al. 2021, https://arxiv.org/abs/2106.09022): the squared
distance to one Gaussian of all training clips, less that to the nearest class, whose Gaussians share one covariance.
Axes that make both covariances diagonal are found once, so that inference needs numpy only: the distance to a class is
Euclidean in them, and that to all clips weights each axis.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hubbub.errors import HubbubError, count

__all__ = ["CLIPS_A_CLASS", "Typicality", "TypicalityError", "refuse_few"]

Array = npt.NDArray[np.float32]
#: The most principal axes that embeddings are projected on, and the shrinkage of both covariances towards a multiple of
#: the identity.
AXES, SHRINKAGE = 250, 0.3
#: Training clips a class, on average, that covariances need.
CLIPS_A_CLASS = 2
#: An axis with less spread than this share of the widest has none.
LEAST_SPREAD = 1e-6


class TypicalityError(HubbubError):
    """Training clips that give no distances, or a classifier whose distances are damaged."""


@dataclass(frozen=True, eq=False)
class Typicality:
    """Scores embeddings `[S, D]`, which first become `axes.T @ ((e - centre) / scale)` `[S, M]`, or with `compress` the
    same of their signed logarithm. `means` `[K, M]` are the classes', `weights` `[M]` those of the distance to all
    clips, whose mean is 0. `scale` `[1]` is the embeddings' standard deviation, so that half precision can store `axes`
    and `means`."""

    centre: Array
    scale: Array
    axes: Array
    means: Array
    weights: Array
    compress: bool = False

    @classmethod
    def fit(cls, embeddings: Array, offsets: npt.ArrayLike, classes: npt.NDArray[np.int64], *, compress: bool) -> Self:
        """From embeddings `[S, D]` of the segments of training clips that start at `offsets` `[C]`, and the clips'
        classes `[C]`; a clip counts by the mean of its embeddings. Raises `TypicalityError` where clips are few."""
        from scipy import linalg

        refuse_few(len(classes), len(np.unique(classes)))
        starts = np.asarray(offsets, dtype=np.intp)
        sizes = np.diff(np.append(starts, len(embeddings)))[:, None]
        x = _compressed(np.add.reduceat(embeddings, starts, dtype=np.float64) / sizes, compress)
        centre, scale = x.mean(axis=0), np.sqrt(x.var(axis=0).mean()) or 1.0
        x = (x - centre) / scale
        _, spread, rows = linalg.svd(x, full_matrices=False)
        principal = rows[:AXES][spread[:AXES] > LEAST_SPREAD * spread[0]].T
        x = x @ principal
        numbers, of_clip = np.unique(classes, return_inverse=True)
        means = np.stack([x[of_clip == k].mean(axis=0) for k in range(len(numbers))])
        whole, within = _covariance(x), _covariance(x - means[of_clip])
        ratios, axes = linalg.eigh(whole, within) if x.shape[1] else (np.ones(0), np.zeros((0, 0)))
        return cls(
            centre.astype(np.float32),
            np.array([scale], np.float32),
            _in_half(principal @ axes),
            _in_half(means @ axes),
            (1 / ratios).astype(np.float32),
            compress,
        )

    def score(self, embeddings: Array) -> npt.NDArray[np.float64]:
        """Embeddings `[S, D]` -> typicality `[S]`: the higher, the more like the training clips of one class."""
        z = ((_compressed(embeddings, self.compress) - self.centre) / self.scale @ self.axes).astype(np.float64)
        means = self.means.astype(np.float64)
        lengths = np.square(z)
        of_classes = lengths.sum(axis=1)[:, None] - 2 * z @ means.T + np.square(means).sum(axis=1)
        return np.asarray(lengths @ self.weights - of_classes.min(axis=1), dtype=np.float64)

    def to_bytes(self) -> bytes:
        """The content of its file."""
        from safetensors.numpy import save

        half = {name: np.ascontiguousarray(getattr(self, name), np.float16) for name in ("axes", "means")}
        single = {name: getattr(self, name) for name in ("centre", "scale", "weights")}
        return save({**half, **single})

    @classmethod
    def from_bytes(cls, content: bytes, compress: bool) -> Self:
        """What `to_bytes` gave. Raises `TypicalityError` for anything else."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays = {name: array.astype(np.float32) for name, array in load(content).items()}
            found = cls(**arrays, compress=compress)
        except (SafetensorError, TypeError, ValueError, KeyError) as error:
            raise TypicalityError(f"no distances to training clips ({' '.join(str(error).split())})") from error
        size, classes, axes = (len(np.atleast_1d(one)) for one in (found.centre, found.means, found.weights))
        shapes: dict[str, tuple[Any, ...]] = {
            "centre": (size,),
            "scale": (1,),
            "axes": (size, axes),
            "means": (classes, axes),
            "weights": (axes,),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                raise TypicalityError(
                    f"'{name}' of the distances to training clips is not {list(shape)} finite numbers"
                )
        return found


def refuse_few(clips: int, classes: int) -> None:
    """Raises `TypicalityError` where so many training clips of so many classes give no covariance."""
    if clips < CLIPS_A_CLASS * classes:
        raise TypicalityError(
            f"evaluate.unknown = 'distance' needs {CLIPS_A_CLASS} training clips a class on average, and there are "
            f"{count(clips, 'clip')} of {count(classes, 'class', 'classes')}. Add recordings, or set evaluate.unknown "
            "to 'max_prob'."
        )


def _compressed(embeddings: npt.NDArray[Any], compress: bool) -> npt.NDArray[Any]:
    return np.sign(embeddings) * np.log1p(np.abs(embeddings)) if compress else embeddings


def _covariance(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The covariance of rows `[C, M]` whose mean is 0, shrunk, with some spread in each axis."""
    found = x.T @ x / len(x)
    size = np.trace(found) / max(len(found), 1)
    return np.asarray((1 - SHRINKAGE) * found + max(SHRINKAGE * size, LEAST_SPREAD) * np.eye(len(found)))


def _in_half(values: npt.NDArray[np.float64]) -> Array:
    """Values as a file holds them, so that a saved classifier scores as before."""
    return values.astype(np.float16).astype(np.float32)
