"""model_summary: what `hubbub show` says, against torchvision's own figures and counts by hand."""

import re
from pathlib import Path

import numpy as np
import pytest
import torchvision
from typer.testing import CliRunner

from hubbub.classifier.export import Sounds, export
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.cli.main import app
from hubbub.config.recipe import Recipe
from hubbub.errors import HubbubError
from hubbub.report.model_summary import ModelSummary, summarise_model

DOCS = Path(__file__).parents[2] / "docs"


def number(text: str) -> float:
    """The first number of a text, `1,813.6 million` -> 1813.6."""
    return float(re.search(r"[\d,.]*\d", text)[0].replace(",", ""))


def row(found: ModelSummary, layer: str) -> tuple[str, ...]:
    (only,) = [one for one in found.layers.rows if one[0].strip() == layer]
    return only


@pytest.mark.parametrize(("recipe", "weights"), [
    ("us8k-resnet18", torchvision.models.ResNet18_Weights.IMAGENET1K_V1),
    ("us8k-mobilenet_v2", torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1),
    ("us8k-convnext_tiny", torchvision.models.ConvNeXt_Tiny_Weights.IMAGENET1K_V1),
])  # fmt: skip
def test_figures_of_image_networks_are_torchvisions(recipe: str, weights: torchvision.models.WeightsEnum) -> None:
    found = summarise_model(recipe, classes=1000)
    assert number(found.facts["parameters"]) == weights.meta["num_params"]
    assert number(found.facts["multiply-adds"]) / 1e3 == pytest.approx(weights.meta["_ops"], abs=0.002)
    assert "the network takes 3x224x224" in found.facts["front end"]


def test_attention_is_counted() -> None:
    """System E's encoder by hand: 1,501 frames of 128 numbers, two layers with 2,048 in between."""
    frames, width, inner = 1501, 128, 2048
    layer = frames * width * (3 * width + width + 2 * inner) + 2 * frames * frames * width
    found = summarise_model("us8k-transformer")
    assert number(found.facts["multiply-adds"]) == pytest.approx((2 * layer + 256 * (width + 10)) / 1e6, abs=0.06)
    assert row(found, "0")[:3] == ("  0", "EncoderLayer", "1501x128")
    assert number(row(found, "0")[5]) == pytest.approx(layer / 1e6, abs=0.06)


def test_adapters_and_the_last_layer_are_what_is_trained() -> None:
    """System E's encoder: two layers of 128 numbers, whose linear layers have 3 * 128, 128, 2,048 and 128 outputs."""
    adapters, last = 2 * 4 * ((128 + 384) + (128 + 128) + 2 * (128 + 2048)), 256 * 10 + 10
    found = summarise_model("us8k-transformer", ["network.lora_rank=4"])
    assert f": {adapters + last:,} trained, " in found.facts["parameters"]
    assert f"{adapters:,} are adapters" in found.facts["parameters"]
    assert row(found, "0")[4] == "part"
    assert row(found, "hidden")[4] == "no"


def test_audioclip_needs_no_weights_and_says_what_each_mode_trains() -> None:
    found = summarise_model("us8k-audioclip", depth=3)
    last, others = 1024 * 10 + 10, 32_104_771
    assert found.facts["parameters"] == (
        f"{last + others:,}: {last + others:,} trained, 0 frozen; without an accelerator {last:,} trained, "
        f"{others:,} frozen"
    )
    attention = sum(number(row(found, f"att{k}")[3]) for k in range(1, 6))
    assert attention == 7_023_616
    bins, window, frames = 341 * 3, 1654, 74
    outside = sum(
        number(one[5]) for one in found.layers.rows if one[0].startswith("  ") and one[0][2] != " " and one[5] != "-"
    )
    assert number(row(found, "audio")[5]) - outside == pytest.approx(2 * bins * window * frames / 1e6, rel=0.01)
    headed = summarise_model("us8k-audioclip", ["network.mode=head"])
    assert f"{last:,} trained, {others:,} frozen" in headed.facts["parameters"]
    assert [one[4] for one in headed.layers.rows if one[0] in ("audio", "fc")] == ["no", "yes"]
    assert "memory of training" in found.facts and "memory of training" not in headed.facts


def test_memory_is_that_of_parameters_and_outputs() -> None:
    """An AudioCNN1D by hand: the output of every layer with parameters, 4 bytes a number."""
    found = summarise_model("us8k-cnn1d")
    outputs = 16 * 1501 + 32 * 750 + 64 * 375 + 128 + 10
    parameters = number(found.facts["parameters"])
    memory = re.findall(r"([\d.,]+) MB", found.facts["memory"])
    assert number(memory[0]) == pytest.approx(4 * parameters / 1e6, abs=0.06)
    assert number(memory[1]) == pytest.approx(4 * outputs / 1e6, abs=0.06)
    batch = Recipe.load("us8k-cnn1d").train.batch_size
    training = (4 * 4 * parameters + batch * 4 * outputs) / 1e6
    assert number(found.facts["memory of training"]) == pytest.approx(training, rel=0.02)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = TorchClassifier(Recipe.load("street-cnn", ["network.width=4"]), ("dog", "siren", "drill"))
    return model.save(tmp_path / "run" / "classifier")


def test_a_classifier_its_run_and_its_exported_file_are_shown(saved: Path, tmp_path: Path) -> None:
    from_run, from_folder = summarise_model(str(saved.parent)), summarise_model(str(saved))
    assert from_run.layers == from_folder.layers and from_run.facts == from_folder.facts
    network = TorchClassifier.load(saved).network
    total = sum(p.numel() for p in network.parameters())
    assert from_run.facts["parameters"] == f"{total:,}: {total:,} trained, 0 frozen"
    assert from_run.facts["classes"] == "3"
    with pytest.raises(HubbubError, match="--set and --classes are for recipes"):
        summarise_model(str(saved), classes=4)
    file = tmp_path / "small.onnx"
    waves = np.random.default_rng(0).normal(0, 0.1, (3, 16_000)).astype(np.float32)
    export(TorchClassifier.load(saved), file, Sounds("noise", list(waves)))
    exported = summarise_model(str(file))
    assert exported.facts["classes"] == "3" and exported.facts["front end"] == "part of the graph"
    assert "logits [" in exported.facts["outputs"]
    assert number(exported.facts["stored numbers"]) > total, "the front end's filters, too"
    assert "Conv" in [one[0] for one in exported.layers.rows]


def test_the_head_is_named_and_the_network_below_it_is_frozen() -> None:
    found = summarise_model("us8k-yamnet-lgbm")
    assert found.facts["head"] == "lightgbm on embeddings of 1024, pooled: segment"
    assert found.facts["parameters"] == "3,195,456: 0 trained, 3,195,456 frozen"
    assert "fc" not in [one[0] for one in found.layers.rows]


def test_classes_are_those_of_the_data_or_as_given(tmp_path: Path) -> None:
    assert summarise_model("esc50-compact", depth=1).facts["classes"] == "50 (of esc50)"
    own = tmp_path / "own.toml"
    own.write_text(
        'title = "mine"\n[data]\nname = "nowhere.csv"\n[network]\nname = "cnn"\n[frontend]\nname = "logmel"\n'
    )
    assert "--classes sets the number" in summarise_model(str(own)).facts["classes"]
    found = summarise_model(str(own), classes=7)
    assert found.facts["classes"] == "7 (as given)" and row(found, "fc")[2] == "7"


def test_the_command_prints_it_within_a_terminals_width() -> None:
    done = CliRunner().invoke(app, ["show", "us8k-esresnext"], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert max(len(line) for line in lines if "x" in line and "Conv2d" in line) <= 80
    assert any(line.startswith("parameters: 30,027,085: ") for line in lines)
    assert any(line.startswith("front end: part of esresnext") for line in lines)


def test_the_figures_of_the_guide_are_those_shown() -> None:
    """docs/training.md, the table of networks: parameters in millions at 50 classes."""
    table = (DOCS / "training.md").read_text(encoding="utf-8").partition("## Which network")[2]
    shown = {
        "compact": "us8k-compact", "cnn": "street-cnn", "baseline": "esc50-baseline", "resnet18": "us8k-resnet18",
        "cnn1d": "us8k-cnn1d", "transformer": "us8k-transformer", "esresnext": "us8k-esresnext",
        "audioclip": "us8k-audioclip", "mobilenet_v2": "us8k-mobilenet_v2",
    }  # fmt: skip
    written = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and (names := re.findall(r"`(\w+)`", cells[1])):
            written |= dict(zip(names, re.findall(r"([\d.]+) M", cells[4]), strict=False))
    assert shown.keys() <= written.keys()
    for name, recipe in shown.items():
        millions = number(summarise_model(recipe, depth=1, classes=50).facts["parameters"]) / 1e6
        digits = len(written[name].partition(".")[2])
        assert float(written[name]) == pytest.approx(millions, abs=0.5001 * 10**-digits), name
