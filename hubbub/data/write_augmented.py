"""Augmented sounds of any data set as WAV files, each at its recording's own sample rate, and the list of them.

Samples are written as 32-bit floats: noise or a louder gain may pass full scale, which 16 bits would clip, and the
original comes out bit for bit. A stretched sound is as long as stretching makes it.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from hubbub.audio import decode
from hubbub.data import manifest, variants
from hubbub.data.clips import Clips, ClipsError
from hubbub.data.open import open_data
from hubbub.data.origins import Origins
from hubbub.runtime import files

__all__ = ["CSV", "write"]

CSV = "augmented.csv"


def write(name: str, folder: Path, names: str, seed: int = 0, *, allow_missing: bool = False) -> Path:
    """WAVs of a data set's clips and the list of them, which `clips.from_csv` reads; copies are for training alone.

    `names` are variants as `variants.parse_variants` reads them. Files are `FOLDER/audio/foldN/CLIP_VARIANT.wav`;
    existing ones stay. Raises `ClipsError` for variants that change spectrograms only and for unreadable sounds,
    `ManifestError` where the folder holds files of other settings.
    """
    chosen = variants.parse_variants(names)
    silent = [variant for variant in chosen if variants.changes_spectrograms(variant)]
    if silent:
        raise ClipsError(
            f"{', '.join(silent)}: masks hide parts of a spectrogram, and no sound has them. Leave them out, or make "
            "pictures: hubbub data images."
        )
    clips = open_data(name, allow_missing=allow_missing)
    if clips.kind != "sound":
        raise ClipsError(f"{clips.name} holds {clips.kind}. Augmented sounds are made of sounds: name those.")
    clips = replace(clips, table=clips.table.assign(file=manifest.file_names(clips), source=manifest.sources(clips)))
    with manifest.generating(folder, manifest.manifest_of(clips, "sounds", CSV, chosen, seed)) as origins:
        copier = _Copier(clips, chosen, seed, folder, origins)
        rows = manifest.in_parallel(copier.copy, clips, "augmenting")
        files.write_csv(folder / CSV, pd.DataFrame([row for some in rows for row in some]))
    return folder / CSV


@dataclass(frozen=True)
class _Copier:
    """What the sounds of all clips share."""

    clips: Clips
    names: tuple[str, ...]
    seed: int
    folder: Path
    origins: Origins

    def copy(self, row: int) -> list[dict[str, Any]]:
        """Write one clip's variants, leaving those that are there -> their rows in the list."""
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
                heard = variants.apply_variant(torch.from_numpy(wave), rate_hz, name, chance)
                with files.whole_file(path) as temporary:
                    wavfile.write(temporary, rate_hz, heard.numpy())  # libsndfile would write the time of day into it
                self.origins.record(path, clip["path"])
            rows.append(
                {
                    "path": path.relative_to(self.folder).as_posix(),
                    "label": clip["label"],
                    "fold": clip["fold"],
                    "group": clip["source"],
                    "clip": path.stem,
                    "split_hint": clip["split_hint"] if name == variants.ORIGINAL else "train",
                    "variant": name,
                }
            )
        return rows
