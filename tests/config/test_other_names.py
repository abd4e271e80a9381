"""Settings by the names that other programs give them."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.config.other_names import OTHER_NAMES, explain_name
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.config.sections import Section


def _exists(dotted: str) -> bool:
    model: type[Section] = Recipe
    for part in dotted.split("."):
        if part not in model.model_fields:
            return False
        annotation = model.model_fields[part].annotation
        kinds = [annotation, *getattr(annotation, "__args__", ())]
        model = next((k for k in kinds if isinstance(k, type) and issubclass(k, Section)), Section)
    return True


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_every_entry_names_a_setting_that_exists_and_a_reason(name: str) -> None:
    ours, reason = OTHER_NAMES[name]
    assert reason
    assert not ours or ours.isupper() or ours.startswith("--") or _exists(ours)
    for dotted in re.findall(r"\b(?:train|network|head|protocol|augment|windows|evaluate|frontend|tune)\.\w+", reason):
        assert _exists(dotted)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.head_warmup_epochs=3", "it is train.freeze_epochs: .* only the head"),
        ("lr_head=1e-3", "it is train.learning_rate"),
        ("train.lr_backbone=1e-5", "it is train.backbone_learning_rate"),
        ("evaluate.clip_agg=logit_mean", "it is evaluate.pooling: .*mean_logit"),
        ("train.early_stop=5", "it is train.patience"),
        ("windows.win_sec=0.96", r"it is windows.length: .*'0.96 s'"),
        ("hop-sec=0.48", "it is windows.hop"),
        ("windows.overlap=0.5", "it is windows.hop: .*overlap"),
        ("tta_shifts=2", "it is evaluate.shifts"),
        ("data.data_dir=data", "it is data.name: a folder"),
        ("train_csv=a.csv", "protocol.kind = 'csv' takes a list for each part"),
        ("freeze_features=true", "it is network.mode: 'head'"),
        ("network.pretrained=true", "it is network.weights"),
        ("train.num_workers=4", "no loader processes"),
        ("batch_size=64", r"it is train.batch_size\.$"),
        ("train.val_ratio=0.2", r"it is protocol.val_ratio\.$"),
        ("hop=3", r"it is windows.hop or frontend.hop or evaluate.hop\.$"),
        ("train.batchsize=64", "Did you mean 'batch_size'"),
    ],
)
def test_a_setting_by_its_name_elsewhere(setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.load("esc50-compact", [setting])


def test_a_table_of_a_recipe_file_is_explained_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[data]\nname = "esc50"\n[train]\nearly_stop = 5\nscheduler = "cosine"\n', "utf-8")
    with pytest.raises(RecipeError, match=r"it is train\.patience.*it is train\.schedule"):
        Recipe.load(file)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train esc50-compact --lr_head 1e-3", "--lr_head. Here it is train.learning_rate"),
        ("bench esc50-compact --freeze-features", "Here it is network.mode"),
        ("bench esc50-compact --n-mels 64", "Here it is frontend.n_mels. A setting is given as --set"),
        ("train esc50-compact --batch_size 8", "--batch-size"),
        ("bench esc50-compact --fold 1", "--folds"),
    ],
)
def test_an_option_by_its_name_elsewhere(words: str, message: str) -> None:
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 2
    assert message in " ".join(re.sub("[│╭╮╰╯─]", " ", done.output).split())


def test_a_file_of_another_program_is_explained() -> None:
    with pytest.raises(RecipeError, match=r"its recipe\.toml"):
        Recipe.load("runs/a2/run_args.json")


def test_what_nobody_calls_anything_has_no_explanation() -> None:
    assert explain_name("xyz", Recipe) == ""
