"""The `[teacher]` section of a recipe: a frozen network whose outputs a network is trained to match."""

from typing import Literal

from pydantic import Field

from hubbub.config.sections import Section

__all__ = ["Teacher"]


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
