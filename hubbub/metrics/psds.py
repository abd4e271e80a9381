"""Polyphonic sound detection scores, exact over all thresholds: pure functions.

PSDS (Bilen et al. 2020, https://arxiv.org/abs/1910.08440) is the area under the curve of the share of true events that
are hit over false alarms an hour, both by intersections, up to a highest rate. Every threshold counts, as in
sed_scores_eval (Ebbers, Serizel and Haeb-Umbach 2022, https://arxiv.org/abs/2201.13148); psds_eval joins the 50 or so
thresholds that it is given, so its figures are lower. `PSDS1` and `PSDS2` have the parameters of DCASE 2021 to 2023,
task 4. A class without true events has no share of hits: it is left out, as a class that sounds and as one that
triggers others. psds_eval takes the classes of the true events by default, and sed_scores_eval refuses such a class.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hubbub.metrics.classification import MetricsError
from hubbub.metrics.event_changes import intersection_changes
from hubbub.metrics.event_curves import Changes, Curve
from hubbub.metrics.events import SECONDS_AN_HOUR, Array, Criteria, Int, an_hour
from hubbub.metrics.scored import ScoredRecording

__all__ = ["PSDS1", "PSDS2", "Score", "Setting", "psds", "psds_of"]

_SHORTEST_S = 1e-12


@dataclass(frozen=True)
class Setting:
    """What PSDS measures: `criteria`, the weight `alpha_ct` of cross triggers, that of differences between classes.

    The effective rate of false alarms is theirs and `alpha_ct` times the mean rate of cross triggers of other classes,
    each an hour of the other class's sound. The effective share of hits is the mean over classes minus `alpha_st` times
    the standard deviation. `most_an_hour` is the highest effective rate. Raises `MetricsError`.
    """

    criteria: Criteria
    alpha_ct: float = 0.0
    alpha_st: float = 0.0
    most_an_hour: float = 100.0

    def __post_init__(self) -> None:
        if self.alpha_ct < 0 or self.alpha_st < 0 or not self.most_an_hour > 0:
            raise MetricsError(
                f"alpha_ct {self.alpha_ct}, alpha_st {self.alpha_st} and at most {self.most_an_hour} false alarms an "
                "hour: give weights of 0 or more and a rate above 0."
            )
        if (self.alpha_ct > 0) != (self.criteria.cttc is not None):
            raise MetricsError(
                f"alpha_ct is {self.alpha_ct} and cttc {self.criteria.cttc}: give both to count cross triggers, or "
                "none of them."
            )


#: Onsets and offsets matter: alerts that must come in time.
PSDS1 = Setting(Criteria(0.7, 0.7), alpha_st=1.0)
#: Classes matter more than times: finding out what sounds.
PSDS2 = Setting(Criteria(0.1, 0.1, 0.3), alpha_ct=0.5, alpha_st=1.0)


@dataclass(frozen=True)
class Score:
    """PSDS in [0, 1], of all classes and of each class alone, and the curve: effective shares of hits over rates."""

    value: float
    by_class: dict[str, float]
    rates: Array
    hits: Array


def psds(recordings: Sequence[ScoredRecording], labels: Sequence[str], setting: Setting = PSDS1) -> Score:
    """PSDS of recordings' frame scores; NaN if nothing true sounds. Raises `MetricsError`."""
    return psds_of(intersection_changes(recordings, labels, setting.criteria), setting)


def psds_of(changes: Changes, setting: Setting, weights: Int | None = None) -> Score:
    """PSDS of changes that were counted by the setting's criteria.

    `weights` `[N]` says how many times each recording counts, once by default. Raises `MetricsError` if there is no
    time, or if cross triggers are needed and were not counted.
    """
    weigh = np.ones(len(changes.true), np.int64) if weights is None else weights
    occurs = weigh @ changes.true > 0
    lengths = weigh @ changes.lengths
    curves = {
        label: _effective(changes.curve(label, weights), occurs, lengths, number, setting)
        for number, label in enumerate(changes.labels)
        if occurs[number]
    }
    if not curves:
        return Score(np.nan, {}, np.empty(0), np.empty(0))
    most = setting.most_an_hour
    rates = np.unique(np.concatenate([rates for rates, _ in curves.values()]))
    shares = np.stack([hits[np.searchsorted(at, rates, "right") - 1] for at, hits in curves.values()])
    hits = np.maximum(shares.mean(axis=0) - setting.alpha_st * shares.std(axis=0), 0)
    by_class = {label: _area(at, share, most) for label, (at, share) in curves.items()}
    return Score(_area(rates, hits, most), by_class, rates, hits)


def _effective(
    curve: Curve, occurs: npt.NDArray[np.bool_], lengths: Array, number: int, setting: Setting
) -> tuple[Array, Array]:
    """Rising effective rates of false alarms [1/h] up to the highest, and the largest share of hits up to each."""
    rates = an_hour(curve.false, curve.seconds)
    if setting.alpha_ct:
        if curve.cross is None:
            raise MetricsError("the changes hold no cross triggers: count them with a cttc.")
        others = occurs.copy()
        others[number] = False
        if others.any():
            crossed = curve.cross[:, others] / np.maximum(lengths[others], _SHORTEST_S)
            rates = rates + setting.alpha_ct * SECONDS_AN_HOUR * crossed.mean(axis=1)
    within = rates <= setting.most_an_hour
    rates, hits = rates[within], curve.hits[within] / curve.true
    order = np.lexsort((hits, rates))
    rates, hits = rates[order], np.maximum.accumulate(hits[order])
    last = np.append(rates[1:] != rates[:-1], True)
    return rates[last], hits[last]


def _area(rates: Array, hits: Array, most: float) -> float:
    """The area under a staircase from a rate of 0 to `most`, as a share of the largest possible."""
    return float(hits @ np.diff(rates, append=most) / most)
