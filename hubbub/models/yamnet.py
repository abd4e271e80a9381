"""YAMNet: MobileNet-v1 over log-mel patches, trained on AudioSet (Plakal & Ellis, TensorFlow models, Apache-2.0).

A torch network; its weights come from the published Keras file `yamnet.h5`. BatchNorm has no scale and is folded into
the convolution before it, which does not change the outputs and halves the memory traffic. The front end is part of
the network, because the weights depend on it. Source of the layout:
https://github.com/tensorflow/models/tree/master/research/audioset/yamnet
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hubbub.audio.logmel import LogMel, log_mel
from hubbub.errors import HubbubError
from hubbub.models.blocks import cut
from hubbub.models.checkpoint import Translated
from hubbub.models.network import Network, NetworkError, Upright
from hubbub.runtime import download

__all__ = ["RATE_HZ", "STFT_HOP", "YAMNet", "YAMNetError", "class_names", "load_yamnet", "separable_blocks"]

RATE_HZ = 16_000
PATCH_FRAMES = 96
PATCH_HOP_FRAMES = 48
STFT_HOP = 160
PATCH_HOP = PATCH_HOP_FRAMES * STFT_HOP
PATCH_SAMPLES = (PATCH_FRAMES - 1) * STFT_HOP + 400
CLASSES = 521
BN_EPSILON = 1e-4
# (stride, filters) of each separable block after the first convolution.
_BLOCKS = (
    [(1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)] + [(1, 512)] * 5 + [(2, 1024), (1, 1024)]
)  # fmt: skip


class YAMNetError(HubbubError):
    """A weights file that is not YAMNet's."""


class _SameConv(nn.Conv2d):
    """A 3x3 or 1x1 convolution with TensorFlow's SAME padding: at stride 2 the odd row goes to the end."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        if pads == [1, 1, 1, 1]:
            return nn.functional.conv2d(x, self.weight, self.bias, self.stride, 1, 1, self.groups)
        return super().forward(nn.functional.pad(x, pads) if any(pads) else x)


class YAMNet(Network):
    """Waves `[B, T]` at 16 kHz in [-1, 1] -> log-mel, embeddings, scores; see `forward`.

    An embedding is the mean of the map of `layer`: -1 is the last of 14 blocks, as published, 1 the first convolution.
    Blocks behind it are left out. Raises `NetworkError` if there is no such block.
    """

    def __init__(self, dropout: float = 0.0, *, layer: int | str = -1) -> None:
        super().__init__(dropout)
        self.frontend = LogMel(
            RATE_HZ, 512, 400, STFT_HOP, 64, 125.0, 7500.0, convention="tensorflow", mel_scale="htk", norm=None,
            power=1.0, centre=False, log="offset", offset=1e-3,
        )  # fmt: skip
        layers = [_SameConv(1, 32, 3, stride=2), nn.ReLU(inplace=True)]
        channels = 32
        for stride, filters in _BLOCKS[: _count(layer) - 1]:
            layers += [_SameConv(channels, channels, 3, stride=stride, groups=channels), nn.ReLU(inplace=True)]
            layers += [_SameConv(channels, filters, 1), nn.ReLU(inplace=True)]
            channels = filters
        for module in layers:
            if isinstance(module, _SameConv):
                # With torch's default initialisation signals vanish over 27 layers without BatchNorm.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        # In the order of its inputs: else the gradient of the first kernels takes as long as all others together.
        self.body = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.map = Upright()
        self.fc = nn.Linear(channels, CLASSES)

    @property
    def blocks(self) -> list[nn.Module]:
        return separable_blocks(self.body)

    @property
    def cam_layer(self) -> nn.Module:
        return self.map

    def positions(self, seconds: Tensor, hz: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        columns, rows = self.frontend.columns(seconds, PATCH_FRAMES), self.frontend.rows(hz)
        return columns / PATCH_FRAMES, rows / self.frontend.n_mels

    def embed(self, segments: Tensor) -> Tensor:
        """Segments `[B, N]`, each zero-padded or cut to one patch (15,600 samples) -> `[B, D]`, as published 1024."""
        missing = PATCH_SAMPLES - segments.shape[-1]
        columns = log_mel(self.frontend, nn.functional.pad(segments, (0, missing)))
        return self._patches(columns.transpose(1, 2).unsqueeze(1))

    def _patches(self, patches: Tensor) -> Tensor:
        """Patches `[P, 1, 96, 64]` -> embeddings `[P, D]`."""
        return self.map(self.body(patches.contiguous(memory_format=torch.channels_last))).mean(dim=(2, 3))

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Waves `[B, T]` -> (log_mel `[B, frames, 64]`, embeddings `[B, patches, 1024]`, scores `[B, patches, 521]`).

        Each wave is zero-padded to .975 s, then to a whole number of .48 s hops, as the reference does.
        """
        samples = max(wave.shape[-1], PATCH_SAMPLES)
        samples = PATCH_SAMPLES + -(-(samples - PATCH_SAMPLES) // PATCH_HOP) * PATCH_HOP
        columns = log_mel(self.frontend, nn.functional.pad(wave, (0, samples - wave.shape[-1]))).transpose(1, 2)
        patches = columns.unfold(1, PATCH_FRAMES, PATCH_HOP_FRAMES).transpose(2, 3)
        batch, count = patches.shape[:2]
        embeddings = self._patches(patches.reshape(batch * count, 1, PATCH_FRAMES, -1)).view(batch, count, -1)
        return columns, embeddings, self.fc(embeddings).sigmoid()

    def translated(self, state: Mapping[str, Tensor]) -> Translated:
        """The published tensors, or ours, of which those of blocks that are left out may be there."""
        # A convolution and a ReLU at the beginning, and two of each in each separable block.
        behind = range(len(self.body), 2 + 4 * len(_BLOCKS), 2)
        left_out = [f"body.{place}.{leaf}" for place in behind for leaf in ("weight", "bias")]
        return Translated(dict(state), tuple(left_out), ())


def _count(layer: int | str) -> int:
    """The number of blocks up to `layer`."""
    blocks = 1 + len(_BLOCKS)
    if layer == -1:
        return blocks
    if not isinstance(layer, int) or not 1 <= layer <= blocks:
        raise NetworkError(
            f"network.layer = {layer!r}: yamnet has {blocks} blocks. Set -1 (the output), or 1 (the first) to {blocks}."
        )
    return layer


def separable_blocks(body: nn.Sequential) -> list[nn.Module]:
    """The first convolution, and each depthwise convolution with the one of 1x1 behind it."""
    return cut(body, lambda layer: getattr(layer, "kernel_size", 1) == (3, 3))


def read_h5(path: Path) -> dict[str, Tensor]:
    """The tensors of the Keras file by our parameter names, with BatchNorm folded in."""
    import h5py

    arrays: dict[str, Tensor] = {}
    try:
        room = path.stat().st_size // 2  # of the shortest numbers, which have two bytes

        def add(name: str, item: object) -> None:
            nonlocal room
            room -= getattr(item, "size", None) or 0
            if room < 0:
                raise ValueError(f"{name} says that it has more numbers than the file can hold")
            arrays.update(_entry(name, item))

        with h5py.File(path, "r") as file:
            file.visititems(add)
    except Exception as error:  # damage shows as errors of many kinds
        raise YAMNetError(f"{path} is not a Keras weights file ({error}). Fetch yamnet.h5 again.") from error
    state: dict[str, Tensor] = {}
    convolutions = [("layer1", "conv")]
    for number in range(2, len(_BLOCKS) + 2):
        convolutions += [(f"layer{number}", "depthwise_conv"), (f"layer{number}", "pointwise_conv")]
    try:
        for index, (layer, kind) in enumerate(convolutions):
            name = f"{layer}/{kind}"
            kernel = arrays[f"{name}/{'depthwise_kernel' if kind == 'depthwise_conv' else 'kernel'}"]
            # Keras stores [h, w, in, out]; a depthwise kernel is [h, w, channels, 1].
            kernel = kernel.permute(2, 3, 0, 1) if kind == "depthwise_conv" else kernel.permute(3, 2, 0, 1)
            scale = torch.rsqrt(arrays[f"{name}/bn/moving_variance"] + BN_EPSILON)
            state[f"body.{2 * index}.weight"] = kernel * scale[:, None, None, None]
            state[f"body.{2 * index}.bias"] = arrays[f"{name}/bn/beta"] - arrays[f"{name}/bn/moving_mean"] * scale
        state["fc.weight"] = arrays["dense/kernel"].T
        state["fc.bias"] = arrays["dense/bias"]
    except KeyError as error:
        raise YAMNetError(f"{path} lacks {error}: it is not YAMNet's yamnet.h5. Fetch that file again.") from error
    except (RuntimeError, IndexError) as error:
        raise YAMNetError(
            f"{path} holds layers of other shapes ({error}): it is not YAMNet's yamnet.h5. Fetch that file again."
        ) from error
    return {name: tensor.contiguous() for name, tensor in state.items()}


def _entry(name: str, item: object) -> dict[str, Tensor]:
    """One data set of the file as `layer1/conv/kernel`; Keras repeats the layer's name inside its group."""
    import h5py

    if not isinstance(item, h5py.Dataset) or item.external or item.dtype.kind != "f" or not item.shape:
        return {}
    parts = name.removesuffix(":0").split("/")
    half = (len(parts) - 1) // 2
    return {"/".join([*parts[:half], parts[-1]]): torch.from_numpy(np.asarray(item, np.float64))}


def load_yamnet(path: Path | str | None = None) -> YAMNet:
    """YAMNet in eval mode with the weights of `path`, or of `weights/yamnet.h5` in a data home, or downloaded.

    Raises `YAMNetError` for a file that is not YAMNet's, `StoreError` if there is none and the download fails.
    """
    source = Path(path) if path else download.get("yamnet")
    network = YAMNet()
    try:
        network.load_state_dict(read_h5(source), strict=True)
    except RuntimeError as error:
        raise YAMNetError(f"{source} has other shapes than YAMNet's yamnet.h5 ({error}). Fetch that file.") from error
    return network.eval().requires_grad_(False)


def class_names() -> tuple[str, ...]:
    """AudioSet's display names of YAMNet's 521 outputs, in order."""
    with download.get("yamnet_class_map").open(encoding="utf-8", newline="") as file:
        return tuple(row["display_name"] for row in csv.DictReader(file))
