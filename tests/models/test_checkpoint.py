"""checkpoint: real files of every kind, traps that must not go off, and networks left alone by a refusal."""

import importlib.util
import json
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hubbub.models import checkpoint
from hubbub.models.checkpoint import CheckpointError, Loaded
from hubbub.runtime import homes

State = dict[str, Tensor]


class Small(nn.Module):
    """Three shapes of tensor, counters, a head, and a buffer that it computes itself."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 8, 3)
        self.bn2 = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, classes)
        self.register_buffer("window", torch.hann_window(16))


def network(seed: int, classes: int = 5) -> Small:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Small(classes)
        made.bn1.running_mean.normal_()
        return made


def state(seed: int = 1, classes: int = 5) -> State:
    return {name: tensor.clone() for name, tensor in network(seed, classes).state_dict().items()}


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Files that are read


def legacy(held: object, path: Path) -> None:
    torch.save(held, path, _use_new_zipfile_serialization=False)


def compressed(held: object, path: Path) -> None:
    """As another zip tool leaves a file of torch.save that was unpacked and packed again."""
    torch.save(held, path)
    with zipfile.ZipFile(path) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)


@pytest.mark.parametrize("write", [torch.save, legacy, compressed])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        OrderedDict,
        lambda s: {name: nn.Parameter(t, t.is_floating_point()) for name, t in s.items()},
        lambda s: {"state_dict": s, "epoch": 3, "loss": 0.5, "note": "the best", "steps": [1, 2], "optimizer": {}},
        lambda s: {"model": s},
        lambda s: {"model": {"name": "small", "layers": 2}, "model_state_dict": s},
        lambda s: {"model": {"state_dict": s}},
    ],
)
def test_a_file_of_torch_save(tmp_path: Path, write: Callable, wrap: Callable) -> None:
    path = tmp_path / "small.pt"
    write(wrap(state()), path)
    held = checkpoint.read(path)
    assert type(held) is dict and same(held, state())
    assert all(type(tensor) is Tensor and not tensor.requires_grad for tensor in held.values())


def test_a_safetensors_file(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "small.safetensors")
    assert same(checkpoint.read(tmp_path / "small.safetensors"), state())


def test_a_name_like_a_wrapping_is_not_taken_for_one(tmp_path: Path) -> None:
    torch.save({"model": torch.ones(2), "state_dict.weight": torch.zeros(3)}, tmp_path / "own.pt")
    assert list(checkpoint.read(tmp_path / "own.pt")) == ["model", "state_dict.weight"]


@pytest.mark.parametrize("write", [torch.save, legacy, compressed])
def test_numpys_values_beside_the_tensors_are_skipped(tmp_path: Path, write: Callable) -> None:
    path, numbers = tmp_path / "small.pt", [np.arange(5), np.array(["a"]), np.array([1.0, None], dtype=object)]
    beside = {"sampler": {"indexes": numbers, "pointer": np.int64(3)}, "best": np.float64(0.4), "kind": np.dtype("f4")}
    write({"model": state(), **beside}, path)
    assert same(checkpoint.read(path), state())
    write({**state(), "mean": np.zeros(3)}, path)  # in place of a tensor
    with pytest.raises(CheckpointError, match=r"1 of its \d+ values are not plain dense named tensors: mean"):
        checkpoint.read(path)
    # And torch reads no more of other files than before.
    with pytest.raises(pickle.UnpicklingError, match=r"Unsupported global: GLOBAL numpy"):
        torch.load(path, weights_only=True)


def test_numpys_code_is_not_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"model": state(), "sampler": np.arange(3)}, tmp_path / "small.pt")
    monkeypatch.delattr("numpy._core.multiarray._reconstruct")
    with pytest.raises(AttributeError, match="_reconstruct"):
        torch.load(tmp_path / "small.pt", weights_only=False)
    assert same(checkpoint.read(tmp_path / "small.pt"), state())


# Files that are refused


class Trap:
    """Makes a folder as soon as it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def bare(protocol: int) -> Callable[[object, Path], None]:
    return lambda held, path: path.write_bytes(pickle.dumps(held, protocol))


@pytest.mark.parametrize("write", [torch.save, legacy, compressed, *map(bare, range(1, 6))])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda trap: trap,
        lambda trap: {**state(), "trap": trap},
        lambda trap: {"state_dict": state(), "optimizer": [trap]},
        lambda trap: {"state_dict": state(), "sampler": np.array([trap], dtype=object)},
    ],
)
def test_code_is_refused_and_not_executed(tmp_path: Path, write: Callable, wrap: Callable) -> None:
    path, marker = tmp_path / "trap.pt", tmp_path / "marker"
    write(wrap(Trap(marker)), path)
    with pytest.raises(CheckpointError, match=r"contains more than tensors") as caught:
        checkpoint.read(path)
    assert not marker.exists()
    said = str(caught.value)
    assert str(path) in said and "no code of it was executed" in said and "state dict" in said
    assert "weights_only" not in said  # torch's own advice is to open the file all the same
    # The trap was live.
    if write in (torch.save, legacy, compressed):
        torch.load(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())
    assert marker.is_dir()


@pytest.mark.parametrize("wrap", [lambda trap: trap, lambda trap: {**state(), "trap": trap}])
def test_a_pickle_in_text_is_refused_and_not_executed(tmp_path: Path, wrap: Callable) -> None:
    path, marker = tmp_path / "trap.pt", tmp_path / "marker"
    bare(0)(wrap(Trap(marker)), path)
    with pytest.raises(CheckpointError, match=r"contains more than tensors|is not a weights file"):
        checkpoint.read(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.is_dir()


def test_what_a_refused_file_asked_for_is_named(tmp_path: Path) -> None:
    torch.save({"weights": state(), "network": Small()}, tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match=r"its pickle names [\w.]*test_checkpoint\.Small\."):
        checkpoint.read(tmp_path / "whole.pt")


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_torchscript_archive_is_refused(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "script.pt")
    recwarn.clear()
    with pytest.raises(CheckpointError, match=r"contains more than tensors: it is a TorchScript archive.*state dict"):
        checkpoint.read(tmp_path / "script.pt")
    assert not recwarn.list


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("write", [torch.save, legacy, lambda held, path: save_file(held, path)])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, write: Callable, kept: float) -> None:
    path = tmp_path / ("small.pt" if write in (torch.save, legacy) else "small.safetensors")
    write(state(), path)
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(CheckpointError, match=re.escape(str(path))) as caught:
        checkpoint.read(path)
    assert "Fetch it again" in str(caught.value) or "no code of it was executed" in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [torch.save, legacy, lambda held, path: save_file(held, path)])
def test_damage_anywhere_gives_tensors_or_a_clear_error(tmp_path: Path, write: Callable) -> None:
    path, rng, refused = tmp_path / ("small.pt" if write in (torch.save, legacy) else "small.safetensors"), Random(0), 0
    write(state(), path)
    whole = path.read_bytes()
    for _ in range(300):
        damaged, place = bytearray(whole), rng.randrange(len(whole))
        damaged[place : place + rng.choice((1, 1, 20))] = rng.randbytes(1)
        path.write_bytes(damaged)
        try:
            held = checkpoint.read(path)
        except CheckpointError:
            refused += 1
        else:
            assert all(type(tensor) is Tensor for tensor in held.values())
    assert refused > 100


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"\0", b"<html>Sign in to this network</html>", b"PK\x03\x04", bytes(10_000)])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"small{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is not a weights file, or is incomplete or damaged .*Fetch it again"):
        checkpoint.read(path)


def test_another_zip_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "small.pt", "w") as archive:
        archive.writestr("readme.txt", "text")
    with pytest.raises(CheckpointError, match=r"a zip archive without data\.pkl"):
        checkpoint.read(tmp_path / "small.pt")


@pytest.mark.parametrize("name", ["none.pt", "none.safetensors", "folder.pt", "folder.safetensors"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    if name.startswith("folder"):
        (tmp_path / name).mkdir()
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / name))):
        checkpoint.read(tmp_path / name)


def holding_itself() -> dict[str, object]:
    held: dict[str, object] = {}
    held["model"] = held
    return held


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({**state(), "epoch": 3, "note": "best"}, r"2 of its 19 values are .*: epoch \(int\), note \(str\)\. "),
        ({"state_dict": {"a": torch.ones(1), "b": [torch.ones(1)]}}, r"1 of its 2 values are .*: b \(list\)"),
        ({0: torch.ones(1)}, r"1 of its 1 values are .*: 0 \(Tensor\)"),
        ({"a": torch.eye(3).to_sparse()}, r"1 of its 1 values are not plain dense named tensors"),
        ({"a": torch.empty(3, device="meta")}, r"1 of its 1 values are not plain dense named tensors"),
        (holding_itself(), r"model \(dict\)"),
        ({}, "contains no tensors"),
        ({"state_dict": {}}, "contains no tensors"),
        (torch.ones(3), "contains a Tensor"),
        ([state()], "contains a list"),
        (7, "contains a int"),
    ],
)
def test_other_values_than_a_state_dict_are_refused(tmp_path: Path, held: object, message: str) -> None:
    torch.save(held, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read(tmp_path / "odd.pt")


# Loading


def test_all_of_it_is_loaded() -> None:
    target = network(2)
    done = checkpoint.load(target, state(1), source="small.pt")
    assert same(target.state_dict(), state(1))
    values = sum(tensor.numel() for tensor in state().values())
    assert done == Loaded("small.pt", tuple(state()), values, (), (), {})
    assert done.report() == f"small.pt: 17 tensors ({values} values) loaded"
    assert target.conv1.weight.requires_grad


def test_the_network_owns_what_was_loaded(tmp_path: Path) -> None:
    torch.save(state(1), tmp_path / "small.pt")
    held, target = checkpoint.read(tmp_path / "small.pt"), network(2)
    checkpoint.load(target, held, source="small.pt")
    with torch.no_grad():
        target.conv1.weight.zero_()
    assert same(held, state(1)) and same(checkpoint.read(tmp_path / "small.pt"), state(1))


def renamed(s: State, old: str, new: str) -> State:
    return {new if name == old else name: tensor for name, tensor in s.items()}


REFUSED = {
    "missing": (
        {n: t for n, t in state().items() if n not in ("conv1.weight", "bn2.running_var")},
        ["\n2 missing: conv1.weight (nearest: conv2.weight), bn2.running_var (nearest: bn1.running_var)\n"],
    ),
    "extra": ({**state(), "conv3.wieght": torch.ones(1)}, ["\n1 unknown: conv3.wieght (nearest: conv"]),
    "renamed": (
        renamed(state(), "conv2.weight", "conv2.wieght"),
        ["\n1 missing: conv2.weight (nearest: conv2.wieght)\n1 unknown: conv2.wieght (nearest: conv2.weight)\n"],
    ),
    # As near to conv2.weight, which is there.
    "renamed alike": (
        renamed(state(), "conv1.weight", "conv.weight"),
        ["unknown: conv.weight (nearest: conv1.weight)"],
    ),
    "shape": (
        {**state(), "conv1.weight": torch.ones(4, 3, 3, 3)},
        ["\n1 of another shape: conv1.weight [4, 3, 3, 3] instead of [4, 1, 3, 3]\n"],
    ),
    "broadcast": ({**state(), "conv1.bias": torch.ones(1)}, ["conv1.bias [1] instead of [4]"]),
    "integers": (
        {**state(), "bn1.weight": torch.ones(4, dtype=torch.int8)},
        ["\n1 of another shape: bn1.weight [4] integers instead of [4]\n"],
    ),
    "towers": (
        {f"audio.{n}": t for n, t in state().items()},
        [
            "\n15 missing: ",
            "\n17 unknown: audio.window (nearest: window), audio.conv1",
            " and 11 more\n",
            " and 13 more\n",
        ],
    ),
    "no head": ({n: t for n, t in state().items() if not n.startswith("fc.")}, ["2 missing: fc.weight", "fc.bias"]),
    "all at once": (
        {**renamed(state(), "bn1.weight", "norm"), "conv1.bias": torch.ones(9)},
        ["1 missing: bn1.weight", "1 unknown: norm", "1 of another shape: conv1.bias [9] instead of [4]"],
    ),
    "nothing": ({}, ["has no names that begin with ''"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(case: str) -> None:
    given, said = REFUSED[case]
    target = network(2)
    with pytest.raises(CheckpointError, match=r"small\.pt .*othing was loaded") as caught:
        checkpoint.load(target, given, source="small.pt")
    assert [part for part in said if part not in str(caught.value)] == []
    assert same(target.state_dict(), state(2))


def test_half_precision_is_loaded() -> None:
    target = network(2)
    given = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state(1).items()}
    checkpoint.load(target, given, source="small.pt")
    assert target.conv1.weight.dtype == torch.float32
    torch.testing.assert_close(target.conv1.weight.detach(), state(1)["conv1.weight"], rtol=1e-3, atol=1e-3)


def test_a_prefix_is_taken_off_and_towers_are_left_out() -> None:
    towers = {
        "transformer.0.weight": torch.ones(2),
        "transformer.0.bias": torch.ones(2),
        "token_embedding.weight": torch.ones(3),
        "logit_scale_at": torch.ones(()),
    }
    given = {**towers, **{f"audio.{n}": t for n, t in state(1).items()}}
    target = network(2)
    done = checkpoint.load(target, given, source="both.pt", prefix="audio.")
    assert same(target.state_dict(), state(1)) and done.loaded == tuple(state())
    assert done.left_out == {"transformer.*": 2, "token_embedding.*": 1, "logit_scale_at": 1}
    assert done.report().splitlines()[1:] == ["left out: transformer.* 2, token_embedding.* 1, logit_scale_at"]
    with pytest.raises(
        CheckpointError, match=r"both\.pt has no names that begin with 'sound\.', only transformer\.\* 2, token"
    ):
        checkpoint.load(target, given, source="both.pt", prefix="sound.")


def test_a_head_for_other_classes_stays_fresh() -> None:
    target = network(2, classes=3)
    done = checkpoint.load(target, state(1), source="small.pt")
    body = [name for name in state() if not name.startswith("fc.")]
    assert done.loaded == tuple(body)
    assert done.replaced == (("fc.weight", (5, 8), (3, 8)), ("fc.bias", (5,), (3,)))
    assert done.report().splitlines()[1:] == ["fc replaced by a new one (5 -> 3 outputs)"]
    expected = {**state(1), **{n: t for n, t in state(2, classes=3).items() if n.startswith("fc.")}}
    assert same(target.state_dict(), expected)


def test_a_head_is_replaced_whole() -> None:
    # Its bias would fit, but means nothing without its weight.
    target = network(2)
    done = checkpoint.load(target, {**state(1), "fc.weight": torch.ones(5, 16)}, source="small.pt")
    assert torch.equal(target.fc.bias, state(2)["fc.bias"]) and torch.equal(target.fc.weight, state(2)["fc.weight"])
    assert done.replaced == (("fc.weight", (5, 16), (5, 8)), ("fc.bias", (5,), (5,)))
    assert done.report().splitlines()[1:] == ["fc replaced by a new one ([5, 16] -> [5, 8])"]


def test_only_what_is_called_a_head_may_differ() -> None:
    target = network(2, classes=3)
    with pytest.raises(CheckpointError, match=r"2 of another shape: fc\.weight \[5, 8\] instead of \[3, 8\]"):
        checkpoint.load(target, state(1), source="small.pt", head=())
    checkpoint.load(target, {**state(1), "conv2.weight": torch.ones(1)}, source="small.pt", head=("fc.", "conv2."))
    assert torch.equal(target.conv2.weight, state(2, classes=3)["conv2.weight"])


@pytest.mark.parametrize("window", [None, (16,), (20,)])
@pytest.mark.parametrize("bias", [None, (0,)])
def test_optional_names_may_be_there_or_not(window: tuple[int] | None, bias: tuple[int] | None) -> None:
    given = {name: tensor for name, tensor in state(1).items() if name != "window"}
    given |= {} if window is None else {"window": torch.full(window, 7.0)}
    given |= {} if bias is None else {"fbsp.bias": torch.empty(bias)}
    target = network(2)
    done = checkpoint.load(target, given, source="small.pt", optional=("window", "fbsp.bias"))
    loaded = target.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state(1).items() if name != "window")
    fits = window == (16,)
    assert torch.equal(target.window, torch.full((16,), 7.0) if fits else torch.hann_window(16))
    assert ("window" in done.loaded) == fits and done.kept == (() if fits else ("window",))
    unused = (["window"] if window == (20,) else []) + (["fbsp.bias"] if bias else [])
    assert done.left_out == dict.fromkeys(unused, 1)
    said = (["not in the file, kept from the network: window"] if not fits else []) + (
        [f"left out: {', '.join(unused)}"] if unused else []
    )
    assert done.report().splitlines()[1:] == said


def test_old_files_lack_the_counters_of_batches() -> None:
    target = network(2)
    target.bn2.num_batches_tracked.fill_(11)
    old = {name: tensor for name, tensor in state(1).items() if not name.endswith("num_batches_tracked")}
    done = checkpoint.load(target, old, source="small.pt")
    assert done.kept == ("bn1.num_batches_tracked", "bn2.num_batches_tracked") and target.bn2.num_batches_tracked == 11
    assert torch.equal(target.bn2.running_var, state(1)["bn2.running_var"])


# The published layout: ESResNeXt-fbsp for AudioSet, and AudioCLIP around it


class StandIn(nn.Module):
    """A network of given names and shapes, all zeros."""

    def __init__(self, shapes: dict[str, list[int]]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            *path, leaf = name.split(".")
            place: nn.Module = self
            for step in path:
                if step not in dict(place.named_children()):
                    place.add_module(step, nn.Module())
                place = place.get_submodule(step)
            if leaf in ("running_mean", "running_var", "num_batches_tracked", "window"):
                place.register_buffer(leaf, torch.zeros(shape, dtype=kind(name)))
            else:
                place.register_parameter(leaf, nn.Parameter(torch.zeros(shape)))


def kind(name: str) -> torch.dtype:
    return torch.int64 if name.endswith("num_batches_tracked") else torch.float32


@pytest.fixture(scope="module")
def golden() -> Path:
    found = (home / "golden" for home in homes.homes())
    folder = next((f for f in found if (f / "esresnext_state_dict.json").is_file()), None)
    if folder is None:
        pytest.skip("no home has golden/esresnext_state_dict.json beside its data and weights")
    return folder


@pytest.fixture(scope="module")
def layout(golden: Path) -> dict[str, list[int]]:
    return json.loads((golden / "esresnext_state_dict.json").read_text())["state_dict"]


def with_outputs(layout: dict[str, list[int]], outputs: int) -> dict[str, list[int]]:
    return {name: [outputs, *shape[1:]] if name.startswith("fc.") else shape for name, shape in layout.items()}


@pytest.fixture(scope="module")
def filled(golden: Path, layout: dict[str, list[int]]) -> State:
    """The published names and shapes with 527 outputs, each tensor a function of its name and shape."""
    spec = importlib.util.spec_from_file_location("fill", golden / "fill.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    values = {name: module.fill(name, tuple(shape)) for name, shape in with_outputs(layout, 527).items()}
    return {
        name: torch.full(layout[name], 9, dtype=kind(name)) if value is None else torch.from_numpy(value)
        for name, value in values.items()
    }


TOWERS = {
    "visual.conv1.weight": (32, 3, 3, 3),
    "visual.bn1.bias": (32,),
    "transformer.resblocks.0.ln_1.weight": (512,),
    "token_embedding.weight": (10, 512),
    "positional_embedding": (77, 512),
    "ln_final.weight": (512,),
    "text_projection": (512, 1024),
    "logit_scale": (),
    "logit_scale_at": (),
}


def test_the_published_layout(filled: State, layout: dict[str, list[int]], tmp_path: Path) -> None:
    path = tmp_path / "ESResNeXtFBSP_AudioSet.pt"
    torch.save(OrderedDict((name, tensor) for name, tensor in filled.items() if name != "fbsp.bias"), path)
    held = checkpoint.read(path)

    same_classes = StandIn(with_outputs(layout, 527))
    done = checkpoint.load(same_classes, held, source=path.name, optional=("window", "fbsp.bias"))
    assert same(same_classes.state_dict(), filled) and done.kept == ("fbsp.bias",)
    assert done.report().splitlines()[0] == "ESResNeXtFBSP_AudioSet.pt: 369 tensors (31.2 M values) loaded"

    fifty = StandIn(with_outputs(layout, 50))
    done = checkpoint.load(fifty, held, source=path.name, optional=("window", "fbsp.bias"))
    assert done.report().splitlines()[:2] == [
        "ESResNeXtFBSP_AudioSet.pt: 367 tensors (30.1 M values) loaded",
        "fc replaced by a new one (527 -> 50 outputs)",
    ]
    assert not fifty.get_parameter("fc.weight").any()
    assert all(torch.equal(fifty.state_dict()[name], filled[name]) for name in done.loaded)
    path.unlink()


def test_the_published_layout_inside_audioclip(filled: State, layout: dict[str, list[int]], tmp_path: Path) -> None:
    path = tmp_path / "AudioCLIP-Full-Training.pt"
    towers = {name: torch.ones(shape) for name, shape in TOWERS.items()}
    torch.save(OrderedDict({**towers, **{f"audio.{name}": tensor for name, tensor in filled.items()}}), path)
    target = StandIn(with_outputs(layout, 527))
    done = checkpoint.load(target, checkpoint.read(path), source=path.name, prefix="audio.")
    assert same(target.state_dict(), filled)
    assert done.report() == (
        "AudioCLIP-Full-Training.pt: 370 tensors (31.2 M values) loaded\n"
        "left out: visual.* 2, transformer.* 1, token_embedding.* 1, positional_embedding, ln_final.* 1, "
        "text_projection, logit_scale, logit_scale_at"
    )
    with pytest.raises(CheckpointError, match=r"\n310 missing: .*\n379 unknown: .* and 375 more"):
        checkpoint.load(target, checkpoint.read(path), source=path.name, optional=("window", "fbsp.bias"))
    path.unlink()
