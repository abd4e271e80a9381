"""audio.image_files: every kind of image file becomes one of a few kinds of array, lowest band first."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hubbub.audio import image_files
from hubbub.audio.image_files import ImageError

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
GREY = COLOURS[..., 0]
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"  # which Pillow would hand to a program


def saved(folder: Path, picture: Image.Image, name: str = "p.png") -> Path:
    picture.save(folder / name)
    return folder / name


def test_a_picture_is_turned_so_that_row_0_is_its_bottom(tmp_path: Path) -> None:
    colours = image_files.read_image(saved(tmp_path, Image.fromarray(COLOURS)))
    assert colours.shape == (3, 40, 60) and colours.dtype == np.uint8
    np.testing.assert_array_equal(colours, COLOURS[::-1].transpose(2, 0, 1))
    grey = image_files.read_image(saved(tmp_path, Image.fromarray(GREY)))
    np.testing.assert_array_equal(grey, GREY[None, ::-1])


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    alpha = np.zeros((40, 60, 1), np.uint8)
    alpha[:20] = 255
    read = image_files.read_image(saved(tmp_path, Image.fromarray(np.concatenate([COLOURS, alpha], axis=2))))
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
    assert image_files.is_grey(path) is grey
    assert image_files.read_image(path).shape == (1 if grey else 3, 40, 60)
    if mode == "I;16":
        np.testing.assert_array_equal(image_files.read_image(path)[0], GREY[::-1])


def test_resizing_averages(tmp_path: Path) -> None:
    small = image_files.read_image(saved(tmp_path, Image.fromarray(GREY)), (4, 6))
    assert small.shape == (1, 4, 6)
    assert abs(float(small.mean()) - GREY.mean()) < 2
    assert small.std() < GREY.std() / 4
    colours = image_files.read_image(
        saved(tmp_path, Image.fromarray(RNG.integers(0, 256, (400, 1000, 4), np.uint8))), (224, 224)
    )
    assert colours.shape == (3, 224, 224) and colours.flags.c_contiguous


def test_what_is_written_is_read_and_nothing_else_is_in_the_file(tmp_path: Path) -> None:
    for pixels in (GREY[None], np.ascontiguousarray(COLOURS.transpose(2, 0, 1))):
        image_files.write_png(tmp_path / "w.png", pixels)
        np.testing.assert_array_equal(image_files.read_image(tmp_path / "w.png"), pixels)
        with Image.open(tmp_path / "w.png") as file:
            file.load()
            assert (file.mode, file.size, file.info) == ("L" if len(pixels) == 1 else "RGB", (60, 40), {})


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    whole = saved(tmp_path, Image.fromarray(COLOURS)).read_bytes()
    for name, content in (
        ("text.png", b"text"),
        ("cut.png", whole[: len(whole) // 2]),
        ("empty.png", b""),
        ("ps.png", POSTSCRIPT),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=name):
            image_files.read_image(tmp_path / name)
    with pytest.raises(ImageError, match="absent"):
        image_files.read_image(tmp_path / "absent.png")


@pytest.mark.parametrize("size", [(9_000, 8_000), (20_000, 10_000)])
def test_a_decompression_bomb_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    path = saved(tmp_path, Image.new("1", size), "bomb.png")
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ImageError, match="too large"):
        image_files.read_image(path)


def test_values_that_are_no_shades_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(GREY.astype(np.float32)), "p.tif")
    with pytest.raises(ImageError, match="not grey levels"):
        image_files.read_image(path)


def test_a_grey_picture_stays_grey_on_white(tmp_path: Path) -> None:
    Image.new("L", (2, 2), 7).save(tmp_path / "clear.png", transparency=7)
    assert image_files.read_image(tmp_path / "clear.png").tolist() == [[[255, 255], [255, 255]]]


@pytest.mark.parametrize("content", ["empty", "zip", "huge", "nan", "three", "objects"])
def test_what_is_no_spectrogram_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s.npy"
    if content == "empty":
        path.write_bytes(b"")
    elif content == "zip":
        np.savez(tmp_path / "z.npz", a=np.zeros((2, 2)))
        (tmp_path / "z.npz").rename(path)
    elif content == "huge":  # a header of terabytes, and nothing behind it
        np.save(path, np.zeros((2, 2), np.float32))
        path.write_bytes(path.read_bytes().replace(b"(2, 2)", b"(9999999, 99999)"))
    elif content == "objects":
        np.save(path, np.array([[{}]]), allow_pickle=True)
    else:
        np.save(path, np.full((2, 2), np.nan) if content == "nan" else np.zeros((2, 2, 2)))
    with pytest.raises(ImageError, match=r"s\.npy"):
        image_files.read_spectrogram(path)
