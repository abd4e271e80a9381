"""recipes of the systems: each setting that a published system states, beside the field of ours that holds it."""

from functools import reduce
from typing import Any

import pytest

from hubbub.recipe import Recipe

Table = dict[str, tuple[str, Any]]
#: What the system's description says -> (field, value).
SPLIT: Table = {
    "train 1-8": ("protocol.train", tuple("12345678")),
    "validation 9": ("protocol.val", ("9",)),
    "test 10": ("protocol.test", ("10",)),
    "seed 42": ("train.seeds", (42,)),
}
WINDOWS_16K: Table = {
    ".96 s at 16 kHz": ("windows.length", 15_360),
    "50 % overlap at 16 kHz": ("windows.hop", 7_680),
    "16 kHz": ("audio.rate_hz", 16_000),
}
WINDOWS_44K: Table = {
    ".96 s at 44.1 kHz": ("windows.length", 42_336),
    "50 % overlap at 44.1 kHz": ("windows.hop", 21_168),
    "44.1 kHz": ("audio.rate_hz", 44_100),
}
A1: Table = {
    "1024-d embedding a segment": ("head.pool", "segment"),
    "LightGBM": ("head.name", "lightgbm"),
    "700 trees": ("head.trees", 700),
    "64 leaves": ("head.leaves", 64),
    "lr .05": ("head.tree_learning_rate", 0.05),
    "subsample .9": ("head.subsample", 0.9),
    "subsample_freq 0": ("head.subsample_freq", 0),
    "colsample .9": ("head.colsample", 0.9),
    "balanced class weights": ("head.balanced", True),
}
V5: Table = A1 | {"LightGBM": ("head.name", "ensemble")}
A2: Table = {
    "ESResNeXt-fbsp": ("network.name", "esresnext"),
    "AudioSet checkpoint": ("network.weights", "default"),
    "fine-tuned on an accelerator, the head alone without": ("network.mode", "auto"),
    "batch 128": ("train.batch_size", 128),
    "4 warm-up epochs (head only)": ("train.freeze_epochs", 4),
    "then 32 epochs all layers": ("train.epochs", 4 + 32),
    "lr head 1e-3": ("train.learning_rate", 1e-3),
    "backbone 5e-5": ("train.backbone_learning_rate", 5e-5),
    "cosine per step": ("train.schedule", "cosine"),
    "to 1e-6": ("train.min_learning_rate", 1e-6),
    "AdamW": ("train.optimizer", "adamw"),
    "wd 1e-4": ("train.weight_decay", 1e-4),
    "label smoothing .05": ("train.label_smoothing", 0.05),
    "early stop 5": ("train.patience", 5),
    "on validation segment macro-F1": ("train.monitor", "val_macro_f1"),
    "AMP": ("train.precision", "amp"),
    "TTA = original and right rolls of .5 % and 1 %": ("evaluate.shifts", (0.005, 0.01)),
    "mean of segment probabilities": ("evaluate.pooling", "mean_prob"),
    "gain +-6 dB": ("augment.gain.db", (-6, 6)),
    "gain p .7": ("augment.gain.p", 0.7),
    "Gaussian noise of sd .001-.01": ("augment.noise.sd", (0.001, 0.01)),
    "noise p .5": ("augment.noise.p", 0.5),
    "roll +-2 %": ("augment.roll.fraction", 0.02),
    "roll p .7": ("augment.roll.p", 0.7),
    "pitch +-2 st": ("augment.pitch.semitones", (-2, 2)),
    "pitch p .5": ("augment.pitch.p", 0.5),
    "stretch .9-1.1": ("augment.stretch.rate", (0.9, 1.1)),
    "stretch p .5": ("augment.stretch.p", 0.5),
    "balanced once, not twice": ("train.balance", "weights"),
}
A3: Table = {
    "AudioCLIP audio branch": ("network.name", "audioclip"),
    "mode finetune or head": ("network.mode", "auto"),
    "40 epochs": ("train.epochs", 40),
    "6 warm-up": ("train.warmup_epochs", 6),
    "batch 64": ("train.batch_size", 64),
    "x 2 accumulation": ("train.accumulate", 2),
    "lr backbone 2e-5": ("train.backbone_learning_rate", 2e-5),
    "head 3e-4": ("train.learning_rate", 3e-4),
    "label smoothing .10": ("train.label_smoothing", 0.1),
    "early stop 8": ("train.patience", 8),
    "BatchNorm kept in eval": ("train.bn_eval", True),
    "3 head warm-up epochs": ("train.freeze_epochs", 3),
    "logit_mean": ("evaluate.pooling", "mean_logit"),
    "TTA 2 shifts": ("evaluate.shifts", (0.005, 0.01)),
    "gain 6 dB": ("augment.gain.db", (-6, 6)),
    "shift .10": ("augment.roll.fraction", 0.1),
    "noise SNR 10-25 dB": ("augment.noise.snr_db", (10, 25)),
}
RECIPES: dict[str, Table] = {
    "us8k-yamnet-lgbm": SPLIT | WINDOWS_16K | A1,
    "us8k-yamnet-ensemble": SPLIT | WINDOWS_16K | V5,
    "us8k-esresnext": SPLIT | WINDOWS_44K | A2,
    "us8k-audioclip": SPLIT | WINDOWS_44K | A3,
    "esc50-esresnext": WINDOWS_44K | A2,
    "esc50-audioclip": WINDOWS_44K | A3,
}
ROWS = [(name, said, *held) for name, table in RECIPES.items() for said, held in table.items()]


@pytest.mark.parametrize(("name", "said", "field", "value"), ROWS)
def test_a_recipe_holds_what_its_system_says(name: str, said: str, field: str, value: object) -> None:
    held = reduce(getattr, field.split("."), Recipe.load(name))
    assert held == value, said


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("us8k")])
def test_the_split_is_by_official_fold(name: str) -> None:
    recipe = Recipe.load(name)
    assert (recipe.data.name, recipe.protocol.kind) == ("urbansound8k", "fixed")


@pytest.mark.parametrize("network", ["esresnext", "audioclip"])
def test_esc50_is_trained_with_the_same_settings_on_its_own_folds(network: str) -> None:
    ours, theirs = Recipe.load(f"esc50-{network}"), Recipe.load(f"us8k-{network}")
    assert (ours.data.name, ours.protocol.kind, ours.protocol.folds) == ("esc50", "kfold", ())
    for section in ("audio", "windows", "frontend", "network", "head", "augment", "train", "evaluate"):
        assert getattr(ours, section) == getattr(theirs, section), section


@pytest.mark.parametrize("name", ["us8k-esresnext", "us8k-audioclip"])
def test_nothing_else_is_augmented(name: str) -> None:
    stated = {field.split(".")[1] for _, field, _ in ((s, *h) for s, h in RECIPES[name].items()) if "augment" in field}
    augment = Recipe.load(name).augment
    assert {key for key, value in augment if value} == stated
