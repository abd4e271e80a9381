"""Open-set rejection in a run's figures: clips of known classes against those of held-out classes."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.classifier.calibration import BY_EMBEDDING, UNKNOWN, Confidence, familiarity, pool_familiarity
from hubbub.classifier.calibration import Unknown as Method
from hubbub.config.recipe import Recipe
from hubbub.metrics import classification
from hubbub.report import run_folder
from hubbub.report.level_results import Unknown
from hubbub.report.predicted import as_arrays

__all__ = ["open_set_figures"]


def open_set_figures(folder: Path, recipe: Recipe) -> Unknown | None:
    """Open-set rejection: mean and sd over folds, seeds averaged first; None where no class is held out."""
    folds, rows, clips = [], [], set[str]()
    for fold, _, place in run_folder.cells(folder):
        held_out = run_folder.read_unknown_predictions(place)
        if held_out is None:
            continue
        confidence, own = run_folder.calibration_of(place), run_folder.read_predictions(place)
        threshold = confidence.threshold
        figures: dict[tuple[str, str], float] = {}
        for method in dict.fromkeys((*UNKNOWN, recipe.evaluate.unknown)):
            known, unknown = (_clip_familiarity(table, method, confidence) for table in (own, held_out))
            figures |= {(method, name): value for name, value in classification.detection(known, unknown).items()}
            if method == recipe.evaluate.unknown and threshold is not None:
                figures["at_threshold", "known_kept"] = float((known >= threshold).mean())
                figures["at_threshold", "unknown_passed"] = float((unknown >= threshold).mean())
        folds.append(fold)
        rows.append(figures)
        clips |= set(held_out["clip"])
    if not rows:
        return None
    by_fold = pd.DataFrame(rows, index=folds).groupby(level=0, sort=False).mean()
    found: dict[str, Any] = {"classes": recipe.data.held_out, "clips": len(clips), "by": recipe.evaluate.unknown}
    for group, name in rows[0]:
        values = by_fold[group, name]
        sd = float(values.std(ddof=1)) if len(values) > 1 else None
        found.setdefault(group, {})[name] = {"mean": float(values.mean()), "sd": sd}
    return Unknown.model_validate(found)


def _clip_familiarity(predicted: pd.DataFrame, method: Method, confidence: Confidence) -> npt.NDArray[np.float64]:
    """Each clip's familiarity."""
    segments = predicted[predicted["level"] == "segment"]
    typicality = segments["typicality"].to_numpy() if method in BY_EMBEDDING else None
    each = familiarity(as_arrays(segments)[1], method, typicality, confidence.typicality_weight)
    counts = segments.groupby("clip", sort=False).size().to_numpy()  # those of a clip stand together
    return pool_familiarity(each, np.cumsum(counts) - counts, method)
