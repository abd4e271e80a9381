"""tuning: which parameters a training changes, at which rate, and what a network is afterwards."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.models.network import Network, NetworkError
from hubbub.models.registry import build_network
from hubbub.models.weights import load_weights
from hubbub.training.recompute import recomputed
from hubbub.training.tuning import Tuning
from tests.helpers.recipes import plan
from tests.models.test_registry import build, loss_of, recipe
from tests.training.test_module import LABELS, fit, read, state

TRANSFORMER = {"name": "transformer", "width": None}
#: Linear layers of its two blocks.
LINEAR = {f"body.{block}.{layer}.weight" for block in (0, 1) for layer in ("qkv", "out", "widen", "narrow")}
FC = {"fc.weight", "fc.bias"}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """The names of what differs; both have the same names."""
    assert before.keys() == after.keys()
    return {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}


# The last blocks


def test_only_the_last_blocks_and_what_is_behind_them_change(tmp_path: Path) -> None:
    """The smallest CNN: four blocks of convolution, BatchNorm and ReLU; the last two are layers 8 to 14 of its body."""
    tuned = plan(network={"trained_blocks": 2}, train={"epochs": 2})
    fitted = fit(tuned, tmp_path)
    found = changed(state(tuned), fitted.final.network.state_dict())
    leaves = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    norms = {f"body.{place}.{leaf}" for place in (9, 13) for leaf in leaves}
    assert found == {"body.8.weight", "body.12.weight", *norms, *FC}
    network = fitted.final.network
    assert fitted.trainable == sum(p.numel() for name, p in network.named_parameters() if name in found)


def test_what_is_before_rests_and_drops_nothing() -> None:
    chosen = recipe("transformer", network={**TRANSFORMER, "trained_blocks": 1})
    network = build_network(chosen, len(LABELS))
    Tuning(network, chosen, 0).start_epoch(False)
    resting = {name for name, module in network.named_modules() if not module.training}
    assert {"project", "inner_dropout", "body.0", "body.0.dropout", "body.0.norm1"} <= resting
    assert not resting & {"", "body", "body.1", "body.1.dropout", "hidden", "fc", "dropout"}


@pytest.mark.parametrize(
    ("name", "count", "has"), [("cnn", 5, 4), ("transformer", 3, 2), ("mn04_as", 18, 17), ("yamnet", 99, 14)]
)
def test_more_blocks_than_there_are_are_refused_with_their_number(name: str, count: int, has: int) -> None:
    chosen = recipe(name)
    network = chosen.network.model_copy(update={"trained_blocks": count})
    with pytest.raises(NetworkError, match=f"trained_blocks is {count}, and {name} has {has} blocks. Give {has} or"):
        build_network(chosen.model_copy(update={"network": network}), len(LABELS))


class Own(nn.Module):
    """A network of a user's own."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.last = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.mean(2))


@pytest.mark.parametrize(
    "sections",
    [
        {"network": {"trained_blocks": 1}},
        {"network": {"lora_rank": 4}},
        {"train": {"layer_decay": 0.7}},
        {"train": {"checkpointing": True}},
    ],
)
def test_a_network_of_ones_own_has_no_blocks(sections: dict[str, Any]) -> None:
    with pytest.raises(NetworkError, match=r"the blocks of tests\.training\.test_tuning\.Own are not known"):
        TorchClassifier(plan(**sections), LABELS, network=Own)


@pytest.mark.parametrize("mode", ["head", "auto"])
@pytest.mark.parametrize(
    ("setting", "sections"),
    [
        ("network.trained_blocks", {"network": {"trained_blocks": 1}}),
        ("network.lora_rank", {"network": {"lora_rank": 4}}),
        ("train.layer_decay", {"train": {"layer_decay": 0.7}}),
        ("train.checkpointing", {"train": {"checkpointing": True}}),
    ],
)
def test_a_network_that_is_not_fine_tuned_takes_none_of_it(mode: str, setting: str, sections: dict[str, Any]) -> None:
    network = {"mode": mode, **sections.get("network", {})}
    with pytest.raises(RecipeError, match=f"{setting} is for a network that is fine-tuned"):
        plan(**{**sections, "network": network})
    with pytest.raises(RecipeError, match=f"{setting} is for a network that is fine-tuned"):
        plan(**sections, head={"name": "logreg"})


# Adapters


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_adapters_change_the_linear_layers_of_the_blocks_alone(tmp_path: Path, average: float) -> None:
    tuned = plan(network=TRANSFORMER | {"lora_rank": 3}, train={"epochs": 2, "average": average})
    fitted = fit(tuned, tmp_path)
    network, before = fitted.final.network, state(tuned)
    after = network.state_dict()
    assert changed(before, after) == LINEAR | FC
    for name in LINEAR:
        values = torch.linalg.svdvals((after[name] - before[name]).double())
        assert values[2] > 1e-7
        assert values[3] < 1e-3 * values[2], f"{name} changed by more than a rank of 3"
    sizes = sum(sum(before[name].shape) for name in LINEAR)
    assert fitted.trainable == 3 * sizes + sum(before[name].numel() for name in FC)


def test_a_checkpoint_holds_the_adapters_and_gives_the_weights_of_an_ordinary_network(tmp_path: Path) -> None:
    tuned = plan(network=TRANSFORMER | {"lora_rank": 3})
    network = fit(tuned, tmp_path).final.network
    held = read(tmp_path)["state_dict"]
    assert sum(name.endswith("lora_b") for name in held) == len(LINEAR)
    other = TorchClassifier(plan(network=TRANSFORMER), LABELS, seed=5).network
    load_weights(other, tmp_path / "checkpoints" / "best.ckpt")
    assert not changed(network.state_dict(), other.state_dict())


def test_a_resumed_training_goes_on_with_its_adapters(tmp_path: Path) -> None:
    settings = {"epochs": 2, "patience": 50, "average": 0.5}
    tuned = plan(network=TRANSFORMER | {"lora_rank": 2}, train=settings)
    whole = fit(tuned, tmp_path / "whole").final.network.state_dict()
    fit(plan(network=TRANSFORMER | {"lora_rank": 2}, train=settings | {"epochs": 1}), tmp_path / "halves")
    last = tmp_path / "halves" / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    torch.save(content | {"stopped": False}, last)
    assert not changed(whole, fit(tuned, tmp_path / "halves").final.network.state_dict())


def test_adapters_learn_in_half_precision(tmp_path: Path) -> None:
    tuned = plan(network=TRANSFORMER | {"lora_rank": 3}, train={"precision": "bf16", "checkpointing": True})
    after = fit(tuned, tmp_path).final.network.state_dict()
    assert changed(state(tuned), after) == LINEAR | FC
    assert all(tensor.dtype == torch.float32 and torch.isfinite(tensor).all() for tensor in after.values())


def test_a_saved_classifier_is_an_ordinary_one(tmp_path: Path) -> None:
    tuned = plan(network=TRANSFORMER | {"lora_rank": 3})
    model = fit(tuned, tmp_path / "run").final
    loaded = TorchClassifier.load(model.save(tmp_path / "classifier"))
    waves = torch.randn(2, 1_600).numpy()
    torch.testing.assert_close(torch.from_numpy(loaded.forward(waves)), torch.from_numpy(model.forward(waves)))
    assert not any("lora" in name for name in loaded.network.state_dict())


def test_adapters_are_in_the_last_blocks_alone_where_these_are_named() -> None:
    chosen = recipe("transformer", network=TRANSFORMER | {"lora_rank": 2, "trained_blocks": 1})
    network = build_network(chosen, len(LABELS))
    tuning = Tuning(network, chosen, 0)
    tuning.freeze(False)
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    layers = ("qkv", "out", "widen", "narrow")
    assert trained == {f"body.1.{layer}.lora_{part}" for layer in layers for part in "ab"} | FC
    assert sum(p.numel() for p in tuning.trained) == sum(p.numel() for p in network.parameters() if p.requires_grad)
    tuning.freeze(True)
    assert {name for name, p in network.named_parameters() if p.requires_grad} == FC


@pytest.mark.parametrize("name", ["cnn", "resnet18", "yamnet"])
def test_a_network_without_linear_layers_takes_no_adapters(name: str) -> None:
    chosen = recipe(name)
    network = chosen.network.model_copy(update={"lora_rank": 4})
    with pytest.raises(NetworkError, match=f"lora_rank is for linear layers.*the blocks of {name} that are trained"):
        build_network(chosen.model_copy(update={"network": network}), len(LABELS))


def test_statistics_of_batches_stay_beside_adapters() -> None:
    """EfficientAT's blocks have both: linear layers, which weigh channels, and BatchNorm."""
    chosen = recipe("mn04_as", network={"name": "mn04_as", "lora_rank": 2})
    network = build_network(chosen, len(LABELS))
    Tuning(network, chosen, 0).start_epoch(False)
    assert not [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]


# Rates by depth


def test_rates_fall_with_the_depth_as_computed_by_hand(tmp_path: Path) -> None:
    """Four blocks, with half the rate from each to the one before it: a BatchNorm lies before them."""
    settings = {"layer_decay": 0.5, "learning_rate": 0.01, "backbone_learning_rate": 0.008, "weight_decay": 0.03}
    fit(plan(train=settings), tmp_path)
    (optimizer,) = read(tmp_path)["optimizer_states"]
    rates = [(group["name"], group["lr"], len(group["params"])) for group in optimizer["param_groups"]]
    assert [(name, count) for name, _, count in rates] == [("head", 2), ("backbone", 2), *4 * [("backbone", 3)]]
    assert [rate for _, rate, _ in rates] == pytest.approx([0.01, 0.0005, 0.001, 0.002, 0.004, 0.008])
    assert {group["weight_decay"] for group in optimizer["param_groups"]} == {0.03}


def test_what_is_behind_the_last_block_has_its_rate() -> None:
    chosen = recipe("transformer", train={"layer_decay": 0.5})
    network = build_network(chosen, len(LABELS))
    shares = {id(parameter): share for share, some in Tuning(network, chosen, 0).shares.items() for parameter in some}
    found = {name: shares.get(id(p)) for name, p in network.named_parameters()}
    assert (found["project.weight"], found["body.0.qkv.weight"], found["body.1.qkv.weight"]) == (0.25, 0.5, 1.0)
    assert (found["hidden.weight"], found["fc.weight"]) == (1.0, None)


def test_frozen_epochs_come_first_and_then_the_last_blocks_alone(tmp_path: Path) -> None:
    settings = {"freeze_epochs": 1, "epochs": 1, "layer_decay": 0.5}
    tuned = plan(network={"trained_blocks": 2}, train=settings)
    assert changed(state(tuned), fit(tuned, tmp_path / "one").final.network.state_dict()) == FC
    more = plan(network={"trained_blocks": 2}, train=settings | {"epochs": 2, "patience": 50})
    found = changed(state(more), fit(more, tmp_path / "two", validation=False).final.network.state_dict())
    assert {"body.8.weight", "body.12.weight"} < found
    assert not [name for name in found if name.startswith(("norm.", "body.0.", "body.4."))]


# All of it


@pytest.mark.parametrize("name", ["cnn", "transformer", "resnet18", "yamnet", "mn04_as", "test_vit"])
@pytest.mark.parametrize("tuned", [{"trained_blocks": 1}, {"lora_rank": 2}], ids=["last", "adapters"])
def test_every_trained_parameter_and_no_other_has_a_gradient(name: str, tuned: dict[str, int]) -> None:
    """Else several devices would wait for what never comes."""
    if "lora_rank" in tuned and name in ("cnn", "resnet18", "yamnet"):
        return
    _, inputs = build(name)
    chosen = recipe(name, train={"checkpointing": True})
    chosen = chosen.model_copy(update={"network": chosen.network.model_copy(update=tuned)})
    network: Network = build_network(chosen, len(LABELS) + 1)
    tuning = Tuning(network, chosen, 0)
    tuning.start_epoch(False)
    with recomputed(network):
        loss = loss_of(network, inputs)
    loss.backward()
    trained = {id(p) for p in tuning.trained}
    for key, parameter in network.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in trained), key


def test_which_of_these_settings_are_searched() -> None:
    space = {"train.layer_decay": {"low": 0.5, "high": 1.0}, "network.trained_blocks": {"low": 1, "high": 4}}
    assert plan(tune={"space": space | {"network.lora_rank": {"choices": [0, 4]}}}).tune is not None
    with pytest.raises(RecipeError, match=r"train\.checkpointing must stay the same for all trials"):
        plan(tune={"space": {"train.checkpointing": {"choices": [True, False]}}})


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"trained_blocks": 1}, "last block"),
        ({"trained_blocks": 2}, "last two blocks"),
        ({"lora_rank": 8}, "adapters of rank 8"),
        ({"lora_rank": 8, "trained_blocks": 12}, "adapters of rank 8, last 12 blocks"),
    ],
)
def test_the_title_says_what_is_trained(network: dict[str, int], words: str) -> None:
    before = Recipe.of({"title": "Noise: a network", "data": {"name": "noise"}, "network": {"name": "beats"}})
    after = before.with_settings([f"network.{name}={value}" for name, value in network.items()])
    assert after.title.endswith(f", {words}")
