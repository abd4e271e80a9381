"""The front end of a network: waves to log-mel spectrograms or images of them."""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hubbub.audio.image import SpectrogramImage
from hubbub.audio.logmel import FrontEndError, LogMel
from hubbub.config import sections

__all__ = ["FrontEnd"]


class FrontEnd(nn.Module):
    """Waves `[B, T]` in [-1, 1] at `rate_hz` -> spectrograms `[B, F, W]` or colour images `[B, 3, F, W]`.

    A recipe's `[frontend]`: `LogMel`, then `SpectrogramImage`. It also accepts the intermediate results: log-mel
    spectrograms `[B, F, W]`, and images `[B, 1 or 3, F, W]` of 0 to 255; with the name `precomputed`, only these. Its
    state is what `fit` learns. Raises `FrontEndError` for settings that contradict each other or the rate, and for
    unsupported input.
    """

    def __init__(self, frontend: sections.FrontEnd, rate_hz: int) -> None:
        super().__init__()
        settings = frontend.model_dump(exclude={"name"})
        image = {name: settings.pop(name) for name in ("frames", "scale", "size", "colours", "standardise")}
        settings["norm"] = None if settings["norm"] == "none" else settings["norm"]
        below_loudest = frontend.log == "db" and frontend.ref == "max" and frontend.top_db > 0
        self.n_mels = frontend.n_mels
        self.logmel = LogMel(rate_hz, **settings) if frontend.name == "logmel" else None
        padding = -frontend.top_db if below_loudest else None
        # Saved classifiers and exported graphs use the name `picture`.
        self.picture = SpectrogramImage(**image, top_db=frontend.top_db, padding=padding)

    def shape(self, samples: int) -> tuple[int, int]:
        """Height and width of the output for waves of so many samples."""
        return self.picture.shape(*self.spectrogram_shape(samples))

    def spectrogram_shape(self, samples: int) -> tuple[int, int]:
        """Bands and frames of the spectrogram for waves of so many samples."""
        return self.n_mels, self.picture.frames or (self.logmel.frames(samples) if self.logmel else 0)

    def fit_frames(self, log_mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A spectrogram `[F, W]` -> `[1, F, W]`, padded or cut to the setting `frames`."""
        return self.picture.fit_frames(torch.from_numpy(log_mel)[None]).numpy()

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Positions of times [s] and frequencies [Hz] on the image of a wave of so many samples.

        They are shares of its width and height, from the first column's start and the lowest row's lower edge; NaN
        outside the frames and bands. Shares do not change with resizing. With `frames` set, an image may cover more or
        less time than the sound.
        """
        assert self.logmel  # precomputed inputs have no times
        frames = self.logmel.frames(samples)
        width = self.picture.frames or frames
        return self.logmel.columns(seconds, min(frames, width)) / width, self.logmel.rows(hz) / self.logmel.n_mels

    def forward(self, x: Tensor, change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """`change` maps spectrograms `[B, F, W]` to spectrograms, before the image is made."""
        return self.picture.standardised(self.render(x, change))

    def render(self, x: Tensor, change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """The image before standardisation, for the same inputs as `forward`."""
        if x.ndim == 4:
            image = x.float() / 255
            return self.picture.colour_and_resize(image[:, 0] if image.shape[1] == 1 else image)
        if x.ndim == 2:
            if self.logmel is None:
                raise FrontEndError("this front end takes precomputed spectrograms or images, not waves.")
            x = self.logmel(x)
        elif self.logmel:
            # The memory layout of LogMel's output, so that the results are bit-identical.
            x = x.transpose(1, 2).contiguous().transpose(1, 2)
        return self.picture.render(x if change is None else change(x))

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learns mean and sd from batches of the training part where `standardise` is `training`."""
        self.picture.fit(self.render(batch) for batch in batches)
