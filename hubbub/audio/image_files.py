"""Reads and writes image files of spectrograms, and reads spectrograms in .npy files.

Pillow decodes, resizes and encodes. In an array row 0 is the lowest band; in an image that is the bottom row, so images
are flipped. A damaged file is refused with the reason.
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

__all__ = ["EXTENSIONS", "ImageError", "Pixels", "is_grey", "read_image", "read_spectrogram", "resized", "write_png"]

Pixels = npt.NDArray[np.uint8]

#: The endings of image files; their content decides the decoder.
EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_GREY = ("1", "L", "LA", "I", "I;16")
# Pixel formats; for some others Pillow starts other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_MOST_PIXELS = 64_000_000


class ImageError(HubbubError):
    """An image or spectrogram file that cannot be read, or holds invalid values."""


def is_grey(path: str | Path) -> bool:
    """Whether an image has one channel and no colours."""
    with _opened(path) as image:
        return image.mode in _GREY


def read_image(path: str | Path, size: tuple[int, int] | None = None) -> Pixels:
    """An image -> `[C, height, width]` of 0 to 255, lowest band first; C is 1 for a grey image, else 3.

    Transparency is composited on white; `size` (height, width) resizes. Raises `ImageError`.
    """
    with _opened(path) as image:
        grey = image.mode in _GREY
        if image.mode.startswith("I"):  # 16 bits
            image = Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        pixels = np.asarray(image.convert("L" if grey else "RGB"))
    pixels = np.ascontiguousarray(pixels[::-1].reshape(*pixels.shape[:2], -1).transpose(2, 0, 1))
    return resized(pixels, size) if size else pixels


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Pixels `[1 or 3, ...]` at another height and width, by Pillow's bilinear filter, which averages when it
    shrinks."""
    if pixels.shape[1:] == size:
        return pixels
    image = _image(pixels).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image)[::-1].reshape(*size, -1).transpose(2, 0, 1))


def _image(pixels: Pixels) -> Image.Image:
    rows = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(rows[::-1]))


def read_spectrogram(path: str | Path) -> npt.NDArray[np.float32]:
    """A .npy file -> a spectrogram `[bands, frames]`, without executing pickles. Raises `ImageError`."""
    _refuse_no_file(path)
    try:
        values = np.load(
            path, mmap_mode="r", allow_pickle=False
        )  # memory-mapped: a bad header cannot force a large allocation
        if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu" or not values.size:
            raise ValueError("it holds no numbers of the shape [bands, frames]")
        with np.errstate(over="ignore"):  # infinite values are refused below
            values = np.array(values, dtype=np.float32)
    except Exception as error:  # NumPy parses the header as Python, which may raise anything
        why = str(error) or type(error).__name__
        raise ImageError(f"{path} cannot be read as a spectrogram ({why}). Create or download it again.") from error
    if not np.isfinite(values).all():
        raise ImageError(f"{path} holds values that are not finite. Create it again.")
    return values


def write_png(path: Path, pixels: Pixels, *, rgba: bool = False) -> None:
    """Writes pixels `[1 or 3, height, width]`, lowest band first, as a PNG without metadata, atomically; as opaque RGBA
    if asked."""
    image = _image(pixels)
    with files.whole_file(path) as temporary:
        (image.convert("RGBA") if rgba else image).save(temporary, "PNG", compress_level=1)  # for speed


def _refuse_no_file(path: str | Path) -> None:
    """Raises `ImageError` for pipes and devices, which may never end."""
    if not os.path.isfile(path):
        raise ImageError(f"{path} is not a file. Name one that holds an image or a spectrogram.")


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    _refuse_no_file(path)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            # Pillow only warns, and warnings can be made errors only for all threads at once.
            if image.width * image.height > _MOST_PIXELS:
                raise Image.DecompressionBombError(f"{image.width:,} x {image.height:,} pixels")
            if image.mode == "F":
                raise ValueError("its values are floats, not grey levels")
            yield image
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} is too large for an image ({error}). Make it smaller.") from error
    except HubbubError:
        raise
    except Exception as error:  # Pillow's decoders may raise anything
        why = str(error) or type(error).__name__
        raise ImageError(f"{path} cannot be read as an image ({why}). Create it again.") from error
