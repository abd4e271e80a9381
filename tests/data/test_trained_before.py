"""What the network `small` has been trained on before is no test of it, under whatever data set's name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hubbub
from hubbub.config.recipe import Recipe
from hubbub.config.sections import Network
from hubbub.data import trained_before
from hubbub.data.clips import Clips
from hubbub.data.leaks import LeakError, audit
from hubbub.data.splits import Split
from hubbub.runtime import shipped
from tests.helpers.sounds import sounds

SMALL = Network(name="small")
ESC50 = ("1-100032-A-0.wav", "5-9032-A-0.wav")


def clips(name: str, *paths: str, fold: str = "1") -> Clips:
    table = pd.DataFrame({"path": paths, "clip": [Path(path).stem for path in paths]})
    table["start"] = table["end"] = np.nan
    table["label"], table["fold"], table["split_hint"] = "a", fold, ""
    table["group"] = table["clip"]
    return Clips(name, table, ("a",))


def split(train: int, test: int) -> Split:
    rows = np.arange(train + test)
    return Split("1", rows[:train], rows[:0], rows[train:])


def refused(found: Clips, train: int, network: Network = SMALL) -> list[str]:
    return trained_before.refused(found, [split(train, len(found) - train)], network)


@pytest.mark.parametrize("train", [0, 1, 2])
def test_clips_of_esc50_are_refused_in_any_part(train: int) -> None:
    (text,) = refused(clips("mine", *(f"mine/dog/{name}" for name in ESC50)), train)
    assert text == "the network small has been trained on 2 clips of ESC-50 (1-100032-A-0, 5-9032-A-0)"


def test_another_network_and_other_names_are_not_refused() -> None:
    esc50 = clips("esc50", *ESC50)
    for network in (Network(name="yamnet"), Network(name="compact"), Network(name="small", weights="none")):
        assert not refused(esc50, 1, network)
    assert len(refused(esc50, 1, Network(name="compact", weights=str(shipped.WEIGHTS)))) == 1
    assert not refused(clips("mine", "mine/1-100032.wav", "mine/a/100032-3-0-0.wav"), 2)


def test_of_urbansound8k_only_fold_10_may_be_tested() -> None:
    name = "100032-3-0-0.wav"
    assert not refused(clips("urbansound8k", f"audio/fold5/{name}", fold="5"), 1), "as a training clip"
    assert not refused(clips("urbansound8k", f"audio/fold10/{name}", fold="10"), 0)
    assert not refused(clips("mine", f"mine/fold10/{name}"), 0)
    for found in (clips("urbansound8k", f"audio/{name}", fold="5"), clips("mine", f"mine/dog/{name}", fold="10")):
        (text,) = refused(found, 0)
        assert "1 test clip of UrbanSound8K, whose folds 1 to 9 it knows (100032-3-0-0)" in text


def test_a_leak_is_refused_with_a_way_out_and_is_in_every_figure_where_it_is_allowed() -> None:
    esc50 = clips("esc50", *ESC50)
    with pytest.raises(
        LeakError, match=r"has been trained on 2 clips of ESC-50 .*--backbone yamnet, or --from-scratch"
    ):
        audit(esc50, [split(1, 1)], ["", ""], network=SMALL)
    (leak,) = audit(esc50, [split(1, 1)], ["", ""], network=SMALL, allow_leaky=True).leaks
    assert leak.startswith("the network small has been trained on")


def test_recordings_of_fold_10_that_esc50_has_too_are_named_and_not_refused() -> None:
    found = clips("urbansound8k", "100648-1-0-0.wav", "100032-3-0-0.wav", fold="10")
    (text,) = audit(found, [split(0, 2)], ["", ""], network=SMALL).leaks
    assert text.startswith(
        "1 of 2 test clips of UrbanSound8K's fold 10 are of recordings that ESC-50 has clips of, too"
    )
    assert not audit(found, [split(0, 2)], ["", ""], network=Network(name="yamnet")).leaks


def test_these_recordings_are_those_of_the_published_lists(home: Callable[[str, str], Path]) -> None:
    esc50 = pd.read_csv(home("data", "esc50") / "meta/esc50.csv", dtype=str)
    urban = pd.read_csv(home("data", "urbansound8k") / "metadata/UrbanSound8K.csv", dtype=str)
    assert set(urban["fsID"][urban["fold"] == "10"]) & set(esc50["src_file"]) == trained_before.IN_ESC50


def test_a_folder_of_ones_own_with_such_clips_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    names = [f"{label}/{n}-10{n}{label}-A-{label}.wav" for label in "12" for n in range(1, 7)]
    sounds(tmp_path / "mine", *names, seconds=0.5)
    table = [f"mine/{name},{name[0]}" for name in names]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *table]))
    with pytest.raises(LeakError, match="has been trained on 12 clips of ESC-50"):
        hubbub.train(tmp_path / "list.csv", backbone="small", out=tmp_path / "runs", quiet=True)
    assert not list(tmp_path.glob("runs/*/test-*"))


def test_the_recipes_of_the_network_use_what_it_may_be_tested_on() -> None:
    protocol = Recipe.load("us8k-small").protocol
    assert (protocol.kind, protocol.test) == ("fixed", ("10",))
    assert Recipe.load("us8k-small", quick=True).protocol.test == ("10",)
