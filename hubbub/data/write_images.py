"""Spectrogram pictures of any data set of sounds: log-mels as PNG files, of every clip and of its variants.

A picture is what a recipe's front end draws before it standardises: values from 0 to 1 as 8 bits, grey or in colours,
of exactly its size, without axes or text. Each clip and variant has a file of its own. The lowest band is the lowest
row. Columns of the list are those of a published data set of such pictures, and what that lacked: source and fold.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hubbub.audio import decode, image_files, windows
from hubbub.audio.image_files import ImageError, Pixels
from hubbub.config.recipe import Recipe
from hubbub.data import manifest, variants
from hubbub.data.clips import Clips
from hubbub.data.open import open_section
from hubbub.data.origins import Origins
from hubbub.runtime import files

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from hubbub.audio.frontend import FrontEnd

__all__ = ["CSV", "picture", "write"]

CSV = "spectrograms.csv"


def write(recipe: Recipe, folder: Path, names: str = variants.ORIGINAL, seed: int = 0) -> Path:
    """Write spectrogram images of the recipe's clips by its sections `audio`, `windows`, `frontend` -> their CSV list.

    `names` are variants as `variants.parse_variants` reads them. Files are
    `FOLDER/spectrograms/foldN/CLIP_VARIANT.png`, with the segment's number after a clip of several; existing ones stay.
    Raises `ImageError` where the recipe makes no images, `ManifestError` where the folder holds files of other
    settings, `ClipsError` for unreadable sounds.
    """
    from hubbub.audio.frontend import FrontEnd

    chosen = variants.parse_variants(names)
    _refuse_no_picture(recipe)
    clips = open_section(recipe.data)
    if clips.kind != "sound":
        raise ImageError(f"{clips.name} holds {clips.kind}. Pictures are made of sounds: name a data set of those.")
    frontend = FrontEnd(recipe.frontend, recipe.audio.rate_hz)
    clips = replace(clips, table=clips.table.assign(file=manifest.file_names(clips), source=manifest.sources(clips)))
    sections = {name: getattr(recipe, name).model_dump(mode="json") for name in ("audio", "windows", "frontend")}
    with manifest.generating(folder, manifest.manifest_of(clips, "pictures", CSV, chosen, seed) | sections) as origins:
        painter = _Painter(recipe, frontend, clips, chosen, seed, folder / "spectrograms", origins)
        rows = manifest.in_parallel(painter.draw, clips, "drawing")
        files.write_csv(folder / CSV, pd.DataFrame([row for some in rows for row in some]))
    return folder / CSV


def picture(frontend: "FrontEnd", segment: "Tensor", rate_hz: int, variant: str, chance: "Generator") -> Pixels:
    """A segment `[N]` -> a variant's picture `[C, H, W]`: the front end's in 8 bits, row 0 the lowest band."""
    import torch

    from hubbub.augment import Spectrogram, Waveform

    augment = variants.VARIANTS[variant]
    masks = Spectrogram(augment)
    with torch.no_grad():
        heard = Waveform(augment, rate_hz)(segment[None], chance)
        drawn = frontend.render(heard, lambda log_mel: masks(log_mel, chance))[0]
    shades = (drawn * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    return shades if shades.ndim == 3 else shades[None]


def _refuse_no_picture(recipe: Recipe) -> None:
    if recipe.frontend.name != "logmel":
        raise ImageError(
            "this recipe has no front end of its own, so it draws no pictures. Give one that has, e.g. us8k-resnet18."
        )
    if recipe.frontend.scale == "none":
        raise ImageError(
            "frontend.scale is 'none', so values are decibels, not shades. Set --set frontend.scale=minmax or top_db."
        )


@dataclass(frozen=True)
class _Painter:
    """What the pictures of all clips share."""

    recipe: Recipe
    frontend: "FrontEnd"
    clips: Clips
    names: tuple[str, ...]
    seed: int
    folder: Path
    origins: Origins

    def draw(self, row: int) -> list[dict[str, Any]]:
        """Draw one clip's pictures, leaving those that are there -> their rows in the list."""
        import torch

        clip, cut, rate_hz = self.clips.table.iloc[row], self.recipe.windows, self.recipe.audio.rate_hz
        self.origins.observe(clip["path"])
        wave = decode.load(clip["path"], rate_hz, clip["start"], clip["end"])
        segments = windows.cut(wave, cut.length, cut.hop, cut.pad)
        spans = windows.spans(len(wave), rate_hz, cut.length, cut.hop) + np.nan_to_num(clip["start"])
        folder, rows = manifest.fold_folder(self.folder, clip["fold"]), []
        for number, (segment, span) in enumerate(zip(segments, spans, strict=True)):
            stem = f"{clip['file']}-s{number:04d}" if len(segments) > 1 else clip["file"]
            for name in self.names:
                file = f"{stem}_{name}.png"
                if self.origins.must_write(folder / file, clip["path"]):
                    chance = variants.generator(self.seed, f"{clip['clip']}\n{number}", name)
                    heard = torch.from_numpy(segment.copy())  # a view of the wave, which torch would not take
                    image_files.write_png(folder / file, picture(self.frontend, heard, rate_hz, name, chance))
                    self.origins.record(folder / file, clip["path"])
                rows.append(self._listed(clip, name, file, span))
        return rows

    def _listed(self, clip: pd.Series, name: str, file: str, span: npt.NDArray[np.float64]) -> dict[str, Any]:
        own = "augmented" if clip["split_hint"] == "train" else "original"  # what is made of a copy is one
        return {
            "spec_file_name": file,
            "orig_file_name": Path(clip["path"]).name,
            "fsID": clip["source"],
            "fold": clip["fold"],
            "classID": self.clips.labels.index(clip["label"]),
            "class": clip["label"],
            "augmentation": own if name == variants.ORIGINAL else name,
            "source": clip["source"],
            "variant": name,
            "clip": clip["clip"],
            "start": span[0],
            "end": span[1],
        }
