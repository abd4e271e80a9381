"""Pictures of log-mel spectrograms, as image networks take them: a fixed width, values from 0 to 1, colours, a size.

Row 0 is the lowest band, as in the spectrogram: pictures on paper have it at the bottom, and nothing here turns them.
Colours are matplotlib's magma (van der Walt & Smith 2015, https://bids.github.io/colormap), drawn between its 256
entries so that gradients pass. Resizing is Pillow's bilinear filter, which averages where it makes smaller.

Every step is differentiable. This room knows nothing of waves, clips or labels, and writes no image files.
"""

import functools
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from hubbub.audio.logmel import FrontEndError

__all__ = ["FIGURES", "Picture"]

# Mean and standard deviation of red, green and blue that published weights expect: those of ImageNet, as most do, or
# what makes 0..1 into -1..1, as Inception and many of timm's transformers do.
FIGURES = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "half": ((0.5,) * 3, (0.5,) * 3)}


class Picture(nn.Module):
    """Log-mel `[B, F, W]` -> picture `[B, F', W']`, or `[B, 3, F', W']` in colours, in this order:

    1. `frames`: padded at the end to so many, or cut. The padding is `padding` where given (`-top_db` for decibels
       below the loudest cell), else each segment's lowest value.
    2. `scale`: `minmax` makes each segment's own range 0..1, and a constant segment 0; `top_db` makes
       (dB + `top_db`) / `top_db`, limited to 0..1.
    3. `colours`: `magma`. It needs values from 0 to 1.
    4. `size`: height and width after bilinear resizing; in colours, as of an image.
    5. `standardise`: (picture - mean) / sd a channel. `imagenet` takes ImageNet's figures (their means over the colours
       where there is one channel) and `half` .5 for both, of values from 0 to 1; `training` takes those that `fit`
       finds, the only values here that are saved.

    Raises `FrontEndError` for settings that do not fit, and where `training` has not been fitted.
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
            raise FrontEndError(f"{frames} frames: give at least 1, or none to keep each segment's own.")
        if size is not None and min(size) < 1:
            raise FrontEndError(f"a picture of {size[0]} x {size[1]}: give a height and a width of at least 1.")
        if scale == "top_db" and top_db <= 0:
            raise FrontEndError(f"scale 'top_db' with top_db = {top_db:g}: give the decibels that become 0..1.")
        if colours != "none" and scale == "none":
            raise FrontEndError(f"colours '{colours}' need values from 0 to 1: set scale to minmax or top_db.")
        if standardise in FIGURES and scale == "none":
            raise FrontEndError(f"standardise '{standardise}' needs values from 0 to 1: set scale to minmax or top_db.")
        self.frames, self.padding, self.scale, self.top_db = frames, padding, scale, top_db
        self.size, self.colours, self.standardise = size, colours, standardise
        if colours != "none":
            self.register_buffer("table", _table(colours), persistent=False)
        if standardise != "none":
            figures = torch.tensor(FIGURES[standardise]) if standardise in FIGURES else torch.full((2, 3), torch.nan)
            if colours == "none":
                figures = figures.mean(dim=1, keepdim=True)
            self.register_buffer("mean", figures[0, :, None, None].clone(), persistent=standardise == "training")
            self.register_buffer("sd", figures[1, :, None, None].clone(), persistent=standardise == "training")
        self._fitted = standardise != "training"

    def shape(self, bands: int, frames: int) -> tuple[int, int]:
        """Height and width of the picture of a spectrogram with so many bands and frames."""
        return self.size or (bands, self.frames or frames)

    def draw(self, log_mel: Tensor) -> Tensor:
        """Log-mel `[B, F, W]` -> the picture before it is standardised."""
        picture = self.framed(log_mel)
        if self.scale == "minmax":
            lowest, highest = picture.amin(dim=(1, 2), keepdim=True), picture.amax(dim=(1, 2), keepdim=True)
            picture = (picture - lowest) / torch.where(highest > lowest, highest - lowest, 1.0)
        elif self.scale == "top_db":
            picture = (picture / self.top_db + 1).clamp(0, 1)
        return self.finish(picture)

    def finish(self, picture: Tensor) -> Tensor:
        """A picture in grey `[B, F, W]` or in colours `[B, 3, F, W]` -> in this picture's colours and size."""
        if self.colours != "none" and picture.ndim == 3:
            picture = self._coloured(picture)
        return picture if self.size is None else _resized(picture, self.size)

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.standardised(self.draw(log_mel))

    def standardised(self, picture: Tensor) -> Tensor:
        """What `draw` or `finish` gave -> what a network takes."""
        if self.standardise == "none":
            return picture
        if not self._fitted:
            if not self.sd.isfinite().all():
                raise FrontEndError(
                    "this front end standardises by its training part and has not been fitted. Call fit with the "
                    "training segments, or load a trained classifier."
                )
            self._fitted = True  # asked once: an accelerator would have to wait for the answer
        return (picture - self.mean) / self.sd

    @torch.no_grad()
    def fit(self, pictures: Iterable[Tensor]) -> None:
        """Take mean and sd a channel from batches that `draw` made of the training part, and of nothing else.

        A channel that never changes gets an sd of 1. Where nothing is learnt, nothing is asked of `pictures`. Raises
        `FrontEndError` where there are none, or they hold values that are not finite.
        """
        if self.standardise != "training":
            return
        channels = len(self.mean)
        # Sums about the first value: those about 0 would leave a constant channel a little sd.
        count, first, sums, squares = 0, None, torch.zeros(channels).double(), torch.zeros(channels).double()
        for batch in pictures:
            values = batch.detach().cpu().double().reshape(len(batch), channels, -1)
            first = values[0, :, :1] if first is None else first
            values = values - first
            count += values.numel() // channels
            sums += values.sum(dim=(0, 2))
            squares += values.square().sum(dim=(0, 2))
        if first is None:
            raise FrontEndError("no segments to standardise by. Give the training part's.")
        mean, sd = first[:, 0] + sums / count, (squares / count - (sums / count).square()).clamp_min(0).sqrt()
        if not (mean + sd).isfinite().all():
            raise FrontEndError("the segments to standardise by hold values that are not finite. Check the recordings.")
        self.mean.copy_(mean[:, None, None])
        self.sd.copy_(torch.where(sd > 0, sd, 1.0)[:, None, None])

    def framed(self, log_mel: Tensor) -> Tensor:
        """`[B, F, W]` -> `[B, F, frames]`; as it is where frames are not set."""
        missing = 0 if self.frames is None else self.frames - log_mel.shape[2]
        if missing <= 0:
            return log_mel[:, :, : self.frames]
        if self.padding is not None:
            return nn.functional.pad(log_mel, (0, missing), value=self.padding)
        lowest = log_mel.amin(dim=(1, 2), keepdim=True)
        return torch.cat([log_mel, lowest.expand(-1, log_mel.shape[1], missing)], dim=2)

    def _coloured(self, picture: Tensor) -> Tensor:
        """Values from 0 to 1 `[B, F, W]` -> red, green and blue from 0 to 1 `[B, 3, F, W]`."""
        # matplotlib gives 1 / 256 of the range one colour; ours lie between the middles of two such parts.
        entries = len(self.table) + 1
        place = (picture * entries - 0.5).clamp(0, entries - 1)
        below = place.detach().long().clamp(0, entries - 2)
        colour, step = nn.functional.embedding(below, self.table).split(3, dim=-1)
        return torch.addcmul(colour, (place - below)[..., None], step).movedim(-1, 1).contiguous()


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """`[B, F, W]` or `[B, C, F, W]` -> the same with F and W as in `size`."""
    if picture.shape[-2:] == size:
        return picture
    channels = picture if picture.ndim == 4 else picture[:, None]
    resized = nn.functional.interpolate(channels, size, mode="bilinear", antialias=True)
    return resized if picture.ndim == 4 else resized[:, 0]


@functools.cache
def _table(colours: str) -> Tensor:
    """A matplotlib colour map: each of its entries but the last, and what leads to the next, `[255, 6]`."""
    from matplotlib import colormaps

    chosen = colormaps[colours]
    entries = torch.from_numpy(chosen(range(chosen.N))[:, :3]).float()
    return torch.cat([entries[:-1], entries.diff(dim=0)], dim=1)
