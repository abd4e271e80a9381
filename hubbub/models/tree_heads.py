"""Heads with gradient-boosted trees: LightGBM (Ke et al. 2017), alone or averaged with an MLP."""

from typing import Any, Self

import numpy as np
from scipy.special import expit, logit

from hubbub.errors import examples
from hubbub.models.dense_heads import MLPHead
from hubbub.models.errors import NetworkError
from hubbub.models.head import Array, Head, Targets, row_weights
from hubbub.models.one_vs_rest import constant_logits, pair_weights, two_sided
from hubbub.models.tree_text import check_trees
from hubbub.runtime.progress import track

__all__ = ["EnsembleHead", "LightGBMHead"]

_SMALLEST = 1e-12
#: The name of the text of all classes; those of single classes have the class's number behind it.
_WHOLE = "lightgbm"


class LightGBMHead(Head):
    """Gradient-boosted trees; of label sets those of each class on their own. The defaults are system A's; their
    `subsample_freq` 0 leaves `subsample` without effect, as LightGBM documents. System A leaves `max_bin` at LightGBM's
    255, which takes three times as long and scores the same: a leaf has far fewer rows than bins, and four fifths of
    YAMNet's embeddings are zeros."""

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

        self.multilabel = y.ndim == 2
        if self.multilabel:
            return self._fit_sets(x, y)
        self.classes_ = np.unique(y)
        # max_bin is a parameter of the data set, not of the trees.
        data = lightgbm.Dataset(
            x, y, weight=row_weights(y, self.balanced), params={"max_bin": self.max_bin, "verbosity": -1}
        )
        settings = self._settings() | {"objective": "multiclass", "num_class": len(self.classes_)}
        self._boosters = {_WHOLE: lightgbm.Booster(settings, data)}
        for _ in track(range(self.trees), "boosting", self.trees):
            self._boosters[_WHOLE].update()
        return self

    def _settings(self) -> dict[str, Any]:
        return {
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

    def _fit_sets(self, x: Array, y: Targets) -> Self:
        """Trees for each class, on the rows in which it was annotated."""
        import lightgbm

        self.classes_, self._boosters, self._constant = np.arange(y.shape[1]), {}, constant_logits(y)
        weights, learnt = pair_weights(y, self.balanced), np.flatnonzero(two_sided(y))
        settings = {"max_bin": self.max_bin, "verbosity": -1}
        data = lightgbm.Dataset(x, y[:, 0], params=settings, free_raw_data=False).construct()
        for k in track(learnt, "boosting", len(learnt)):
            rows = np.flatnonzero(y[:, k] >= 0)
            # The bins are those of all rows: finding them takes as long as many trees.
            own = data.subset(rows.tolist()).construct()
            own.set_label(y[rows, k]).set_weight(weights[rows, k])
            booster = lightgbm.Booster(self._settings() | {"objective": "binary"}, own)
            for _ in range(self.trees):
                booster.update()
            # Without its rows, of which each class has a copy.
            self._boosters[f"{_WHOLE}{k}"] = lightgbm.Booster(model_str=booster.model_to_string())
        return self

    def decision_function(self, x: Array) -> Array:
        if not self.multilabel:
            return np.asarray(self._boosters[_WHOLE].predict(x, raw_score=True), dtype=np.float32)
        logits = np.tile(self._constant, (len(x), 1))
        for name, booster in self._boosters.items():
            logits[:, int(name.removeprefix(_WHOLE))] = np.asarray(booster.predict(x, raw_score=True))
        return logits

    def arrays(self) -> dict[str, Array]:
        return {"constant": self._constant} if self.multilabel else {}

    def texts(self) -> dict[str, str]:
        return {name: booster.model_to_string() for name, booster in self._boosters.items()}

    def restore(self, arrays: dict[str, Array], texts: dict[str, str], classes: int, multilabel: bool = False) -> Self:
        import lightgbm

        known = {f"{_WHOLE}{k}" for k in range(classes)} if multilabel else {_WHOLE}
        if not (texts.keys() <= known if multilabel else texts.keys() == known):
            raise NetworkError(f"its trees are called {examples(sorted(texts))}. Train or copy it again.")
        for text in texts.values():
            check_trees(text, 1 if multilabel else classes)
        self._boosters = {name: lightgbm.Booster(model_str=text) for name, text in texts.items()}
        self.classes_, self.multilabel = np.arange(classes), multilabel
        if multilabel:
            self._constant = arrays["constant"].reshape(classes)
        return self


class EnsembleHead(Head):
    """The mean of the probabilities of LightGBM and MLP on the same rows (system A's V5)."""

    def __init__(self, trees: LightGBMHead, mlp: MLPHead) -> None:
        self.trees, self.mlp = trees, mlp

    def fit(self, x: Array, y: Targets) -> Self:
        self.trees.fit(x, y)
        self.mlp.fit(x, y)
        self.classes_, self.multilabel = self.trees.classes_, self.trees.multilabel
        return self

    def decision_function(self, x: Array) -> Array:
        if self.multilabel:
            trees, mlp = (expit(head.decision_function(x).astype(np.float64)) for head in (self.trees, self.mlp))
            return logit(np.clip((trees + mlp) / 2, _SMALLEST, 1 - _SMALLEST)).astype(np.float32)
        mean = (self.trees.predict_proba(x) + self.mlp.predict_proba(x)) / 2
        return np.log(np.maximum(mean, _SMALLEST))

    def arrays(self) -> dict[str, Array]:
        return self.mlp.arrays() | self.trees.arrays()

    def texts(self) -> dict[str, str]:
        return self.trees.texts()

    def restore(self, arrays: dict[str, Array], texts: dict[str, str], classes: int, multilabel: bool = False) -> Self:
        self.trees.restore(arrays, texts, classes, multilabel)
        self.mlp.restore(arrays, {}, classes, multilabel)
        self.classes_, self.multilabel = np.arange(classes), multilabel
        return self
