"""The sections of a recipe from sound to figures, and the base of all sections.

Each section is a frozen pydantic model, which refuses a value that breaks its rule. The descriptions are the source of
`docs/recipe-reference.md`. `[data]`, `[protocol]`, `[train]`, `[augment]` and `[tune]` have modules of their own.
"""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, model_validator

__all__ = [
    "AudioSettings",
    "Distinct",
    "Evaluate",
    "FrontEnd",
    "Head",
    "Network",
    "RETIRED",
    "Seed",
    "Windows",
    "Section",
]

T = TypeVar("T")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if twice := [value for number, value in enumerate(values) if value in values[:number]]:
        raise ValueError(f"{twice[0]!r} is named twice: name each once")
    return values


#: Values without duplicates.
Distinct = Annotated[tuple[T, ...], AfterValidator(_distinct)]
#: A seed that numpy, PyTorch and scikit-learn all accept.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


#: Settings of earlier versions, and why they are gone. Recipes may hold them still; `--set` refuses them.
RETIRED = {"evaluate.resamples": "intervals are computed without drawing samples. Leave the setting out."}
#: Height or width of an image.
Pixels = Annotated[int, Field(ge=1, le=8192)]


class Section(BaseModel):
    """The base of all sections: frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)


class AudioSettings(Section):
    """The waveforms before they are cut into segments."""

    rate_hz: int = Field(16_000, ge=1_000, le=768_000, description="every recording is resampled to this rate [Hz]")


class Windows(Section):
    """How clips are cut into segments."""

    length: int = Field(15_600, ge=1, le=2**26, description="length of a segment [samples], or in seconds: '0.96 s'")
    hop: int = Field(
        7_680,
        ge=1,
        le=2**26,
        description="distance between the starts of two segments [samples], or in seconds: '0.48 s'",
    )
    pad: Literal["zeros", "repeat"] = Field(
        "zeros", description="how a segment that is too short is filled: with zeros, or by repeating the clip"
    )

    levels: tuple[Literal["recorded", "rms"], ...] = Field(
        ("recorded",),
        min_length=1,
        description="heads: the levels at which each segment is scored; the scores are averaged; recorded: unchanged; "
        "rms: scaled to an RMS of 0.1",
    )
    speeds: tuple[Annotated[float, Field(ge=0.5, le=2)], ...] = Field(
        (1.0,),
        min_length=1,
        description="heads: the speeds at which each segment is scored at each level; the scores are averaged; "
        "0.9: slower and lower by a tenth, its middle; 1.1: faster and higher by a tenth, then its beginning again",
    )

    @model_validator(mode="after")
    def _hop_within_length(self) -> Self:
        if self.hop > self.length:
            raise ValueError(f"a hop of {self.hop} samples leaves gaps between segments of {self.length}")
        return self


class FrontEnd(Section):
    """From waveforms to spectrograms, for networks without a front end of their own."""

    #: Recipes and classifiers stored by earlier versions say `given` for `precomputed`.
    name: Annotated[
        Literal["none", "logmel", "precomputed"],
        BeforeValidator(lambda name: "precomputed" if name == "given" else name),
    ] = Field(
        "none",
        description="logmel: log-mel spectrograms; none: the network has its own front end; precomputed: the data are "
        "spectrograms or images already, and the classifier takes no sound",
    )
    n_fft: int = Field(1024, ge=2, le=2**20, description="FFT length [samples]")
    win_length: int | None = Field(None, ge=2, le=2**20, description="window length [samples]; default: n_fft")
    hop: int = Field(320, ge=1, le=2**20, description="distance between two frames [samples]")
    n_mels: int = Field(64, ge=1, le=4096, description="number of mel bands")
    f_min_hz: float = Field(0.0, ge=0, description="lower edge of the lowest band [Hz]")
    f_max_hz: float | None = Field(
        None, gt=0, description="upper edge of the highest band [Hz]; default: half of audio.rate_hz"
    )
    convention: Literal["librosa", "tensorflow"] = Field(
        "librosa", description="the library whose framing and mel filters are used"
    )
    mel_scale: Literal["htk", "slaney"] = Field("slaney", description="formula of the mel scale")
    norm: Literal["slaney", "none"] = Field("slaney", description="slaney: each mel filter is divided by its width")
    power: float = Field(2.0, gt=0, description="exponent of the magnitude: 1 for amplitude, 2 for power")
    centre: bool = Field(True, description="centre frames on multiples of hop and pad both ends")
    pad_mode: Literal["constant", "reflect"] = Field(
        "constant", description="padding of centred frames: zeros, or reflection"
    )
    log: Literal["db", "offset"] = Field("db", description="db: decibels; offset: ln(mel + offset)")
    offset: float = Field(1e-3, gt=0, description="if log = offset: added before the logarithm")
    ref: Literal["one", "max"] = Field(
        "one", description="if log = db: decibels relative to 1, or to the largest value of the segment"
    )
    amin: float = Field(1e-10, gt=0, description="if log = db: smaller values are raised to this before the logarithm")
    top_db: float = Field(
        80.0,
        ge=0,
        description="if log = db: values more than this many decibels below the largest are raised to that level; 0: "
        "off",
    )
    frames: int | None = Field(
        None,
        ge=1,
        le=2**20,
        description="frames per segment: longer ones are cut, shorter ones padded with the lowest value; "
        "default: no change",
    )
    scale: Literal["none", "minmax", "top_db"] = Field(
        "none",
        description="scaling to 0..1; minmax: by each segment's smallest and largest value; "
        "top_db: (dB + top_db) / top_db",
    )
    size: tuple[Pixels, Pixels] | None = Field(
        None,
        description="height and width that the image is resized to (bilinear); default: bands and frames, without "
        "resizing",
    )
    colours: Literal["none", "magma"] = Field(
        "none", description="colour map, which makes images with three channels; needs scale = minmax or top_db"
    )
    standardise: Literal["none", "imagenet", "half", "training"] = Field(
        "none",
        description="(image - mean) / deviation for each channel; imagenet: mean and deviation of ImageNet; half: 0.5 "
        "and 0.5, so that 0..1 becomes -1..1; training: those of the training part",
    )

    @model_validator(mode="after")
    def _image_settings_fit(self) -> Self:
        if self.name == "precomputed" and not (self.size or self.frames):
            raise ValueError("name 'precomputed' needs size (of images), or n_mels and frames (of spectrograms)")
        if self.colours != "none" and self.scale == "none":
            raise ValueError(f"colours = '{self.colours}' needs values from 0 to 1: set scale to minmax or top_db")
        if self.standardise in ("imagenet", "half") and self.scale == "none":
            raise ValueError(
                f"standardise = '{self.standardise}' is for values from 0 to 1: set scale to minmax or top_db"
            )
        if self.scale == "top_db" and (self.ref != "max" or not self.top_db or self.log != "db"):
            raise ValueError(
                "scale = 'top_db' needs log = 'db', ref = 'max' and top_db above 0: only then are values from 0 to 1"
            )
        return self


class Network(Section):
    """The network."""

    name: str = Field(
        "cnn",
        description="one of cnn, compact, framewise (frames of 40 ms), baseline, cnn1d, transformer, alexnet, vgg16, "
        "resnet18, resnet50, mobilenet_v2, inception_v3, efficientnet_b0, convnext_tiny, small, yamnet, "
        "yamnet_framewise (frames of 40 ms), esresnext, audioclip, mn04_as, mn10_as, cnn14, beats, wav2vec2, hubert, "
        "wavlm, transformers (any encoder on waves that this library has; weights names it), ast, clap, whisper (its "
        "encoder), onnx (an ONNX or LiteRT file of another team, which stays frozen), or any model name of timm",
    )
    weights: str = Field(
        "default",
        description="initial weights: default (the published ones, if any), none (random, from the seed), imagenet, "
        "the name of published weights, or a checkpoint file; for networks of the Hugging Face hub default, none, "
        "OWNER/NAME, OWNER/NAME@REVISION, or a folder; onnx: the .onnx or .tflite file",
    )
    output: str = Field(
        "",
        description="onnx: the name of the output that is the embedding, or of a value inside of a LiteRT file; "
        "default: found where it is unmistakable",
    )
    mode: Literal["finetune", "head", "auto"] = Field(
        "finetune",
        description="finetune: train the whole network; head: train the layers that published weights lack (the last "
        "one, attention, what joins frames), freeze the rest; auto: finetune on an accelerator, head on the CPU",
    )
    trained_blocks: int | None = Field(
        None,
        ge=1,
        description="finetune: train only the last blocks of the network, so many, with what lies behind them and the "
        "added layers; all before them stays as in a frozen network; default: all",
    )
    lora_rank: int = Field(
        0,
        ge=0,
        le=1024,
        description="finetune: keep the weights and train, beside the added layers, a low-rank adapter (LoRA) of this "
        "rank on each linear layer of the blocks; saving merges the adapters into the weights; 0: off",
    )
    channels: Literal[1, 3] = Field(
        1, description="image networks: input channels; a spectrogram without colours is copied to each of them"
    )
    attention: Literal["none", "se", "cbam"] = Field(
        "none", description="resnet: attention after each stage: squeeze-and-excitation (se) or CBAM"
    )
    width: int | None = Field(
        None,
        ge=1,
        le=8192,
        description="cnn, compact, framewise, resnet: number of channels of the first block, which later blocks "
        "double; default: that of the network",
    )
    layer: int | Literal["mix"] = Field(
        -1,
        description="wav2vec2, hubert, wavlm, transformers, ast, whisper: the layer whose output is embedded; -1: the "
        "network's output; 0: what the first layer gets; mix: a mean of all layers whose weights are learnt; yamnet: "
        "the block, 1 to 14, or -1",
    )
    token_pooling: Literal["mean", "attention"] = Field(
        "mean",
        description="wav2vec2, hubert, wavlm, transformers, whisper: the embedding is the mean of the tokens, or a "
        "mean whose weights are learnt (attention)",
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout rate before the last layer")

    @property
    def learnt(self) -> str:
        """The setting that adds layers before the last one, which published weights lack; empty if none does."""
        if self.attention != "none":
            return "attention"
        return "layer = 'mix'" if self.layer == "mix" else "token_pooling" if self.token_pooling != "mean" else ""

    @property
    def keeps_weights(self) -> bool:
        """Whether at least a part of the network keeps its initial weights in training."""
        return self.mode == "head" or self.trained_blocks is not None or self.lora_rank > 0


class Head(Section):
    """A classifier on the embeddings of a frozen network; `none` trains the network itself."""

    name: Literal["none", "logreg", "lda", "mlp", "lightgbm", "ensemble", "zeroshot"] = Field(
        "none",
        description="logistic regression, linear discriminant analysis, MLP, LightGBM, (ensemble) the mean of the "
        "scores of MLP and LightGBM, or (zeroshot) the comparison of clap or audioclip with texts about the labels, "
        "which learns nothing",
    )
    template: str = Field(
        "This is a sound of {}.",
        pattern=r"\{\}",
        description="zeroshot: the text about a label, which replaces {}; audioclip has learnt labels alone, {}",
    )
    pool: Literal["segment", "mean", "max", "mean+max"] = Field(
        "segment",
        description="what the head is fitted on: the embedding of each segment, or the mean, the maximum or both of a "
        "clip's embeddings",
    )
    compress: bool = Field(
        False, description="logreg, lda, mlp: apply sign(x) * log(1 + abs(x)) to the embeddings first"
    )
    c: tuple[PositiveFloat, ...] = Field(
        (0.003, 0.01, 0.03),
        min_length=1,
        description="logreg: candidates for the inverse L2 penalty; the validation part chooses",
    )
    shrinkage: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (0.1, 0.2, 0.3), min_length=1, description="lda: candidates for the shrinkage; the validation part chooses"
    )
    hidden: int = Field(256, ge=1, le=2**16, description="mlp, ensemble: hidden units")
    epochs: tuple[Annotated[int, Field(gt=0, le=100_000)], ...] = Field(
        (10, 20, 40),
        min_length=1,
        description="mlp, ensemble: candidates for the number of epochs; the validation part chooses",
    )
    learning_rate: float = Field(1e-3, gt=0, description="mlp, ensemble: learning rate of Adam")
    alpha: float = Field(1e-3, ge=0, description="mlp, ensemble: L2 penalty")
    trees: int = Field(700, ge=1, le=100_000, description="lightgbm, ensemble: boosting rounds")
    leaves: int = Field(64, ge=2, le=131_072, description="lightgbm, ensemble: leaves per tree")
    tree_learning_rate: float = Field(0.05, gt=0, description="lightgbm, ensemble: learning rate")
    subsample: float = Field(
        0.9, gt=0, le=1, description="lightgbm, ensemble: share of the rows that each tree is fitted on"
    )
    subsample_freq: int = Field(
        0,
        ge=0,
        le=100_000,
        description="lightgbm, ensemble: new rows are drawn after this many trees; 0: subsample has no effect",
    )
    colsample: float = Field(
        0.9, gt=0, le=1, description="lightgbm, ensemble: share of the columns that each tree is fitted on"
    )
    max_bin: int = Field(31, ge=2, le=65_535, description="lightgbm, ensemble: histogram bins; more are slower")
    balanced: bool = Field(True, description="weight each class by 1 / its number of rows")

    @model_validator(mode="after")
    def _texts_are_compared_with_segments(self) -> Self:
        if self.name == "zeroshot" and (self.pool != "segment" or self.compress):
            raise ValueError("head.name = 'zeroshot' compares the embeddings of segments: leave out pool and compress")
        return self


class Evaluate(Section):
    """How the scores of a clip are computed from those of its segments, and how figures are computed."""

    pooling: Literal["mean_prob", "mean_logit", "max", "linear_softmax"] = Field(
        "mean_prob",
        description="pooling of segments to a clip: mean of probabilities, mean of logits, largest probability, or "
        "mean of probabilities weighted by themselves (linear_softmax)",
    )
    hop: int | None = Field(
        None,
        ge=1,
        description="distance between the starts of two scored segments [samples], or in seconds; default: windows.hop",
    )
    shifts: tuple[Annotated[float, Field(gt=-1, lt=1)], ...] = Field(
        (),
        description="test-time augmentation: each segment is also scored rolled right by these shares of its length; "
        "scores are averaged",
    )
    unknown: Literal["max_logit", "energy", "max_prob", "distance", "outliers"] = Field(
        "max_logit",
        description="open-set score: a clip is known if this score of at least one segment, or for distance its mean "
        "over the segments, reaches the threshold; the threshold is the value that 95 % of the validation clips reach. "
        "outliers: the largest probability, times that of being no made sound, as noise and tones, and none of "
        "teacher.pretrain.outliers",
    )

    events: Literal["none", "best_f1", "precision", "false_alarms", "event_f1", "segment_f1", "psds1"] = Field(
        "none",
        description="what the score that an event of each class reaches is chosen for, on segments of validation "
        "clips: the best F1, a precision, or a number of false alarms an hour; none: .5 for all classes. For timed "
        "annotations with data.multilabel also event_f1 (of events whose onsets are within 200 ms), segment_f1 (of "
        "seconds) and psds1, for which each class's scores get a median filter or boxes between change points, too",
    )
    aim: float | None = Field(
        None, gt=0, description="the precision that is kept (up to 1), or the most false alarms an hour of a class"
    )

    @model_validator(mode="after")
    def _aim_is_of_its_kind(self) -> Self:
        needed = self.events in ("precision", "false_alarms")
        if needed != (self.aim is not None):
            raise ValueError(
                f"evaluate.events = '{self.events}' needs evaluate.aim: the precision, or the false alarms an hour"
                if needed
                else f"evaluate.aim is for evaluate.events = 'precision' or 'false_alarms', and it is '{self.events}'"
            )
        if self.events == "precision" and self.aim is not None and self.aim > 1:
            raise ValueError(f"evaluate.aim is a precision of {self.aim:g}: give a share up to 1")
        return self

    @model_validator(mode="before")
    @classmethod
    def _without_retired(cls, content: Any) -> Any:
        """Recipes and classifiers stored by earlier versions hold settings of `RETIRED`."""
        if not isinstance(content, dict):
            return content
        return {key: value for key, value in content.items() if f"evaluate.{key}" not in RETIRED}
