"""How cost grows: with clips, classes, overlap and workers; and a picture of it.

    python -m benchmarks.growth [--clips 400 2000 8732] [--repeats 5] [--picture runs/growth.png]

Clips and their memory: `hubbub classify` of a folder, whole process (ESC-50 has 2,000 clips; for more, they repeat
under other names). Classes: heads on YAMNet's embeddings, ESC-10 and ESC-50, one fold, everything cached. Overlap:
waves to probabilities. Workers: `hubbub bench` of eight small trainings. Large folders are measured fewer times.
"""

import statistics
import tempfile
from functools import partial
from pathlib import Path

import matplotlib

import hubbub
from benchmarks import measure
from benchmarks.measure import Cost, clips_of, cores, cost_of, emit, median_seconds, options, skip
from hubbub.audio import decode, windows
from hubbub.models.yamnet import PATCH_SAMPLES
from hubbub.runtime import homes

#: Whole processes of a folder of so many clips or more are measured at most so many times.
MANY, MOST = 2_000, 2
OVERLAPS = (0.0, 0.5, 0.9)
CLIPS_IN_OVERLAP = 60


def by_clips(counts: list[int], repeats: int, work: Path) -> dict[int, Cost]:
    """The cost of `hubbub classify` for folders of so many clips."""
    found, clips = {}, clips_of("esc50", 2_000)
    for count in counts:
        folder = work / str(count)
        folder.mkdir()
        for number in range(count):
            clip = clips[number % len(clips)]
            (folder / f"{number}-{clip.name}").symlink_to(clip)
        times = min(repeats, MOST) if count >= MANY else repeats
        command = measure.hubbub("classify", folder, "--model", "yamnet", "--csv")
        taken = [cost_of(command, work) for _ in range(times)]
        seconds, memory = (statistics.median(getattr(c, what) for c in taken) for what in ("seconds", "peak_mb"))
        found[count] = Cost(seconds, memory)
        emit(f"clips-{count}", f"classify {count:,} clips of 5 s", "s", {"hubbub": seconds}, cores(), times)
        emit(f"clips-{count}-memory", "the same, peak memory", "MB", {"hubbub": memory}, cores(), times)
    return found


def by_overlap(repeats: int) -> dict[float, float]:
    """Seconds from waves to probabilities for segments that overlap by such shares."""
    model = hubbub.load("yamnet")
    waves = [decode.load(clip, model.rate_hz) for clip in clips_of("esc50", CLIPS_IN_OVERLAP)]

    def run(share: float) -> None:
        hop = round(PATCH_SAMPLES * (1 - share))
        for wave in waves:
            model.predict_proba(model.outputs(windows.cut(wave, PATCH_SAMPLES, hop)), [0])

    found = {}
    for share, seconds in median_seconds({str(s): partial(run, s) for s in OVERLAPS}, repeats).items():
        found[float(share)] = seconds
        emit(
            f"overlap-{share}",
            f"{len(waves)} clips, overlap {share}, waves to probabilities",
            "s",
            {"hubbub": seconds},
            cores(),
            repeats,
        )
    return found


def by_classes(repeats: int, work: Path) -> None:
    """Emits seconds of one fold of heads with 10 and with 50 classes; the embeddings are cached before."""
    for recipe, classes in (("esc10-yamnet", 10), ("esc50-yamnet", 50)):

        def run(repeat: int, recipe: str = recipe) -> float:
            command = measure.hubbub("bench", recipe, "--folds", "1", "--out", work / f"{recipe}-{repeat}")
            return cost_of(command, work, HUBBUB_CACHE=str(work / "cache")).seconds

        run(-1)
        seconds = statistics.median(run(repeat) for repeat in range(repeats))
        emit(f"classes-{classes}", f"`bench {recipe} --folds 1`, cached", "s", {"hubbub": seconds}, cores(), repeats)


def by_workers(repeats: int, work: Path) -> None:
    """Emits seconds of eight small trainings by one process and by two."""
    settings = ["--set", "data.limit=4", "--set", "train.epochs=4", "--folds", "1,2", "--seeds", "1,2,3,4"]

    def run(jobs: int, repeat: int) -> float:
        command = measure.hubbub("bench", "street-cnn", *settings, "--jobs", jobs, "--out", work / f"{jobs}-{repeat}")
        return cost_of(command, work, HUBBUB_CACHE=str(work / "cache")).seconds

    run(1, -1)  # synthesises and decodes
    for jobs in (1, 2):
        seconds = statistics.median(run(jobs, repeat) for repeat in range(repeats))
        emit(f"workers-{jobs}", f"eight trainings, --jobs {jobs}", "s", {"hubbub": seconds}, cores(), repeats)


def draw(clips: dict[int, Cost], overlaps: dict[float, float], file: Path) -> None:
    """Draws time and memory over the number of clips, and time over the overlap."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3), layout="constrained")
    counts = list(clips)
    axes[0].plot(counts, [clips[n].seconds for n in counts], "o-")
    axes[0].set(xlabel="clips of 5 s", ylabel="seconds", title="classify a folder")
    axes[1].plot(counts, [clips[n].peak_mb for n in counts], "o-")
    axes[1].set(xlabel="clips of 5 s", ylabel="peak memory [MB]", title="its memory")
    segments = [1 / (1 - share) for share in overlaps]
    axes[2].plot(segments, list(overlaps.values()), "o-")
    axes[2].set(xlabel="segments (1: no overlap)", ylabel="seconds", title="overlap")
    for axis in axes:
        axis.set_ylim(0, 1.1 * axis.dataLim.y1)
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clips", type=int, nargs="+", default=[400, 2_000, 8_732])
    parser.add_argument("--picture", type=Path, default=Path("runs/growth.png"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        by_workers(given.repeats, work)
        if not clips_of("esc50", 1) or not homes.find("weights", "yamnet.h5"):
            skip("clips", "clips, classes, overlap", "no data home has data/esc50 and weights/yamnet.h5")
            return
        overlaps = by_overlap(given.repeats)
        by_classes(given.repeats, work)
        draw(by_clips(given.clips, given.repeats, work), overlaps, given.picture)


if __name__ == "__main__":
    main()
