"""docs/troubleshooting.md quotes messages as the program writes them, and explains every caveat."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES, CAVEATS = PAGE.split("## Caveats")


@cache
def _texts() -> tuple[str, ...]:
    """Every text in the package's code, `...` standing for what is filled in."""
    found = []
    for file in sorted((ROOT / "hubbub").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "..." for p in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


def _quoted(text: str) -> list[str]:
    return [cell for row in re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE) for cell in re.findall(r"`([^`]+)`", row)]


def test_every_quoted_message_is_one_that_the_program_writes() -> None:
    quoted = _quoted(MESSAGES)
    assert len(quoted) >= 20
    patterns = {part: re.compile(re.escape(part).replace(r"\.\.\.", ".*")) for part in quoted}
    gone = [part for part, pattern in patterns.items() if not any(pattern.search(text) for text in _texts())]
    assert not gone, "write these as the program says them now"


def test_every_caveat_is_explained_and_no_other() -> None:
    starts = (re.match(r"([A-Z]{5,}|[A-Z]{2,}(?: [A-Z]+)+)(?:,[^:]*)?: .", text) for text in _texts())
    assert set(_quoted(CAVEATS)) == {found[1] for found in starts if found}
