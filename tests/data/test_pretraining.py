"""pretraining: what weights learnt from, and whether a data set's clips may be among it."""

import pytest

from hubbub.config.recipe import Recipe, shipped
from hubbub.config.sections import Network
from hubbub.data.pretraining import KNOWN, ORIGINS, overlap
from hubbub.models.registry import NETWORKS
from hubbub.models.weights import PUBLISHED


@pytest.mark.parametrize(
    ("network", "data", "expected"),
    [
        (Network(name="small"), "esc50", "yes"),
        (Network(name="small"), "urbansound8k", "yes"),
        (Network(name="small"), "emodb", "none known"),
        (Network(name="yamnet"), "esc50", "none known"),
        (Network(name="yamnet"), "recordings", "not known"),
        (Network(name="resnet18"), "esc50", "none: no sounds"),
        (Network(name="resnet18", weights="imagenet"), "recordings", "none: no sounds"),
        (Network(name="vit_tiny_patch16_224"), "esc50", "none: no sounds"),
        (Network(name="compact"), "esc50", "none: random weights"),
        (Network(name="cnn14", weights="none"), "esc50", "none: random weights"),
        (Network(name="cnn14", weights="mine.pth"), "esc50", "not known: see"),
        (Network(name="wavlm"), "emodb", "none known: a studio in Berlin here, audio books, YouTube and"),
        (Network(name="clap"), "esc50", "likely: it has recordings of Freesound"),
        (Network(name="clap"), "emodb", "none known"),
        (Network(name="transformers", weights="me/mine"), "esc50", "not known"),
        (Network(name="beats", weights="beats_unlabelled"), "esc50", "none known"),
    ],
)
def test_overlap(network: Network, data: str, expected: str) -> None:
    assert overlap(network, data).overlap.startswith(expected)


def test_every_network_is_known_or_starts_from_images_or_at_random() -> None:
    sound = {name for name, asset in PUBLISHED.items() if not asset.endswith("_imagenet")}
    assert sound <= set(KNOWN)
    for name in NETWORKS:
        found = overlap(Network(name=name), "esc50")
        assert found.learnt_from and (found.source or found.learnt_from == "nothing"), name


def test_every_known_data_set_of_a_recipe_has_an_origin() -> None:
    used = {Recipe.load(name).data.name for name in shipped()}
    assert used - {"street", "scenes"} <= set(ORIGINS)
