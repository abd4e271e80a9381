"""Front ends: waveforms in, time-frequency arrays or pictures of them out."""

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from hubbub import settings
from hubbub.features.image import Picture
from hubbub.features.logmel import FrontEndError, LogMel

__all__ = ["FrontEnd", "FrontEndError", "LogMel", "Picture"]


class FrontEnd(nn.Module):
    """Waves `[B, T]` in [-1, 1] at `rate_hz` -> spectrograms `[B, F, W]` or coloured pictures `[B, 3, F, W]`.

    A recipe's `[frontend]`: `LogMel`, then `Picture`. Its state is what `fit` learnt, empty where nothing is. Raises
    `FrontEndError` for settings that do not fit each other or the rate.
    """

    def __init__(self, frontend: settings.FrontEnd, rate_hz: int) -> None:
        super().__init__()
        given = frontend.model_dump(exclude={"name"})
        picture = {name: given.pop(name) for name in ("frames", "scale", "size", "colours", "standardise")}
        given["norm"] = None if given["norm"] == "none" else given["norm"]
        below_loudest = frontend.log == "db" and frontend.ref == "max" and frontend.top_db > 0
        self.logmel = LogMel(rate_hz, **given)
        self.picture = Picture(**picture, top_db=frontend.top_db, padding=-frontend.top_db if below_loudest else None)

    def shape(self, samples: int) -> tuple[int, int]:
        """Height and width that waves of so many samples come out with."""
        return self.picture.shape(self.logmel.n_mels, self.logmel.frames(samples))

    def places(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Where times [s] and frequencies [Hz] of a wave of so many samples lie on its picture: shares of its width and
        height, from the first column's start and the lowest row's foot; NaN where nothing is heard.

        Shares outlast resizing; padded or cut to `frames`, a picture is wider or narrower than the sound.
        """
        frames = self.logmel.frames(samples)
        width = self.picture.frames or frames
        return self.logmel.columns(seconds, min(frames, width)) / width, self.logmel.rows(hz) / self.logmel.n_mels

    def forward(self, waves: Tensor, change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """`change`, from spectrograms `[B, F, W]` to such, is applied before they become pictures."""
        log_mel = self.logmel(waves)
        return self.picture(log_mel if change is None else change(log_mel))

    def fit(self, waves: Iterable[Tensor]) -> None:
        """Learn from batches `[B, T]` of the training part what to standardise by, if that is asked; see `Picture`."""
        self.picture.fit(self.picture.draw(self.logmel(batch)) for batch in waves)
