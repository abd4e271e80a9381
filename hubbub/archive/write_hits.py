"""Writes the segments that a search found into a folder: a sound file each, and a table of all."""

from pathlib import Path

import pandas as pd
import soundfile

from hubbub.archive.archive import Archive
from hubbub.archive.search import Hits
from hubbub.audio import decode
from hubbub.audio.decode import AudioError
from hubbub.data.archive_file import ArchiveError
from hubbub.errors import examples
from hubbub.runtime import files
from hubbub.runtime.names import safe_name

__all__ = ["TABLE", "hits_table", "write_hits"]

TABLE = "hits.csv"


def hits_table(archive: Archive, hits: Hits) -> pd.DataFrame:
    """A row a segment: `score`, `file` (below the folder that was indexed), `start`, `end` [s], `site`, `time`."""
    places = [archive.place(int(segment)) for segment in hits.segments]
    rows = [
        (round(float(score), 4), one.path, one.start, one.end, one.site, one.clock)
        for one, score in zip(places, hits.scores, strict=True)
    ]
    return pd.DataFrame(rows, columns=["score", "file", "start", "end", "site", "time"])


def write_hits(archive: Archive, hits: Hits, folder: Path) -> list[str]:
    """Write the sound of each segment and `hits.csv` into a folder, whole or not at all; returns why some have no
    sound. Raises `ArchiveError` where the folder holds other files."""
    if there := files.foreign_files(folder, TABLE):
        raise ArchiveError(f"{folder} holds other files ({examples(there)}). Name a new folder for the hits.")
    table, failed = hits_table(archive, hits), []
    names: list[str] = []
    with files.whole_folder(folder, TABLE) as place:
        for number, segment in enumerate(hits.segments, 1):
            where = archive.place(int(segment))
            name = f"{number:04d}-{safe_name(Path(where.path).stem)}-{where.start:.1f}s.wav"
            try:
                wave, rate_hz = decode.decode(where.file, where.start, where.end)
                soundfile.write(place / name, wave, rate_hz)
            except (AudioError, OSError) as error:
                failed.append(f"{where.path}: {error}")
                name = ""
            names.append(name)
        files.write_csv(place / TABLE, table.assign(sound=names))
    return failed
