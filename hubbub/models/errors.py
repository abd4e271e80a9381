"""The error of networks, for modules that need no torch."""

from hubbub.errors import HubbubError

__all__ = ["NetworkError"]


class NetworkError(HubbubError):
    """A network that does not exist, does not fit the recipe, or does not take the input."""
