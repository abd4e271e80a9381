"""Write spectrogram images of any data set of sounds: PNG files of log-mels, of every clip and its variants.

An image is the output of a recipe's front end before standardising: values from 0 to 1 as 8 bits, grey or coloured, of
exactly its size, without axes or text. Each clip and variant has a file of its own. The lowest band is the lowest row.
The list has the columns of a published data set of such images, plus source and fold.
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
from hubbub.data.clips import Clips, refuse_label_sets
from hubbub.data.open import open_section
from hubbub.data.origins import Origins
from hubbub.runtime import files

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from hubbub.audio.frontend import FrontEnd

__all__ = ["CSV", "render", "write"]

CSV = "spectrograms.csv"


def write(recipe: Recipe, folder: Path, names: str = variants.ORIGINAL, seed: int = 0, *, rgba: bool = False) -> Path:
    """Write spectrogram images of the recipe's clips by its sections `audio`, `windows`, `frontend` -> their CSV list.

    `names` are variants as `variants.parse_variants` reads them. With `rgba` the PNGs have an opaque alpha channel.
    Files are
    `FOLDER/spectrograms/foldN/CLIP_VARIANT.png`, with the segment's number after a clip of several; existing ones stay.
    Raises `ImageError` where the recipe makes no images, `ManifestError` where the folder holds files of other
    settings, `ClipsError` for unreadable sounds.
    """
    from hubbub.audio.frontend import FrontEnd

    chosen = variants.parse_variants(names)
    _refuse_no_image(recipe)
    if rgba and recipe.frontend.colours == "none":
        raise ImageError("RGBA images are coloured, and frontend.colours is 'none'. Add --set frontend.colours=magma.")
    clips = open_section(recipe)
    refuse_label_sets(clips, "a list of images")
    if clips.kind != "sound":
        raise ImageError(f"{clips.name} holds {clips.kind}. Images are made from sounds: name a data set of sounds.")
    frontend = FrontEnd(recipe.frontend, recipe.audio.rate_hz)
    clips = replace(clips, table=clips.table.assign(file=manifest.file_names(clips), source=manifest.sources(clips)))
    sections = {name: getattr(recipe, name).model_dump(mode="json") for name in ("audio", "windows", "frontend")}
    facts = manifest.manifest_of(clips, "pictures", CSV, chosen, seed) | sections | ({"mode": "RGBA"} if rgba else {})
    with manifest.generating(folder, facts) as origins:
        renderer = _Renderer(recipe, frontend, clips, chosen, seed, folder / "spectrograms", origins, rgba)
        rows = manifest.in_parallel(renderer.write, clips, "drawing")
        files.write_csv(folder / CSV, pd.DataFrame([row for some in rows for row in some]))
    return folder / CSV


def render(frontend: "FrontEnd", segment: "Tensor", rate_hz: int, variant: str, chance: "Generator") -> Pixels:
    """A segment `[N]` -> the 8-bit image `[C, H, W]` of one of its variants, row 0 the lowest band."""
    import torch

    from hubbub.augment import Spectrogram, Waveform

    augment = variants.VARIANTS[variant]
    masks = Spectrogram(augment)
    with torch.no_grad():
        changed = Waveform(augment, rate_hz)(segment[None], chance)
        image = frontend.render(changed, lambda log_mel: masks(log_mel, chance))[0]
    shades = (image * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    return shades if shades.ndim == 3 else shades[None]


def _refuse_no_image(recipe: Recipe) -> None:
    if recipe.frontend.name != "logmel":
        raise ImageError(
            "this recipe has no log-mel front end, so it makes no images. Give one that has, e.g. us8k-resnet18."
        )
    if recipe.frontend.scale == "none":
        raise ImageError(
            "frontend.scale is 'none', so values are decibels, not shades. Add --set frontend.scale=minmax or top_db."
        )


@dataclass(frozen=True)
class _Renderer:
    """Writes the images of one clip after another."""

    recipe: Recipe
    frontend: "FrontEnd"
    clips: Clips
    names: tuple[str, ...]
    seed: int
    folder: Path
    origins: Origins
    rgba: bool

    def write(self, row: int) -> list[dict[str, Any]]:
        """Write those images of one clip that are missing -> the rows of all of them in the list."""
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
                    own = torch.from_numpy(segment.copy())  # torch refuses read-only views
                    pixels = render(self.frontend, own, rate_hz, name, chance)
                    image_files.write_png(folder / file, pixels, rgba=self.rgba)
                    self.origins.record(folder / file, clip["path"])
                rows.append(self._listed(clip, name, file, span))
        return rows

    def _listed(self, clip: pd.Series, name: str, file: str, span: npt.NDArray[np.float64]) -> dict[str, Any]:
        own = "augmented" if clip["split_hint"] == "train" else "original"  # an image of a copy is a copy
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
