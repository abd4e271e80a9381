"""What other programs call a setting: those names, the setting here, and why it is that one.

A near match by spelling is wrong where another setting is spelt alike (`head_warmup_epochs`, `warmup_epochs`), so these
names come first; then a setting of that name in another section.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

__all__ = ["OTHER_NAMES", "explain_name"]

_FREEZE = ("train.freeze_epochs", "the first epochs, in which only the head is trained")
_BACKBONE = ("train.backbone_learning_rate", "the learning rate of all but the head")
_RATE = ("train.learning_rate", "the learning rate; of the head alone if train.backbone_learning_rate is set")
_POOLING = ("evaluate.pooling", "how a clip's scores are computed: mean_prob, mean_logit (logit_mean elsewhere) or max")
_STOP = ("train.patience", "training ends after this many epochs without improvement of train.monitor")
_LENGTH = ("windows.length", "in samples, or in seconds: '0.96 s'")
_HOP = ("windows.hop", "the distance between two segments: half of windows.length for an overlap of 50 %")
_SHIFTS = ("evaluate.shifts", "test-time augmentation by rolls, as shares of a segment: [0.005, 0.01]")
_DATA = ("data.name", "a folder, a table or a data set's name; HUBBUB_HOME names the folder of all data sets")
_LISTS = "protocol.kind = 'csv' takes a list for each part: protocol.train, protocol.val, protocol.test"
_FOLDS = "protocol.kind = 'fixed' takes the folds of each part: protocol.train, protocol.val, protocol.test"
_WEIGHTS = ("network.weights", "'default' for published weights, 'none' for random ones, or a checkpoint file")
_NETWORK = ("network.name", "the network")
_BALANCE = ("train.balance", "'weights', 'sampler' or 'weights+sampler', against class imbalance")
_RECIPE = ("", "every setting of a run, resolved, is in its recipe.toml: hubbub bench RUN/recipe.toml")
_LOADERS = ("", "data stay decoded in memory, so there are no loader processes to set")
_ALPHA = ("", "adapters have the factor 1, as if alpha were lora_rank: train.backbone_learning_rate does the rest")
_TARGETS = ("network.lora_rank", "adapters are on all linear layers of the blocks, without dropout of their own")
_OUT = ("--out", "the folder for run folders; --name names one")

#: Name elsewhere -> the setting or option here ("" where there is none), and the reason.
OTHER_NAMES: dict[str, tuple[str, str]] = {
    # System A
    **dict.fromkeys(("head_warmup_epochs", "head_warmup", "warmup_head_epochs", "head_epochs"), _FREEZE),
    **dict.fromkeys(("lr_head", "head_lr", "lr", "base_lr"), _RATE),
    **dict.fromkeys(("lr_backbone", "backbone_lr"), _BACKBONE),
    **dict.fromkeys(("clip_agg", "clip_aggregation", "aggregation", "logit_mean"), _POOLING),
    **dict.fromkeys(("early_stop", "early_stopping", "early_stop_patience", "early_stopping_patience"), _STOP),
    **dict.fromkeys(("win_sec", "window_sec", "win_seconds", "segment_seconds"), _LENGTH),
    **dict.fromkeys(("hop_sec", "hop_seconds", "overlap"), _HOP),
    **dict.fromkeys(("tta", "tta_shifts", "tta_rolls"), _SHIFTS),
    **dict.fromkeys(("data_dir", "data_root", "data_path", "dataset", "dataset_dir", "root_dir"), _DATA),
    **dict.fromkeys(("run_args.json", "run_args", "config.json", "args.json"), _RECIPE),
    **dict.fromkeys(("accum_steps", "accumulation_steps", "grad_accum", "grad_accum_steps"),
                    ("train.accumulate", "batches per optimizer step")),
    **dict.fromkeys(("balanced_sampler", "class_weights", "use_class_weights", "weighted_sampler"), _BALANCE),
    "class_weight": ("head.balanced", "LightGBM's and other heads' class weights; of a network: train.balance"),
    "n_estimators": ("head.trees", "LightGBM's boosting rounds"),
    "num_leaves": ("head.leaves", "LightGBM's leaves per tree"),
    "colsample_bytree": ("head.colsample", "the share of the columns that each tree is fitted on"),
    **dict.fromkeys(("min_lr", "eta_min", "lr_min"), ("train.min_learning_rate", "where a cosine schedule ends")),
    **dict.fromkeys(("wd", "l2"), ("train.weight_decay", "the optimizer's weight decay")),
    **dict.fromkeys(("amp", "use_amp", "mixed_precision"), ("train.precision", "'amp' for mixed precision")),
    **dict.fromkeys(("train_folds", "val_fold", "val_folds", "test_fold", "test_folds"), ("protocol", _FOLDS)),
    **dict.fromkeys(("noise_snr", "noise_snr_db", "snr"), ("augment.noise.snr_db", "noise by its ratio, [10, 25]")),
    **dict.fromkeys(("gain_db", "gain"), ("augment.gain.db", "a range in decibels, [-6, 6]")),
    **dict.fromkeys(("shift", "shift_max", "roll_max"), ("augment.roll.fraction", "rolls of waves in training")),
    **dict.fromkeys(("pitch_shift", "n_steps"), ("augment.pitch.semitones", "a range, [-2, 2]")),
    "time_stretch": ("augment.stretch.rate", "a range, [0.9, 1.1]"),
    "cache_dir": ("HUBBUB_CACHE", "the environment variable that names the cache folder"),
    # System B
    **dict.fromkeys(("freeze_features", "freeze_backbone", "feature_extract"),
                    ("network.mode", "'head' trains the last layer and freezes the rest")),
    **dict.fromkeys(("pretrained", "use_pretrained", "checkpoint", "checkpoint_path"), _WEIGHTS),
    **dict.fromkeys(("model", "model_name", "arch", "architecture", "backbone"), _NETWORK),
    **dict.fromkeys(("num_workers", "workers", "n_workers"), _LOADERS),
    **dict.fromkeys(("distributed", "world_size"), ("train.devices", "devices of one machine; train.nodes: machines")),
    **dict.fromkeys(("scheduler", "lr_scheduler", "use_scheduler"),
                    ("train.schedule", "'plateau', 'cosine', 'constant', 'onecycle' or 'exponential'")),
    **dict.fromkeys(("scheduler_patience", "lr_patience"), ("train.plateau_patience", "plateau: epochs to wait")),
    **dict.fromkeys(("scheduler_factor", "lr_factor", "factor"), ("train.plateau_factor", "plateau: the reduction")),
    **dict.fromkeys(("num_epochs", "n_epochs", "max_epochs"), ("train.epochs", "the largest number of epochs")),
    **dict.fromkeys(("n_folds", "num_folds", "kfold", "k_folds"),
                    ("protocol.kind", "'kfold' runs the data set's folds; protocol.k is for folds that are made")),
    **dict.fromkeys(("image_size", "img_size", "input_size"), ("frontend.size", "height and width, [224, 224]")),
    "spec_file_name": ("data.name", "the CSV that lists the images, with its own columns"),
    # peft and timm
    **dict.fromkeys(("r", "lora", "lora_r", "use_lora", "lora_config", "peft"),
                    ("network.lora_rank", "the rank of low-rank adapters, 8 for example")),
    **dict.fromkeys(("lora_alpha", "lora_scaling", "rslora"), _ALPHA),
    **dict.fromkeys(("lora_dropout", "lora_target_modules", "target_modules", "modules_to_save"), _TARGETS),
    **dict.fromkeys(("llrd", "layerwise_lr_decay", "layer_wise_lr_decay", "layer_lr_decay", "lr_layer_decay"),
                    ("train.layer_decay", "the factor of the rate from each block to the one before it")),
    **dict.fromkeys(("gradient_checkpointing", "grad_checkpointing", "activation_checkpointing", "use_checkpoint"),
                    ("train.checkpointing", "computes blocks again instead of keeping what is in them")),
    **dict.fromkeys(("unfreeze_last_n", "unfreeze_layers", "trainable_layers", "unfreeze_blocks"),
                    ("network.trained_blocks", "how many of the last blocks are trained")),
    **dict.fromkeys(("frozen_layers", "freeze_layers", "freeze_blocks", "num_frozen_layers"),
                    ("network.trained_blocks", "the last blocks, which are trained; all before them is frozen")),
    "resume": ("", "the same command continues a run that was stopped"),
    # System C
    **dict.fromkeys(("sample_rate", "sampling_rate", "sr"), ("audio.rate_hz", "every recording is resampled to it")),
    **dict.fromkeys(("hop_length", "hop_size"), ("frontend.hop", "the distance between two spectrogram frames")),
    "window_size": ("frontend.win_length", "a spectrogram frame, in samples; a segment is windows.length"),
    **dict.fromkeys(("fmin", "f_min"), ("frontend.f_min_hz", "the lower edge of the lowest mel band")),
    **dict.fromkeys(("fmax", "f_max"), ("frontend.f_max_hz", "the upper edge of the highest mel band")),
    **dict.fromkeys(("dropout_rate", "dropout_p"), ("network.dropout", "before the last layer")),
    **dict.fromkeys(("augment_strength", "use_augmentation", "augmentation"),
                    ("augment", "a section: each augmentation has its own strength; none without it")),
    **dict.fromkeys(("n_trials", "num_trials"), ("tune.trials", "or hubbub tune RECIPE --trials")),
    "freq_masking": ("augment.freq_mask", "frequency masks"),
    "time_masking": ("augment.time_mask", "time masks"),
    **dict.fromkeys(("mlflow", "wandb", "use_mlflow", "use_wandb", "tracking"), ("train.trackers", "['mlflow']")),
    # Systems D and E
    **dict.fromkeys(("train_csv", "val_csv", "valid_csv", "test_csv"), ("protocol", _LISTS)),
    **dict.fromkeys(("use_se", "use_cbam", "cbam", "se"), ("network.attention", "'se' or 'cbam'")),
    **dict.fromkeys(("seed", "random_seed", "random_state"), ("train.seeds", "[42], or several; of a split: "
                                                              "protocol.seed")),
    **dict.fromkeys(("out_dir", "output_dir", "log_dir", "save_dir", "results_dir"), _OUT),
    **dict.fromkeys(("max_len", "max_frames", "target_length"), ("frontend.frames", "frames per segment")),
    "min_db": ("frontend.top_db", "the range below the largest value, in dB, as a positive number"),
    **dict.fromkeys(("hf_token", "token"), ("HF_TOKEN", "in the environment or in a file .env")),
}  # fmt: skip


def explain_name(name: str, recipe: type[BaseModel]) -> str:
    """What a name that is no setting stands for, in a sentence: another program's name, or a setting of another section
    of the class `recipe`; "" where it is neither."""
    plain = Path(name).name.strip("-").replace("-", "_").lower()
    if plain in OTHER_NAMES:
        ours, reason = OTHER_NAMES[plain]
        return f"Here it is {ours}: {reason}." if ours else f"Here {reason}."
    found = [f"{section}.{plain}" for section, fields in _sections(recipe) if plain in fields]
    return f"Here it is {' or '.join(found)}." if found else ""


def _sections(recipe: type[BaseModel]) -> Iterator[tuple[str, set[str]]]:
    """The sections of a recipe, and the names of their fields."""
    for name, field in recipe.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield name, set(kind.model_fields)
