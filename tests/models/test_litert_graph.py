"""LiteRT files of other teams: computed as LiteRT computes them, one segment at a time; what cannot be is refused."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hubbub.audio import decode
from hubbub.config.recipe import Recipe
from hubbub.models.foreign import Foreign
from hubbub.models.litert_graph import LiteRtGraph
from hubbub.models.network import NetworkError
from hubbub.models.registry import build_network
from hubbub.models.weights import load_weights
from tests.helpers.foreign import BANDS
from tests.helpers.litert import SAMPLES, directly, litert, model, written

#: Damaged copies of a file, each opened and run; says how many still run.
DAMAGED = """
import sys
import numpy as np
from hubbub.models.foreign_graph import ForeignGraph
from hubbub.models.network import NetworkError
content, rng, whole = open(sys.argv[1], "rb").read(), np.random.default_rng(0), 0
for number in range(200):
    changed = bytearray(content)
    for place in rng.integers(0, len(content), 1 + number % 8):
        changed[place] = rng.integers(0, 256)
    if number % 10 == 0:
        del changed[rng.integers(0, len(changed)) :]
    try:
        ForeignGraph(bytes(changed), "theirs", (1600,), 16_000, "")
        whole += 1
    except NetworkError:
        pass
print(whole)
"""


def read(folder: Path, content: bytes, **sections: Any) -> Foreign:
    """The network of a file, as a run makes it."""
    (folder / "theirs.tflite").write_bytes(content)
    network = {"name": "onnx", "weights": str(folder / "theirs.tflite"), **sections.pop("network", {})}
    cut = {"length": SAMPLES, "hop": SAMPLES}
    asked = Recipe.of(
        {"data": {"name": "street"}, "windows": cut, "head": {"name": "logreg"}} | sections | {"network": network}
    )
    built = build_network(asked, 3)
    assert isinstance(built, Foreign)
    load_weights(built, folder / "theirs.tflite")
    return built.eval()


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("made", "asked", "chosen"),
    [
        ({}, "", "embedding"),
        ({"free": True}, "", "embedding"),
        ({"axis": False}, "", "embedding"),
        ({"axis": False, "free": True}, "label", "label"),
        ({"rounded": True}, "label", "label"),
        ({}, "mean", "mean"),  # inside of the graph
    ],
)
def test_embeddings_are_those_of_the_file(tmp_path: Path, made: dict[str, Any], asked: str, chosen: str) -> None:
    content, x = litert(["label", "embedding"], **made), noise(20, SAMPLES)
    network = read(tmp_path, content, network={"output": asked})
    assert network.opened.output == chosen and network.opened.singly
    embeddings = network.embed(x).numpy()
    expected = directly(content, chosen, x.numpy())
    assert embeddings.shape == (20, 3 if chosen == "label" else BANDS)
    np.testing.assert_allclose(embeddings, expected, rtol=1e-3, atol=0.05 if made.get("rounded") else 1e-4)
    again = np.concatenate([network.embed(one).numpy() for one in x.split(3)])
    np.testing.assert_array_equal(again, embeddings)


def test_frames_are_averaged_where_they_grow_with_the_segment(tmp_path: Path) -> None:
    content, x = litert(["power"], free=True), noise(3, SAMPLES)
    network = read(tmp_path, content)
    np.testing.assert_allclose(
        network.embed(x).numpy(), directly(content, "power", x.numpy()).mean(axis=1), rtol=1e-4, atol=1e-5
    )


def test_names_of_a_signature_count(tmp_path: Path) -> None:
    network = read(tmp_path, litert(["label", "embedding"], signature=True))
    assert network.opened.output == "embedding"
    assert network.opened.describe() == "'x' 1600 to 'embedding' of 16 values; one segment at a time, on the CPU"


def test_a_published_file_gives_its_embedding(tmp_path: Path, home: Any) -> None:
    """YAMNet in 8 bits, whose embedding is no output of the file, against our YAMNet on a real clip."""
    content = home("weights", "yamnet_litert.tflite").read_bytes()
    clip = sorted((home("data", "esc50") / "audio").glob("*.ogg"))[0]
    wave = decode.load(clip, 16_000)
    segments = torch.from_numpy(np.stack([wave[start : start + 15_600] for start in range(0, 60_000, 7_680)]))
    cut = {"length": 15_600, "hop": 7_680}
    inner = "yamnet_frames/global_average_pooling2d/Mean"
    theirs = read(tmp_path, content, windows=cut, network={"output": inner}).embed(segments).numpy()
    ours = build_network(Recipe.of({"data": {"name": "street"}, "windows": cut, "network": {"name": "yamnet"}}), 3)
    load_weights(ours, home("weights", "yamnet.h5"))
    with torch.inference_mode():
        expected = ours.eval().embed(segments).numpy()
    assert theirs.shape == expected.shape == (8, 1_024)
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(theirs, expected, strict=True)) > 0.97
    with pytest.raises(NetworkError, match=r"2 outputs.*not clear: 'Identity' \[B, 521\]"):
        read(tmp_path, content, windows=cut)


def test_copies_work_without_the_file(tmp_path: Path) -> None:
    network, x = read(tmp_path, litert()), noise(3, SAMPLES)
    (tmp_path / "theirs.tflite").unlink()
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(copied(x), network(x))


def crashing() -> bytes:
    """A whole file in which an operator takes nothing, which LiteRT follows."""
    changed = model()
    changed.subgraphs[0].operators[5].inputs = [-1]
    return written(changed)


def without(what: str) -> bytes:
    changed = model()
    setattr(changed.subgraphs[0], what, [])
    return written(changed)


def astray() -> bytes:
    changed = model()
    changed.subgraphs[0].outputs = [99]
    return written(changed)


WHOLE = litert()
BAD: list[tuple[bytes, dict[str, Any], str]] = [
    (WHOLE[:8], {}, r"cannot be run by LiteRT \(The model is not a valid Flatbuffer buffer\). Download or convert"),
    (WHOLE[: len(WHOLE) // 2], {}, "cannot be run by LiteRT"),
    (b"\x1c\0\0\0TFL3" + bytes(100), {}, "cannot be run by LiteRT"),
    (crashing(), {}, "ends the process that runs it.*signal"),
    (astray(), {}, "its graph refers to what it does not have"),
    (without("inputs"), {}, "takes nothing, and a network here takes one input"),
    (without("outputs"), {}, "gives nothing, and an embedding is of single precision"),
    (litert(custom="FlexErf"), {}, "operators that are not LiteRT's own: FlexErf. Convert it"),
    (litert(custom="Theirs"), {}, r"Encountered unresolved custom op: Theirs\).*not LiteRT's own: Theirs"),
    (litert(batch=8), {}, "which is 8 segments at a time"),
    (litert(given="count"), {}, r"takes 'count' \[1\] int32, and a network here takes one input of single precision"),
    (litert(["rounded"]), {}, r"gives 'rounded' \[1, 16\] int8, and an embedding is of single precision"),
    (litert(["constant"]), {}, "the same for noise and for a tone"),
    (litert(["steep"]), {}, "not finite for digital silence"),
    (litert(["power"]), {}, "which axis is time is not clear"),
    (litert(["label", "power"]), {}, "not clear"),
    (WHOLE, {"network": {"output": "embeding"}}, r"no output 'embeding'.*Did you mean 'embedding'\?"),
    (WHOLE, {"windows": {"length": 800, "hop": 800}}, "a segment is 800 samples. Set windows.length = 1600"),
    (litert(free=True), {"windows": {"length": 100, "hop": 100}}, "cannot be run on a segment of 100"),
    (WHOLE, {"frontend": {"name": "logmel"}}, "Set frontend.name = 'none' if it takes waves"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("content", "sections", "said"), BAD)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, content: bytes, sections: dict[str, Any], said: str
) -> None:
    with pytest.raises(NetworkError, match=f"theirs.tflite.*{said}"):
        read(tmp_path, content, **sections)


def test_a_file_that_ends_its_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"ends the process that runs it.*Download or convert it again"):
        read(tmp_path, crashing())


@pytest.mark.slow
def test_damaged_files_end_no_process(tmp_path: Path) -> None:
    (tmp_path / "whole.tflite").write_bytes(litert(["label", "embedding"]))
    done = subprocess.run(
        [sys.executable, "-c", DAMAGED, str(tmp_path / "whole.tflite")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < 200


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(NetworkError, match=r"pip install 'hubbub\[litert\]'"):
        LiteRtGraph(litert(), "theirs.tflite")
