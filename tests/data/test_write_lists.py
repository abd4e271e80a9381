"""write_lists: lists of parts that have no recording in common."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hubbub.config.data import Data, Protocol
from hubbub.config.recipe import Recipe
from hubbub.data.leaks import Audit, audit
from hubbub.data.open import open_clips, open_data
from hubbub.data.splits import SplitError, make_splits
from hubbub.data.write_lists import write_lists
from tests.helpers.tables import clip_table, contents_of


def test_written_lists_share_no_group_and_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for i in range(20):
            soundfile.write(tmp_path / "pets" / label / f"{i}.wav", rng.normal(0, 0.1, 400), 8000)
    clips = open_data("pets")
    clips.table["group"] = clips.table["label"] + clips.table["clip"].str.extract(r"(\d+)")[0].astype(int).floordiv(
        2
    ).astype(str)
    written, root = write_lists(clips, tmp_path / "lists", 0.3, seed=1)
    assert root == str(tmp_path / "pets")
    assert [path.name for path in written] == ["train.csv", "val.csv"]
    train, val = (pd.read_csv(path) for path in written)
    assert len(train) + len(val) == 40 and len(val) == pytest.approx(12, abs=2)
    assert set(train["group"]).isdisjoint(val["group"]) and set(train["label"]) == set(val["label"]) == {"cat", "dog"}
    assert all((Path(root) / path).is_file() for path in train["path"])
    recipe = Recipe(
        data=Data(name="pets", root=root),
        protocol=Protocol(kind="csv", validation="none", train=(str(written[0]),), test=(str(written[1]),)),
    )
    again = open_clips(recipe)
    (split,) = make_splits(again, recipe.protocol)
    assert (len(split.train), len(split.test)) == (len(train), len(val))
    assert again.notes == clips.notes and again.name == "pets, lists"  # what was known of the whole stays known
    assert audit(again, [split], contents_of(again)) == Audit()
    same, _ = write_lists(clips, tmp_path / "again", 0.3, seed=1)
    assert [path.read_bytes() for path in same] == [path.read_bytes() for path in written]


def test_three_lists_have_no_recording_in_common(tmp_path: Path) -> None:
    clips = clip_table(groups=8)
    written, _ = write_lists(clips, tmp_path, 0.2, seed=0, test_ratio=0.3)
    assert [path.name for path in written] == ["train.csv", "val.csv", "test.csv"]
    tables = [pd.read_csv(path, dtype=str) for path in written]
    assert sorted(pd.concat(tables)["clip"]) == sorted(clips.table["clip"])
    for one, other in combinations(tables, 2):
        assert set(one["group"]).isdisjoint(other["group"])
    shares = [len(table) / len(clips) for table in tables]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.05)
    with pytest.raises(SplitError, match=r"0\.5 and a test part of 0\.5 leave nothing to train on"):
        write_lists(clips, tmp_path / "none", 0.5, seed=0, test_ratio=0.5)


def test_lists_that_cannot_be_are_refused(tmp_path: Path) -> None:
    clips = clip_table()
    clips.table["group"] = "all"
    with pytest.raises(SplitError, match=r"1 source recordings cannot give a validation part of 0\.2"):
        write_lists(clips, tmp_path, 0.2, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_copies_stay_copies_in_written_lists(tmp_path: Path) -> None:
    rows = []
    for k in range(12):
        for variant in ("orig", "noisy"):
            soundfile.write(tmp_path / f"{k}_{variant}.wav", np.full(400, 0.01 * (k + 1)), 8000)
            hint = "" if variant == "orig" else "train"
            row = {"path": f"{k}_{variant}.wav", "label": "ab"[k % 2], "group": f"g{k}", "split_hint": hint}
            rows.append(row)
    pd.DataFrame(rows).to_csv(tmp_path / "all.csv", index=False)
    (train, val), root = write_lists(open_data(str(tmp_path / "all.csv")), tmp_path / "lists", 0.3, seed=0)
    again = open_data(str(train), root=root)
    assert (again.table["split_hint"] == "train").sum() == len(again) // 2
    assert set(open_data(str(val), root=root).table["split_hint"]) == {""}
    with pytest.raises(SplitError, match="holds images or sounds that hubbub made"):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "made.json").write_text('{"file": "spectrograms.csv"}')
        write_lists(again, tmp_path / "made", 0.3, seed=0)
