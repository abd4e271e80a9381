"""hubbub: from labelled recordings of environmental sounds to a classifier one can trust.

    import hubbub
    model = hubbub.load("runs/demo")
    heard = model.classify("street.wav")

What it offers is imported when it is first asked for: `import hubbub` is instant. `Classifier` brings torch; `load`
brings it where what is loaded needs it.
"""

from typing import TYPE_CHECKING, Any

from hubbub.errors import HubbubError

if TYPE_CHECKING:
    from hubbub.classifier.base import Heard
    from hubbub.classifier.load import load
    from hubbub.classifier.torch_classifier import Classifier

__all__ = ["Classifier", "Heard", "HubbubError", "__version__", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Classifier":
        from hubbub.classifier.torch_classifier import Classifier

        return Classifier
    if name == "load":
        from hubbub.classifier.load import load

        return load
    if name == "Heard":
        from hubbub.classifier.base import Heard

        return Heard
    raise AttributeError(f"module 'hubbub' has no attribute '{name}'")
