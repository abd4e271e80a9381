"""The metrics of an epoch, over validation segments."""

from torch import Tensor

from hubbub.metrics import classification, multilabel
from hubbub.training.losses import multilabel_loss

__all__ = ["figures"]


def figures(targets: Tensor, logits: Tensor) -> dict[str, float]:
    """Metrics by name, of logits `[S, K]` and the classes of segments `[S]`, or their label sets `[S, K]`.

    Of label sets: binary cross-entropy as in training, macro F1 at a probability of one half, and macro mAP, over the
    annotated pairs of segment and class. A figure that is undefined is 0.
    """
    if targets.ndim == 1:
        metrics = classification.evaluate(targets.numpy(), logits.softmax(1).numpy())
        names = (("log_loss", "loss"), ("accuracy", "accuracy"), ("macro_f1", "macro_f1"))
        return {f"val_{name}": float(metrics[metric] or 0.0) for metric, name in names}
    present, known = targets > 0, targets >= 0
    loss = multilabel_loss("bce", logits, present, known)
    scores = logits.double().sigmoid().numpy()  # in single precision high scores would be equal
    found = multilabel.evaluate(present.numpy(), scores, known=known.numpy()).figures
    return {"val_loss": float(loss), **{f"val_{name}": found[name] or 0.0 for name in ("macro_f1", "macro_map")}}
