"""Requests at the same time share a batch, and each gets the answer that it would get alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from hubbub.classifier.base import Classifier
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.inference.predict import predict_recording
from hubbub.serve.batcher import BatchedClassifier, Batcher, StoppedError

Array = npt.NDArray[np.float32]


class BlockingClassifier(Classifier):
    """Outputs the mean and largest sample of each segment, once the gate is open. Records the size of each batch and
    the calling threads. A segment with a NaN raises an error."""

    activation = "softmax"
    batch = 8

    def __init__(self) -> None:
        self.recipe = Recipe.load("street-cnn", ["windows.length=4", "windows.hop=4"])
        self.labels, self.card = ("a", "b"), {}
        self.gate, self.begun = threading.Event(), threading.Semaphore(0)
        self.passes: list[int] = []
        self.threads: set[str] = set()

    def to(self, device: str) -> Self:
        return self

    def forward(self, segments: Array) -> Array:
        self.threads.add(threading.current_thread().name)
        self.begun.release()
        assert self.gate.wait(30)
        if np.isnan(segments).any():
            raise ValueError("a NaN")
        self.passes.append(len(segments))
        return np.stack([segments.mean(axis=1), segments.max(axis=1)], axis=1)

    def head_logits(self, outputs: Array) -> Array:
        self.threads.add(threading.current_thread().name)
        return outputs


def noise(segments: int, seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=(segments, 4)).astype(np.float32)


def until_waiting(batcher: Batcher, count: int) -> None:
    while batcher.waiting < count:
        pass


def test_who_waits_during_a_pass_shares_the_next_one() -> None:
    model = BlockingClassifier()
    batches: list[tuple[int, int]] = []
    with Batcher(model, on_batch=lambda *pair: batches.append(pair)) as batcher, ThreadPoolExecutor(8) as threads:
        first = threads.submit(batcher.outputs, noise(1, 0))
        model.begun.acquire()  # the pass is under way
        others = [threads.submit(batcher.outputs, noise(2, seed)) for seed in range(1, 6)]
        until_waiting(batcher, 5)
        model.gate.set()
        answers = [first.result(), *(one.result() for one in others)]
    # Two segments each: four of the five fit into a batch of eight.
    assert model.passes == [1, 8, 2]
    assert batches == [(1, 1), (8, 4), (2, 1)]
    for seed, answer in enumerate(answers):
        given = noise(len(answer), seed)
        np.testing.assert_array_equal(answer, np.stack([given.mean(axis=1), given.max(axis=1)], axis=1))
    assert model.threads == {"model"}


def test_a_long_recording_takes_turns_with_a_short_one() -> None:
    model = BlockingClassifier()
    with Batcher(model) as batcher, ThreadPoolExecutor(2) as threads:
        long = threads.submit(batcher.outputs, noise(40, 0))
        model.begun.acquire()
        short = threads.submit(batcher.outputs, noise(3, 1))
        until_waiting(batcher, 1)
        model.gate.set()
        assert short.result().shape == (3, 2)
        assert long.result().shape == (40, 2)
    assert model.passes[:2] == [8, 3]  # not behind all 40


def test_one_that_breaks_a_pass_does_not_break_the_others() -> None:
    model = BlockingClassifier()
    broken = noise(2, 2)
    broken[1, 1] = np.nan
    with Batcher(model) as batcher, ThreadPoolExecutor(4) as threads:
        first = threads.submit(batcher.outputs, noise(1, 0))
        model.begun.acquire()
        bad, good = threads.submit(batcher.outputs, broken), threads.submit(batcher.outputs, noise(2, 1))
        until_waiting(batcher, 2)
        model.gate.set()
        assert len(first.result()) == 1
        with pytest.raises(ValueError, match="a NaN"):
            bad.result()
        np.testing.assert_array_equal(good.result()[:, 1], noise(2, 1).max(axis=1))


def test_at_its_end_it_finishes_what_it_took_and_takes_nothing_more() -> None:
    model = BlockingClassifier()
    with ThreadPoolExecutor(8) as threads:
        with Batcher(model) as batcher:
            first = threads.submit(batcher.outputs, noise(1, 0))
            model.begun.acquire()
            waiting = [threads.submit(batcher.outputs, noise(3, seed)) for seed in range(1, 5)]
            until_waiting(batcher, 4)
            model.gate.set()
        assert [len(one.result()) for one in (first, *waiting)] == [1, 3, 3, 3, 3]
        with pytest.raises(StoppedError, match="shutting down"):
            batcher.outputs(noise(1, 0))


def test_other_work_is_done_between_passes_in_the_same_thread() -> None:
    model = BlockingClassifier()
    model.gate.set()
    with Batcher(model) as batcher:
        assert batcher.run_exclusive(lambda: threading.current_thread().name) == "model"
        with pytest.raises(ZeroDivisionError):
            batcher.run_exclusive(lambda: 1 // 0)
        assert len(batcher.outputs(noise(1, 0))) == 1


def test_nothing_is_computed_for_who_has_gone() -> None:
    model = BlockingClassifier()
    model.gate.set()
    with Batcher(model) as batcher, pytest.raises(StoppedError, match="the client has gone"):
        BatchedClassifier(batcher, lambda: True).classify(np.zeros(160, np.float32), model.rate_hz)
    assert model.passes == []


@pytest.mark.parametrize("settings", [[], ["evaluate.shifts=[0.25]", "evaluate.pooling='mean_logit'"]])
def test_answers_equal_those_of_the_model_alone(settings: list[str]) -> None:
    model = TorchClassifier(Recipe.load("street-cnn", ["network.width=4", *settings]), ("a", "b", "c"), seed=1)
    rng = np.random.default_rng(0)
    waves = [rng.normal(0, 0.1, rng.integers(8_000, 200_000)).astype(np.float32) for _ in range(12)]
    alone = [model.classify(wave, model.rate_hz) for wave in waves]
    with Batcher(model) as batcher, ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda wave: BatchedClassifier(batcher).classify(wave, model.rate_hz), waves))
    for one, other in zip(alone, together, strict=True):
        assert one.label == other.label
        np.testing.assert_allclose(list(other.scores.values()), list(one.scores.values()), atol=1e-5)
        np.testing.assert_allclose(other.segments.to_numpy(), one.segments.to_numpy(), atol=1e-5)


def test_a_recording_that_fits_is_one_pass_and_its_head_none(tmp_path: Path) -> None:
    model = BlockingClassifier()
    model.gate.set()
    model.batch = 10_000  # a recording's end comes in a piece of its own
    soundfile.write(tmp_path / "short.wav", np.random.default_rng(0).normal(0, 0.1, 24_000), 24_000)
    with Batcher(model) as batcher:
        prediction = predict_recording(BatchedClassifier(batcher), tmp_path / "short.wav")
    assert model.passes == [len(prediction.spans)] and len(prediction.spans) == 4_000
    assert model.threads == {"model", threading.current_thread().name}  # in the queue it would end a batch
