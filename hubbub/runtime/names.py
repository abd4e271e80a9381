"""Names of files and folders that are valid on every file system, derived from values in data."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["colliding_names", "name_problem", "safe_name"]

#: A name that is valid on every file system; a name that ends in a hash, as `safe_name` adds it to all others.
_PLAIN = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,79}(?<!\.)")
_HASHED = re.compile(r"-[0-9a-f]{12}$", re.IGNORECASE)
#: Names by which Windows opens a device, with any suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE | re.DOTALL)
_SEPARATORS = set('/\\:*?"<>|')
LONGEST_NAME = 120  # bytes; file systems allow 255, and names get suffixes


def safe_name(value: str) -> str:
    """A value from data as one part of a path; different values give different names.

    A value of up to 80 letters (A to Z), digits and `._+-` stays as it is. Any other value (a path, blanks, letters
    with accents, a device name of Windows, "") becomes its readable part and 12 digits of its hash. Plain values that
    differ only in case stay so: `colliding_names` finds them.
    """
    if _PLAIN.fullmatch(value) and not _DEVICE.fullmatch(value) and not _HASHED.search(value):
        return value
    letters = "".join(c for c in unicodedata.normalize("NFKD", value) if not unicodedata.combining(c))
    readable = re.sub(r"[^A-Za-z0-9_+]+", "-", letters).strip("-")[:60].strip("-")
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{readable or 'name'}-{digest}"


def name_problem(name: str) -> str:
    """Why a name cannot be used for a file or folder on every system; "" if it can."""
    if not name.strip():
        return "it is empty"
    if found := sorted(_SEPARATORS & set(name)):
        return f"it holds {' '.join(found)}"
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in name):
        return "it holds an invisible character"
    if name[0] in ".- " or name[-1] in ". ":
        return "it begins with a dot, a dash or a blank, or ends with a dot or a blank"
    if _DEVICE.fullmatch(name):
        return "it is the name of a device on Windows"
    if len(os.fsencode(name)) > LONGEST_NAME:
        return f"it is longer than {LONGEST_NAME} bytes"
    return ""


def colliding_names(values: Iterable[str]) -> tuple[str, str] | None:
    """The first two different values that are one name on file systems that ignore case or Unicode normal forms."""
    seen: dict[str, str] = {}
    for value in values:
        other = seen.setdefault(unicodedata.normalize("NFKC", value).casefold(), value)
        if other != value:
            return other, value
    return None
