"""The tables of an audit: suspects, copies, classes, and pairs of classes that may be one."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.data.clips import Clips, describe_label_set
from hubbub.data.near_duplicates import NearDuplicate
from hubbub.metrics.confident_learning import Pair, inseparable, judge, judge_sets
from hubbub.metrics.outliers import neighbour_distances, outlying

__all__ = ["Findings", "copies_of", "findings_of", "tables_of"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
#: Each clip is compared with this many others at most, drawn at random of more, to see how far it lies from them.
MOST_NEIGHBOURS = 20_000


@dataclass(frozen=True)
class Findings:
    """Of each clip whether its label is likely `wrong`, the label's `quality` (NaN: not judged), the label `suggested`
    instead, the probabilities of both (NaN for label sets), how `far` it lies from all others and whether it is an
    `outlier`; and the `pairs` of classes that may be one."""

    wrong: Flags
    quality: Floats
    suggested: list[str]
    score: Floats
    suggested_score: Floats
    far: Floats
    outlier: Flags
    pairs: list[Pair]


def findings_of(
    clips: Clips,
    targets: npt.NDArray[np.int64],
    rows: Rows,
    scores: npt.NDArray[np.float32],
    embeddings: npt.NDArray[np.float32],
) -> Findings:
    """Judges the clips `rows` by their out-of-fold `scores`, and all clips by their `embeddings` `[clips, D]`."""
    number, own = len(clips), targets[rows]
    wrong, quality = np.zeros(number, dtype=bool), np.full(number, np.nan)
    score, other_score = np.full(number, np.nan), np.full(number, np.nan)
    suggested, pairs = [""] * number, list[Pair]()
    if clips.multilabel:
        sets = judge_sets(own, scores)
        wrong[rows] = sets.wrong.any(axis=1)
        quality[rows] = np.where(np.isnan(sets.quality), np.inf, sets.quality).min(axis=1)
        quality[~np.isfinite(quality)] = np.nan
        for row, present in zip(rows, sets.suggested, strict=True):
            suggested[row] = describe_label_set(clips.labels[k] for k in np.flatnonzero(present))
        present = targets > 0
    else:
        judged, every = judge(own, scores), np.arange(len(rows))
        wrong[rows], quality[rows] = judged.wrong, judged.quality
        score[rows], other_score[rows] = scores[every, own], scores[every, judged.suggested]
        for row, k in zip(rows, judged.suggested, strict=True):
            suggested[row] = clips.labels[k]
        pairs, present = inseparable(own, scores), targets[:, None] == np.arange(len(clips.labels))
    far, outlier = _outliers(clips, present, embeddings)
    return Findings(wrong, quality, suggested, score, other_score, far, outlier, pairs)


def _outliers(clips: Clips, present: Flags, embeddings: npt.NDArray[np.float32]) -> tuple[Floats, Flags]:
    names = clips.table["group"].where(clips.table["group"] != "", clips.table["clip"])
    groups = np.unique(names.to_numpy(dtype=str), return_inverse=True)[1]
    among = np.arange(len(clips))
    if len(among) > MOST_NEIGHBOURS:
        among = np.sort(np.random.default_rng(0).choice(among, MOST_NEIGHBOURS, replace=False))
    distances = neighbour_distances(embeddings, present, groups, among)
    kinds = np.zeros(len(clips), dtype=np.intp) if clips.multilabel else present.argmax(axis=1)
    return outlying(*distances, kinds)


def copies_of(clips: Clips, contents: Sequence[str], near: Sequence[NearDuplicate]) -> pd.DataFrame:
    """Pairs of clips with the same sound, those with different labels first: nearly the same ones of different
    recordings, and the same ones of any."""
    by_content = dict[str, list[int]]()
    for row, content in enumerate(contents):
        by_content.setdefault(content, []).append(row)
    pairs = {pair: (0.0, 1.0) for rows in by_content.values() for pair in pairwise(rows)}
    pairs |= {(pair.first, pair.second): (pair.shift_s, pair.similarity) for pair in near}
    ids, labels = clips.table["clip"].to_numpy(), clips.table["label"].to_numpy()
    found = pd.DataFrame(
        [
            (ids[one], ids[other], labels[one], labels[other], *facts, labels[one] != labels[other])
            for (one, other), facts in sorted(pairs.items())
        ],
        columns=["clip", "other", "label", "other_label", "shift_s", "similarity", "conflicting"],
    )
    found["conflicting"] = found["conflicting"].astype(bool)
    return found.sort_values("conflicting", ascending=False, kind="stable").reset_index(drop=True)


def tables_of(clips: Clips, found: Findings, copies: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The tables `labels`, `classes` and `pairs` of a `LabelAudit`."""
    labels = _labels(clips, found, copies[copies["conflicting"]])
    pairs = [
        (clips.labels[p.first], clips.labels[p.second], p.first_as_second, p.second_as_first, p.area)
        for p in found.pairs
    ]
    heads = ["first", "second", "first_as_second", "second_as_first", "auc"]
    return labels, _classes(clips, labels), pd.DataFrame(pairs, columns=heads)


def _labels(clips: Clips, found: Findings, conflicting: pd.DataFrame) -> pd.DataFrame:
    """All clips, the likeliest wrong labels first. A copy with another label gets that label as suggestion."""
    table = clips.table[["clip", "path", "start", "end", "group", "fold", "label"]].reset_index(drop=True)
    others = dict(zip(conflicting["clip"], conflicting["other_label"], strict=True))
    others = dict(zip(conflicting["other"], conflicting["label"], strict=True)) | others
    copy = table["clip"].isin(others.keys()).to_numpy()
    table["suggested"] = [others.get(clip, of) for clip, of in zip(table["clip"], found.suggested, strict=True)]
    table["reason"] = np.select([copy, found.wrong, found.outlier], ["copy", "label", "outlier"], "")
    table["quality"], table["score"], table["suggested_score"] = found.quality, found.score, found.suggested_score
    table.loc[copy & (table["suggested"] != found.suggested), "suggested_score"] = np.nan
    table["far"], table["outlier"] = np.where(np.isfinite(found.far), found.far, np.nan), found.outlier
    order = np.select([copy, found.wrong], [0, 1], 2)
    table = table.iloc[np.lexsort((np.nan_to_num(found.quality, nan=2.0), order))].reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def _classes(clips: Clips, labels: pd.DataFrame) -> pd.DataFrame:
    """One row a class: its clips and recordings, and how many of its clips are likely labelled wrong; the largest share
    first."""
    suspects = set(labels["clip"][labels["reason"].isin(("copy", "label"))])
    rows = []
    for label, own in clips.rows_of_classes().items():
        table = clips.table.iloc[own]
        wrong = int(table["clip"].isin(suspects).sum())
        rows.append((label, len(table), table["group"].nunique(), wrong, wrong / max(len(table), 1)))
    found = pd.DataFrame(rows, columns=["class", "clips", "recordings", "suspects", "share"])
    return found.sort_values("share", ascending=False, kind="stable").reset_index(drop=True)
