"""Published PyTorch weights: read without executing code, loaded completely or not at all, with a report.

A pickle can run code while it is opened, so files are read by torch's restricted reader (`weights_only`), which accepts
tensors, numbers, text and containers only. NumPy's values, which training leaves beside the tensors (PANNs' sampler),
are skipped: a placeholder takes their place, and nothing of NumPy is called. Loading is strict by name and shape,
except for what the caller lists: a head for other classes, names that may be absent. Formats:
https://docs.pytorch.org/docs/stable/notes/serialization.html and https://github.com/huggingface/safetensors.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from hubbub.errors import HubbubError, examples

__all__ = ["CheckpointError", "Loaded", "Translated", "load", "read"]

Shape = tuple[int, ...]

_WRAPPINGS = ("state_dict", "model_state_dict", "model")
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
# The first bytes of torch.save's older format: the pickle of a fixed number.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_NAMED = re.compile(r"GLOBAL ([\w.<>]+)")  # the name that torch's reader refuses to import
_LISTED = 4  # names of each kind in a message
# What a pickle names to build NumPy's values, in NumPy 1 and 2.
_NUMPY = (
    *("numpy.dtype", "numpy.ndarray"),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
)


class CheckpointError(HubbubError):
    """A weights file that cannot be read safely, or that does not fit the network."""


@dataclass(frozen=True)
class Loaded:
    """What was loaded from a checkpoint.

    `loaded`: names of the loaded tensors. `replaced`: (name, shape in the file, shape in the network) of heads
    that were not loaded. `kept`: optional names for which the network keeps its own values. `left_out`: the number of
    unused tensors of the file, by the first part of their name. `values`: the number of values in `loaded`.
    """

    source: str
    loaded: tuple[str, ...]
    values: int
    replaced: tuple[tuple[str, Shape, Shape], ...]
    kept: tuple[str, ...]
    left_out: Mapping[str, int]

    def report(self) -> str:
        """One line for each of loaded, replaced, kept and left out tensors, if there are any."""
        size = f"{self.values / 1e6:.1f} M" if self.values >= 100_000 else f"{self.values:,}"
        lines = [f"{self.source}: {len(self.loaded)} tensors ({size} values) loaded"]
        changed = {n.rpartition(".")[0] or n: (a, b) for n, a, b in reversed(self.replaced) if a != b}
        lines += [f"{head} replaced by a new one ({_change(*shapes)})" for head, shapes in changed.items()]
        if self.kept:
            lines.append(f"not in the file, kept from the network: {examples(self.kept, _LISTED)}")
        if self.left_out:
            lines.append("left out: " + ", ".join(_counted(self.left_out)))
        return "\n".join(lines)


@dataclass(frozen=True)
class Translated:
    """A state dict under our names; names that may be absent or unknown to the network; notes on what was changed."""

    state: dict[str, Tensor]
    optional: tuple[str, ...]
    notes: tuple[str, ...]


class _NumPyValue:
    """Stands for an array, a number or a type of NumPy in a pickle: it takes what builds one, and keeps nothing."""

    def __init__(self, *parts: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def read(path: Path) -> dict[str, Tensor]:
    """The state dict in a `.safetensors` file or in a file of torch.save (.pt, .pth, .ckpt), on the CPU.

    Unwraps {"state_dict": ...} and the like, and leaves out what is beside it. If the format allows, the tensors are
    memory-mapped: they are valid as long as the file does not change. Raises CheckpointError for a file that is missing
    or damaged, contains more than tensors (which is never executed), or has other values in its state dict.
    """
    path = Path(path)
    try:
        held = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened: {error.strerror or error}. Give a weights file.") from error
    for _ in range(3):  # limited: a pickled dict can contain itself
        inner = (held.get(key) for key in _WRAPPINGS) if isinstance(held, Mapping) else ()
        held = next((value for value in inner if isinstance(value, Mapping)), held)
    if not isinstance(held, Mapping):
        raise CheckpointError(
            f"{path} contains a {type(held).__name__}. It must contain a state dict: names with tensors."
        )
    if not held:
        raise CheckpointError(f"{path} contains no tensors. Ask its author for a state dict.")
    odd = [f"{name} ({type(value).__name__})" for name, value in held.items() if not _plain(name, value)]
    if odd:
        raise CheckpointError(
            f"{path} is not a state dict: {len(odd)} of its {len(held)} values are not plain dense named tensors: "
            f"{examples(odd, _LISTED)}. Ask its author for the state dict alone, or under the name '{_WRAPPINGS[0]}'."
        )
    return {name: tensor.detach() for name, tensor in held.items()}


def load(
    network: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    prefix: str = "",
    head: tuple[str, ...] = ("fc.",),
    optional: tuple[str, ...] = (),
) -> Loaded:
    """Load a state dict into `network` completely or, with CheckpointError, not at all.

    source: the file's name in messages. prefix: removed from each name; names without it are left out. head: beginnings
    of names; if one tensor of a head has another shape, the network keeps its own whole head. optional: names that may
    be absent, of another shape, or unknown to the network. Batch counters (`num_batches_tracked`), which old files
    lack, may be absent too. Every other name must exist with its shape.
    """
    own: dict[str, Tensor] = network.state_dict()
    stored = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    left_out = Counter(_group(name) for name in state if not name.startswith(prefix))
    if not stored:
        raise CheckpointError(
            f"{source} has no names that begin with '{prefix}', only {examples(_counted(left_out), _LISTED)}. "
            "Nothing was loaded. Give the file that was published for this network."
        )
    both = [name for name in stored if name in own]
    not_loaded = tuple(h for h in head if any(n.startswith(h) and stored[n].shape != own[n].shape for n in both))
    replaced = [(n, tuple(stored[n].shape), tuple(own[n].shape)) for n in both if n.startswith(not_loaded)]
    fitting = {n: stored[n] for n in both if not n.startswith(not_loaded) and _kind(stored[n]) == _kind(own[n])}
    wrong = [n for n in both if n not in fitting and not n.startswith(not_loaded) and n not in optional]
    unknown = [n for n in stored if n not in own and n not in optional]
    absent = [n for n in own if n not in stored]
    missing = [n for n in absent if n not in optional and n.rpartition(".")[2] != "num_batches_tracked"]
    if missing or unknown or wrong:
        raise CheckpointError(
            f"{source} does not fit {type(network).__name__}; nothing was loaded."
            + _listed("missing", missing, lambda n: f"{n}{_near(n, unknown, stored)}")
            + _listed("unknown", unknown, lambda n: f"{n}{_near(n, missing, own)}")
            + _listed("of another shape", wrong, lambda n: f"{n} {_kind(stored[n])} instead of {_kind(own[n])}")
            + "\nGive the file that was published for this network."
        )
    network.load_state_dict(own | fitting, strict=True)
    done = {*fitting, *(name for name, _, _ in replaced)}
    values = sum(tensor.numel() for tensor in fitting.values())
    left_out.update(n for n in stored if n not in done)
    return Loaded(source, tuple(fitting), values, tuple(replaced), tuple(n for n in own if n not in done), left_out)


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error


def _read_torch(path: Path) -> object:
    with path.open("rb") as file:
        start = file.read(len(_LEGACY))
    if start.startswith(_PICKLE) and start != _LEGACY:
        raise _more_than_tensors(path, "it is a bare Python pickle, which can hold any code")
    saved = start.startswith((_ZIP, _LEGACY))
    # A compressed entry, which only another zip tool writes, cannot be memory-mapped.
    mapped = start.startswith(_ZIP) and all(e.compress_type == zipfile.ZIP_STORED for e in _entries(path))
    try:
        with torch.serialization.safe_globals([(_NumPyValue, name) for name in _NUMPY]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:  # without torch's text, which explains how to execute the file
        named = _NAMED.search(str(error))
        if named or saved:
            what = f"its pickle names {named[1]}" if named else "its pickle has parts that tensors do not need"
            raise _more_than_tensors(path, what) from None
        raise _damaged(path, "not a format of torch.save") from None
    except OSError:
        raise
    except Exception as error:  # damaged bytes raise any kind of error
        raise _damaged(path, f"{type(error).__name__} inside") from error


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    """The entries of a zip archive by torch.save. Raises CheckpointError for any other archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except OSError:
        raise
    except Exception as error:  # BadZipFile, or whatever damaged bytes raise
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    names = {entry.filename.partition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        raise _more_than_tensors(path, "it is a TorchScript archive, a program with its weights")
    if "data.pkl" not in names:
        raise _damaged(path, "a zip archive without data.pkl")
    return entries


def _more_than_tensors(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path} contains more than tensors: {what}. It was not read further, and no code of it was executed. Ask its "
        "author for the tensors alone: a state dict, torch.save(model.state_dict(), ...), or a .safetensors file."
    )


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a weights file, or is incomplete or damaged ({what}). Fetch it again; a weights file is a "
        "state dict written by torch.save (.pt, .pth, .ckpt) or a .safetensors file."
    )


def _plain(name: object, value: object) -> bool:
    if not isinstance(name, str) or not isinstance(value, Tensor):
        return False
    return value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized


def _kind(tensor: Tensor) -> str:
    """Shape, and the type if it is not floating point: copying must neither broadcast nor truncate."""
    shape = str(list(tensor.shape))
    return shape if tensor.is_floating_point() else f"{shape} {'complex' if tensor.is_complex() else 'integers'}"


def _near(name: str, likely: Iterable[str], known: Iterable[str]) -> str:
    """The most similar name, among `likely` first, then among `known`."""
    found = get_close_matches(name, likely, 1) or get_close_matches(name, known, 1)
    return f" (nearest: {found[0]})" if found else ""


def _listed(what: str, names: list[str], describe: Callable[[str], str]) -> str:
    shown = [describe(name) for name in names[:_LISTED]] + names[_LISTED:]
    return f"\n{len(names)} {what}: {examples(shown, _LISTED)}" if names else ""


def _group(name: str) -> str:
    first, dot, _ = name.partition(".")
    return f"{first}.*" if dot else first


def _counted(groups: Mapping[str, int]) -> list[str]:
    return [f"{group} {count}" if group.endswith(".*") else group for group, count in groups.items()]


def _change(stored: Shape, own: Shape) -> str:
    if len(stored) == len(own) and stored[1:] == own[1:]:
        return f"{stored[0]} -> {own[0]} outputs"
    return f"{list(stored)} -> {list(own)}"
