"""The wheel and the sdist hold what they should, and no one else's data or weights."""

import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from hubbub import __version__

ROOT = Path(__file__).parents[1]
ABOUT = f"hubbub-{__version__}.dist-info"
#: Endings of sounds, of weights and of arrays.
HEAVY = {
    *(".wav", ".flac", ".mp3", ".ogg", ".m4a", ".mp4"),
    *(".ckpt", ".h5", ".npy", ".npz", ".onnx", ".pt", ".pth", ".safetensors", ".tflite"),
}
LARGEST = 8_000_000


def heavy(names: list[str]) -> set[str]:
    """The folders of files with such an ending."""
    return {str(PurePosixPath(name).parent) for name in names if PurePosixPath(name).suffix in HEAVY}


def test_the_wheel_is_the_package_and_says_that_it_is_typed(tmp_path: Path) -> None:
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(built).namelist()
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "hubbub").rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith(ABOUT)} == {
        *(name for name in package if "__pycache__" not in name),
        "hubbub/py.typed",
    }
    for folder, ending in (("config/recipes", "toml"), ("serve/static", "js"), ("report/templates", "html")):
        assert [name for name in names if name.startswith(f"hubbub/{folder}/") and name.endswith(ending)], folder
    assert {f"{ABOUT}/licenses/LICENSE", f"{ABOUT}/entry_points.txt"} <= set(names)
    assert heavy(names) == {"hubbub/models/shipped/small"}
    assert Path(built).stat().st_size < LARGEST


def test_the_sdist_has_source_docs_and_tests(tmp_path: Path) -> None:
    (built,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(built) as archive:
        names = [str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in archive.getnames()]
    assert {"LICENSE", "README.md", "pyproject.toml", "hubbub/__init__.py", "docs/reliability.md"} <= set(names)
    ours = {folder for folder in heavy(names) if not folder.startswith("tests/files/")}
    assert ours == {"hubbub/models/shipped/small"}
    assert Path(built).stat().st_size < LARGEST
