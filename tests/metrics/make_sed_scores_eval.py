"""Writes sed_scores_eval.json: random recordings, and what sed_scores_eval 0.0.4 says of them.

    uv run --no-project --with sed_scores_eval==0.0.4 --with 'setuptools<82' \
        python tests/metrics/make_sed_scores_eval.py

It is no requirement of the tests, because it does not run beside ours: it needs pkg_resources, which setuptools no
longer has, and a C++ compiler. It also wants arrays to write to, where pandas 3 gives some for reading only.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

FILE = Path(__file__).with_name("sed_scores_eval.json")
HOP_S = 0.1
Event = tuple[float, float, str]
Case = dict[str, Any]


class Writable(pd.DataFrame):
    """A table whose arrays can be written to."""

    @property
    def _constructor(self) -> type["Writable"]:
        return Writable

    def to_numpy(self, *args: Any, **options: Any) -> npt.NDArray[Any]:
        return super().to_numpy(*args, **options).copy()


def random_events(rng: np.random.Generator, label: str, frames: int, overlap: bool) -> list[Event]:
    """Events on and off the grid of frames, the last one perhaps to the recording's end; all separate or not."""
    end, found = 0.0, []
    while rng.random() < 0.7:
        start = end + (rng.uniform(-0.5, 0.3) if overlap else rng.uniform(0.05, 1.5))
        length = rng.choice([rng.uniform(0.1, 0.4), rng.uniform(0.2, 2.5)])
        if rng.random() < 0.5:
            start, length = round(start / HOP_S) * HOP_S, max(round(length / HOP_S), 1) * HOP_S
        if not (start >= 0 and (overlap or start > end) and start + length <= frames * HOP_S):
            break
        end = frames * HOP_S if rng.random() < 0.2 else start + length
        found.append((round(start, 4), round(end, 4), label))
    return found


def draw(seed: int, kind: str) -> Case:
    rng = np.random.default_rng(seed)
    labels = ["dog", "rain", "siren"]
    recordings = []
    for number in range(4):
        frames = int(rng.integers(20, 60))
        edges = np.round(np.arange(frames + 1) * HOP_S, 4)
        scores = np.cumsum(rng.normal(0, 0.4, (frames, len(labels))), axis=0) if kind == "smooth" else None
        scores = rng.normal(size=(frames, len(labels))) if scores is None else scores - scores.mean(axis=0)
        sounding = labels[:2] if kind == "never" else labels
        true = [e for label in sounding for e in random_events(rng, label, frames, kind == "overlap")]
        if number == 0:  # each of them sounds somewhere
            missing = set(sounding) - {label for _, _, label in true}
            true += [(0.0, float(edges[-1]), label) for label in sorted(missing)]
        elif number == 1:
            true = []
        for start, end, label in true:
            scores[(edges[:-1] < end) & (edges[1:] > start), labels.index(label)] += rng.uniform(0, 4)
        scores = 1 / (1 + np.exp(-scores))
        if kind == "constant":
            scores[:] = 0.5
        scores = np.round(scores, 1 if kind == "ties" else 4)
        recordings.append({"scores": scores.tolist(), "edges": edges.tolist(), "true": true})
    return {"kind": kind, "labels": labels, "recordings": recordings}


def separate(events: list[Event]) -> list[Event]:
    """Overlapping events of a class as one."""
    found: list[Event] = []
    for start, end, label in sorted(events, key=lambda event: (event[2], event)):
        if found and found[-1][2] == label and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]), label)
        else:
            found.append((start, end, label))
    return found


def inputs(case: Case, joined: bool) -> tuple[dict[str, Any], dict[str, list[Event]], dict[str, float]]:
    frame = import_module("sed_scores_eval.base_modules.scores").create_score_dataframe
    used = [label for label in case["labels"] if any(e[2] == label for r in case["recordings"] for e in r["true"])]
    columns = [case["labels"].index(label) for label in used]
    scores, true, seconds = {}, {}, {}
    for number, recording in enumerate(case["recordings"]):
        name, edges = str(number), np.array(recording["edges"])
        scores[name] = Writable(frame(np.array(recording["scores"])[:, columns], edges, used))
        true[name] = separate(recording["true"]) if joined else list(recording["true"])
        seconds[name] = float(edges[-1])
    return scores, true, seconds


def plain(values: npt.ArrayLike) -> list[Any]:
    """A descending curve, without the point at infinity."""
    return np.asarray(values)[::-1][1:].tolist()


def figures(case: Case) -> dict[str, Any]:
    package = import_module("sed_scores_eval")
    # It refuses what overlaps or touches. Its collars and segments are defined for that; intersections get it joined.
    import_module("sed_scores_eval.base_modules.io").assert_non_connected_events = lambda _: None
    found: dict[str, Any] = {}
    scores, true, seconds = inputs(case, joined=True)
    settings = {
        "PSDS1": {"dtc_threshold": 0.7, "gtc_threshold": 0.7, "alpha_st": 1.0},
        "PSDS2": {
            "dtc_threshold": 0.1, "gtc_threshold": 0.1, "cttc_threshold": 0.3, "alpha_ct": 0.5, "alpha_st": 1.0,
        },
    }  # fmt: skip
    for name, setting in settings.items():
        for most in (100.0, 2000.0):
            value, by_class, *_ = package.intersection_based.psds(scores, true, seconds, max_efpr=most, **setting)
            found[f"{name} {most:.0f}"] = [value, by_class]
    for name, module, setting in (
        ("intersection", package.intersection_based, {"dtc_threshold": 0.5, "gtc_threshold": 0.5}),
        ("cross", package.intersection_based, {"dtc_threshold": 0.3, "gtc_threshold": 0.6, "cttc_threshold": 0.4}),
        ("collar", package.collar_based, {"onset_collar": 0.2, "offset_collar": 0.2, "offset_collar_rate": 0.2}),
        ("segment", package.segment_based, {"audio_durations": None}),
    ):
        data = inputs(case, joined=module is package.intersection_based)[:2]
        curves = {}
        for label, (at, counts) in module.intermediate_statistics.accumulated_intermediate_statistics(*data, **setting)[
            0
        ].items():
            curve = {"thresholds": plain(at), "hits": plain(counts["tps"]), "false": plain(counts["fps"])}
            curves[label] = curve | {"true": int(counts["n_ref"])}
            if name == "cross":
                curves[label]["cross"] = {other: plain(values) for other, values in counts["cts"].items()}
        found[name] = {"curves": curves}
        if name != "cross":
            f1, _, _, thresholds, _ = module.best_fscore(*data, **setting)
            found[name] |= {"best_f1": f1, "thresholds": thresholds}
    return found


def main() -> None:
    kinds = ("noise", "smooth", "ties", "constant", "overlap", "never")
    cases = [draw(10 * number + again, kind) for number, kind in enumerate(kinds) for again in range(2)]
    lines = [json.dumps(case | {"figures": figures(case)}, default=float) for case in cases]
    FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
