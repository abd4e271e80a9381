"""A title says what ran: its data and protocol, its network and weights."""

from pathlib import Path

import pytest

from hubbub.config.recipe import Recipe, shipped
from hubbub.config.titles import data_title, title_after
from hubbub.report.results import Summary


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_title_agrees_with_its_recipe(name: str) -> None:
    """The words that the recipe gives for data, network and weights are in the title that its author wrote."""
    title, words = shipped()[name], title_after("title", None, Recipe.load(name))
    data, network = words.split(": ", 1)
    assert title.startswith(data.split(", ")[0])
    frozen, _, head = network.partition(", ")
    assert frozen.split(" on ")[0].split(", width")[0].removeprefix("frozen ") in title
    if frozen.startswith("frozen "):
        assert head in title
    for source in ("from scratch", "from ImageNet", "from AudioSet"):
        assert (source not in title) or (source in network)


@pytest.mark.parametrize(
    ("recipe", "settings", "title"),
    [
        ("us8k-resnet18", [], "UrbanSound8K, 10 folds: ResNet18 on colour spectrograms, from ImageNet (system B)"),
        (
            "us8k-resnet18",
            ["data.name=mine/clips.csv", "network.weights=none"],
            "clips, k-fold: ResNet18 on colour spectrograms, from scratch",
        ),
        (
            "us8k-resnet18",
            ["data.name=esc50"],
            "ESC-50, k-fold: ResNet18 on colour spectrograms, from ImageNet (system B)",
        ),
        (
            "emodb-resnet50",
            [
                "protocol.kind=csv",
                *(f'protocol.{part}=["lists/{part}.csv"]' for part in ("train", "val", "test")),
                "train.seeds=[42]",
            ],
            "train + val + test in lists: ResNet-50 on colour spectrograms, from ImageNet (system D)",
        ),
        (
            "esc50-resnet50",
            ["network.attention=cbam", "network.weights=mine/best.pt"],
            "ESC-50, 5 folds, 3 seeds: ResNet-50 with CBAM on colour spectrograms, from best.pt",
        ),
        (
            "esc50-yamnet",
            ["head.name=lda", "head.pool=mean"],
            "ESC-50: frozen YAMNet, linear discriminant analysis on mean clip embeddings",
        ),
        (
            "esc50-yamnet",
            ["protocol.folds=[3]", "train.seeds=[1, 2]"],
            "ESC-50, tested on fold 3 alone, 2 seeds: frozen YAMNet, logistic regression on segments",
        ),
        (
            "us8k-esresnext",
            ["network.mode=head", "protocol.train=[1, 2, 4]"],
            "UrbanSound8K, folds 1, 2, 4 / 9 / 10: ESResNeXt-fbsp, from AudioSet, last layer alone",
        ),
        ("esc50-resnet18-final", ["network.width=16"], "ESC-50, folds 1-4, tested on fold 5: ResNet18, width 16, on "
         "log-mel spectrograms, from scratch"),
        ("esc50-resnet18-final", ["train.epochs=3"], shipped()["esc50-resnet18-final"]),
        ("esc50-resnet18-final", ["data.name=esc10", "title=mine"], "mine"),
    ],
)  # fmt: skip
def test_what_is_changed_is_in_the_title(recipe: str, settings: list[str], title: str) -> None:
    assert Recipe.load(recipe, settings).title == title
    assert Recipe.load(recipe).with_settings(settings).title == title


def test_a_reduced_recipe_names_its_own_data_and_folds() -> None:
    assert Recipe.load("esc50-resnet18-final", quick=True).title == (
        "ESC-10, fold 1, tested on fold 5: ResNet18 on log-mel spectrograms, from scratch (system C, final)"
    )


def test_the_best_recipe_of_a_search_names_the_fold_that_it_tests() -> None:
    title = Recipe.load("esc50-compact").altered({"protocol.folds": ["2"], "network.dropout": 0.4}).title
    assert title == "ESC-50, tested on fold 2 alone: hubbub's own small network, from scratch"


def test_a_title_without_halves_is_kept_beside_other_data_and_replaced_for_another_network(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('title = "as in the paper"\n[data]\nname = "esc50"\n[network]\nname = "compact"\n', "utf-8")
    assert Recipe.load(file, ["data.name=emodb"]).title == "EmoDB, k-fold: as in the paper"
    other = Recipe.load(file, ["network.name=resnet18"])
    assert other.title == "ESC-50, k-fold: ResNet18, from ImageNet"
    assert Recipe.load(file).title == "as in the paper"


def test_a_recipe_that_its_settings_complete_gets_a_title_of_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "half.toml"
    file.write_text('title = "EmoDB, leave one speaker out: AlexNet"\n[network]\nname = "compact"\n', "utf-8")
    assert Recipe.load(file, ["data.name=esc50"]).title == "ESC-50, k-fold: hubbub's own small network, from scratch"


def test_a_data_set_is_called_by_the_last_part_of_its_path(tmp_path: Path) -> None:
    assert data_title(str(tmp_path)) == tmp_path.name
    assert data_title("a/night.selections.txt") == "night"


@pytest.mark.parametrize(
    ("data", "recipe", "title"),
    [
        ("esc50", "ESC-50: frozen YAMNet", "ESC-50: frozen YAMNet"),
        ("night", "ESC-50: frozen YAMNet", "night: ESC-50: frozen YAMNet"),
        (
            "esc50, scenes",
            "scenes, tested on fold 1 alone: a network",
            "esc50, scenes, tested on fold 1 alone: a network",
        ),
    ],
)
def test_the_title_of_results_begins_with_their_data_once(data: str, recipe: str, title: str) -> None:
    assert Summary.model_construct(recipe=recipe, data=data).title == title
