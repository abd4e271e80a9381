"""Imports run downward from wing to wing, never in a circle, and torch stays in the modules that are about torch."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "hubbub"
#: From the bottom up. A module imports wings of lower tiers, and modules of its own wing.
TIERS = (
    ("errors",),
    ("runtime", "config", "metrics"),
    ("audio", "augment"),
    ("data", "models"),
    ("classifier",),
    ("training", "inference"),
    ("report", "archive"),
    ("serve", "experiment"),
    ("cli",),
)
TIER = {wing: tier for tier, wings in enumerate(TIERS) for wing in wings}
#: The package's face: it hands on what others define.
FACE = "__init__"
HEAVY = {"torch", "torchvision", "lightning", "timm", "captum"}
#: Modules and wings that import torch when they are imported.
WITH_TORCH = {
    *("audio.frontend", "audio.image", "audio.kaldi", "audio.logmel", "augment", "models"),
    *(
        "classifier.export",
        "classifier.joined_graph",
        "classifier.saved_torch",
        "classifier.shipped_graph",
        "classifier.torch_classifier",
        "classifier.zero_shot",
        "experiment.lr_find",
    ),
    *("archive.choose", "archive.quick_head"),
    "inference.gradcam",
    *(
        "training.batches",
        "training.ema",
        "training.fit",
        "training.fitted",
        "training.head",
        "training.frame_loss",
        "training.losses",
        "training.worker",
        "training.module",
        "training.pretrain",
        "training.recompute",
        "training.teacher",
        "training.trainer",
        "training.tuning",
        "training.validation",
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


def wing_of(module: str) -> str:
    return module.partition(".")[0]


def has_torch(module: str) -> bool:
    return module in WITH_TORCH or wing_of(module) in WITH_TORCH


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


@cache
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
        if not goal or wing_of(goal) == wing_of(module) or one.module == "hubbub.__version__":
            continue
        if goal == FACE or TIER[wing_of(goal)] >= TIER[wing_of(module)]:
            wrong.append(f"{module}:{one.line} imports {goal}, whose wing does not lie below")
    return wrong


def test_every_wing_has_its_tier() -> None:
    entries = {path.stem for path in ROOT.iterdir() if path.name != "__pycache__"}
    assert entries == {*TIER, FACE}
    assert len(TIER) == sum(map(len, TIERS))
    assert all(m in MODULES or f"{m}.__init__" in MODULES for m in WITH_TORCH)


def test_no_import_is_part_of_a_circle() -> None:
    graph = {m: {t for i in imports_of(m) if i.on_import and (t := target(i.module)) not in (None, m)} for m in MODULES}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError
    assert sorted(order) == sorted(MODULES)


@pytest.mark.parametrize("module", [m for m in MODULES if m != FACE])
def test_imports_run_downward(module: str) -> None:
    assert upward(module, imports_of(module)) == []


@pytest.mark.parametrize("module", MODULES)
def test_torch_is_imported_only_where_it_is_needed(module: str) -> None:
    at_import = [f"{module}.py:{i.line}" for i in imports_of(module) if i.on_import and i.module.split(".")[0] in HEAVY]
    assert not at_import or has_torch(module), f"{at_import}: import it inside the function that needs it"


@pytest.mark.parametrize("module", [m for m in MODULES if m != FACE and not has_torch(m)])
def test_modules_without_torch_import_none_with_it(module: str) -> None:
    # Else torch would come along all the same.
    heavy = [
        f"{module}.py:{i.line} imports {i.module}"
        for i in imports_of(module)
        if i.on_import and (goal := target(i.module)) and has_torch(goal)
    ]
    assert heavy == []


@pytest.mark.parametrize("module", ["hubbub", "hubbub.cli.main"])
def test_importing_hubbub_and_its_help_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "hubbub" in loaded
    heavy = {"torch", "lightning", "pandas", "sklearn", "numpy", "scipy", "lightgbm", "matplotlib", "pydantic"}
    assert not loaded & heavy


def test_modules_without_torch_work_without_it() -> None:
    # Every module that promises to, imported in a process that has no torch, no lightning and no lightgbm to offer.
    light = [m.removesuffix(".__init__") for m in MODULES if m not in (FACE, "cli.__main__") and not has_torch(m)]
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
        ("audio.windows", "import hubbub.classifier.base"),
        ("audio.windows", "from hubbub.classifier import base"),
        ("audio.windows", "from hubbub.data.clips import Clips"),
        ("audio.windows", "from hubbub.augment import mixing"),
        ("audio.windows", "from hubbub import data"),
        ("audio.windows", "from .. import cli"),
        ("audio.windows", "def f():\n    from hubbub.training.head import fit_head"),
        ("audio.windows", "try:\n    import hubbub.cli\nexcept ImportError:\n    pass"),
        ("models.cnn", "from hubbub.data import clips"),
        ("models.cnn", "from ..classifier.load import load"),
        ("data.clips", "class A:\n    from hubbub.inference import predict"),
        ("report.page", "if TYPE_CHECKING:\n    pass\nelse:\n    from hubbub.experiment import run"),
        ("audio.windows", "from hubbub import load"),
    ],
)
def test_an_upward_import_is_seen(module: str, source: str) -> None:
    assert len(wrongs(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("training.fit", "from hubbub.audio import decode, windows\nfrom hubbub.models.registry import build_network"),
        ("models.cnn", "from hubbub.models.yamnet import YAMNet\nfrom . import heads"),
        ("data.datasets", "from hubbub.data import clips\nfrom .clips import Clips"),
        (
            "data.cache",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hubbub.training.head import fit_head",
        ),
        ("audio.windows", "import numpy as np\nfrom hubbub.errors import HubbubError"),
        ("cli.main", "def version():\n    from hubbub import __version__"),
    ],
)
def test_a_downward_import_is_allowed(module: str, source: str) -> None:
    assert wrongs(module, source) == []
