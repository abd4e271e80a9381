"""Decoding Ogg Vorbis and resampling to 16 kHz on one core: hubbub and `librosa.load`.

python -m benchmarks.decoding [--clips 60] [--repeats 5]
"""

import librosa

from benchmarks.measure import clips_of, emit, median_seconds, options, skip
from hubbub.audio import decode

WORK = "decode ogg (44.1 kHz), resample to 16 kHz, one core"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clips", type=int, default=60)
    given = parser.parse_args()
    clips = clips_of("esc50", given.clips)
    if not clips:
        skip("decode", WORK, "no data home has data/esc50")
        return
    sound = sum(len(decode.load(clip, 16_000)) for clip in clips) / 16_000
    seconds = median_seconds(
        {
            "hubbub": lambda: [decode.load(clip, 16_000) for clip in clips],
            "librosa.load": lambda: [librosa.load(clip, sr=16_000) for clip in clips],
        },
        given.repeats,
    )
    emit("decode", WORK, "s of sound/s", {name: sound / s for name, s in seconds.items()}, 1, given.repeats)


if __name__ == "__main__":
    main()
