"""The `[teacher]` section of a recipe: a frozen network whose outputs a network is trained to match."""

from typing import Literal

from pydantic import Field

from hubbub.config.sections import Distinct, Section

__all__ = ["Pretrain", "Teacher"]


class Pretrain(Section):
    """Unlabelled sound, whose embeddings by the teacher the network learns to predict before it gets labels."""

    data: str = Field(description="the unlabelled clips: a data set, as data.name; labels that it has are not used")
    folds: Distinct[str] = Field((), description="its folds that are used; default: all")
    sounds: int = Field(
        20_000, ge=2, le=10**6, description="sounds that are made of the clips: other places, speeds, levels, mixtures"
    )
    epochs: int = Field(8, ge=1, le=100_000, description="passes over these sounds; the rest is as in train")
    outliers: Distinct[str] = Field(
        (),
        description="classes of AudioSet that are none of the data's: clips that the teacher takes for one of them are "
        "outliers for evaluate.unknown = 'outliers'",
    )


class Teacher(Section):
    """A frozen network that teaches: its embeddings of the training clips, and the scores of a linear head on them, are
    targets beside the labels."""

    network: Literal["yamnet"] = Field("yamnet", description="the teacher; it keeps its published weights")
    embedding: float = Field(
        5.0,
        ge=0,
        description="weight of the cosine distance between the teacher's embedding and a linear map of the network's; "
        "0: off",
    )
    scores: float = Field(
        0.5, ge=0, le=1, description="share of the teacher's scores in the targets; the labels have the rest"
    )
    temperature: float = Field(2.0, gt=0, description="temperature at which scores are compared")
    penalty: float = Field(
        6e-3, gt=0, description="L2 penalty of the linear head, which is fitted on the training clips' mean embeddings"
    )
    pretrain: Pretrain | None = Field(None, description="unlabelled sound to learn from first")
