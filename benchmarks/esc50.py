"""`hubbub bench esc50-yamnet` from the command to its report, with an empty cache and with a filled one.

    python -m benchmarks.esc50 [--repeats 5] [--most-cold 3]

All 2,000 clips of ESC-50 in five folds: decoding, YAMNet's embeddings, fifteen heads and the refit. With an empty cache
it is measured at most `--most-cold` times, because it takes minutes.
"""

import shutil
import statistics
import tempfile
from pathlib import Path

from benchmarks.measure import Cost, clips_of, cores, cost_of, emit, hubbub, options, skip
from hubbub.runtime import homes

RECIPE = "esc50-yamnet"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--most-cold", type=int, default=3, help="the most runs with an empty cache")
    given = parser.parse_args()
    if not clips_of("esc50", 1) or not homes.find("weights", "yamnet.h5"):
        skip("esc50", f"bench {RECIPE}", "no data home has data/esc50 and weights/yamnet.h5")
        return
    found: dict[str, list[Cost]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cache, runs = folder / "cache", folder / "runs"

        def run() -> Cost:
            shutil.rmtree(runs, ignore_errors=True)
            return cost_of(hubbub("bench", RECIPE, "--out", runs), folder, HUBBUB_CACHE=str(cache))

        for repeat in range(given.repeats):
            if repeat < given.most_cold:
                shutil.rmtree(cache, ignore_errors=True)
                found["cold"].append(run())
            found["warm"].append(run())
    for kind, costs in found.items():
        seconds, memory = (statistics.median(getattr(c, what) for c in costs) for what in ("seconds", "peak_mb"))
        work = f"`bench {RECIPE}`, {kind} cache"
        facts = {"largest_process_mb": round(memory)}
        emit(f"esc50-{kind}", work, "s", {"hubbub": seconds}, cores(), len(costs), **facts)


if __name__ == "__main__":
    main()
