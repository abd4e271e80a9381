"""Front ends: waveforms in, time-frequency arrays or pictures of them out."""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hubbub.audio.image import Picture
from hubbub.audio.logmel import FrontEndError, LogMel
from hubbub.config import sections

__all__ = ["FrontEnd", "FrontEndError", "LogMel", "Picture"]


class FrontEnd(nn.Module):
    """Waves `[B, T]` in [-1, 1] at `rate_hz` -> spectrograms `[B, F, W]` or coloured pictures `[B, 3, F, W]`.

    A recipe's `[frontend]`: `LogMel`, then `Picture`. What has come part of that way already is taken where it stands:
    log-mel spectrograms `[B, F, W]`, and pictures `[B, 1 or 3, F, W]` of 0 to 255. With the name `precomputed` it takes
    only these. Its state is what `fit` learnt, empty where nothing is. Raises `FrontEndError` for settings that do
    not fit each other or the rate, and for what it does not take.
    """

    def __init__(self, frontend: sections.FrontEnd, rate_hz: int) -> None:
        super().__init__()
        given = frontend.model_dump(exclude={"name"})
        picture = {name: given.pop(name) for name in ("frames", "scale", "size", "colours", "standardise")}
        given["norm"] = None if given["norm"] == "none" else given["norm"]
        below_loudest = frontend.log == "db" and frontend.ref == "max" and frontend.top_db > 0
        self.n_mels = frontend.n_mels
        self.logmel = LogMel(rate_hz, **given) if frontend.name == "logmel" else None
        self.picture = Picture(**picture, top_db=frontend.top_db, padding=-frontend.top_db if below_loudest else None)

    def shape(self, samples: int) -> tuple[int, int]:
        """Height and width that waves of so many samples, or what stands for them, come out with."""
        return self.picture.shape(*self.spectrogram_shape(samples))

    def spectrogram_shape(self, samples: int) -> tuple[int, int]:
        """Bands and frames before that is a picture."""
        return self.n_mels, self.picture.frames or (self.logmel.frames(samples) if self.logmel else 0)

    def framed(self, log_mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A spectrogram `[F, W]` -> `[1, F, W]`, padded or cut to the frames that are asked."""
        return self.picture.framed(torch.from_numpy(log_mel)[None]).numpy()

    def places(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Where times [s] and frequencies [Hz] of a wave of so many samples lie on its picture: shares of its width and
        height, from the first column's start and the lowest row's foot; NaN where nothing is heard.

        Shares outlast resizing; padded or cut to `frames`, a picture is wider or narrower than the sound.
        """
        assert self.logmel  # else it takes no waves
        frames = self.logmel.frames(samples)
        width = self.picture.frames or frames
        return self.logmel.columns(seconds, min(frames, width)) / width, self.logmel.rows(hz) / self.logmel.n_mels

    def forward(self, x: Tensor, change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """`change`, from spectrograms `[B, F, W]` to such, is applied before they become pictures."""
        return self.picture.standardised(self.draw(x, change))

    def draw(self, x: Tensor, change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """What `forward` takes -> the picture before it is standardised."""
        if x.ndim == 4:
            picture = x.float() / 255
            return self.picture.finish(picture[:, 0] if picture.shape[1] == 1 else picture)
        if x.ndim == 2:
            if self.logmel is None:
                raise FrontEndError("this front end takes spectrograms and pictures, not waves. Give it those.")
            x = self.logmel(x)
        elif self.logmel:
            # Laid out in memory as LogMel does it: the same figures as from sound, to the last bit.
            x = x.transpose(1, 2).contiguous().transpose(1, 2)
        return self.picture.draw(x if change is None else change(x))

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn from batches of the training part what to standardise by, if that is asked; see `Picture`."""
        self.picture.fit(self.draw(batch) for batch in batches)
