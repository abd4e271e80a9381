"""Writes docs/licences.md from the metadata of the installed packages that requirements.lock names: `make docs`."""

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("licences.md")
HEAD = """# Licences of what hubbub needs

hubbub itself is under the Apache License 2.0. Below is the licence of every package that `requirements.lock` names and
that is installed where this page was made, with Python 3.11, as the package's own metadata give it. A test fails where
a package has no licence, or one that nobody has looked at. Data sets, published weights and the classifier `small`,
which is in the package, have licences of their own: [model card](model-card.md), [data](data.md).

This page is generated: change `docs/make_licences.py`, then run `make docs`.

## Those that ask for something

Most of these licences ask only that their text is passed on with copies. hubbub passes none of the packages on: pip
fetches each from its own makers. If you pass on a program, an image of a machine or a container with them inside, these
ask for more:

| package | needed by | licence | what follows if you pass it on |
|---|---|---|---|
"""
#: What asks for more than its text: the package, and what follows.
DUTIES = {
    "av": "its wheels contain FFmpeg (LGPL 3) with the encoders x264 and x265 (GPL 2 or later), which hubbub does not "
    "call: treat the whole as GPL, or leave the extra `media` out; WAV, FLAC, OGG and MP3 need it not",
    "certifi": "the list of certificates is passed on with its source; nothing else of yours is concerned",
    "hypothesis": "only tests need it",
    "pathspec": "only tests need it",
    "pyzmq": "its wheels contain libzmq (MPL 2.0); only tests need it",
    "soundfile": "its wheels contain libsndfile (LGPL 2.1 or later) as a library of its own: users may replace it, and "
    "get its source on request",
    "soxr": "users may replace it, and get its source on request; it is a module of its own, which fulfils the first",
    "tqdm": "changes of its files are passed on with their source",
}
NVIDIA = "may be passed on with an application, under NVIDIA's terms; torch for processors alone does without"
#: Names in metadata, and the identifiers of SPDX for them.
SPDX = {
    **dict.fromkeys(("2-clause BSD", "BSD-2-Clause"), "BSD-2-Clause"),
    **dict.fromkeys(("3-Clause BSD License", "BSD 3-Clause License", "BSD-3-Clause"), "BSD-3-Clause"),
    **dict.fromkeys(("BSD", "BSD License"), "BSD"),
    **dict.fromkeys(
        ("Apache 2.0", "Apache 2.0 License", "Apache License, Version 2.0", "Apache Software License", "Apache-2.0"),
        "Apache-2.0",
    ),
    **dict.fromkeys(("MIT", "MIT License", "MIT license"), "MIT"),
    **dict.fromkeys(("ISC", "ISC License", "ISC License (ISCL)", "ISC license"), "ISC"),
    **dict.fromkeys(("MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"), "MPL-2.0"),
    **dict.fromkeys(("PSF-2.0", "Python Software Foundation License"), "PSF-2.0"),
    "MPL-2.0 AND MIT": "MPL-2.0 AND MIT",
    "MIT OR Apache-2.0": "MIT OR Apache-2.0",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
    "OSI Approved :: Apache Software License": "Apache-2.0",
}
#: Licences that somebody has looked at: each part of an expression is one of them.
KNOWN = {
    *(
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
    ),
    *("CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib"),
    *("LGPL-2.1-or-later", "LicenseRef-NVIDIA-Proprietary", "MPL-2.0"),
}
#: Those of them that ask for more than their text.
ASKING = {"LGPL-2.1-or-later", "LicenseRef-NVIDIA-Proprietary", "MPL-2.0"}
#: Packages whose metadata say nothing; read in their licence files. cuda-toolkit is a list of NVIDIA's packages.
READ = {"cuda-toolkit": "LicenseRef-NVIDIA-Proprietary", "huey": "MIT", "skops": "MIT"}
OURS = ("test", "dev", "bench")


def licences() -> dict[str, str]:
    """The licence of each package of requirements.lock that is installed here, by SPDX; "" where it is not known."""
    return {name: _licence(name) for name, for_here in _locked().items() if for_here and _installed(name)}


def parts(licence: str) -> set[str]:
    """The licences that an expression joins."""
    return {part.strip("() ") for part in re.split(r" AND | OR ", licence)}


def page() -> str:
    """The whole page."""
    found, users = licences(), _users()
    asking = [name for name in found if name in DUTIES or parts(found[name]) & ASKING]
    rows = [f"| {name} | {users[name]} | {found[name]} | {DUTIES.get(name, NVIDIA)} |" for name in asking]
    absent = sorted(name for name in _locked() if name not in found)
    return "\n".join(
        [
            HEAD + "\n".join(rows), "", "## All", "",
            f"{len(found)} packages. What hubbub needs comes with `pip install hubbub`; what an extra needs comes with "
            "`pip install 'hubbub[EXTRA]'`; what tests need, no user gets.", "",
            "| package | needed by | licence |", "|---|---|---|",
            *(f"| {name} | {users[name]} | {licence} |" for name, licence in found.items()), "",
            f"Only for other systems or versions of Python, and not looked at: {', '.join(absent)}.", "",
        ]
    )  # fmt: skip


def _locked() -> dict[str, bool]:
    """Each package of requirements.lock: whether one of its lines is for this system and this version of Python."""
    locked: dict[str, bool] = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if "==" in line:
            one = Requirement(line)
            locked[one.name] = locked.get(one.name, False) or one.marker is None or one.marker.evaluate()
    return locked


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _licence(name: str) -> str:
    about = metadata.metadata(name)
    if expression := about.get("License-Expression"):
        return str(expression)
    classified = [line.rsplit(" :: ", 1)[1] for line in about.get_all("Classifier", []) if line.startswith("License")]
    said = [(about.get("License") or "").strip(), *classified]
    return READ.get(name) or next((SPDX[one] for one in said if one in SPDX), "")


def _users() -> dict[str, str]:
    """What brings each package: `hubbub`, else the extras by name, else tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "all"}
    base = set(_closure(project["dependencies"]))
    users = dict.fromkeys(_locked(), "tests")
    for extra, lines in extras.items():
        for name in set(_closure(lines)) - base if extra not in OURS else ():
            users[name] = f"`{extra}`" if users.get(name) == "tests" else f"{users[name]}, `{extra}`"
    return users | dict.fromkeys(base, "hubbub")


def _closure(lines: list[str]) -> Iterator[str]:
    """The names of all packages that these requirements bring here."""
    waiting, seen = [Requirement(line) for line in lines], set[tuple[str, frozenset[str]]]()
    while waiting:
        one = waiting.pop()
        name, extras = re.sub("[-_.]+", "-", one.name).lower(), frozenset(one.extras)
        if (name, extras) in seen or not _installed(name):
            continue
        seen.add((name, extras))
        yield name
        for line in metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                waiting.append(needed)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
