"""A network of the caller's own: any `nn.Module` from the front end's output, or from waves, to logits.

The caller gives a class or a function, since each fold begins with new weights. A trial run finds the input that it
takes and its last layer, so that training, explanations and export use it as any other network. The class is named in
the recipe, and never imported from there.
"""

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hubbub.config import sections as settings
from hubbub.config.recipe import Recipe
from hubbub.errors import HubbubError
from hubbub.models.cnn import as_images
from hubbub.models.network import Network, NetworkError, no_blocks

__all__ = [
    *("PREFIX", "Custom", "NetworkFactory", "build_custom", "fingerprint", "is_custom", "name_of", "random_weights"),
    "with_custom",
]

#: A class or a function that makes a new network, for a number of classes or, without an argument, of the right size.
NetworkFactory = Callable[..., nn.Module]
#: Begins `network.name` in the recipe of a network of the caller's own; the name of the class follows.
PREFIX = "custom:"
#: Segments of the trial run: no number of channels, so that a batch is not taken for channels.
TRIED = 5


def is_custom(name: str) -> bool:
    """Whether the recipe's `network.name` stands for a class of the caller's own."""
    return name.startswith(PREFIX)


def _inner(factory: NetworkFactory) -> Any:
    """The class or function of a `functools.partial`."""
    inner: Any = factory
    while hasattr(inner, "func"):
        inner = inner.func
    return inner


def name_of(factory: NetworkFactory) -> str:
    """The module and the name of a class or function: `mypackage.MyNet`."""
    inner = _inner(factory)
    module = getattr(inner, "__module__", "?").replace("__mp_main__", "__main__")  # as a started process calls it
    return f"{module}.{getattr(inner, '__qualname__', type(inner).__name__)}"


def with_custom(recipe: Recipe, factory: NetworkFactory) -> Recipe:
    """The recipe for the factory's network: `network.name` says whose it is; width, attention, dropout and weights,
    which the factory decides, are left out.

    Raises `NetworkError` for a network in place of a class or function.
    """
    if isinstance(factory, nn.Module) or not callable(factory):
        raise NetworkError(
            f"network= got a {type(factory).__name__}, and every fold begins with a new network. Give the class or a "
            f"function that makes one: network={type(factory).__name__ if callable(factory) else 'MyNet'}."
        )
    kept = recipe.network.model_dump(include={"mode", "channels", "trained_blocks", "lora_rank"})
    network = settings.Network(name=PREFIX + name_of(factory), weights="none", dropout=0.0, **kept)
    return recipe.model_copy(update={"network": network})


def fingerprint(factory: NetworkFactory, network: nn.Module) -> dict[str, str]:
    """sha256 of the `source` of the factory and of its network's classes, and of the `shapes` of the network's weights.

    PyTorch's and hubbub's classes do not count. Without `source` where Python does not find all of it, as after typing
    at a prompt.
    """
    kinds = {type(module) for module in network.modules()}
    own = [kind for kind in kinds if kind.__module__.partition(".")[0] not in ("torch", "hubbub")]
    shapes = "".join(f"{name} {list(x.shape)}\n" for name, x in sorted(network.state_dict().items()))
    found = {"shapes": hashlib.sha256(shapes.encode()).hexdigest()}
    try:
        sources = sorted({inspect.getsource(one) for one in (_inner(factory), *own)})
    except (OSError, TypeError):
        return found
    return {"source": hashlib.sha256("\n".join(sources).encode()).hexdigest()} | found


def random_weights(factory: NetworkFactory, network: Network, num_classes: int) -> tuple[list[str], int]:
    """The weights (arrays with two and more axes) of a frozen `network` that its factory draws anew each time, and how
    many it has in all. Two networks that begin with different random states are compared. The last layer does not
    count: a head takes its place."""
    body, made = network.body if isinstance(network, Custom) else network, []
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            made.append(_make(factory, name_of(factory), num_classes).state_dict())
    used = [
        name
        for name, weights in body.state_dict().items()
        if weights.dim() > 1 and (body is not network or not name.startswith("fc."))
    ]
    return [name for name in used if not torch.equal(made[0][name], made[1][name])], len(used)


class Custom(Network):
    """The network of a factory. `body` computes the embeddings, `fc` the logits from them; where no last linear layer
    was found, `body` computes the logits and `fc` passes them on."""

    fc: nn.Module  # type: ignore[assignment]

    def __init__(self, body: nn.Module, last: nn.Module, name: str, channels: int | None) -> None:
        super().__init__()
        self.body, self.fc = body, last
        self._name, self._channels = name, channels

    @property
    def has_embeddings(self) -> bool:
        """Whether embeddings are something else than logits."""
        return not isinstance(self.fc, nn.Identity)

    @property
    def blocks(self) -> list[nn.Module]:
        raise no_blocks(self._name)

    @property
    def cam_layer(self) -> nn.Module:
        raise NetworkError(f"which layer of {self._name} is a map of frequencies and times is not known.")

    def embed(self, x: Tensor) -> Tensor:
        embeddings: Tensor = self.body(_shaped(x, self._channels))
        return embeddings

    def added(self) -> list[nn.Module]:
        return [self.fc] if self.has_embeddings else []


def build_custom(recipe: Recipe, num_classes: int, factory: NetworkFactory, size: tuple[int, ...]) -> Network:
    """The network that the factory makes for segments of this size, e.g. `(F, W)`; it is tried on noise once.

    It gets spectrograms `[B, F, W]` or waves `[B, N]`, or with a channel `[B, 1, F, W]`, `[B, 1, N]` where it does not
    take those; under `network.channels = 3` first images `[B, 3, F, W]`. Each attempt begins with the same random
    state.
    Raises `NetworkError` where its output is not `[B, num_classes]`; a head takes any `[B, D]`.
    """
    name, state = name_of(factory), torch.get_rng_state()
    example = torch.randn(TRIED, *size, generator=torch.Generator().manual_seed(0))
    channels: list[int | None] = [None, 1] if example.dim() < 4 else [None]
    if recipe.network.channels == 3 and example.dim() == 3:
        channels.insert(0, 3)
    failures = []
    for tried in channels:
        torch.set_rng_state(state)
        made = _make(factory, name, num_classes)
        if isinstance(made, Network):  # it says itself what it takes
            tried = None
        x = _shaped(example, tried)
        try:
            logits = _forward(made, x)
        except HubbubError:
            raise
        except Exception as error:  # the caller's code may raise anything
            why = (str(error).strip().splitlines() or [""])[0].rstrip(".")
            failures.append(f"on {list(x.shape)} it raised {type(error).__name__} ({why})")
            continue
        wanted = [TRIED, num_classes]
        if not isinstance(logits, Tensor):
            failures.append(f"on {list(x.shape)} it gave a {type(logits).__name__}")
        elif list(logits.shape) == wanted or (recipe.head.name != "none" and logits.shape[:1] == (TRIED,)):
            return _finished(recipe, made, x, logits, name, tried)
        else:
            failures.append(f"on {list(x.shape)} it gave {list(logits.shape)}")
    raise NetworkError(
        f"network={name} must give logits [{TRIED}, {num_classes}] for {TRIED} segments and {num_classes} classes. "
        + "; ".join(dict.fromkeys(failures))
        + ". Make its last layer from its argument num_classes, e.g. network=lambda num_classes: MyNet(num_classes)."
    )


def _finished(recipe: Recipe, made: nn.Module, x: Tensor, logits: Tensor, name: str, channels: int | None) -> Network:
    if recipe.head.name == "none" and not any(p.requires_grad for p in made.parameters()):
        raise NetworkError(f"network={name} has no parameters to train. Give a network that has, or set a head.")
    if isinstance(made, Network):
        return made
    body, last = _without_last(made, x, logits)
    network = Custom(body, last, name, channels)
    if recipe.head.name == "none" and recipe.network.mode == "head" and not network.has_embeddings:
        raise NetworkError(
            f"network.mode = 'head' trains the last layer only, and the output of network={name} is not that of a "
            "linear layer. End it in nn.Linear, or set network.mode = 'finetune'."
        )
    how = recipe.evaluate.unknown
    if recipe.head.name == "none" and how in ("distance", "outliers") and not network.has_embeddings:
        raise NetworkError(
            f"evaluate.unknown = '{how}' compares embeddings, and the output of network={name} is not that of a "
            "linear layer. End it in nn.Linear, or set evaluate.unknown = 'max_prob'."
        )
    return network


def _make(factory: NetworkFactory, name: str, num_classes: int) -> nn.Module:
    """A new network: the factory gets `num_classes` by name or as its first argument, else none."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):  # written in C
        parameters = []
    named = any(p.name == "num_classes" and p.kind is not p.POSITIONAL_ONLY for p in parameters)
    first = bool(parameters) and parameters[0].default is inspect.Parameter.empty
    positional = first and parameters[0].kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    try:
        if named or (not positional and any(p.kind is p.VAR_KEYWORD for p in parameters)):
            made = factory(num_classes=num_classes)
        else:
            made = factory(num_classes) if positional else factory()
    except HubbubError:
        raise
    except Exception as error:
        raise NetworkError(
            f"network={name} could not be made for {num_classes} classes: {type(error).__name__}: {error}. Give a "
            "class or a function that takes num_classes, e.g. network=lambda num_classes: MyNet(num_classes)."
        ) from error
    if not isinstance(made, nn.Module):
        raise NetworkError(f"network={name} made a {type(made).__name__}, not an nn.Module. Return the network.")
    return made


def _forward(network: nn.Module, x: Tensor) -> Any:
    with torch.no_grad():
        return network.eval()(x)


def _without_last(network: nn.Module, x: Tensor, logits: Tensor) -> tuple[nn.Module, nn.Module]:
    """The network without the linear layer whose output its output is, and this layer; the network itself and an
    identity where there is none."""
    calls: list[tuple[str, Any]] = []
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: calls.append((name, out)))
        for name, module in layers.items()
    ]
    try:
        result = _forward(network, x)
    finally:
        for hook in hooks:
            hook.remove()
    found = [name for name, out in calls if out is result]
    if not found or sum(name == found[0] for name, _ in calls) > 1:
        return network, nn.Identity()
    last = layers[found[0]]
    if not found[0]:
        return nn.Identity(), last
    parent, _, own = found[0].rpartition(".")
    setattr(network.get_submodule(parent), own, nn.Identity())
    try:
        if torch.equal(last(_forward(network, x)), logits):
            return network, last
    except Exception:  # its forward uses the layer in another way, too
        pass
    setattr(network.get_submodule(parent), own, last)
    return network, nn.Identity()


def _shaped(x: Tensor, channels: int | None) -> Tensor:
    """Waves `[B, N]` or spectrograms `[B, F, W]` with so many channels, or as they are."""
    if channels is None or x.dim() == 4:
        return x
    return x.unsqueeze(1) if channels == 1 else as_images(x, channels)
