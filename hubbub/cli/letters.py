"""Words in letters of blocks, to be read from across a room. A to Z and figures; other letters have no such form."""

__all__ = ["large"]

HEIGHT = 5
_ROWS = {
    "ABCDEFGHI": (
        ".#. ##. .## ##. ### ### .## #.# ###",
        "#.# #.# #.. #.# #.. #.. #.. #.# .#.",
        "### ##. #.. #.# ##. ##. #.# ### .#.",
        "#.# #.# #.. #.# #.. #.. #.# #.# .#.",
        "#.# ##. .## ##. ### #.. .## #.# ###",
    ),
    "JKLMNOPQR": (
        "..# #.# #.. #...# #..# .#. ##. .#.. ##.",
        "..# #.# #.. ##.## ##.# #.# #.# #.#. #.#",
        "..# ##. #.. #.#.# #.## #.# ##. #.#. ##.",
        "#.# #.# #.. #...# #..# #.# #.. #.#. #.#",
        ".#. #.# ### #...# #..# .#. #.. .#.# #.#",
    ),
    "STUVWXYZ ": (
        ".## ### #.# #.# #...# #.# #.# ### ..",
        "#.. .#. #.# #.# #...# #.# #.# ..# ..",
        ".#. .#. #.# #.# #.#.# .#. .#. .#. ..",
        "..# .#. #.# #.# ##.## #.# .#. #.. ..",
        "##. .#. ### .#. #...# #.# .#. ### ..",
    ),
    "0123456789": (
        "### .#. ##. ##. #.# ### .## ### ### ###",
        "#.# ##. ..# ..# #.# #.. #.. ..# #.# #.#",
        "#.# .#. .#. .#. ### ##. ### .#. ### ###",
        "#.# .#. #.. ..# ..# ..# #.# .#. #.# ..#",
        "### ### ### ##. ..# ##. ### .#. ### ##.",
    ),
}
LETTERS = {
    letter: tuple(row.split()[at] for row in rows)
    for letters, rows in _ROWS.items()
    for at, letter in enumerate(letters)
}


def large(word: str, width: int, most: int = 2) -> str:
    """A word as lines of blocks, at most `width` characters wide and as large as fits, up to `most` times five lines;
    as it is where it does not fit or has letters of another kind."""
    letters = [LETTERS.get(letter) for letter in word.replace("_", " ").replace("-", " ").upper()]
    if not word or None in letters:
        return word
    rows = [".".join(letter[row] for letter in letters if letter) for row in range(HEIGHT)]
    for scale in range(most, 0, -1):
        if 2 * scale * len(rows[0]) <= width:
            wide = [row.replace("#", "█" * 2 * scale).replace(".", " " * 2 * scale) for row in rows]
            return "\n".join(row for row in wide for _ in range(scale))
    if len(rows[0]) <= width:
        pairs = zip([*rows, "." * len(rows[0])][::2], [*rows, "." * len(rows[0])][1::2], strict=True)
        return "\n".join(
            "".join({"..": " ", "#.": "▀", ".#": "▄", "##": "█"}[a + b] for a, b in zip(x, y, strict=True))
            for x, y in pairs
        )
    return word
