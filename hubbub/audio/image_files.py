"""Picture files in, arrays out: what `audio` is for sound.

Decoding and resizing are Pillow's. Row 0 of an array is the lowest band, and a picture has that at its bottom, so files
are turned upside down. A file that cannot be trusted is refused with a reason.
This room knows nothing of clips, labels or front ends.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from hubbub.errors import HubbubError
from hubbub.runtime import files

__all__ = ["EXTENSIONS", "PictureError", "Pixels", "is_grey", "read", "read_spectrogram", "write"]

Pixels = npt.NDArray[np.uint8]

#: What is taken for a picture; what it is decides how it is read.
EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_GREY = ("1", "L", "LA", "I", "I;16")
# Those that hold pixels; others of Pillow's start other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_MOST_PIXELS = 64_000_000


class PictureError(HubbubError):
    """A picture that cannot be read or must not be trusted."""


def is_grey(path: str | Path) -> bool:
    """Whether a picture has one channel and no colours."""
    with _opened(path) as picture:
        return picture.mode in _GREY


def read(path: str | Path, size: tuple[int, int] | None = None) -> Pixels:
    """A picture -> `[C, height, width]` of 0 to 255, C = 1 for a grey one and 3 else; lowest band first.

    What is transparent is laid on white; `size` (height, width) resizes by Pillow's bilinear filter, which averages
    where it makes smaller. Raises `PictureError`.
    """
    with _opened(path) as picture:
        grey = picture.mode in _GREY
        if picture.mode.startswith("I"):  # 16 bits
            picture = Image.fromarray((np.asarray(picture) / 257).round().clip(0, 255).astype(np.uint8))
        if picture.has_transparency_data:
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture.convert("RGBA"))
        picture = picture.convert("L" if grey else "RGB")
        if size and picture.size != size[::-1]:
            picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(picture)
    return np.ascontiguousarray(pixels[::-1].reshape(*pixels.shape[:2], -1).transpose(2, 0, 1))


def read_spectrogram(path: str | Path) -> npt.NDArray[np.float32]:
    """A .npy file -> a spectrogram `[bands, frames]`. Nothing in it is executed. Raises `PictureError`."""
    _refuse_no_file(path)
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)  # a header that lies asks for no memory
        if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu" or not values.size:
            raise ValueError("it holds no numbers [bands, frames]")
        with np.errstate(over="ignore"):  # refused below
            values = np.array(values, dtype=np.float32)
    except Exception as error:  # a header is parsed as Python, whose parser has errors of many kinds
        why = str(error) or type(error).__name__
        raise PictureError(f"{path} is not a spectrogram that can be read ({why}). Make or fetch it again.") from error
    if not np.isfinite(values).all():
        raise PictureError(f"{path} holds values that are not finite. Make it again.")
    return values


def write(path: Path, pixels: Pixels) -> None:
    """Pixels `[1 or 3, height, width]`, lowest band first -> a PNG of them and nothing else, whole or not at all."""
    rows = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    with files.whole_file(path) as temporary:
        Image.fromarray(np.ascontiguousarray(rows[::-1])).save(temporary, "PNG", compress_level=1)  # for speed


def _refuse_no_file(path: str | Path) -> None:
    """A pipe or a device might never end."""
    if not os.path.isfile(path):
        raise PictureError(f"{path} is not a file. Name one that holds a picture or a spectrogram.")


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    _refuse_no_file(path)
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            # Counted here, because warnings are turned into errors for all threads or none.
            if picture.width * picture.height > _MOST_PIXELS:
                raise Image.DecompressionBombError(f"{picture.width:,} x {picture.height:,} pixels")
            if picture.mode == "F":
                raise ValueError("its values are not shades")
            yield picture
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path} would be too large a picture ({error}). Make it smaller.") from error
    except HubbubError:
        raise
    except Exception as error:  # Pillow's decoders have errors of many kinds
        why = str(error) or type(error).__name__
        raise PictureError(f"{path} is not a picture that can be read ({why}). Make it again.") from error
