"""The sections of a recipe: every setting with its default, its rule and its meaning.

Each section is a frozen pydantic model, so a setting that breaks its rule is refused when it is made. This room holds
values; it knows nothing of how they are used, nor of files.
"""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, model_validator

__all__ = [
    "AudioSettings",
    "Data",
    "Distinct",
    "Evaluate",
    "FrontEnd",
    "Head",
    "Network",
    "Protocol",
    "Seed",
    "Train",
    "Windows",
    "Section",
]

T = TypeVar("T")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if twice := [value for number, value in enumerate(values) if value in values[:number]]:
        raise ValueError(f"{twice[0]!r} stands there twice: name each once")
    return values


#: Values that are each named once.
Distinct = Annotated[tuple[T, ...], AfterValidator(_distinct)]
#: What numpy, PyTorch and scikit-learn all take as a seed.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


#: A side of a picture.
Pixels = Annotated[int, Field(ge=1, le=8192)]


class Section(BaseModel):
    """What all sections share: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)


class Data(Section):
    """Which clips."""

    name: str = Field(
        description="a known data set (hubbub data list), a CSV file, a folder with one folder a class, or OWNER/NAME "
        "on the Hugging Face hub"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="for a CSV: which column holds path, label, fold, group, clip, start or end, e.g. {path = 'file'}",
    )
    root: str = Field("", description="the folder a CSV's paths start from; default: the CSV's own folder")
    labels: Distinct[str] = Field((), description="the classes and their order; default: the data set's own")
    held_out: Distinct[str] = Field(
        (),
        description="classes that take no part in training or choosing: their clips of the test parts show how well "
        "the classifier knows what it does not know",
    )
    allow_missing: bool = Field(False, description="go on with the clips that are there, and say so in every result")
    limit: int | None = Field(
        None, ge=1, le=10**9, description="at most this many clips a class and fold (for --quick)"
    )


class Protocol(Section):
    """How clips are split into training, validation and test."""

    kind: Literal["kfold", "fixed", "holdout", "logo", "csv"] = Field(
        "kfold", description="official folds, named folds, a grouped hold-out, leave one group out, or given CSV files"
    )
    validation: Literal["next", "previous", "none"] = Field(
        "next", description="kfold and logo: which fold choices are made on"
    )
    folds: Distinct[str] = Field((), description="kfold and logo: the test folds to run; default: all")
    train: Distinct[str] = Field(
        (),
        description="fixed: folds to train on; csv: the one training file; kfold: the only folds that take part",
    )
    val: Distinct[str] = Field((), description="fixed: folds to choose on; csv: the one validation file")
    test: Distinct[str] = Field((), description="fixed: folds to test on; csv: the one test file")
    test_ratio: float = Field(0.2, gt=0, lt=1, description="holdout: share of clips in the test part")
    val_ratio: float = Field(0.2, gt=0, lt=1, description="holdout: share of clips in the validation part")
    seed: Seed = Field(0, description="holdout: which split is drawn")
    allow_leaky: bool = Field(False, description="run a split that leaks; everything written says NOT COMPARABLE")

    @model_validator(mode="after")
    def _named_parts_are_used(self) -> Self:
        parts = ("train", "val", "test")
        used = {"kfold": ("folds", "train"), "logo": ("folds",), "holdout": ()}.get(self.kind, parts)
        idle = [name for name in ("folds", *parts) if getattr(self, name) and name not in used]
        if idle:
            raise ValueError(f"kind '{self.kind}' does not use {idle[0]}: leave it out, or set another kind")
        if self.kind == "csv" and any(len(getattr(self, name)) > 1 for name in parts):
            raise ValueError("kind 'csv' takes one file a part: join their rows in one")
        if self.kind in ("fixed", "csv") and self.validation == "none" and self.val:
            raise ValueError("validation is 'none', so val must be empty: leave it out, or set validation = 'next'")
        return self

    @model_validator(mode="after")
    def _parts_leave_something_to_train_on(self) -> Self:
        if self.kind == "holdout" and self.test_ratio + self.val_ratio >= 1:
            raise ValueError(
                f"test_ratio {self.test_ratio:g} and val_ratio {self.val_ratio:g} leave nothing to train on"
            )
        return self


class AudioSettings(Section):
    """What a wave is before it is cut."""

    rate_hz: int = Field(16_000, ge=1_000, le=768_000, description="every recording is resampled to this rate [Hz]")


class Windows(Section):
    """How a clip is cut into segments."""

    length: int = Field(15_600, ge=1, le=2**26, description="samples a segment")
    hop: int = Field(7_680, ge=1, le=2**26, description="samples from one segment's start to the next")
    pad: Literal["zeros", "repeat"] = Field("zeros", description="what fills the last or only segment of a short clip")

    levels: tuple[Literal["recorded", "rms"], ...] = Field(
        ("recorded",), min_length=1, description="heads: loudnesses each segment is heard at; their scores are averaged"
    )

    @model_validator(mode="after")
    def _hop_within_length(self) -> Self:
        if self.hop > self.length:
            raise ValueError(f"a hop of {self.hop} samples leaves gaps between segments of {self.length}")
        return self


class FrontEnd(Section):
    """Waves to time-frequency arrays, for networks that have no front end of their own."""

    #: Recipes and classifiers stored by earlier versions say `given` for `precomputed`.
    name: Annotated[
        Literal["none", "logmel", "precomputed"],
        BeforeValidator(lambda name: "precomputed" if name == "given" else name),
    ] = Field(
        "none",
        description="none where the network holds its own; precomputed: the data are spectrograms or images, and how "
        "they were computed is not known, so the classifier takes only these",
    )
    n_fft: int = Field(1024, ge=2, le=2**20, description="FFT length [samples]")
    win_length: int | None = Field(None, ge=2, le=2**20, description="window length [samples]; default: the FFT's")
    hop: int = Field(320, ge=1, le=2**20, description="samples from one frame to the next")
    n_mels: int = Field(64, ge=1, le=4096, description="mel bands")
    f_min_hz: float = Field(0.0, ge=0, description="lower edge of the lowest band [Hz]")
    f_max_hz: float | None = Field(
        None, gt=0, description="upper edge of the highest band [Hz]; default: half the rate"
    )
    convention: Literal["librosa", "tensorflow"] = Field("librosa", description="framing and triangles, see LogMel")
    mel_scale: Literal["htk", "slaney"] = Field("slaney", description="mel scale")
    norm: Literal["slaney", "none"] = Field("slaney", description="whether each band is divided by its width")
    power: float = Field(2.0, gt=0, description="1 for magnitude, 2 for power")
    centre: bool = Field(True, description="centre frames on their hop, padding both ends")
    pad_mode: Literal["constant", "reflect"] = Field("constant", description="what centred frames are padded with")
    log: Literal["db", "offset"] = Field("db", description="decibels, or ln(mel + offset)")
    offset: float = Field(1e-3, gt=0, description="added before the natural logarithm")
    ref: Literal["one", "max"] = Field("one", description="decibels relative to 1 or to the clip's loudest cell")
    amin: float = Field(1e-10, gt=0, description="floor before the decibels")
    top_db: float = Field(80.0, ge=0, description="decibels kept below the loudest cell; 0 keeps all")
    frames: int | None = Field(
        None,
        ge=1,
        le=2**20,
        description="frames every segment is padded to, with the lowest value, or cut to; default: its own",
    )
    scale: Literal["none", "minmax", "top_db"] = Field(
        "none", description="minmax: each segment's own range becomes 0..1; top_db: (dB + top_db) / top_db, 0..1"
    )
    size: tuple[Pixels, Pixels] | None = Field(
        None, description="height and width after bilinear resizing; default: bands and frames"
    )
    colours: Literal["none", "magma"] = Field(
        "none", description="a colour map that makes three channels of one; needs a scale"
    )
    standardise: Literal["none", "imagenet", "half", "training"] = Field(
        "none",
        description="(picture - mean) / deviation a channel: ImageNet's, .5 for both (0..1 becomes -1..1), or those of "
        "the training part",
    )

    @model_validator(mode="after")
    def _picture_fits(self) -> Self:
        if self.name == "precomputed" and not (self.size or self.frames):
            raise ValueError("name 'precomputed' needs size (of pictures), or n_mels and frames (of spectrograms)")
        if self.colours != "none" and self.scale == "none":
            raise ValueError(f"colours = '{self.colours}' needs values from 0 to 1: set scale to minmax or top_db")
        if self.standardise in ("imagenet", "half") and self.scale == "none":
            raise ValueError(
                f"standardise = '{self.standardise}' is for values from 0 to 1: set scale to minmax or top_db"
            )
        if self.scale == "top_db" and (self.ref != "max" or not self.top_db or self.log != "db"):
            raise ValueError("scale = 'top_db' needs log = 'db', ref = 'max' and a top_db: else 0..1 is not its range")
        return self


class Network(Section):
    """The network between front end and head."""

    name: str = Field("cnn", description="a key of hubbub.models.registry.NETWORKS, or any model name of timm")
    weights: str = Field(
        "default",
        description="weights to start from: default (the network's published ones, if any), none (drawn from the "
        "seed), imagenet, the name of published ones, or a checkpoint file",
    )
    mode: Literal["finetune", "head", "auto"] = Field(
        "finetune",
        description="train all of it, or its last layer (and attention) on the frozen rest, or all where there is an "
        "accelerator",
    )
    channels: Literal[1, 3] = Field(
        1, description="image networks: input channels; a spectrogram without colours is given to each of them"
    )
    attention: Literal["none", "se", "cbam"] = Field(
        "none", description="resnet: squeeze-and-excitation or CBAM after each stage; all of it trains"
    )
    width: int | None = Field(
        None,
        ge=1,
        le=8192,
        description="cnn, compact, resnet: channels of the first block, doubled by later ones; default: its own",
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout before the last layer")


class Head(Section):
    """The classifier on frozen embeddings; `none` where the network is trained itself."""

    name: Literal["none", "logreg", "lda", "mlp", "lightgbm", "ensemble"] = Field("none", description="which head")
    pool: Literal["segment", "mean", "max", "mean+max"] = Field(
        "segment", description="fit on each segment's embedding, or on a clip's pooled one"
    )
    compress: bool = Field(False, description="logreg, lda, mlp: take the embeddings' signed logarithm first")
    c: tuple[PositiveFloat, ...] = Field(
        (0.003, 0.01, 0.03), min_length=1, description="logreg: inverse penalties tried on validation"
    )
    shrinkage: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (0.1, 0.2, 0.3), min_length=1, description="lda: shrinkages tried on validation"
    )
    hidden: int = Field(256, ge=1, le=2**16, description="mlp: hidden units")
    epochs: tuple[Annotated[int, Field(gt=0, le=100_000)], ...] = Field(
        (10, 20, 40), min_length=1, description="mlp: training lengths tried on validation"
    )
    learning_rate: float = Field(1e-3, gt=0, description="mlp: Adam's step")
    alpha: float = Field(1e-3, ge=0, description="mlp: L2 penalty")
    trees: int = Field(700, ge=1, le=100_000, description="lightgbm: boosting rounds")
    leaves: int = Field(64, ge=2, le=131_072, description="lightgbm: leaves a tree")
    tree_learning_rate: float = Field(0.05, gt=0, description="lightgbm: shrinkage")
    subsample: float = Field(0.9, gt=0, le=1, description="lightgbm: share of rows a tree sees")
    subsample_freq: int = Field(
        0, ge=0, le=100_000, description="lightgbm: redraw the rows every so many trees; 0 turns it off"
    )
    colsample: float = Field(0.9, gt=0, le=1, description="lightgbm: share of columns a tree sees")
    max_bin: int = Field(255, ge=2, le=65_535, description="lightgbm: histogram bins; fewer is faster")
    balanced: bool = Field(True, description="weigh classes by 1 / their count")


class Train(Section):
    """How a network is trained."""

    seeds: Distinct[Seed] = Field((42,), min_length=1, description="one run of every fold for each")
    epochs: int = Field(30, ge=1, le=100_000, description="the longest training, freeze_epochs included")
    batch_size: int = Field(
        32, ge=1, le=2**20, description="segments a step and device, at most: an epoch is cut evenly"
    )
    accumulate: int = Field(1, ge=1, le=2**20, description="batches whose gradients are summed before a step")
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adamw", description="sgd: with Nesterov momentum")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd: momentum")
    learning_rate: float = Field(1e-3, gt=0, description="largest step of the head; of all without the next field")
    backbone_learning_rate: float | None = Field(None, gt=0, description="largest step of all but the head")
    weight_decay: float = Field(1e-2, ge=0, description="the optimizer's decay")
    schedule: Literal["constant", "onecycle", "cosine", "exponential", "plateau"] = Field(
        "onecycle", description="learning rate over the steps; plateau: lowered when the monitor stands still"
    )
    min_learning_rate: float = Field(1e-6, ge=0, description="cosine: where it ends")
    gamma: float = Field(0.99, gt=0, le=1, description="exponential: factor an epoch")
    plateau_factor: float = Field(0.5, gt=0, lt=1, description="plateau: factor when the monitor stands still")
    plateau_patience: int = Field(3, ge=0, le=100_000, description="plateau: epochs it may stand still")
    warmup_epochs: int = Field(
        0, ge=0, le=100_000, description="epochs over which the learning rate rises evenly from zero"
    )
    freeze_epochs: int = Field(
        0, ge=0, le=100_000, description="first epochs in which only the head learns, at full rate"
    )
    bn_eval: bool = Field(False, description="keep BatchNorm's statistics as they were loaded")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    balance: Literal["none", "weights", "sampler", "weights+sampler"] = Field(
        "none", description="rare classes weigh more, or are drawn more often; both correct twice"
    )
    average: float = Field(
        0.0, ge=0, lt=1, description="decay a step of a running mean of the weights, which is what is kept; 0: none"
    )
    clip_norm: float = Field(0.0, ge=0, description="largest norm of a step's gradient; 0 leaves it")
    patience: int = Field(10, ge=1, le=100_000, description="epochs without a better monitor before training stops")
    monitor: Literal["val_loss", "val_accuracy", "val_macro_f1"] = Field(
        "val_loss", description="the validation metric (segment level) that picks the epoch"
    )
    precision: Literal["fp32", "bf16", "fp16", "amp"] = Field(
        "fp32", description="arithmetic of the forward pass; amp: bf16 or fp16, whichever the device is made for"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where networks run")
    devices: int = Field(1, ge=1, le=1024, description="how many of them, on each machine, train one network together")
    nodes: int = Field(1, ge=1, le=1024, description="machines that train one network together, started by torchrun")
    trackers: tuple[Literal["mlflow", "wandb"], ...] = Field((), description="besides TensorBoard, which always runs")

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if self.freeze_epochs + self.warmup_epochs > self.epochs:
            raise ValueError(
                f"freeze_epochs {self.freeze_epochs} and warmup_epochs {self.warmup_epochs} do not fit into "
                f"{self.epochs} epochs"
            )
        if (count := self.nodes * self.devices) > 1 and self.batch_size < 2:
            raise ValueError(f"batch_size {self.batch_size} is too small for {count} devices: give 2 or more")
        if self.warmup_epochs and self.schedule in ("plateau", "onecycle"):
            raise ValueError(f"warmup_epochs do not go with schedule '{self.schedule}': use cosine or exponential")
        return self


class Evaluate(Section):
    """How segments become a decision, and how sure a figure is."""

    pooling: Literal["mean_prob", "mean_logit", "max"] = Field("mean_prob", description="segments to clip")
    hop: int | None = Field(
        None, ge=1, description="multi-crop: samples from one scored segment to the next; default: windows.hop"
    )
    shifts: tuple[Annotated[float, Field(gt=-1, lt=1)], ...] = Field(
        (), description="each segment is also heard rolled right by these shares of its length; scores are averaged"
    )
    unknown: Literal["max_logit", "energy", "max_prob"] = Field(
        "max_logit",
        description="what tells 'none of these': a clip is known where this score of one of its segments at least "
        "reaches the threshold that 95 % of the validation clips reach",
    )
    resamples: int = Field(1000, ge=10, le=1_000_000, description="bootstrap resamples for the 95 % interval")
