"""Write augmented sounds of any data set as WAV files, each at its recording's own sample rate, and a list of them.

Samples are 32-bit floats: noise or gain may exceed full scale, which 16 bits would clip, and the original stays
identical bit for bit. A stretched sound keeps its new length.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from hubbub.audio import decode
from hubbub.data import manifest, variants
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.multilabel_lists import class_cells
from hubbub.data.open import open_data
from hubbub.data.origins import Origins
from hubbub.runtime import files

__all__ = ["CSV", "write"]

CSV = "augmented.csv"


def write(name: str, folder: Path, names: str, seed: int = 0, *, allow_missing: bool = False) -> Path:
    """Write WAVs of a data set's clips and variants -> their CSV list, for `clip_lists.from_csv`. Copies only train.

    `names` are variants as `variants.parse_variants` reads them. Files are `FOLDER/audio/foldN/CLIP_VARIANT.wav`;
    existing ones stay. Raises `ClipsError` for variants that change spectrograms only and for unreadable sounds,
    `ManifestError` where the folder holds files of other settings.
    """
    chosen = variants.parse_variants(names)
    without_sound = [variant for variant in chosen if variants.changes_spectrograms(variant)]
    if without_sound:
        raise ClipsError(
            f"{', '.join(without_sound)}: masks hide parts of a spectrogram, so there is no such sound. Leave them "
            "out, or make images: hubbub data images."
        )
    clips = open_data(name, allow_missing=allow_missing)
    if clips.kind != "sound":
        raise ClipsError(
            f"{clips.name} holds {clips.kind}. Augmented sounds are made from sounds: name a data set of sounds."
        )
    clips = replace(clips, table=clips.table.assign(file=manifest.file_names(clips), source=manifest.sources(clips)))
    with manifest.generating(folder, manifest.manifest_of(clips, "sounds", CSV, chosen, seed)) as origins:
        writer = _Writer(clips, chosen, seed, folder, origins)
        rows = manifest.in_parallel(writer.write, clips, "augmenting")
        files.write_csv(folder / CSV, pd.DataFrame([row for some in rows for row in some]))
    return folder / CSV


@dataclass(frozen=True)
class _Writer:
    """Writes the sounds of one clip after another."""

    clips: Clips
    names: tuple[str, ...]
    seed: int
    folder: Path
    origins: Origins

    def write(self, row: int) -> list[dict[str, Any]]:
        """Write those variants of one clip that are missing -> the rows of all of them in the list."""
        import torch
        from scipy.io import wavfile

        clip = self.clips.table.iloc[row]
        self.origins.observe(clip["path"])
        wave, rate_hz = decode.decode(clip["path"], clip["start"], clip["end"])
        folder, rows = manifest.fold_folder(self.folder / "audio", clip["fold"]), []
        for name in self.names:
            path = folder / f"{clip['file']}_{name}.wav"
            if self.origins.must_write(path, clip["path"]):
                chance = variants.generator(self.seed, clip["clip"], name)
                changed = variants.apply_variant(torch.from_numpy(wave), rate_hz, name, chance)
                with files.whole_file(path) as temporary:
                    wavfile.write(temporary, rate_hz, changed.numpy())  # libsndfile would add the time of day
                self.origins.record(path, clip["path"])
            rows.append(
                {
                    "path": path.relative_to(self.folder).as_posix(),
                    **(class_cells(clip, self.clips.labels) if self.clips.multilabel else {"label": clip["label"]}),
                    "fold": clip["fold"],
                    "group": clip["source"],
                    "clip": path.stem,
                    "split_hint": clip["split_hint"] if name == variants.ORIGINAL else "train",
                    "variant": name,
                }
            )
        return rows
