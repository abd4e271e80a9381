"""Log-mel spectrograms as input images of image networks: fixed width, values from 0 to 1, colours, size.

Row 0 is the lowest band, as in the spectrogram; plots have it at the bottom. Colours are matplotlib's magma (van der
Walt & Smith 2015, https://bids.github.io/colormap), interpolated between its 256 entries. Resizing equals Pillow's
bilinear filter, which averages when it shrinks. Every step is differentiable.
"""

import functools
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from hubbub.audio.logmel import FrontEndError

__all__ = ["MEAN_SD", "SpectrogramImage"]

#: Mean and standard deviation of red, green and blue that published weights expect: ImageNet's for most, and those that
#: map 0..1 to -1..1 for Inception and many of timm's transformers.
MEAN_SD = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "half": ((0.5,) * 3, (0.5,) * 3)}


class SpectrogramImage(nn.Module):
    """Log-mel `[B, F, W]` -> image `[B, F', W']`, or `[B, 3, F', W']` in colours, in this order:

    1. `frames`: padded at the end, or cut, to this width. The padding is `padding` if set (`-top_db` for decibels
       below the loudest cell), else each segment's lowest value.
    2. `scale`: `minmax` maps each segment's own range to 0..1, and a constant segment to 0; `top_db` gives
       (dB + `top_db`) / `top_db`, limited to 0..1.
    3. `colours`: `magma`, for values from 0 to 1.
    4. `size`: height and width after bilinear resizing, which comes after the colours.
    5. `standardise`: (image - mean) / sd per channel. `imagenet` uses ImageNet's values (averaged over the colours for
       one channel) and `half` .5 for both, for values from 0 to 1; `training` uses those that `fit` finds, the only
       values here that are saved.

    Raises `FrontEndError` for invalid settings, and where `training` has not been fitted.
    """

    mean: Tensor
    sd: Tensor
    table: Tensor

    def __init__(
        self,
        *,
        frames: int | None = None,
        padding: float | None = None,
        scale: Literal["none", "minmax", "top_db"] = "none",
        top_db: float = 80.0,
        size: tuple[int, int] | None = None,
        colours: Literal["none", "magma"] = "none",
        standardise: Literal["none", "imagenet", "half", "training"] = "none",
    ) -> None:
        super().__init__()
        if frames is not None and frames < 1:
            raise FrontEndError(f"{frames} frames: give at least 1, or none to keep each segment's own number.")
        if size is not None and min(size) < 1:
            raise FrontEndError(f"an image of {size[0]} x {size[1]}: give a height and a width of at least 1.")
        if scale == "top_db" and top_db <= 0:
            raise FrontEndError(f"scale 'top_db' with top_db = {top_db:g}: give the decibels that become 0..1.")
        if colours != "none" and scale == "none":
            raise FrontEndError(f"colours '{colours}' need values from 0 to 1: set scale to minmax or top_db.")
        if standardise in MEAN_SD and scale == "none":
            raise FrontEndError(f"standardise '{standardise}' needs values from 0 to 1: set scale to minmax or top_db.")
        self.frames, self.padding, self.scale, self.top_db = frames, padding, scale, top_db
        self.size, self.colours, self.standardise = size, colours, standardise
        if colours != "none":
            self.register_buffer("table", _table(colours), persistent=False)
        if standardise != "none":
            mean_sd = torch.tensor(MEAN_SD[standardise]) if standardise in MEAN_SD else torch.full((2, 3), torch.nan)
            if colours == "none":
                mean_sd = mean_sd.mean(dim=1, keepdim=True)
            self.register_buffer("mean", mean_sd[0, :, None, None].clone(), persistent=standardise == "training")
            self.register_buffer("sd", mean_sd[1, :, None, None].clone(), persistent=standardise == "training")
        self._fitted = standardise != "training"

    def shape(self, bands: int, frames: int) -> tuple[int, int]:
        """Height and width of the image of a spectrogram with so many bands and frames."""
        return self.size or (bands, self.frames or frames)

    def render(self, log_mel: Tensor) -> Tensor:
        """Log-mel `[B, F, W]` -> the image before standardisation."""
        image = self.fit_frames(log_mel)
        if self.scale == "minmax":
            lowest, highest = image.amin(dim=(1, 2), keepdim=True), image.amax(dim=(1, 2), keepdim=True)
            image = (image - lowest) / torch.where(highest > lowest, highest - lowest, 1.0)
        elif self.scale == "top_db":
            image = (image / self.top_db + 1).clamp(0, 1)
        return self.colour_and_resize(image)

    def colour_and_resize(self, image: Tensor) -> Tensor:
        """A grey image `[B, F, W]` or a colour image `[B, 3, F, W]` -> in the colours and the size of the settings."""
        if self.colours != "none" and image.ndim == 3:
            image = self._coloured(image)
        return image if self.size is None else _resized(image, self.size)

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.standardised(self.render(log_mel))

    def standardised(self, image: Tensor) -> Tensor:
        """The image (of `render` or `colour_and_resize`), standardised as the settings say."""
        if self.standardise == "none":
            return image
        if not self._fitted:
            if not self.sd.isfinite().all():
                raise FrontEndError(
                    "this front end needs mean and sd of the training part and has not been fitted. Call fit with the "
                    "training segments, or load a trained classifier."
                )
            self._fitted = True  # checked once, since the check stalls an accelerator
        return (image - self.mean) / self.sd

    @torch.no_grad()
    def fit(self, images: Iterable[Tensor]) -> None:
        """Computes mean and sd per channel from batches that `render` made of the training part.

        A constant channel gets an sd of 1. Does nothing, and reads no batch, where `standardise` is not `training`.
        Raises `FrontEndError` where there is no batch, or values are not finite.
        """
        if self.standardise != "training":
            return
        channels = len(self.mean)
        # Sums relative to the first value; relative to 0, a constant channel would get a small sd.
        count, first, sums, squares = 0, None, torch.zeros(channels).double(), torch.zeros(channels).double()
        for batch in images:
            values = batch.detach().cpu().double().reshape(len(batch), channels, -1)
            first = values[0, :, :1] if first is None else first
            values = values - first
            count += values.numel() // channels
            sums += values.sum(dim=(0, 2))
            squares += values.square().sum(dim=(0, 2))
        if first is None:
            raise FrontEndError("no segments to compute mean and sd from. Give the training part's.")
        mean, sd = first[:, 0] + sums / count, (squares / count - (sums / count).square()).clamp_min(0).sqrt()
        if not (mean + sd).isfinite().all():
            raise FrontEndError("the training segments hold values that are not finite. Check the recordings.")
        self.mean.copy_(mean[:, None, None])
        self.sd.copy_(torch.where(sd > 0, sd, 1.0)[:, None, None])

    def fit_frames(self, log_mel: Tensor) -> Tensor:
        """`[B, F, W]` -> `[B, F, frames]`, padded or cut; unchanged where `frames` is None."""
        missing = 0 if self.frames is None else self.frames - log_mel.shape[2]
        if missing <= 0:
            return log_mel[:, :, : self.frames]
        if self.padding is not None:
            return nn.functional.pad(log_mel, (0, missing), value=self.padding)
        lowest = log_mel.amin(dim=(1, 2), keepdim=True)
        return torch.cat([log_mel, lowest.expand(-1, log_mel.shape[1], missing)], dim=2)

    def _coloured(self, image: Tensor) -> Tensor:
        """Values from 0 to 1 `[B, F, W]` -> red, green and blue from 0 to 1 `[B, 3, F, W]`."""
        # matplotlib gives each 1 / 256 of the range one colour; here colours are interpolated between their middles.
        entries = len(self.table) + 1
        position = (image * entries - 0.5).clamp(0, entries - 1)
        below = position.detach().long().clamp(0, entries - 2)
        colour, step = nn.functional.embedding(below, self.table).split(3, dim=-1)
        return torch.addcmul(colour, (position - below)[..., None], step).movedim(-1, 1).contiguous()


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """`[B, F, W]` or `[B, C, F, W]` -> the same with F and W as in `size`."""
    if image.shape[-2:] == size:
        return image
    channels = image if image.ndim == 4 else image[:, None]
    resized = nn.functional.interpolate(channels, size, mode="bilinear", antialias=True)
    return resized if image.ndim == 4 else resized[:, 0]


@functools.cache
def _table(colours: str) -> Tensor:
    """A matplotlib colour map: each entry but the last, and its difference from the next, `[255, 6]`."""
    from matplotlib import colormaps

    chosen = colormaps[colours]
    entries = torch.from_numpy(chosen(range(chosen.N))[:, :3]).float()
    return torch.cat([entries[:-1], entries.diff(dim=0)], dim=1)
