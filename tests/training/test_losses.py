"""losses: those of torch, torchvision and the papers, where all is annotated; nothing where a class is not."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss

from hubbub.config.train import Train
from hubbub.training.fitted import TrainError
from hubbub.training.losses import MULTILABEL, check_fit, multilabel_loss

CLIPS, CLASSES = 12, 7


def batch(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, whether a class is present, and ones, for all pairs."""
    random = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(CLIPS, CLASSES, generator=random)
    return logits, (torch.rand(CLIPS, CLASSES, generator=random) < 0.3).float(), torch.ones(CLIPS, CLASSES)


def asymmetric(logits: Tensor, present: Tensor) -> float:
    """The paper's equations 3 to 6, pair by pair in double precision, with gamma+ = 0, gamma- = 4, m = 0.05."""
    total = 0.0
    for logit, there in zip(logits.double().flatten().tolist(), present.flatten().tolist(), strict=True):
        p = 1 / (1 + np.exp(-logit))
        shifted = max(p - 0.05, 0.0)
        total -= np.log(p) if there else shifted**4 * np.log(1 - shifted)
    return total / len(logits)


def test_binary_cross_entropy_is_torchs() -> None:
    logits, present, known = batch()
    expected = binary_cross_entropy_with_logits(logits, present, reduction="sum") / CLIPS
    torch.testing.assert_close(multilabel_loss("bce", logits, present, known), expected)
    weights = torch.linspace(0.5, 5, CLASSES)
    expected = binary_cross_entropy_with_logits(logits, present, pos_weight=weights, reduction="sum") / CLIPS
    torch.testing.assert_close(multilabel_loss("bce", logits, present, known, weights), expected)


def test_label_smoothing_moves_targets_towards_one_half() -> None:
    logits, present, known = batch()
    expected = binary_cross_entropy_with_logits(logits, 0.8 * present + 0.1, reduction="sum") / CLIPS
    torch.testing.assert_close(multilabel_loss("bce", logits, present, known, None, 0.2), expected)


def test_focal_loss_is_torchvisions() -> None:
    logits, present, known = batch()
    expected = sigmoid_focal_loss(logits, present, alpha=-1, gamma=2, reduction="sum") / CLIPS
    torch.testing.assert_close(multilabel_loss("focal", logits, present, known), expected)


def test_asymmetric_loss_is_the_papers() -> None:
    logits, present, known = batch()
    assert float(multilabel_loss("asymmetric", logits, present, known)) == pytest.approx(asymmetric(logits, present))


def test_where_a_class_is_surely_absent_the_asymmetric_loss_has_no_gradient() -> None:
    logits = torch.tensor([[-3.0, -2.9, 0.0]], requires_grad=True)  # probabilities .047, .052 and .5
    multilabel_loss("asymmetric", logits, torch.zeros(1, 3), torch.ones(1, 3)).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] == 0 < logits.grad[0, 1] < logits.grad[0, 2]


@pytest.mark.parametrize("name", MULTILABEL)
def test_what_nobody_annotated_has_no_gradient(name: str) -> None:
    logits, present, known = batch()
    known[:, 3], known[5] = 0, 0
    logits.requires_grad_()
    loss = multilabel_loss(name, logits, present, known, None, 0.1)
    loss.backward()
    gradient = logits.grad
    assert gradient is not None
    assert not gradient[:, 3].any() and not gradient[5].any()
    kept = [0, 1, 2, 4, 5, 6]
    assert (gradient[:5, kept] != 0).sum() > 20
    others = [row for row in range(CLIPS) if row != 5]
    alone = multilabel_loss(name, logits[others][:, kept], present[others][:, kept], known[others][:, kept], None, 0.1)
    torch.testing.assert_close(loss, alone * len(others) / CLIPS)


@pytest.mark.parametrize("name", MULTILABEL)
def test_nothing_annotated_is_a_loss_of_zero(name: str) -> None:
    logits, present, known = batch()
    assert float(multilabel_loss(name, logits, present, torch.zeros_like(known))) == 0


@pytest.mark.parametrize("name", MULTILABEL)
def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses(name: str) -> None:
    """And a part of it in which nobody annotated the class says nothing about it."""
    logits, present, known = batch()
    other = present.roll(1, dims=0)
    one, two = (multilabel_loss(name, logits, shares, known) for shares in (present, other))
    mixed = multilabel_loss(name, logits, 0.3 * present + 0.7 * other, known)
    torch.testing.assert_close(mixed, 0.3 * one + 0.7 * two)
    torch.testing.assert_close(multilabel_loss(name, logits, present, 0.3 * known), 0.3 * one)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", MULTILABEL)
def test_half_precision_loses_nothing_in_the_loss(name: str, dtype: torch.dtype) -> None:
    logits, present, known = batch()
    short = logits.to(dtype)
    loss = multilabel_loss(name, short, present, known)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, multilabel_loss(name, short.float(), present, known), rtol=0, atol=0)


@pytest.mark.parametrize("name", MULTILABEL)
def test_extreme_logits_have_finite_losses_and_gradients(name: str) -> None:
    logits = torch.tensor([[-1e4, 1e4, -1e4, 1e4, -90.0, 90.0]], requires_grad=True)
    loss = multilabel_loss(name, logits, torch.tensor([[1.0, 0, 0, 1, 1, 0]]), torch.ones(1, 6))
    loss.backward()
    assert torch.isfinite(loss) and logits.grad is not None and torch.isfinite(logits.grad).all()
    if name != "asymmetric":  # which is bounded where a class is absent
        assert float(loss) == pytest.approx(2e4 + 180, rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "multilabel", "advice"),
    [
        ({"loss": "cross_entropy"}, True, "Use 'auto', 'bce', 'focal' or 'asymmetric'"),
        ({"loss": "bce"}, False, "Use 'auto' or 'cross_entropy'"),
        ({"loss": "asymmetric"}, False, "Use 'auto' or 'cross_entropy'"),
        ({"monitor": "val_accuracy"}, True, "'val_macro_f1' or 'val_macro_map'"),
        ({"monitor": "val_macro_map"}, False, "Use 'val_loss', 'val_accuracy' or 'val_macro_f1'"),
    ],
)
def test_a_loss_or_monitor_of_other_clips_is_refused_with_what_to_use(
    settings: dict, multilabel: bool, advice: str
) -> None:
    with pytest.raises(TrainError, match=advice):
        check_fit(Train(**settings), multilabel)
    check_fit(Train(**settings), not multilabel)
    check_fit(Train(), multilabel)
