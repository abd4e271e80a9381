"""pictures: any picture file becomes the same small set of arrays, lowest band first."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hubbub import pictures
from hubbub.pictures import PictureError

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
GREY = COLOURS[..., 0]


def saved(folder: Path, picture: Image.Image, name: str = "p.png") -> Path:
    picture.save(folder / name)
    return folder / name


def test_a_picture_is_turned_so_that_row_0_is_its_bottom(tmp_path: Path) -> None:
    colours = pictures.read(saved(tmp_path, Image.fromarray(COLOURS)))
    assert colours.shape == (3, 40, 60) and colours.dtype == np.uint8
    np.testing.assert_array_equal(colours, COLOURS[::-1].transpose(2, 0, 1))
    grey = pictures.read(saved(tmp_path, Image.fromarray(GREY)))
    np.testing.assert_array_equal(grey, GREY[None, ::-1])


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    alpha = np.zeros((40, 60, 1), np.uint8)
    alpha[:20] = 255
    read = pictures.read(saved(tmp_path, Image.fromarray(np.concatenate([COLOURS, alpha], axis=2))))
    np.testing.assert_array_equal(read[:, 20:], COLOURS[19::-1].transpose(2, 0, 1))
    assert (read[:, :20] == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "I;16", "1"])
def test_every_kind_of_picture_is_read_grey_or_in_colours(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(GREY.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(COLOURS).convert(mode)
    path = saved(tmp_path, picture, "p.tif" if mode == "CMYK" else "p.png")
    grey = mode in ("L", "LA", "I;16", "1")
    assert pictures.is_grey(path) is grey
    assert pictures.read(path).shape == (1 if grey else 3, 40, 60)
    if mode == "I;16":
        np.testing.assert_array_equal(pictures.read(path)[0], GREY[::-1])


def test_resizing_averages(tmp_path: Path) -> None:
    small = pictures.read(saved(tmp_path, Image.fromarray(GREY)), (4, 6))
    assert small.shape == (1, 4, 6)
    assert abs(float(small.mean()) - GREY.mean()) < 2
    assert small.std() < GREY.std() / 4


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    whole = saved(tmp_path, Image.fromarray(COLOURS)).read_bytes()
    for name, content in (("text.png", b"text"), ("cut.png", whole[: len(whole) // 2]), ("empty.png", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PictureError, match=name):
            pictures.read(tmp_path / name)
    with pytest.raises(PictureError, match="absent"):
        pictures.read(tmp_path / "absent.png")


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    # 200 million pixels in 200 kB.
    path = saved(tmp_path, Image.new("1", (20_000, 10_000)), "bomb.png")
    assert path.stat().st_size < 1_000_000
    with pytest.raises(PictureError, match="too large"):
        pictures.read(path)
