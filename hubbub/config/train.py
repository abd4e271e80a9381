"""The `[train]` section of a recipe: how a network is trained."""

from typing import Literal, Self

from pydantic import Field, model_validator

from hubbub.config.sections import Distinct, Section, Seed

__all__ = ["Train"]


class Train(Section):
    """How a network is trained."""

    seeds: Distinct[Seed] = Field(
        (42,), min_length=1, description="random seeds; every fold is run once with each seed"
    )
    epochs: int = Field(30, ge=1, le=100_000, description="largest number of epochs, freeze_epochs included")
    batch_size: int = Field(
        32,
        ge=1,
        le=2**20,
        description="largest number of segments per batch and device; batches of an epoch have nearly equal size",
    )
    accumulate: int = Field(1, ge=1, le=2**20, description="batches per optimizer step (gradient accumulation)")
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adamw", description="the optimizer; sgd uses Nesterov momentum")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd: momentum")
    learning_rate: float = Field(
        1e-3, gt=0, description="largest learning rate; of the head only, if backbone_learning_rate is set"
    )
    backbone_learning_rate: float | None = Field(None, gt=0, description="largest learning rate of all but the head")
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="factor of the backbone's learning rate from each block of the network to the one before it; the "
        "last block has the whole rate, what lies before the first one the smallest; 1: one rate for all",
    )
    weight_decay: float = Field(1e-2, ge=0, description="weight decay of the optimizer")
    schedule: Literal["constant", "onecycle", "cosine", "exponential", "plateau"] = Field(
        "onecycle", description="course of the learning rate; plateau: lowered when the monitor does not improve"
    )
    min_learning_rate: float = Field(1e-6, ge=0, description="cosine: learning rate at the end")
    gamma: float = Field(0.99, gt=0, le=1, description="exponential: factor per epoch")
    plateau_factor: float = Field(0.5, gt=0, lt=1, description="plateau: factor by which the learning rate is lowered")
    plateau_patience: int = Field(
        3, ge=0, le=100_000, description="plateau: epochs without improvement before the rate is lowered"
    )
    warmup_epochs: int = Field(0, ge=0, le=100_000, description="epochs of linear warm-up of the learning rate")
    freeze_epochs: int = Field(
        0, ge=0, le=100_000, description="first epochs in which only the head is trained, at the largest learning rate"
    )
    bn_eval: bool = Field(False, description="keep the BatchNorm statistics of the initial weights")
    loss: Literal["auto", "cross_entropy", "bce", "focal", "asymmetric"] = Field(
        "auto",
        description="auto: cross_entropy for clips of one label, bce for data.multilabel; bce: binary cross-entropy of "
        "each class; focal, asymmetric: the same, in which pairs of clip and class that are right already count less",
    )
    weak: float = Field(
        0.2,
        ge=0,
        le=1,
        description="framewise, yamnet_framewise: share of the loss that is of whole segments, whose scores are pooled "
        "from those of their frames; all else is learnt frame by frame, where annotations have times",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="label smoothing: share of the target that is spread over all classes"
    )
    balance: Literal["none", "weights", "sampler", "weights+sampler"] = Field(
        "none",
        description="against class imbalance: weights: weighted loss; sampler: classes drawn equally often; "
        "weights+sampler: both, which corrects twice",
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay per step of the moving average (EMA) of the weights; the average is the trained network; 0: "
        "off",
    )
    clip_norm: float = Field(0.0, ge=0, description="gradient clipping: largest norm of the gradient; 0: off")
    patience: int = Field(
        10,
        ge=1,
        le=100_000,
        description="early stopping: training ends after this many epochs without improvement of the monitor",
    )
    monitor: Literal["val_loss", "val_accuracy", "val_macro_f1", "val_macro_map"] = Field(
        "val_loss",
        description="the metric, over validation segments, that chooses the epoch; val_accuracy is for clips of one "
        "label, val_macro_map for data.multilabel",
    )
    precision: Literal["fp32", "bf16", "fp16", "amp"] = Field(
        "fp32", description="precision of the forward pass; amp: bf16 or fp16, whichever suits the device, else fp32"
    )
    checkpointing: bool = Field(
        False,
        description="gradient checkpointing: compute each block of the network again in the backward pass, instead of "
        "keeping what is in it; needs less memory and more time; results stay the same",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="device of the network")
    devices: int = Field(1, ge=1, le=1024, description="devices per machine that train one network together")
    nodes: int = Field(1, ge=1, le=1024, description="machines that train one network together; start it with torchrun")
    trackers: tuple[Literal["mlflow", "wandb"], ...] = Field(
        (), description="experiment trackers besides TensorBoard, which is always on"
    )

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
            raise ValueError(
                f"warmup_epochs do not fit schedule '{self.schedule}': use constant, cosine or exponential"
            )
        return self
