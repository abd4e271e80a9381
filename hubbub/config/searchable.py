"""Which settings of a recipe a search may change: those that leave the task and frozen embeddings as they are."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubbub.config.recipe import Recipe

__all__ = ["FIXED", "SEARCHED", "refuse_unsearchable"]

#: The sections that a search may change. All others define the task: which clips, and what is measured.
SEARCHED = ("windows", "frontend", "network", "head", "augment", "train")
FIXED = (
    *("network.name", "network.weights", "network.mode", "head.name"),
    *("train.seeds", "train.monitor", "train.device", "train.devices", "train.nodes", "train.trackers"),
    "train.checkpointing",
)


def refuse_unsearchable(recipe: "Recipe", field: str) -> None:
    """Raises `ValueError` for a dotted field that a search of this recipe may not change, or that has no effect."""
    if field.partition(".")[0] not in SEARCHED or field in FIXED:
        raise ValueError(
            f"tune.space: {field} must stay the same for all trials to be comparable: search fields of "
            f"{', '.join(SEARCHED)}, except {', '.join(FIXED)}"
        )
    if recipe.head.name != "none" and not field.startswith("head."):
        raise ValueError(f"tune.space: {field} is not used by a head on frozen embeddings: search head's fields")
    frozen = recipe.network.mode != "finetune" and recipe.head.name == "none"
    if frozen and not field.startswith("train.") and field != "network.dropout":
        raise ValueError(
            f"tune.space: {field} changes the embeddings of a frozen network, which are computed once: search "
            "fields of train and network.dropout, or set network.mode = 'finetune'"
        )
