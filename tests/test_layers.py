"""The rooms' order: imports run downward only, and torch stays in the rooms that are about torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "hubbub"
# From the bottom up; a name with a slash is a folder, whose files may import each other.
ORDER = (
    ("errors", "shown"),
    ("ranks",),
    ("ahead", "files", "letters", "progress", "settings", "catalogue", "records"),
    ("settings_augment", "settings_tune", "framing", "waves"),
    ("containers",),
    (
        "features/",
        "augment/",
        "windows",
        "audio",
        "packed",
        "pictures",
        "metrics",
        "paired",
        "store",
        "recipe",
        "schedule",
        "events",
    ),
    ("confidence", "event_scores", "find_files", "sources"),
    ("hearing",),
    ("saved", "models/", "stream"),
    ("onnx_model",),
    ("classifier",),
    ("loading",),
    ("data/",),
    ("predict", "trackers", "batches", "average", "trainer"),
    ("formats", "listen", "training"),
    ("kept",),
    ("train",),
    ("follow",),
    ("plots", "stft"),
    ("occlusion", "rounding"),
    ("export",),
    ("explain",),
    ("run_folder",),
    ("report", "material"),
    ("page", "gallery", "compare", "tuned"),
    ("comparison",),
    ("cell",),
    ("steps",),
    ("engines",),
    ("experiment", "cluster"),
    ("cluster_answers", "suite"),
    ("serve/", "tune", "lr_find"),
    ("demo",),
    ("cli_options",),
    ("cli_bench", "cli_classify", "cli_data", "cli_export", "cli_hub", "cli_listen", "cli_serve", "cli_tune"),
    ("cli",),
)
RANKS = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
#: The package's face and `python -m hubbub`: they hand on what others define.
FACES = {"__init__", "__main__"}
HEAVY = {"torch", "torchvision", "lightning", "timm", "captum"}
HEAVY_ROOMS = {
    *(
        "classifier",
        "models/",
        "features/",
        "augment/",
        "batches",
        "average",
        "train",
        "training",
        "trainer",
        "follow",
        "lr_find",
        "occlusion",
        "explain",
        "export",
    ),
}


@dataclass(frozen=True)
class Import:
    """`module` imported at `line`; `on_import` where that happens as soon as the importing module is imported."""

    module: str
    line: int
    on_import: bool


def modules() -> dict[str, Path]:
    """Dotted names inside the package: `cli`, `data.clips`, `data.__init__`."""
    return {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in sorted(ROOT.rglob("*.py"))}


MODULES = modules()


def room_of(module: str) -> str:
    top, dot, _ = module.partition(".")
    return top + "/" if dot else top


def imports(tree: ast.AST, package: str, on_import: bool = True) -> Iterator[Import]:
    """Every import of a module's tree by its absolute name, those for type checkers alone left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imports(ast.Module([other], []), package, on_import)
        elif isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, on_import) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from hubbub import files` imports a module, `from hubbub.files import find` a name of one.
            yield from (Import(f"{source}.{alias.name}", node.lineno, on_import) for alias in node.names)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, package, on_import and not inside)


def imports_of(module: str) -> list[Import]:
    package = ".".join(["hubbub", *module.split(".")[:-1]])
    return list(imports(ast.parse(MODULES[module].read_text(encoding="utf-8")), package))


def target(name: str) -> str | None:
    """The module of ours that `name` is or is defined in; None where it is none of ours."""
    parts = name.split(".")
    if parts[0] != "hubbub":
        return None
    for end in range(len(parts), 1, -1):
        inside = ".".join(parts[1:end])
        for known in (inside, f"{inside}.__init__"):
            if known in MODULES:
                return known
    return "__init__"


def upward(module: str, found: list[Import]) -> list[str]:
    """What breaks the order in a module's imports, in words."""
    wrong = []
    for one in found:
        goal = target(one.module)
        if not goal or room_of(goal) == room_of(module) or one.module == "hubbub.__version__":
            continue
        if goal in FACES or RANKS[room_of(goal)] >= RANKS[room_of(module)]:
            wrong.append(f"{module}.py:{one.line} imports {goal}, which does not lie below it")
    return wrong


def test_every_module_has_its_place() -> None:
    homeless = [m for m in MODULES if m not in FACES and room_of(m) not in RANKS]
    assert homeless == [], f"give {homeless} a place in ORDER, here and in the design"
    assert sum(len(rooms) for rooms in ORDER) == len(RANKS)


@pytest.mark.parametrize("module", [m for m in MODULES if m not in FACES])
def test_imports_run_downward(module: str) -> None:
    assert upward(module, imports_of(module)) == []


@pytest.mark.parametrize("module", MODULES)
def test_torch_is_imported_only_where_it_is_needed(module: str) -> None:
    at_import = [f"{module}.py:{i.line}" for i in imports_of(module) if i.on_import and i.module.split(".")[0] in HEAVY]
    assert not at_import or room_of(module) in HEAVY_ROOMS, f"{at_import}: import it inside the function that needs it"


@pytest.mark.parametrize("module", [m for m in MODULES if m not in FACES and room_of(m) not in HEAVY_ROOMS])
def test_rooms_without_torch_import_no_room_with_it(module: str) -> None:
    # Else torch would come along all the same.
    heavy = [
        f"{module}.py:{i.line} imports {i.module}"
        for i in imports_of(module)
        if i.on_import and (goal := target(i.module)) and room_of(goal) in HEAVY_ROOMS
    ]
    assert heavy == []


def test_importing_hubbub_is_light() -> None:
    code = "import sys, hubbub; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "hubbub" in loaded
    heavy = {"torch", "lightning", "pandas", "sklearn", "numpy", "scipy", "lightgbm", "matplotlib", "pydantic"}
    assert not loaded & heavy


def test_rooms_without_torch_work_without_it() -> None:
    # Every room that promises to, imported in a process that has no torch, no lightning and no lightgbm to offer.
    light = [m.removesuffix(".__init__") for m in MODULES if m not in FACES and room_of(m) not in HEAVY_ROOMS]
    code = (
        "import importlib, sys\n"
        f"for name in {sorted(HEAVY | {'lightgbm'})}: sys.modules[name] = None\n"
        f"for name in {light}: importlib.import_module('hubbub.' + name)\n"
        "print(sum(name.startswith('hubbub.') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= len(light)


def wrongs(module: str, source: str) -> list[str]:
    package = ".".join(["hubbub", *module.split(".")[:-1]])
    return upward(module, list(imports(ast.parse(source), package)))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("windows", "import hubbub.classifier"),
        ("windows", "from hubbub import classifier"),
        ("windows", "from hubbub.data.clips import Clips"),
        ("windows", "from hubbub import metrics"),
        ("windows", "from hubbub import data"),
        ("windows", "from . import cli"),
        ("windows", "def f():\n    from hubbub.train import fit_head"),
        ("windows", "try:\n    import hubbub.cli\nexcept ImportError:\n    pass"),
        ("models.cnn", "from hubbub.data import clips"),
        ("models.cnn", "from ..classifier import load"),
        ("data.clips", "class A:\n    from hubbub import predict"),
        ("report", "if TYPE_CHECKING:\n    pass\nelse:\n    from hubbub import experiment"),
        ("cli", "from hubbub import __main__"),
        ("windows", "from hubbub import load"),
    ],
)
def test_an_upward_import_is_seen(module: str, source: str) -> None:
    assert len(wrongs(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("classifier", "from hubbub import audio, files, windows\nfrom hubbub.models import build_network"),
        ("models.cnn", "from hubbub.models.yamnet import YAMNet\nfrom . import heads"),
        ("data.sets", "from hubbub.data import clips\nfrom .clips import Clips"),
        ("data.cache", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hubbub.train import fit_head"),
        ("windows", "import numpy as np\nfrom hubbub.errors import HubbubError"),
        ("cli", "def version():\n    from hubbub import __version__"),
    ],
)
def test_a_downward_import_is_allowed(module: str, source: str) -> None:
    assert wrongs(module, source) == []
