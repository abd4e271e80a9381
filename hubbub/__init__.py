"""hubbub: from labelled recordings of environmental sounds to a classifier one can trust.

    import hubbub
    model = hubbub.load("runs/demo")
    prediction = model.classify("street.wav")

Names are imported when they are first used: `import hubbub` is instant, and torch is imported only where it is needed.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hubbub.errors import HubbubError

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier
    from hubbub.classifier.load import load
    from hubbub.classifier.prediction import Prediction
    from hubbub.experiment.audit import audit
    from hubbub.experiment.bench import bench
    from hubbub.experiment.own import train
    from hubbub.experiment.publish import publish
    from hubbub.experiment.score import score
    from hubbub.experiment.score_events import score_events
    from hubbub.inference.explain import explain
    from hubbub.inference.stream import Stream
    from hubbub.inference.table import classify
    from hubbub.report.run import Run

__all__ = [
    "Classifier",
    "HubbubError",
    "Prediction",
    "Run",
    "Stream",
    "__version__",
    "audit",
    "bench",
    "classify",
    "explain",
    "load",
    "publish",
    "score",
    "score_events",
    "train",
]

__version__ = "0.1.0"

# onnxruntime reports to its makers, unless this is set before it is first imported. Who asks for it sets another value.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_MODULES = {
    "Classifier": "hubbub.classifier.base",
    "Prediction": "hubbub.classifier.prediction",
    "Run": "hubbub.report.run",
    "Stream": "hubbub.inference.stream",
    "audit": "hubbub.experiment.audit",
    "bench": "hubbub.experiment.bench",
    "classify": "hubbub.inference.table",
    "explain": "hubbub.inference.explain",
    "load": "hubbub.classifier.load",
    "publish": "hubbub.experiment.publish",
    "score": "hubbub.experiment.score",
    "score_events": "hubbub.experiment.score_events",
    "train": "hubbub.experiment.own",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'hubbub' has no attribute '{name}'")
