"""frame_loss: frames are learnt where they are known, whole segments everywhere, and nothing where nobody annotated."""

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from hubbub.models.framewise import Framewise
from hubbub.training.frame_loss import encoded, frame_loss, to_validate
from hubbub.training.targets import SOMEWHERE

FRAMES, CLASSES = 5, 3
NETWORK = Framewise(CLASSES, 16, 2, 320, 4)


def drawn(values: tuple[int, ...], batch: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets `[B, F * K]` of these values, and logits `[B, F, K]`."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(np.int8(values), (batch, FRAMES * CLASSES))
    return torch.from_numpy(targets), torch.from_numpy(rng.normal(size=(batch, FRAMES, CLASSES)).astype(np.float32))


def test_the_loss_of_known_frames_and_segments_is_their_cross_entropy() -> None:
    targets, logits = drawn((0, 1))
    frames = targets.view(-1, FRAMES, CLASSES).float()
    held, pooled = frames.amax(1), NETWORK.segment_logits(logits)
    for weak in (0.0, 0.3, 1.0):
        found = frame_loss("bce", NETWORK, logits, encoded(targets, CLASSES), weak)
        strong = bce(logits, frames, reduction="sum") / (len(logits) * FRAMES)
        expected = (1 - weak) * strong + weak * bce(pooled, held, reduction="sum") / len(logits)
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_frame_that_nobody_annotated_has_no_gradient() -> None:
    targets, logits = drawn((-1, 0, 1))
    logits.requires_grad_()
    frame_loss("bce", NETWORK, logits, encoded(targets, CLASSES), 0.0).backward()
    unknown = (targets == -1).view(-1, FRAMES, CLASSES)
    assert (logits.grad[unknown] == 0).all() and (logits.grad[~unknown] != 0).all()


def test_a_class_that_is_somewhere_moves_all_its_frames_together_by_the_segment() -> None:
    targets = torch.full((1, FRAMES * CLASSES), 0, dtype=torch.int8)
    targets.view(FRAMES, CLASSES)[:, 1] = SOMEWHERE
    logits = torch.zeros(1, FRAMES, CLASSES, requires_grad=True)
    frame_loss("bce", NETWORK, logits, encoded(targets, CLASSES), 0.0).backward()
    assert (logits.grad[..., 1] == 0).all() and (logits.grad[..., [0, 2]] > 0).all()
    frame_loss("bce", NETWORK, logits, encoded(targets, CLASSES), 1.0).backward()
    assert (logits.grad[..., 1] < 0).all()  # the segment holds it: its frames rise


def test_half_of_a_mixture_weighs_as_its_part_knows() -> None:
    """A mixture of a segment that holds a class and one in which nobody annotated it holds it, at half the weight."""
    known, unknown = torch.ones(1, FRAMES * CLASSES, dtype=torch.int8), torch.full((1, FRAMES * CLASSES), -1)
    mixed = (encoded(known, CLASSES) + encoded(unknown.to(torch.int8), CLASSES)) / 2
    _, logits = drawn((0,), 1)
    half = frame_loss("bce", NETWORK, logits, mixed, 0.5)
    assert half.item() == pytest.approx(frame_loss("bce", NETWORK, logits, encoded(known, CLASSES), 0.5).item() / 2)


def test_validation_is_of_frames_or_where_these_are_not_known_of_segments() -> None:
    targets, logits = drawn((-1, 0, 1))
    frames, scores = to_validate(NETWORK, targets, logits)
    assert torch.equal(frames, targets.view(-1, CLASSES)) and torch.equal(scores, logits.view(-1, CLASSES))
    weak = torch.where(targets == 1, torch.tensor(SOMEWHERE, dtype=torch.int8), targets)
    held, pooled = to_validate(NETWORK, weak, logits)
    assert held.shape == (4, CLASSES) and torch.equal(pooled, NETWORK.segment_logits(logits))
    assert torch.equal(held, targets.view(-1, FRAMES, CLASSES).amax(1))
