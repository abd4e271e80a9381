"""A graph of another team: what it takes, and which of its outputs is the embedding.

Both are found by running it on a few sounds.
"""

from contextlib import suppress

import numpy as np

from hubbub.errors import did_you_mean
from hubbub.models.errors import NetworkError
from hubbub.models.graph_runner import Array, GraphRunner, Port, first_line
from hubbub.models.litert_graph import LiteRtGraph, is_litert
from hubbub.models.onnx_graph import OnnxGraph
from hubbub.runtime.parts import PART, run_parts

__all__ = ["ForeignGraph"]

#: What the names of outputs with scores of classes contain.
SCORES = ("label", "logit", "class", "score", "prob", "pred")
#: The largest difference between a segment in a batch and on its own, as a share of the largest value.
TOLERANCE = 1e-3


class ForeignGraph:
    """A checked graph of segments of one size `(N,)`, `(F, W)` or `(C, F, W)`, to embeddings `[B, D]`.

    `output` names the embedding; without it, it is found where it is unmistakable. Raises `NetworkError` for what is no
    whole ONNX or LiteRT file, and for a graph that does not take these segments or has no such output. `source` names
    the file.
    """

    def __init__(self, content: bytes, source: str, size: tuple[int, ...], rate_hz: int, output: str = "") -> None:
        self._source, self._size = source, size
        self.runner: GraphRunner = (
            LiteRtGraph(content, source, output) if is_litert(content) else OnnxGraph(content, source)
        )
        self._check_rate(rate_hz)
        self.input, self.taken, free = self._find_input()
        sizes = self.runner.inputs[0].shape
        #: Whether it has an axis for segments, and whether it takes one segment at a time.
        self.batched = len(sizes) > len(self.taken)
        self.singly = not self.runner.batches or not self.batched or sizes[0] == 1
        sounds = _sounds(size)
        found = self._outputs(sounds, output)
        self.output = output or self._choose(found)
        #: The axis of an output `[B, T, D]` or `[B, D, T]` that is averaged, if any.
        self.frames_axis = self._frames_axis(found[self.output], free)
        self._check_values(found[self.output], sounds)
        self.width = int(self.run(sounds).shape[1])

    def run(self, segments: Array) -> Array:
        """Segments `[B, ...]` -> embeddings `[B, D]`."""
        batch = np.ascontiguousarray(segments.reshape(-1, *self.taken), dtype=np.float32)
        most = 1 if self.singly else PART
        (values,) = run_parts(lambda part: self._run([self.output], part), batch, most)
        return values if self.frames_axis is None else values.mean(axis=self.frames_axis, dtype=np.float32)

    def describe(self) -> str:
        """What it takes and gives, in a line."""
        how = "one segment at a time" if self.singly else "in batches"
        frames = "" if self.frames_axis is None else ", the mean over its frames"
        taken = "x".join(map(str, self.taken))
        return f"'{self.input}' {taken} to '{self.output}' of {self.width} values{frames}; {how}, on the CPU"

    def _check_rate(self, rate_hz: int) -> None:
        """Refuse another sample rate than the one that the file states."""
        written = self.runner.rate_hz
        if written is not None and written != rate_hz:
            raise NetworkError(
                f"{self._source} takes sound at {written} Hz, as its metadata says, and not {rate_hz}. Set "
                f"audio.rate_hz = {written}."
            )

    def _find_input(self) -> tuple[str, tuple[int, ...], bool]:
        """The only input: its name, the shape of a segment in it, and whether the last axis may have any length."""
        inputs = self.runner.inputs
        if len(inputs) != 1 or not inputs[0].single:
            raise NetworkError(
                f"{self._source} takes {_listed(inputs)}, and a network here takes one input of single precision. "
                "Export it with such an input, and all else as constants."
            )
        name, shape, size = inputs[0].name, inputs[0].shape, self._size
        if len(shape) == len(size) == 1:  # one wave
            shape = (1, *shape)
        said = f"{self._source} takes {_listed(inputs)}"
        if shape and shape[0] not in (1, None):
            raise NetworkError(f"{said}, which is {shape[0]} segments at a time. Export it for 1, or for any number.")
        taken = size if len(shape) == len(size) + 1 else (1, *size)
        rest = shape[1:]
        if len(rest) != len(taken) or (taken != size and rest[0] != 1):
            if len(size) == 1:
                advice = "frontend.name = 'none' gives waves. Set frontend.name = 'logmel', as its authors computed it"
            else:
                advice = f"the front end gives {'x'.join(map(str, size))}. Set frontend.name = 'none' if it takes waves"
            raise NetworkError(f"{said}, and {advice}.")
        wrong = [theirs for ours, theirs in zip(taken, rest, strict=True) if theirs not in (None, ours)]
        if wrong and len(size) == 1:
            raise NetworkError(f"{said}, and a segment is {size[0]} samples. Set windows.length = {wrong[0]}.")
        if wrong:
            raise NetworkError(
                f"{said}, and the front end gives {'x'.join(map(str, size))}. Set frontend.n_mels, and frontend.frames "
                "or windows.length."
            )
        return name, taken, rest[-1] is None

    def _outputs(self, sounds: Array, output: str) -> dict[str, Array]:
        """All outputs of single precision for each sound alone, `[3, ...]`, or the one that was asked for."""
        outputs = {one.name: one for one in self.runner.outputs}
        if output and output not in outputs:
            raise NetworkError(
                f"{self._source} has no output '{output}' (network.output). "
                f"{did_you_mean(output, {*outputs, *self.runner.inner})}"
            )
        names = [name for name, one in outputs.items() if one.single and output in ("", name)]
        if not names:
            raise NetworkError(
                f"{self._source} gives {_listed(list(outputs.values()))}, and an embedding is of single "
                "precision. Name another output in network.output, or export it so."
            )
        alone = [self._try(names, sound[None]) for sound in sounds]
        found = {
            name: np.concatenate(values)
            for name, *values in zip(names, *alone, strict=True)
            if all(value.ndim and len(value) == 1 for value in values) and len({value.shape for value in values}) == 1
        }
        if not found:
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in zip(names, alone[0], strict=True))
            raise NetworkError(
                f"{self._source} gives {shapes} for one segment, and an embedding is [1, D]. Name another output in "
                "network.output, or export it for batches."
            )
        return found

    def _try(self, names: list[str], sounds: Array) -> list[Array]:
        """The named outputs for sounds `[B, ...]` in one pass."""
        batch = sounds.reshape(len(sounds), *self.taken[:-1], sounds.shape[-1])
        try:
            return self._run(names, batch)
        except NetworkError:
            raise
        except Exception as error:  # any of the library's
            raise NetworkError(
                f"{self._source} cannot be run on a segment of {'x'.join(map(str, self._size))} ({first_line(error)}). "
                "Set windows.length and audio.rate_hz, or the front end, as its authors say."
            ) from error

    def _run(self, names: list[str], batch: Array) -> list[Array]:
        return self.runner.run(names, batch if self.batched else batch[0])

    def _choose(self, found: dict[str, Array]) -> str:
        """The only output; else the only vector that is named as an embedding, or that is left beside class scores."""
        if sum(one.single for one in self.runner.outputs) == 1:
            return next(iter(found))
        vectors = [name for name, values in found.items() if values.ndim == 2]
        named = [name for name in vectors if "embed" in name.lower()]
        others = [name for name in vectors if not any(word in name.lower() for word in SCORES)]
        if len(named) == 1:
            return named[0]
        if len(others) == 1 < len(vectors):
            return others[0]
        shapes = ", ".join(f"'{name}' [B, {', '.join(map(str, values.shape[1:]))}]" for name, values in found.items())
        raise NetworkError(
            f"{self._source} has {len(self.runner.outputs)} outputs, and which is the embedding is not clear: "
            f"{shapes}. Name it: network.output = '{(others or vectors or list(found))[0]}'."
        )

    def _frames_axis(self, values: Array, free: bool) -> int | None:
        """The axis over which the output is averaged: one of size 1, or the only one that grows with the segment."""
        if values.ndim == 2:
            return None
        axes = [axis for axis in (1, 2) if values.ndim == 3 and values.shape[axis] == 1]
        if values.ndim == 3 and free and not axes:
            longer = _sounds((*self._size[:-1], 2 * self._size[-1]))[:1]
            with suppress(NetworkError):  # it says that it takes any length, and does not
                (grown,) = self._try([self.output], longer)
                axes = [axis for axis in (1, 2) if grown.shape[axis] > values.shape[axis]]
        if len(axes) == 1:
            return axes[0]
        raise NetworkError(
            f"{self._source}: its output '{self.output}' is {['B', *values.shape[1:]]}, and an embedding is [B, D]; "
            "which axis is time is not clear. Name another output in network.output, or export it with the mean over "
            "time."
        )

    def _check_values(self, values: Array, sounds: Array) -> None:
        """Refuse an embedding that is not finite or the same for all sounds, and see whether batches change it."""
        if np.isfinite(values[:2]).all() and not np.isfinite(values).all():
            raise NetworkError(
                f"{self._source}: its output '{self.output}' is not finite for digital silence. Name another output in "
                "network.output, or export it with a small number added before its logarithms."
            )
        if not np.isfinite(values).all():
            raise NetworkError(
                f"{self._source}: its output '{self.output}' holds values that are not finite numbers. Name another "
                "output in network.output, or set windows.length and audio.rate_hz as its authors say."
            )
        if np.array_equal(*values[:2]):
            raise NetworkError(
                f"{self._source}: its output '{self.output}' is the same for noise and for a tone. Name another output "
                "in network.output."
            )
        if not self.singly:
            try:
                (together,) = self._try([self.output], sounds)
            except NetworkError:  # it says that it takes batches, and does not
                self.singly = True
                return
            within = TOLERANCE * float(np.abs(values).max())
            self.singly = together.shape != values.shape or not np.abs(together - values).max() <= within


def _listed(values: list[Port]) -> str:
    return ", ".join(map(str, values)) or "nothing"


def _sounds(size: tuple[int, ...]) -> Array:
    """Noise, a tone and silence, `[3, *size]`."""
    noise = np.random.default_rng(0).normal(0, 0.1, size)
    tone = np.broadcast_to(0.1 * np.sin(0.1 * np.arange(size[-1])), size)
    return np.stack([noise, tone, np.zeros(size)]).astype(np.float32)
