"""A long recording to answers, whole process: seconds, how many times real time, and peak memory.

    python -m benchmarks.recording [--hours 1] [--repeats 5]

The recording is made of real clips of ESC-50, one after another, as FLAC at 44.1 kHz. `--hours 24` measures a whole
day; otherwise the seconds of 24 hours are estimated in proportion, and the row says so.
"""

import tempfile
from pathlib import Path

import soundfile

from benchmarks.measure import clips_of, cores, costs, emit, hubbub, options, skip
from hubbub.audio import decode
from hubbub.runtime import homes

RATE_HZ, DAY_H = 44_100, 24


def write_recording(file: Path, clips: list[Path], hours: float) -> None:
    """Writes the clips over and over until the recording is so long."""
    waves = [decode.load(clip, RATE_HZ).clip(-1, 1) for clip in clips]
    missing, number = round(hours * 3600 * RATE_HZ), 0
    with soundfile.SoundFile(file, "w", RATE_HZ, 1) as out:
        while missing > 0:
            out.write(waves[number % len(waves)][:missing])
            missing -= len(waves[number % len(waves)])
            number += 1


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    given = parser.parse_args()
    clips = clips_of("esc50", 200)
    if not clips or not homes.find("weights", "yamnet.h5"):
        skip("recording", "a long recording", "no data home has data/esc50 and weights/yamnet.h5")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        commands = {}
        for name, hours in (("whole", given.hours), ("tenth", given.hours / 10)):
            write_recording(folder / f"{name}.flac", clips, hours)
            commands[name] = hubbub("classify", folder / f"{name}.flac", "--model", "yamnet", "--events", "--csv")
        found = costs(commands, folder, given.repeats, warm=False)
    whole, tenth = found["whole"], found["tenth"]
    # Both start alike, so the difference is the cost of the sound alone.
    an_hour = (whole.seconds - tenth.seconds) / (0.9 * given.hours)
    day = whole.seconds + an_hour * (DAY_H - given.hours)
    facts = {"hours_measured": given.hours, "times_real_time": round(3600 / an_hour, 1)}
    about = "" if given.hours == DAY_H else f", from {given.hours:g} h"
    emit("recording", f"24 h recording, YAMNet, events{about}", "s", {"hubbub": day}, cores(), given.repeats, **facts)
    work = f"{given.hours:g} h recording, peak memory (a tenth as long: {tenth.peak_mb:.0f} MB)"
    emit("recording-memory", work, "MB", {"hubbub": whole.peak_mb}, cores(), given.repeats)


if __name__ == "__main__":
    main()
