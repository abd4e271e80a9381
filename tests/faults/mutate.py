"""Damaged and hostile copies of files: of any bytes, of text, of JSON. The same copy for the same random numbers."""

import copy
import json
import random
import struct
from collections.abc import Callable
from typing import Any

__all__ = ["ODD", "mutated_bytes", "mutated_json", "mutated_text", "mutated_tree"]

#: Bytes from the start or the end within which headers mostly lie.
HEAD = 256
#: Values that JSON and TOML can hold and that programs seldom expect.
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**80, -(2**63), 1.5, 1e308, -0.0, 1e-320),
    *("", " ", "x", "\x00", "é" * 300, "../../../etc/passwd", "{0}", "%s", "nan", "\ud800", "\x1b[31m", "<script>"),
    *([], [[]], {}, {"a": 1}, [None], ["a", "a"], [[0.0] * 40] * 3, {"": {}}),
)
#: Words in place of a cell or a value in a text.
WORDS = (
    *("", " ", "nan", "inf", "-inf", "1e999", "-1", "0", "9" * 30, "1e-400", "0x10", "NA", "None", "true", "''", '"'),
    *('""', "[]", "{}", "[[[[", "}}}}", "\0", "\ufeff", "\u202e", "\x1b[31m", "../" * 40 + "etc/passwd", "/dev/zero"),
    *("=cmd|'/c calc'!A0", "${HOME}", "$(id)", "{{7*7}}", "%n%s", "é" * 300, "a" * 5000, "\r", "\n\n", "\t\t", ",,,,"),
    *("__import__('os').system('id')", "!!python/object/apply:os.system ['id']", "http://127.0.0.1:9/x.wav", "-"),
)
_SIZES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)
_CUTS = ",;\t|\n=:\"'"


def mutated_bytes(rng: random.Random, whole: bytes, other: bytes = b"") -> bytes:
    """A copy with one to three faults; `other` is a file from which a part may be taken."""
    content = bytearray(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_FAULTS)(rng, content, other)
    return bytes(content)


def mutated_text(rng: random.Random, whole: bytes) -> bytes:
    """A text with lines and words exchanged, doubled, left out or replaced by odd ones; now and then other bytes."""
    if rng.random() < 0.2:
        return mutated_bytes(rng, whole)
    text = whole.decode("utf-8", "surrogateescape")
    for _ in range(rng.choice((1, 1, 2, 4))):
        lines = text.splitlines(keepends=True) or [""]
        line, kind = rng.randrange(len(lines)), rng.randrange(6)
        if kind == 0:
            del lines[line]
        elif kind == 1:
            lines.insert(rng.randrange(len(lines) + 1), lines[line])
        elif kind == 2:
            rng.shuffle(lines)
        else:
            lines[line] = _other_word(rng, lines[line])
        text = "".join(lines)
        if rng.random() < 0.05:
            text = text.replace(rng.choice(_CUTS), rng.choice(_CUTS))
    encoding = rng.choice(["utf-8"] * 12 + ["utf-16", "utf-8-sig", "latin-1"])
    return text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")


def mutated_json(rng: random.Random, whole: bytes) -> bytes:
    """JSON, one object or a line each, with values exchanged; now and then a damaged text."""
    if rng.random() < 0.2:
        return mutated_text(rng, whole)
    lines = whole.decode().splitlines() if whole.count(b"\n{") else [whole.decode()]
    at = rng.randrange(len(lines))
    try:
        lines[at] = json.dumps(mutated_tree(rng, json.loads(lines[at])))
    except ValueError:  # an earlier fault has left no JSON
        return mutated_text(rng, whole)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def mutated_tree(rng: random.Random, tree: Any) -> Any:
    """What JSON holds, with one to three values replaced, left out, doubled or moved."""
    tree = [copy.deepcopy(tree)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        above, key = rng.choice(list(_places(tree)))
        kind = rng.randrange(8)
        if kind == 0 and above is not tree:
            del above[key]
        elif kind == 1 and isinstance(above, list) and above is not tree:
            above.insert(key, copy.deepcopy(above[key]))
        elif kind == 2:
            above[key] = [above[key]]
        elif kind == 3 and isinstance(above, dict):
            above[rng.choice(("", "x", "__class__", "\ud800"))] = above.pop(key)
        elif kind == 4 and isinstance(above[key], int | float):
            above[key] = rng.choice((-above[key], above[key] * 1000, above[key] / 3, str(above[key])))
        else:
            above[key] = copy.deepcopy(rng.choice(ODD))
    return tree[0]


def _places(tree: Any) -> Any:
    """Each container and key of a tree."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        for key in list(one) if isinstance(one, dict) else range(len(one)):
            yield one, key
            if isinstance(one[key], dict | list):
                waiting.append(one[key])


def _other_word(rng: random.Random, line: str) -> str:
    cuts = [-1, *(at for at, sign in enumerate(line) if sign in _CUTS), len(line)]
    at = rng.randrange(len(cuts) - 1)
    return line[: cuts[at] + 1] + rng.choice(WORDS) + line[cuts[at + 1] :]


# Faults of bytes


def _place(rng: random.Random, content: bytearray) -> int:
    """A place: half of them near the start or the end."""
    size = len(content)
    if not size:
        return 0
    at = rng.randrange(min(size, HEAD))
    return rng.choice((at, at, size - 1 - at, rng.randrange(size), rng.randrange(size)))


def _flip(rng: random.Random, content: bytearray, other: bytes) -> None:
    for _ in range(rng.choice((1, 2, 8)) if content else 0):
        content[_place(rng, content)] ^= 1 << rng.randrange(8)


def _byte(rng: random.Random, content: bytearray, other: bytes) -> None:
    for _ in range(rng.choice((1, 2, 8)) if content else 0):
        content[_place(rng, content)] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(rng: random.Random, content: bytearray, other: bytes) -> None:
    """A field of 2, 4 or 8 bytes at an extreme, or beside the size of the file."""
    form, at = rng.choice("HIQ"), _place(rng, content) & ~1
    value = rng.choice((*_SIZES, len(content), len(content) + 1, len(content) * 1000, rng.randrange(2**64)))
    new = struct.pack(rng.choice("<>") + form, value % 2 ** (8 * struct.calcsize(form)))
    content[at : at + len(new)] = new


def _cut(rng: random.Random, content: bytearray, other: bytes) -> None:
    del content[_place(rng, content) :]


def _lose(rng: random.Random, content: bytearray, other: bytes) -> None:
    at = _place(rng, content)
    del content[at : at + rng.choice((1, 4, 100, 1000))]


def _double(rng: random.Random, content: bytearray, other: bytes) -> None:
    at = _place(rng, content)
    content[at:at] = content[at : at + rng.choice((1, 4, 100, 4000))]


def _insert(rng: random.Random, content: bytearray, other: bytes) -> None:
    at = _place(rng, content)
    content[at:at] = rng.choice((rng.randbytes(rng.choice((1, 16, 500))), bytes(1000), b"\xff" * 64))


def _zeros(rng: random.Random, content: bytearray, other: bytes) -> None:
    at, size = _place(rng, content), rng.choice((4, 64, 4096))
    content[at : at + size] = bytes(len(content[at : at + size]))


def _splice(rng: random.Random, content: bytearray, other: bytes) -> None:
    at, there = _place(rng, content), rng.randrange(len(other) + 1)
    size = rng.choice((8, 100, 5000))
    content[at : at + size] = other[there : there + size]


_FAULTS: tuple[Callable[[random.Random, bytearray, bytes], None], ...] = (
    *(_flip, _byte, _byte, _number, _number, _number, _cut, _lose, _double, _insert, _zeros, _splice),
)
