"""onnx: files of other teams are checked, and computed as onnxruntime computes them; what does not fit is refused."""

import copy
import io
import json
import pickle
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from hubbub.config.recipe import Recipe
from hubbub.models.foreign import Foreign
from hubbub.models.network import NetworkError
from hubbub.models.registry import build_network
from hubbub.models.weights import find_weights, load_weights
from tests.helpers.foreign import BANDS, foreign, on_spectrograms, write

LENGTH = 1_600


def recipe(file: Path, **sections: Any) -> Recipe:
    network = {"name": "onnx", "weights": str(file), **sections.pop("network", {})}
    content = {"data": {"name": "street"}, "windows": {"length": LENGTH, "hop": LENGTH}, "head": {"name": "logreg"}}
    return Recipe.of(content | sections | {"network": network})


def read(file: Path, **sections: Any) -> Foreign:
    """The network of a file, as a run makes it."""
    asked = recipe(file, **sections)
    network = build_network(asked, 3)
    assert isinstance(network, Foreign)
    path = find_weights(asked)
    assert path == file
    load_weights(network, path)
    return network.eval()


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def directly(file: Path, name: str, x: torch.Tensor) -> np.ndarray:
    """The output of a file's own session for each segment alone."""
    session = onnxruntime.InferenceSession(file)
    return np.concatenate([session.run([name], {"x": one.numpy()})[0] for one in x.split(1)])


@pytest.mark.parametrize(
    ("made", "singly"),
    [
        ({}, False),
        ({"length": LENGTH}, False),
        ({"batch": 1}, True),
        ({"batch": 1, "length": LENGTH}, True),
        ({"together": False}, True),  # it takes batches by its word alone
    ],
)
def test_embeddings_are_those_of_the_file(tmp_path: Path, made: dict[str, Any], singly: bool) -> None:
    file = write(tmp_path / "theirs.onnx", foreign(**made))
    network, x = read(file), noise(40, LENGTH)
    assert network.opened.singly is singly
    embeddings = network.embed(x)
    assert embeddings.shape == (40, BANDS) and embeddings.dtype == torch.float32
    np.testing.assert_allclose(embeddings.numpy(), directly(file, "embedding", x), rtol=1e-5, atol=1e-5)
    assert torch.equal(network(x), network.fc(embeddings))


def test_a_channel_is_added_where_the_file_has_one(tmp_path: Path) -> None:
    file, x = write(tmp_path / "theirs.onnx", foreign(channel=True)), noise(3, LENGTH)
    np.testing.assert_allclose(read(file).embed(x).numpy(), directly(file, "embedding", x[:, None]), rtol=1e-5)


def test_a_file_may_take_one_wave_without_an_axis_for_segments(tmp_path: Path) -> None:
    file, x = write(tmp_path / "theirs.onnx", foreign(axis=False, length=LENGTH)), noise(3, LENGTH)
    network = read(file)
    session = onnxruntime.InferenceSession(file)
    expected = np.concatenate([session.run(["embedding"], {"x": one.numpy()})[0] for one in x])
    assert network.opened.singly
    np.testing.assert_allclose(network.embed(x).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("channel", [False, True])
def test_spectrograms_of_the_recipes_front_end(tmp_path: Path, channel: bool) -> None:
    file = write(tmp_path / "theirs.onnx", on_spectrograms(40, "frames", channel=channel))
    network = read(file, frontend={"name": "logmel", "n_mels": 40})
    x = noise(3, 40, 1 + LENGTH // 320)
    torch.testing.assert_close(network.embed(x), x.mean(dim=2))


@pytest.mark.parametrize(
    ("outputs", "asked", "chosen", "axis"),
    [
        (["label"], "", "label", None),  # scores of classes are as good as embeddings
        (["label", "embedding", "power"], "", "embedding", None),
        (["broken", "embedding", "label"], "", "embedding", None),
        (["count", "label"], "", "label", None),  # the only one of single precision
        (["label", "embedding"], "label", "label", None),
        (["power"], "", "power", 2),  # frames, as the length is free and this axis grows with it
        (["turned"], "", "turned", 1),
        (["label", "turned"], "turned", "turned", 1),
        (["one"], "", "one", 1),
    ],
)
def test_the_embedding_is_found(tmp_path: Path, outputs: list[str], asked: str, chosen: str, axis: int | None) -> None:
    file = write(tmp_path / "theirs.onnx", foreign(outputs))
    network, x = read(file, network={"output": asked}), noise(5, LENGTH)
    assert (network.opened.output, network.opened.frames_axis) == (chosen, axis)
    expected = directly(file, chosen, x)
    np.testing.assert_allclose(
        network.embed(x).numpy(), expected if axis is None else expected.mean(axis=axis), rtol=1e-4, atol=1e-5
    )


def test_the_report_says_what_is_used(tmp_path: Path) -> None:
    file = write(tmp_path / "theirs.onnx", foreign(["power", "label"], batch=1))
    network = build_network(asked := recipe(file, network={"output": "power"}), 3)
    assert load_weights(network, find_weights(asked) or Path()) == (
        "theirs.onnx: 'x' 1600 to 'power' of 16 values, the mean over its frames; one segment at a time, on the CPU"
    )


def external() -> bytes:
    """A graph inside of whose branch a tensor is said to lie in a file of the machine."""
    proto = foreign()
    branch = next(node for node in proto.graph.node if node.op_type == "If").attribute[0].g
    tensor = TensorProto(name="secret", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../etc/passwd")
    branch.initializer.append(tensor)
    return proto.SerializeToString()


def custom_operator() -> bytes:
    proto = foreign()
    proto.graph.node[0].domain = "my.operators"
    proto.opset_import.append(onnx.helper.make_opsetid("my.operators", 1))
    return proto.SerializeToString()


def two_inputs() -> bytes:
    proto = foreign()
    proto.graph.input.append(onnx.helper.make_tensor_value_info("rate", TensorProto.FLOAT, [1]))
    return proto.SerializeToString()


def at_8_khz() -> bytes:
    proto = foreign()
    proto.metadata_props.add(key="hubbub", value=json.dumps({"recipe": {"audio": {"rate_hz": 8_000}}}))
    return proto.SerializeToString()


WHOLE = foreign().SerializeToString()
BAD: list[tuple[bytes, dict[str, Any], str]] = [
    (b"", {}, "is not a whole ONNX file"),
    (b"\x89PNG\r\n\x1a\n", {}, "is not a whole ONNX file"),
    (b"PK\x03\x04" + bytes(100), {}, "is not a whole ONNX file"),
    (WHOLE[: len(WHOLE) // 2], {}, "is not a whole ONNX file"),
    (external(), {}, r"takes its weights from another file.*onnx.save\(onnx.load"),
    (custom_operator(), {}, "cannot be run by onnxruntime"),
    (two_inputs(), {}, r"takes 'x' \[any, any\] tensor\(float\), 'rate' \[1\] .* takes one input of single"),
    (foreign(kind=TensorProto.INT64).SerializeToString(), {}, "takes one input of single precision"),
    (foreign(kind=TensorProto.DOUBLE).SerializeToString(), {}, "takes one input of single precision"),
    (foreign(batch=8).SerializeToString(), {}, "which is 8 segments at a time"),
    (foreign(length=32_000).SerializeToString(), {}, "a segment is 1600 samples. Set windows.length = 32000"),
    (on_spectrograms(64, 96).SerializeToString(), {}, "Set frontend.name = 'logmel'"),
    (WHOLE, {"frontend": {"name": "logmel"}}, "Set frontend.name = 'none' if it takes waves"),
    (on_spectrograms(64, 96).SerializeToString(), {"frontend": {"name": "logmel"}}, "the front end gives 64x6. Set"),
    (WHOLE, {"windows": {"length": 100, "hop": 100}}, "cannot be run on a segment of 100"),
    (at_8_khz(), {}, "takes sound at 8000 Hz.*and not 16000. Set audio.rate_hz = 8000"),
    (foreign(["power", "turned"]).SerializeToString(), {}, r"2 outputs.*not clear: 'power' \[B, 16, 19\], 'turned'"),
    (foreign(["broken", "constant"]).SerializeToString(), {}, "not clear.*network.output = 'broken'"),
    (foreign(["label", "power"]).SerializeToString(), {}, "not clear"),
    (WHOLE, {"network": {"output": "embeding"}}, "no output 'embeding'.*Did you mean 'embedding'"),
    (foreign(["count"]).SerializeToString(), {}, "an embedding is of single precision"),
    (foreign(["power"], length=LENGTH).SerializeToString(), {}, "which axis is time is not clear"),
    (foreign(["broken"]).SerializeToString(), {}, "'broken' holds values that are not finite"),
    (foreign(["steep"]).SerializeToString(), {}, "'steep' is not finite for digital silence"),
    (foreign(["constant"]).SerializeToString(), {}, "'constant' is the same for noise and for a tone"),
]


@pytest.mark.parametrize(("content", "sections", "said"), BAD)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, content: bytes, sections: dict[str, Any], said: str
) -> None:
    (tmp_path / "theirs.onnx").write_bytes(content)
    with pytest.raises(NetworkError, match=f"theirs.onnx.*{said}"):
        read(tmp_path / "theirs.onnx", **sections)


def test_a_file_that_needs_another_is_refused_until_they_are_joined(tmp_path: Path) -> None:
    onnx.save(foreign(), tmp_path / "parts.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(NetworkError, match="takes its weights from another file"):
        read(tmp_path / "parts.onnx")
    onnx.save(onnx.load(tmp_path / "parts.onnx"), tmp_path / "whole.onnx")
    assert read(tmp_path / "whole.onnx").opened.width == BANDS


@pytest.mark.parametrize("weights", ["default", "none", "imagenet"])
def test_the_recipe_must_name_a_file(weights: str) -> None:
    with pytest.raises(
        NetworkError, match=rf"set network.weights to the path of an .onnx or .tflite file, not '{weights}'"
    ):
        build_network(recipe(Path(weights)), 3)


@pytest.mark.parametrize("mode", ["finetune", "auto"])
def test_it_is_never_fine_tuned(mode: str) -> None:
    asked = recipe(Path("theirs.onnx"), head={"name": "none"}, network={"mode": mode})
    with pytest.raises(NetworkError, match=r"cannot be fine-tuned: set head.name.*or network.mode = 'head'"):
        build_network(asked, 3)


def test_the_recipe_in_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    section = page.partition("## A network of another team (ONNX, LiteRT)")[2]
    block = section.partition("\n\n    title")[2].partition("\n\nhubbub")[0]
    found = Recipe.of(tomllib.loads(f"title{block}".replace("\n    ", "\n")))
    assert (found.network.name, found.windows.length, found.windows.hop) == ("onnx", 160_000, 80_000)
    assert isinstance(build_network(found, 3), Foreign)


def test_output_is_for_onnx_alone() -> None:
    asked = Recipe.of({"data": {"name": "street"}, "network": {"name": "yamnet", "output": "embedding"}})
    with pytest.raises(NetworkError, match=r"network\.output is for onnx"):
        build_network(asked, 3)


def test_without_a_file_there_is_no_embedding() -> None:
    with pytest.raises(NetworkError, match="no ONNX or LiteRT file was read"):
        build_network(recipe(Path("theirs.onnx")), 3)(noise(1, LENGTH))


def test_the_file_travels_with_the_weights_and_no_session_does(tmp_path: Path) -> None:
    file = write(tmp_path / "theirs.onnx", foreign())
    network, x = read(file), noise(3, LENGTH)
    expected = network(x)
    stored = io.BytesIO()
    torch.save(network.state_dict(), stored)
    assert bytes(network.state_dict()["graph"].numpy()) == file.read_bytes()
    stored.seek(0)
    file.unlink()
    other = build_network(recipe(file), 3)
    other.load_state_dict(torch.load(stored), strict=True)
    for copied in (other, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(copied.eval()(x), expected)
    changed = copy.deepcopy(network)
    changed.load_state_dict(network.state_dict() | {"fc.weight": 2 * network.fc.weight})
    assert not torch.equal(changed(x), expected) and torch.equal(network(x), expected)


def test_the_last_layer_follows_from_the_seed(tmp_path: Path) -> None:
    file = write(tmp_path / "theirs.onnx", foreign())
    weights = []
    for seed in (1, 1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = build_network(recipe(file), 3)
        torch.rand(7)  # what else happens before the file is read does not matter
        load_weights(network, file)
        weights.append(network.fc.weight)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert [p.shape for p in network.parameters()] == [(3, BANDS), (3,)], "nothing but the last layer is trained"


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    content = foreign(batch="qqqqqq").SerializeToString()
    assert b"qqqqqq" in content
    (tmp_path / "odd.onnx").write_bytes(content.replace(b"qqqqqq", b"qqqqq\xff"))
    with pytest.raises(NetworkError, match=r"odd\.onnx (cannot be run|is not a whole ONNX file)"):
        read(tmp_path / "odd.onnx")
