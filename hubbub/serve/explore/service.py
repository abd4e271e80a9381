"""An archive that a server shows to pages: its session, the sounds and pictures, the network for examples, the map.

Threads answer the routes; the event loop waits for changes on behalf of pages that asked to be told of the next one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cached_property, lru_cache
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI

from hubbub.archive import map as archive_map
from hubbub.archive.archive import refuse_other_network
from hubbub.archive.backbone import embed_texts, load_backbone
from hubbub.archive.search import embed_wave
from hubbub.archive.session import Session, State
from hubbub.data.archive_file import ArchiveError
from hubbub.errors import HubbubError
from hubbub.serve.explore import answers
from hubbub.serve.explore.sounds import Sounds
from hubbub.serve.limits import Limits, RefusedError
from hubbub.serve.metrics import Metrics
from hubbub.serve.uploads import Upload, open_limited

if TYPE_CHECKING:
    from hubbub.classifier.base import Classifier

__all__ = ["Service"]

log = logging.getLogger(__name__)

#: How long a page's question for the next change is kept open [s].
PATIENCE_S = 20.0
#: How often the file of the map is looked at while it is computed [s].
LOOK_S = 1.0
#: The longest example to search by [s].
LONGEST_EXAMPLE_S = 60.0
TEXTS = 200
#: The most segments that are named as changed: a page that knows nothing asks for those that it shows.
CHANGED = 1_000
Result = TypeVar("Result")


class Service:
    """An archive's session and what its routes share. Enter `running` before anything else."""

    def __init__(self, session: Session, limits: Limits, metrics: Metrics) -> None:
        self.session, self.limits, self.metrics = session, limits, metrics
        self.title = f"hubbub explores {answers.name_of(session.state.archive)}"
        self.sounds = Sounds(lambda segment: self.session.state.archive.place(segment))
        self.text = lru_cache(TEXTS)(self._text)
        self.ready = self.closing = False
        self._changed = asyncio.Event()
        self._mapping: BaseProcess | None = None
        self.step = 0
        metrics.add_gauge("ready", lambda: self.ready)

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """The app's lifespan: labels are trained on and other processes' are taken in while it lasts."""
        loop = asyncio.get_running_loop()

        def changed() -> None:
            loop.call_soon_threadsafe(self._tell)

        self.session.changed = changed
        with ThreadPoolExecutor(1, "network") as self.network, self.session:
            self.ready = True
            yield
            self.ready = False
            self.session.changed = lambda: None
        if self._mapping and self._mapping.is_alive():
            self._mapping.terminate()

    def refuse_unready(self) -> None:
        """Raises `RefusedError` before it runs and while the server shuts down."""
        if self.closing or not self.ready:
            raise RefusedError.retry_after(503, "the server is starting or shutting down. Try again soon.")

    async def finish_streams(self) -> None:
        """Answers the pages that wait for a change."""
        self.closing = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def state(self) -> State:
        return self.session.state

    async def change(self, version: int, step: int, statement: int) -> dict[str, Any]:
        """What is new, as soon as the version of the state or the step of the map is another, or after a while;
        `statement` is the last one whose segment the page knows."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (self.state.version, self.step) == (version, step) and not self.closing:
                    await self._changed.wait()
        except TimeoutError:
            pass
        state = self.state
        last, segments = await asyncio.to_thread(self.session.latest, statement)
        facts = {"version": state.version, "step": self.step, "fits": state.fits, "statement": last}
        return {**facts, "segments": segments[-CHANGED:]}

    # The network.

    async def in_network_thread(self, work: Callable[..., Result], *args: Any) -> Result:
        """Calls a function in the thread that the network has for itself."""
        return await asyncio.get_running_loop().run_in_executor(self.network, work, *args)

    @cached_property
    def _backbone(self) -> "Classifier":
        """The archive's network. Raises `ArchiveError` where it cannot be had, or is another one."""
        about = self.state.archive.about
        try:
            model = load_backbone(about.model)
            refuse_other_network(about, model, about.model, self.state.archive.folder)
        except HubbubError as error:
            raise ArchiveError(f"the archive's network cannot be loaded: {error}") from error
        return model

    def embed_upload(self, upload: Upload, start: float | None, end: float | None) -> npt.NDArray[np.float32]:
        """The embedding of an uploaded sound or a part of it [s], `[1, D]`."""
        with open_limited(upload.file, self.limits, LONGEST_EXAMPLE_S, start, end) as sound:
            return self._embed(np.concatenate(list(sound.blocks)), sound.rate_hz)

    def embed_part(self, segment: int, start: float, end: float) -> npt.NDArray[np.float32]:
        """The embedding of a part of a segment's recording [s], `[1, D]`."""
        place = self.state.archive.place(segment)
        first, last = max(start, place.start), min(end, place.end)
        if not first < last:
            raise ArchiveError(f"the part from {start:g} to {end:g} s is not in segment {segment}. Give one that is.")
        return self._embed(*self.sounds.wave(segment, first, last))

    def _embed(self, wave: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
        if not len(wave):
            raise RefusedError(422, "this part holds no sound. Give another one.")
        return embed_wave(self._backbone, wave, rate)

    def _text(self, text: str) -> npt.NDArray[np.float32]:
        return embed_texts(self.state.archive.about.model, [text])

    # The map.

    async def map(self) -> dict[str, Any]:
        """The map as it is now; its process is started where it lacks segments."""
        folder = self.state.archive.folder
        found = await asyncio.to_thread(archive_map.read, folder)
        whole = found is not None and found.final and len(found.points) >= self.state.archive.segments
        failed = self._mapping is not None and not self._mapping.is_alive() and bool(self._mapping.exitcode)
        if not whole and self._mapping is None:
            self._mapping = archive_map.start(folder)
            self._watching = asyncio.create_task(self._watch(self._mapping))
        points = np.zeros((0, 2), np.float32) if found is None else found.points
        x, y = np.round(1000 * points.T).astype(int).tolist() if len(points) else ([], [])
        return {"x": x, "y": y, "final": whole, "failed": failed, "step": self.step}

    async def _watch(self, process: BaseProcess) -> None:
        """Tell pages of each new step of the map, until its process has ended."""
        file, seen = self.state.archive.folder / archive_map.FILE, 0
        while not self.closing:
            ended = not process.is_alive()
            now = file.stat().st_mtime_ns if file.is_file() else 0
            if now != seen or ended:
                seen, self.step = now, self.step + 1
                self._tell()
            if ended:
                break
            await asyncio.sleep(LOOK_S)
        if process.exitcode:
            log.warning("the map was not computed", extra={"fields": {"status": process.exitcode}})
        else:
            self._mapping = None
