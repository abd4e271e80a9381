"""Heads with gradient-boosted trees: LightGBM (Ke et al. 2017), alone or averaged with an MLP."""

from typing import Self

import numpy as np

from hubbub.models.dense_heads import MLPHead
from hubbub.models.head import Array, Head, Targets, row_weights
from hubbub.runtime.progress import track

__all__ = ["EnsembleHead", "LightGBMHead"]

_SMALLEST = 1e-12


class LightGBMHead(Head):
    """Gradient-boosted trees. The defaults are system A's; their `subsample_freq` 0 leaves `subsample` without effect,
    as LightGBM documents. System A leaves `max_bin` at LightGBM's 255, which takes three times as long and scores the
    same: a leaf has far fewer rows than bins, and four fifths of YAMNet's embeddings are zeros."""

    def __init__(
        self,
        trees: int = 700,
        leaves: int = 64,
        learning_rate: float = 0.05,
        subsample: float = 0.9,
        subsample_freq: int = 0,
        colsample: float = 0.9,
        max_bin: int = 31,
        balanced: bool = True,
        seed: int = 0,
    ) -> None:
        self.trees, self.leaves, self.learning_rate, self.max_bin = trees, leaves, learning_rate, max_bin
        self.subsample, self.subsample_freq, self.colsample = subsample, subsample_freq, colsample
        self.balanced, self.seed = balanced, seed

    def fit(self, x: Array, y: Targets) -> Self:
        import lightgbm

        self.classes_ = np.unique(y)
        # max_bin is a parameter of the data set, not of the trees.
        data = lightgbm.Dataset(
            x, y, weight=row_weights(y, self.balanced), params={"max_bin": self.max_bin, "verbosity": -1}
        )
        settings = {
            "objective": "multiclass",
            "num_class": len(self.classes_),
            "num_leaves": self.leaves,
            "learning_rate": self.learning_rate,
            "bagging_fraction": self.subsample,
            "bagging_freq": self.subsample_freq,
            "feature_fraction": self.colsample,
            "seed": self.seed,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }
        self._booster = lightgbm.Booster(settings, data)
        for _ in track(range(self.trees), "boosting", self.trees):
            self._booster.update()
        return self

    def decision_function(self, x: Array) -> Array:
        return np.asarray(self._booster.predict(x, raw_score=True), dtype=np.float32)

    def texts(self) -> dict[str, str]:
        return {"lightgbm": self._booster.model_to_string()}

    def restore(self, arrays: dict[str, Array], texts: dict[str, str], classes: int) -> Self:
        import lightgbm

        self._booster = lightgbm.Booster(model_str=texts["lightgbm"])
        self.classes_ = np.arange(classes)
        return self


class EnsembleHead(Head):
    """The mean of the probabilities of LightGBM and MLP on the same rows (system A's V5)."""

    def __init__(self, trees: LightGBMHead, mlp: MLPHead) -> None:
        self.trees, self.mlp = trees, mlp

    def fit(self, x: Array, y: Targets) -> Self:
        self.trees.fit(x, y)
        self.mlp.fit(x, y)
        self.classes_ = self.trees.classes_
        return self

    def decision_function(self, x: Array) -> Array:
        mean = (self.trees.predict_proba(x) + self.mlp.predict_proba(x)) / 2
        return np.log(np.maximum(mean, _SMALLEST))

    def arrays(self) -> dict[str, Array]:
        return self.mlp.arrays()

    def texts(self) -> dict[str, str]:
        return self.trees.texts()

    def restore(self, arrays: dict[str, Array], texts: dict[str, str], classes: int) -> Self:
        self.trees.restore({}, texts, classes)
        self.mlp.restore(arrays, {}, classes)
        self.classes_ = np.arange(classes)
        return self
