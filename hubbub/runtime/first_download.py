"""Remembers the sha256 of a file's first download where no checksum is published, so that another file is noticed.

The record lies beside the file in the data home, as `FILE.first.json`, and outlives it. This module downloads nothing.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hubbub.runtime import files
from hubbub.runtime.catalogue import Asset
from hubbub.runtime.homes import StoreError, find_in

__all__ = ["FirstDownload", "first_download", "forget", "remember"]

_ENDING = ".first.json"


@dataclass(frozen=True)
class FirstDownload:
    """The sha256 of an asset's file when it was first downloaded, on a date, and the file that says so."""

    file: Path
    sha256: str
    date: str


def first_download(asset: Asset, folders: Sequence[Path]) -> FirstDownload | None:
    """The record of an asset's first download in one of the data homes. Raises StoreError for a damaged one."""
    file = find_in(list(folders), asset.kind, asset.file + _ENDING)
    if file is None:
        return None
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        digits, date = held["sha256"], str(held["date"])
        if re.fullmatch(r"[0-9a-f]{64}", digits):
            return FirstDownload(file, digits, date)
    except (ValueError, KeyError, TypeError):
        pass
    raise StoreError(f"{file} is damaged. Delete it: the sha256 of the next download is then recorded.")


def remember(asset: Asset, downloaded: Path) -> None:
    """Record the sha256 of an asset's file that was just downloaded."""
    held = {
        "url": asset.url,
        "sha256": files.sha256(downloaded),
        "bytes": downloaded.stat().st_size,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    files.write_json(downloaded.with_name(asset.file + _ENDING), held)


def forget(asset: Asset, downloaded: Path) -> None:
    """Remove the record of a file that was not what it should be."""
    downloaded.with_name(asset.file + _ENDING).unlink(missing_ok=True)
