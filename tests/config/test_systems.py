"""recipes of the systems: each setting that a published system states, beside the field of ours that holds it."""

from functools import cache, reduce
from typing import Any

import pytest

from hubbub.config.recipe import Recipe

load = cache(Recipe.load)
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
B: Table = {
    "10 folds": ("protocol.kind", "kfold"),
    "all of them": ("protocol.folds", ()),
    "validation fold k-1": ("protocol.validation", "previous"),
    "48 kHz": ("audio.rate_hz", 48_000),
    "4 s": ("windows.length", 4 * 48_000),
    "n_fft 2048": ("frontend.n_fft", 2048),
    "hop 512": ("frontend.hop", 512),
    "128 mels": ("frontend.n_mels", 128),
    "from 20 Hz": ("frontend.f_min_hz", 20.0),
    "to 8000 Hz": ("frontend.f_max_hz", 8000.0),
    "dB re max": ("frontend.ref", "max"),
    "others 224": ("frontend.size", (224, 224)),
    "a colour picture": ("network.channels", 3),
    "ImageNet weights": ("network.weights", "default"),
    "two variants of twelve: stretch .8/1.2": ("augment.stretch.rate", (0.8, 1.2)),
    "stretch 2 of 12": ("augment.stretch.p", 0.1667),
    "pitch +-2": ("augment.pitch.semitones", (-2, 2)),
    "pitch 2 of 12": ("augment.pitch.p", 0.1667),
    "SpecAugment, 2 time masks": ("augment.time_mask.count", 2),
    "of at most 20 frames": ("augment.time_mask.frames", 20),
    "2 frequency masks": ("augment.freq_mask.count", 2),
    "of at most 20 bands": ("augment.freq_mask.bands", 20),
    "time masks 3 of 12": ("augment.time_mask.p", 0.25),
    "frequency masks 3 of 12": ("augment.freq_mask.p", 0.25),
    "PatchAugment, 5 patches": ("augment.patches.count", 5),
    "of 10 bands": ("augment.patches.bands", 10),
    "and 10 frames": ("augment.patches.frames", 10),
    "patches 2 of 12": ("augment.patches.p", 0.1667),
    "noise 5/15 dB": ("augment.noise.snr_db", (5, 15)),
    "noise 2 of 12": ("augment.noise.p", 0.1667),
    "learning rate 1e-3": ("train.learning_rate", 1e-3),
    "weight decay 1e-5": ("train.weight_decay", 1e-5),
    "epochs 30": ("train.epochs", 30),
    "patience 7": ("train.patience", 7),
    "scheduler plateau": ("train.schedule", "plateau"),
    "of max val acc": ("train.monitor", "val_accuracy"),
    "by .5": ("train.plateau_factor", 0.5),
    "after 3": ("train.plateau_patience", 3),
    "AMP": ("train.precision", "amp"),
    "class weights total/(classes*count)": ("train.balance", "weights"),
}
INCEPTION: Table = B | {"Inception at 299": ("frontend.size", (299, 299))}
del INCEPTION["others 224"]
C: Table = {
    "44.1 kHz": ("audio.rate_hz", 44_100),
    "5 s": ("windows.length", 5 * 44_100),
    "window 1102": ("frontend.win_length", 1102),
    "hop 441": ("frontend.hop", 441),
    "64 mels": ("frontend.n_mels", 64),
    "dB re max": ("frontend.ref", "max"),
    "per-clip min-max": ("frontend.scale", "minmax"),
    "ResNet18": ("network.name", "resnet18"),
    "one input channel": ("network.channels", 1),
    "from scratch": ("network.weights", "none"),
    "Adam": ("train.optimizer", "adam"),
    "batch 8": ("train.batch_size", 8),
    "lr 1.8096e-4": ("train.learning_rate", 1.8096e-4),
    "wd 1.28e-4": ("train.weight_decay", 1.28e-4),
    "50 epochs": ("train.epochs", 50),
}
HALF: Table = C | {"half the channels": ("network.width", 32)}
CV: Table = {
    "folds in turn": ("protocol.kind", "kfold"),
    "folds 1-4": ("protocol.train", tuple("1234")),
    "the fold tested chooses nothing": ("protocol.validation", "none"),
}
VALIDATION: Table = {
    "train 1-3": ("protocol.train", tuple("123")),
    "validate 4": ("protocol.val", ("4",)),
    "and report its figure": ("protocol.test", ("4",)),
    "which every result says": ("protocol.allow_leaky", True),
    "plateau": ("train.schedule", "plateau"),
    "patience 5": ("train.plateau_patience", 5),
    "factor .1636": ("train.plateau_factor", 0.1636),
}
FINAL: Table = {
    "train 1-4": ("protocol.train", tuple("1234")),
    "the fold tested chooses nothing": ("protocol.val", ()),
    "test 5": ("protocol.test", ("5",)),
}
D: Table = {
    "22.05 kHz": ("audio.rate_hz", 22_050),
    "window 2048": ("frontend.n_fft", 2048),
    "hop 512": ("frontend.hop", 512),
    "not centred": ("frontend.centre", False),
    "128 mels": ("frontend.n_mels", 128),
    "HTK mels": ("frontend.mel_scale", "htk"),
    "floor 1e-10 of a spectrum divided by the sum of 2,048 samples of Hann": ("frontend.amin", 1e-10 * 1024**2),
    "no dB clip": ("frontend.top_db", 0.0),
    "magma colours": ("frontend.colours", "magma"),
    "224 px": ("frontend.size", (224, 224)),
    "AdamW": ("train.optimizer", "adamw"),
    "lr 5e-4": ("train.learning_rate", 5e-4),
    "wd 1e-2": ("train.weight_decay", 1e-2),
    "batch 64": ("train.batch_size", 64),
    "20-30 epochs": ("train.epochs", 25),
    "seeds": ("train.seeds", (42, 123, 999)),
}
D_ESC50: Table = {
    "a source recording on one side": ("protocol.kind", "kfold"),
    "5 s": ("windows.length", 5 * 22_050),
    "noise 25 dB": ("augment.noise.snr_db", (25, 25)),
    "pitch +2": ("augment.pitch.semitones", (2, 2)),
    "stretch .9": ("augment.stretch.rate", (0.9, 0.9)),
}
D_EMODB: Table = {
    "a speaker on one side": ("protocol.kind", "logo"),
    "noise 5-15 dB": ("augment.noise.snr_db", (5, 15)),
    "pitch +-1-2": ("augment.pitch.semitones", (-2, 2)),
    "stretch .9-1.1": ("augment.stretch.rate", (0.9, 1.1)),
    "gain .8-1.2": ("augment.gain.db", (-1.94, 1.58)),
}
D_NETWORKS: dict[str, Table] = {
    "baseline": {"baseline": ("network.name", "baseline"), "dropout .3": ("network.dropout", 0.3)},
    "alexnet": {"AlexNet": ("network.name", "alexnet")},
    "resnet50": {"ResNet-50": ("network.name", "resnet50"), "alone": ("network.attention", "none")},
    "resnet50-se": {"ResNet-50": ("network.name", "resnet50"), "+ SE": ("network.attention", "se")},
    "resnet50-cbam": {"ResNet-50": ("network.name", "resnet50"), "+ CBAM": ("network.attention", "cbam")},
}
E: Table = {
    "official 10-fold": ("protocol.kind", "kfold"),
    "all of them": ("protocol.folds", ()),
    "4 s": ("windows.length", 4 * 44_100),
    "mel 2048": ("frontend.n_fft", 2048),
    "512": ("frontend.hop", 512),
    "128": ("frontend.n_mels", 128),
    "dB re max": ("frontend.ref", "max"),
    "padded with -80 dB to 1,501 frames": ("frontend.frames", 1501),
    "80 dB": ("frontend.top_db", 80.0),
    "(x + 80) / 80": ("frontend.scale", "top_db"),
    "Adam": ("train.optimizer", "adam"),
    "1e-4": ("train.learning_rate", 1e-4),
    "30 epochs": ("train.epochs", 30),
}
RECIPES: dict[str, Table] = {
    "us8k-yamnet-lgbm": SPLIT | WINDOWS_16K | A1,
    "us8k-yamnet-ensemble": SPLIT | WINDOWS_16K | V5,
    "us8k-esresnext": SPLIT | WINDOWS_44K | A2,
    "us8k-audioclip": SPLIT | WINDOWS_44K | A3,
    "esc50-esresnext": WINDOWS_44K | A2,
    "esc50-audioclip": WINDOWS_44K | A3,
    **{
        f"us8k-{name}": B | {name: ("network.name", name)}
        for name in ("alexnet", "vgg16", "resnet18", "mobilenet_v2", "efficientnet_b0", "convnext_tiny")
    },
    "us8k-inception_v3": INCEPTION | {"InceptionV3": ("network.name", "inception_v3")},
    **{
        f"esc50-{network}-{mode}": table | of_mode
        for network, table in (("resnet18", C), ("resnet18half", HALF))
        for mode, of_mode in (("cv", CV), ("validation", VALIDATION), ("final", FINAL))
    },
    **{
        f"{data}-{network}": D | of_data | of_network
        for data, of_data in (("esc50", D_ESC50), ("emodb", D_EMODB))
        for network, of_network in D_NETWORKS.items()
    },
    "us8k-cnn1d": E | {"AudioCNN1D": ("network.name", "cnn1d"), "batch 512": ("train.batch_size", 512)},
    "us8k-transformer": E | {"Transformer encoder": ("network.name", "transformer")},
}
ROWS = [(name, said, *held) for name, table in RECIPES.items() for said, held in table.items()]


@pytest.mark.parametrize(("name", "said", "field", "value"), ROWS)
def test_a_recipe_holds_what_its_system_says(name: str, said: str, field: str, value: object) -> None:
    held = reduce(getattr, field.split("."), load(name))
    assert held == value, said


@pytest.mark.parametrize("name", [name for name, table in RECIPES.items() if table.items() >= SPLIT.items()])
def test_the_split_is_by_official_fold(name: str) -> None:
    recipe = load(name)
    assert (recipe.data.name, recipe.protocol.kind) == ("urbansound8k", "fixed")


def test_every_recipe_is_on_the_data_it_is_named_after() -> None:
    data = {"us8k": "urbansound8k", "esc50": "esc50", "emodb": "emodb"}
    for name in RECIPES:
        assert load(name).data.name == data[name.partition("-")[0]], name


def test_no_recipe_chooses_on_what_it_tests_but_the_one_that_says_so() -> None:
    leaky = {name for name in RECIPES if load(name).protocol.allow_leaky}
    assert leaky == {"esc50-resnet18-validation", "esc50-resnet18half-validation"}


#: System C's search: what it draws -> (name in the space, from, to) or its choices.
SEARCH: dict[str, Any] = {
    "batch {4,8,16,32}": ("train.batch_size", (4, 8, 16, 32)),
    "wd 1e-6..1e-3": ("train.weight_decay", (1e-6, 1e-3)),
    "scheduler on/off": ("train.schedule", ("constant", "plateau")),
    "patience 3-10": ("train.plateau_patience", (3, 10)),
    "factor .1-.5": ("train.plateau_factor", (0.1, 0.5)),
    "dropout .1-.5": ("network.dropout", (0.1, 0.5)),
    "augment strength .1-.5": ("augment_strength", (0.1, 0.5)),
}


def test_system_cs_search_is_as_it_says() -> None:
    search = load("esc50-resnet18-validation").tune
    assert search is not None
    assert (search.trials, search.epochs, search.seed) == (25, 10, 42)
    assert {name: values.ends for name, values in search.space.items()} == dict(SEARCH.values())
    assert {name for name, values in search.space.items() if values.log} == {"train.weight_decay"}
    moved = {field.split(".")[1] for field in search.space["augment_strength"].at_low}
    assert moved == {"time_shift", "freq_mask", "time_mask", "magnitude"}


def test_the_transformer_takes_its_batch_in_parts() -> None:
    train = load("us8k-transformer").train
    assert train.batch_size * train.accumulate == 512


@pytest.mark.parametrize("network", ["esresnext", "audioclip"])
def test_esc50_is_trained_with_the_same_settings_on_its_own_folds(network: str) -> None:
    ours, theirs = load(f"esc50-{network}"), load(f"us8k-{network}")
    assert (ours.data.name, ours.protocol.kind, ours.protocol.folds) == ("esc50", "kfold", ())
    for section in ("audio", "windows", "frontend", "network", "head", "augment", "train", "evaluate"):
        assert getattr(ours, section) == getattr(theirs, section), section


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_else_is_augmented(name: str) -> None:
    stated = {field.split(".")[1] for field, _ in RECIPES[name].values() if field.startswith("augment")}
    if name.startswith("emodb"):
        stated.add("reverb")
    augment = load(name).augment
    assert {key for key, value in augment if value} == stated
