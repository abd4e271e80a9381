"""Files to answers, whole processes: a folder of clips, one cold file, and `import hubbub` and `hubbub --help`.

    python -m benchmarks.files [--clips 180] [--repeats 5]

The peer is `peers/yamnet_litert.py`, the script that one would write instead. Both use as many threads as there are
cores.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import clips_of, cores, costs, emit, hubbub, options, skip
from hubbub.runtime import homes

PEER = Path(__file__).parent / "peers" / "yamnet_litert.py"


def peer_command(files: list[Path]) -> list[str] | str:
    """The peer's command for these files, or why it cannot run."""
    try:
        import ai_edge_litert  # noqa: F401
    except ImportError:
        return "ai-edge-litert is not installed: pip install '.[bench]'"
    model, classes = (homes.find("weights", name) for name in ("yamnet_litert.tflite", "yamnet_class_map.csv"))
    if not model or not classes:
        return "no data home has weights/yamnet_litert.tflite and weights/yamnet_class_map.csv"
    return [sys.executable, str(PEER), str(model), str(classes), str(cores()), *map(str, files)]


def compare(row: str, work: str, files: list[Path], given: object, repeats: int, folder: Path) -> None:
    """Emits seconds and peak memory of hubbub and of the peer."""
    commands = {"hubbub": hubbub("classify", given, "--model", "yamnet", "--json")}
    peer = peer_command(files)
    if isinstance(peer, str):
        skip(f"{row}-peer", f"{work}: the peer", peer)
    else:
        commands["LiteRT script"] = peer
    found = costs(commands, folder, repeats)
    seconds, memory = ({n: getattr(c, kind) for n, c in found.items()} for kind in ("seconds", "peak_mb"))
    emit(row, f"{work}, whole process", "s", seconds, cores(), repeats)
    emit(f"{row}-memory", f"{work}, peak memory", "MB", memory, cores(), repeats)


def startup(repeats: int, folder: Path) -> None:
    """Emits seconds of an import and of the help, beside those of an empty Python."""
    commands = {"python -c pass": [sys.executable, "-c", "pass"]}
    rows = {
        "import": ("`import hubbub`", [sys.executable, "-c", "import hubbub"]),
        "help": ("`hubbub --help`", hubbub("--help")),
    }
    found = costs(commands | {name: command for name, (_, command) in rows.items()}, folder, max(repeats, 5))
    empty = found["python -c pass"].seconds
    for name, (work, _) in rows.items():
        emit(name, work, "s", {"hubbub": found[name].seconds}, 1, max(repeats, 5), python_alone=round(empty, 4))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clips", type=int, default=180, help="clips in the folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        startup(given.repeats, work)
        clips = clips_of("esc50", given.clips)
        if not clips or not homes.find("weights", "yamnet.h5"):
            skip("folder", "a folder of clips", "no data home has data/esc50 and weights/yamnet.h5")
            return
        folder = work / "clips"
        folder.mkdir()
        files = [folder / clip.name for clip in clips]
        for file, clip in zip(files, clips, strict=True):
            file.symlink_to(clip)
        compare("one-file", "one 5 s file, cold", clips[:1], clips[0], given.repeats, work)
        compare("folder", f"folder of {len(clips)} clips of 5 s", files, folder, given.repeats, work)


if __name__ == "__main__":
    main()
