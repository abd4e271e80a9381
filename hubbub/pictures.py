"""Picture files in, arrays out: what `audio` is for sound.

Decoding and resizing are Pillow's. Row 0 of an array is the lowest band, and a picture has that at its bottom, so files
are turned upside down. A file that cannot be trusted is refused with a reason.
This room knows nothing of clips, labels or front ends.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from hubbub.errors import HubbubError

__all__ = ["EXTENSIONS", "PictureError", "is_grey", "read"]

#: What is taken for a picture; what it is decides how it is read.
EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_GREY = ("1", "L", "LA", "I", "F", "I;16")


class PictureError(HubbubError):
    """A picture that cannot be read or must not be trusted."""


def is_grey(path: str | Path) -> bool:
    """Whether a picture has one channel and no colours."""
    with _opened(path) as picture:
        return picture.mode in _GREY


def read(path: str | Path, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """A picture -> `[C, height, width]` of 0 to 255, C = 1 for a grey one and 3 else; lowest band first.

    What is transparent is laid on white; `size` (height, width) resizes by Pillow's bilinear filter, which averages
    where it makes smaller. Raises `PictureError`.
    """
    with _opened(path) as picture:
        grey = picture.mode in _GREY
        if picture.mode.startswith("I"):  # 16 bits
            picture = Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8))
        if picture.has_transparency_data:
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture.convert("RGBA"))
        picture = picture.convert("L" if grey else "RGB")
        if size and picture.size != size[::-1]:
            picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(picture)
    return np.ascontiguousarray(pixels[::-1].reshape(*pixels.shape[:2], -1).transpose(2, 0, 1))


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                yield picture
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise PictureError(f"{path} would be too large a picture ({error}). Make it smaller.") from error
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise PictureError(f"{path} is not a picture that can be read ({error}). Make it again.") from error
