"""Heads by name, and the candidates of each that the validation part chooses among."""

from typing import Any

from hubbub.config.sections import Head as HeadSettings
from hubbub.models.dense_heads import DiscriminantHead, LogisticHead, MLPHead
from hubbub.models.head import Head
from hubbub.models.tree_heads import EnsembleHead, LightGBMHead
from hubbub.models.zero_shot import ZeroShotHead

__all__ = ["HEADS", "build_head", "candidates"]


def _logistic(settings: HeadSettings, seed: int, choice: dict[str, Any]) -> Head:
    return LogisticHead(choice["c"], settings.balanced, settings.compress)


def _discriminant(settings: HeadSettings, seed: int, choice: dict[str, Any]) -> Head:
    return DiscriminantHead(choice["shrinkage"], settings.balanced, settings.compress)


def _mlp(settings: HeadSettings, seed: int, choice: dict[str, Any]) -> MLPHead:
    return MLPHead(
        settings.hidden, choice["epochs"], settings.learning_rate, settings.alpha, settings.balanced, settings.compress,
        seed,
    )  # fmt: skip


def _lightgbm(settings: HeadSettings, seed: int, choice: dict[str, Any]) -> LightGBMHead:
    return LightGBMHead(
        settings.trees, settings.leaves, settings.tree_learning_rate, settings.subsample, settings.subsample_freq,
        settings.colsample, settings.max_bin, settings.balanced, seed,
    )  # fmt: skip


def _ensemble(settings: HeadSettings, seed: int, choice: dict[str, Any]) -> Head:
    return EnsembleHead(_lightgbm(settings, seed, choice), _mlp(settings, seed, choice))


def _zero_shot(settings: HeadSettings, seed: int, choice: dict[str, Any]) -> Head:
    return ZeroShotHead()


HEADS = {
    "logreg": _logistic,
    "lda": _discriminant,
    "mlp": _mlp,
    "lightgbm": _lightgbm,
    "ensemble": _ensemble,
    "zeroshot": _zero_shot,
}


def candidates(settings: HeadSettings) -> list[dict[str, Any]]:
    """The values that the validation part chooses among: one for each head to fit."""
    if settings.name == "logreg":
        return [{"c": c} for c in settings.c]
    if settings.name == "lda":
        return [{"shrinkage": shrinkage} for shrinkage in settings.shrinkage]
    if settings.name in ("mlp", "ensemble"):
        return [{"epochs": epochs} for epochs in settings.epochs]
    return [{}]


def build_head(settings: HeadSettings, choice: dict[str, Any], seed: int = 0) -> Head:
    """An unfitted head by its settings and one of `candidates`."""
    return HEADS[settings.name](settings, seed, choice)
