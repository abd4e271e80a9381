"""Archives: indexing UrbanSound8K's clips, opening the archive, a search, a label until all is ranked again.

    python -m benchmarks.archive [--clips 4000] [--repeats 5]

The peer of indexing is `peers/yamnet_litert.py`, which computes as much of each clip with YAMNet in 8 bits, one segment
at a time, with half a segment of overlap, as its authors do. The rest has no peer of its own.
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.files import peer_command
from benchmarks.measure import clips_of, cores, cost_of, emit, hubbub, median_seconds, options, skip
from hubbub.archive import quick_head, search
from hubbub.archive.archive import Archive
from hubbub.archive.nearest import Nearest
from hubbub.runtime import homes


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clips", type=int, default=4_000, help="clips, as far as there are so many")
    given = parser.parse_args()
    clips = clips_of("urbansound8k", given.clips)
    if not clips or not homes.find("weights", "yamnet.h5"):
        skip("index", "indexing", "no data home has data/urbansound8k and weights/yamnet.h5")
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        folder, to = work / "clips", work / "archive"
        folder.mkdir()
        for clip in clips:
            (folder / clip.name).symlink_to(clip)
        seconds = {"hubbub": cost_of(hubbub("index", folder, "--to", to, "--model", "yamnet"), work).seconds}
        archive = Archive(to)
        peer = peer_command(clips)
        if not isinstance(peer, str):
            seconds["LiteRT script"] = cost_of(peer, work).seconds
        hours = archive.summary()["hours"]
        speeds = {name: 3600 * hours / taken for name, taken in seconds.items()}
        emit("index", f"indexing {hours:.2f} h, whole process", "x real time", speeds, cores(), 1)

        nearest, take = Nearest(to, archive.vectors), archive.vectors.take
        segments = np.random.default_rng(0).choice(archive.segments, 100, replace=False)
        y = np.eye(10, dtype=np.int8)[np.arange(100) % 10]
        works = {
            "open": lambda: Archive(to),
            "search": lambda: search.like(nearest, take([0]), take([]), archive.here, 50),
            "rank": lambda: quick_head.scores(archive.vectors, segments, y),
        }
        about = {
            "open": "opening it",
            "search": f"the 50 of {archive.segments:,} segments that are most like one",
            "rank": f"ten classes from 100 labels, and all {archive.segments:,} segments ranked by them",
        }
        for name, taken in median_seconds(works, given.repeats).items():
            emit(name, about[name], "ms", {"hubbub": 1000 * taken}, cores(), given.repeats)


if __name__ == "__main__":
    main()
