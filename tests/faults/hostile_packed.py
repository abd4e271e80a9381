"""Archives as data sets are published, and what unpacks them."""

import io
import os
import random
import shutil
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

from hubbub.errors import HubbubError
from hubbub.runtime import download
from hubbub.runtime.catalogue import Asset
from tests.audio.test_containers import written
from tests.audio.test_decode import tone
from tests.faults.kinds import Kind, command
from tests.faults.mutate import mutated_bytes

__all__ = ["Packed"]


class Packed(Kind):
    """Archives as data sets are published: zip, tar, tar.gz."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        members = {
            "top/list.csv": b"path,label\n1.wav,a\n",
            "top/audio/1.wav": written("WAV", "PCM_16", tone(seconds=0.1)),
            "top/x.txt": b"x" * 5_000,
            "else/y": b"y",
        }
        for kind, method in {"zip": zipfile.ZIP_DEFLATED, "stored.zip": zipfile.ZIP_STORED}.items():
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w", method) as packed:
                for name, value in members.items():
                    packed.writestr(name, value)
            self.files[f"a.{kind}"] = content.getvalue()
        for kind, mode in {"tar": "w:", "tar.gz": "w:gz", "tar.xz": "w:xz", "tar.bz2": "w:bz2"}.items():
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode=mode) as packed:  # type: ignore[call-overload]
                for name, value in members.items():
                    one = tarfile.TarInfo(name)
                    one.size = len(value)
                    packed.addfile(one, io.BytesIO(value))
            self.files[f"a.{kind}"] = content.getvalue()
        self.doors = {"python": self.unpack, "cli": self.get}

    def mutated(self, rng: random.Random, name: str) -> bytes:
        if name == "a.tar" and rng.random() < 0.5:
            return _tar_with_sums(mutated_bytes(rng, self.files[name]))
        return super().mutated(rng, name)

    def unpack(self, path: Path) -> Path:
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        (home / "data").mkdir(parents=True)
        asset = Asset(
            "set",
            "data",
            "http://127.0.0.1:9/",
            path.name,
            None,
            None,
            "none",
            "none",
            "zip" if path.name.endswith("zip") else "tar",
            "top",
        )
        shutil.copy(path, home / "data" / path.name)
        download.ASSETS["set"] = asset
        try:
            return download.get(asset, home, quiet=True)
        finally:
            strange = [one for one in (home / "data").rglob("*") if one.is_symlink()]
            assert not strange, f"a link was unpacked: {strange}"

    def get(self, path: Path) -> None:
        home = self.folder / "home"
        with suppress(HubbubError):
            self.unpack(path)
        shutil.rmtree(home / "data" / "set", ignore_errors=True)
        os.environ["HUBBUB_HOME"], before = str(home), os.environ.get("HUBBUB_HOME", "")
        try:
            command("data", "get", "set")
        finally:
            os.environ["HUBBUB_HOME"] = before


def _tar_with_sums(content: bytes) -> bytes:
    """A tar whose headers have right checksums again."""
    changed = bytearray(content)
    for at in range(0, len(changed) - 511, 512):
        if changed[at + 257 : at + 262] == b"ustar":
            changed[at + 148 : at + 156] = b" " * 8
            changed[at + 148 : at + 156] = b"%06o\0 " % sum(changed[at : at + 512])
    return bytes(changed)
