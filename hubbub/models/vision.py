"""Image networks on spectrograms: eight of torchvision's, and any of timm's.

`Vision` contains torchvision's own module (https://docs.pytorch.org/vision/stable/models.html), `Timm` one of timm's
(Wightman: PyTorch Image Models, https://github.com/huggingface/pytorch-image-models), each without its last layer,
which is `fc` here. Parameters keep their names under `body.`, so that published files load strictly. A network of one
channel equals that of three with the same image in each: its first kernels are summed over the colours, as in timm.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.inception import Inception3, InceptionOutputs
from torchvision.models.resnet import Bottleneck, ResNet

from hubbub.models.attention import CBAM, SqueezeExcitation
from hubbub.models.checkpoint import Translated
from hubbub.models.cnn import as_images
from hubbub.models.image_blocks import timm_blocks, torchvision_blocks
from hubbub.models.network import Network, NetworkError, no_blocks
from hubbub.runtime.download import Asset

__all__ = ["PLANS", "ImageNetwork", "Timm", "Vision", "is_timm", "timm_asset", "timm_models"]

WIDTH = 64  # channels of a ResNet's first stage, as published
STAGES = 4  # of a ResNet
_ATTENTION = {"se": SqueezeExcitation, "cbam": CBAM}

#: Of fewer channels in its channels-last layout, oneDNN 3.13's gradient of a strided 1x1 convolution, as ResNets have,
#: overwrites memory that is not its own.
_LEAST_CHANNELS = 16


@dataclass(frozen=True)
class Plan:
    """What hubbub needs to know of a torchvision module.

    `smallest`: height and width of the smallest image for training [pixels]. `last`: the last layer. `cam`: the layer
    of the last map, before any last pooling. `dropout`: the dropout before the last layer.
    """

    smallest: int
    last: str
    cam: str
    dropout: str = ""


PLANS = {
    "alexnet": Plan(63, "classifier.6", "features.11"),
    "vgg16": Plan(32, "classifier.6", "features.29", "classifier.5"),
    "resnet18": Plan(1, "fc", "layer4"),
    "resnet50": Plan(1, "fc", "layer4"),
    "mobilenet_v2": Plan(1, "classifier.1", "features", "classifier.0"),
    "inception_v3": Plan(299, "fc", "Mixed_7c", "dropout"),  # the auxiliary classifier's; without it 75
    "efficientnet_b0": Plan(1, "classifier.1", "features", "classifier.0"),
    "convnext_tiny": Plan(32, "classifier.2", "features"),
}


class ImageNetwork(Network):
    """Spectrograms `[B, F, W]` or images `[B, channels, F, W]` -> logits `[B, num_classes]`.

    A spectrogram is copied to each channel. Raises `NetworkError` for other numbers of channels.
    """

    body: Any  # torchvision's or timm's module

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__(dropout)
        self.channels = channels

    @property
    @abstractmethod
    def published_heads(self) -> tuple[str, ...]:
        """The names of the last layer in published files; if there are several, ours is the first."""

    def translated(self, state: Mapping[str, Tensor]) -> Translated:
        """A published state dict, or one of ours, with the names and channels of this network."""
        own, translated, notes, optional = self.state_dict(), dict(state), [], []
        if not any(name.startswith("body.") for name in state):
            last = self.published_heads[0]
            heads = {f"{last}.{leaf}": f"fc.{leaf}" for leaf in ("weight", "bias")}
            translated = {heads.get(name, f"body.{name}"): tensor for name, tensor in state.items()}
            # Other heads are dropped, and a norm before the replaced layer.
            dropped = tuple(f"body.{name.partition('.')[0]}." for name in self.published_heads)
            optional += [name for name in translated if name.startswith(dropped) and name not in own]
        # Buffers that are no longer saved, but are in older files.
        optional += [name for name, _ in self.named_buffers() if name not in own]
        for name, tensor in translated.items():
            alike = name in own and tensor.dim() == 4 and own[name].shape == (len(tensor), 1, *tensor.shape[2:])
            if alike and tensor.shape[1] == 3:
                translated[name] = tensor.sum(dim=1, keepdim=True)
                notes.append(f"{name}: kernels for three colours summed for one channel")
        return Translated(translated, tuple(optional), tuple(notes))


class Vision(ImageNetwork):
    """One of torchvision's networks with torchvision's random initialisation.

    `width` and `attention` ("se" or "cbam", after each stage) are for ResNets. AlexNet's and VGG16's embeddings are
    the 4,096 values before their last layer.
    """

    def __init__(
        self,
        name: str,
        num_classes: int,
        *,
        channels: int = 1,
        width: int = WIDTH,
        attention: str = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, dropout)
        self.plan = PLANS[name]
        # Without init_weights torchvision warns of a future change; standardise = "half" replaces transform_input.
        own = {"init_weights": True, "transform_input": False} if name == "inception_v3" else {}
        self.body = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **own)
        if isinstance(self.body, ResNet):
            if width != WIDTH:
                _widen(self.body, width, num_classes)
            if attention != "none":
                _add_attention(self.body, attention)
        last = _remove_layer(self.body, self.plan.last)
        assert isinstance(last, nn.Linear)
        self.fc = last
        if self.plan.dropout:
            _remove_layer(self.body, self.plan.dropout)
        if channels == 1:
            _sum_colours(self.body)
        self._format = torch.channels_last if width >= _LEAST_CHANNELS else torch.contiguous_format
        self.to(memory_format=self._format)
        self._side: list[Tensor] = []

    @property
    def published_heads(self) -> tuple[str, ...]:
        return (self.plan.last,)

    @property
    def blocks(self) -> list[nn.Module]:
        return torchvision_blocks(self.body)

    @property
    def cam_layer(self) -> nn.Module:
        return self.body.get_submodule(self.plan.cam)

    def embed(self, x: Tensor) -> Tensor:
        """Spectrograms `[B, F, W]` or images `[B, channels, F, W]` -> embeddings `[B, D]`."""
        images = as_images(x, self.channels)
        if self._format != torch.channels_last:  # new strides: those of one channel count as either layout
            images = images.flatten(1).view(images.shape)
        out = self.body(images)
        self._side = []
        if isinstance(out, InceptionOutputs):
            self._side, out = [out.aux_logits], out.logits
        return out

    def side_logits(self) -> list[Tensor]:
        """The logits of InceptionV3's auxiliary classifier, which exists in training only."""
        side, self._side = self._side, []
        return side

    def reset_head(self, num_classes: int) -> None:
        super().reset_head(num_classes)
        if isinstance(self.body, Inception3):
            aux = self.body.AuxLogits
            aux.fc = nn.Linear(aux.fc.in_features, num_classes).to(aux.fc.weight.device)

    def added(self) -> list[nn.Module]:
        sides = [self.body.AuxLogits.fc] if isinstance(self.body, Inception3) else []
        return [self.fc, *sides, *(m for m in self.body.modules() if isinstance(m, tuple(_ATTENTION.values())))]

    def __getstate__(self) -> dict[str, Any]:
        """Copies do not share the auxiliary logits of the last pass."""
        return {**self.__dict__, "_side": []}


class Timm(ImageNetwork):
    """Any of timm's networks with random weights, for images of `size` (height, width).

    Raises `NetworkError` if timm cannot build it, or if it does not take that size, which is tried once.
    """

    def __init__(
        self, name: str, num_classes: int, size: tuple[int, int], *, channels: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__(channels, dropout)
        import timm

        try:
            self.body = timm.create_model(name, num_classes=0, in_chans=channels)
        except Exception as error:  # timm has no exceptions of its own
            raise NetworkError(
                f"timm cannot build '{name}': {error} Name another, e.g. without what follows the dot."
            ) from error
        self.name = name
        self.layout = str(getattr(self.body, "output_fmt", "NCHW"))
        self.map = nn.Identity()
        self.grid: tuple[int, int] | None = getattr(getattr(self.body, "patch_embed", None), "grid_size", None)
        if self.grid and hasattr(self.body, "num_prefix_tokens") and hasattr(self.body, "blocks"):
            # After the last block only the class token may be used, so the map is the input of that block.
            self.body.blocks[-1].register_forward_pre_hook(self._map_tokens)
        self.to(memory_format=torch.channels_last)
        self.fc = nn.Linear(self._embedding_size(size), num_classes)

    @property
    def published_heads(self) -> tuple[str, ...]:
        heads = self.body.pretrained_cfg.get("classifier") or "fc"
        return (heads,) if isinstance(heads, str) else tuple(heads)

    @property
    def blocks(self) -> list[nn.Module]:
        found = timm_blocks(self.body)
        if not found:
            raise no_blocks(self.name)
        return found

    @property
    def cam_layer(self) -> nn.Module:
        """The last map; of a vision transformer the input of its last block. Raises `NetworkError` without a map."""
        if not self.mapped:
            raise NetworkError(f"{self.name} has no map of its input for Grad-CAM. Use another network.")
        return self.map

    def embed(self, x: Tensor) -> Tensor:
        """Spectrograms `[B, F, W]` or images `[B, channels, F, W]` -> embeddings `[B, D]`."""
        features = self.body.forward_features(as_images(x, self.channels))
        if isinstance(features, Tensor) and features.dim() == 4:
            last = self.layout == "NHWC"
            features = self.map(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) if last else self.map(features)
        return self.body.forward_head(features)

    def _map_tokens(self, block: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Pass the tokens `[B, prefix + f * w, C]` before a block through `map` as `[B, C, f, w]`."""
        tokens, *others = inputs
        prefix = self.body.num_prefix_tokens
        if not self.grid or tokens.dim() != 3 or tokens.shape[1] != prefix + math.prod(self.grid):
            return None
        first, patches = tokens[:, :prefix], tokens[:, prefix:]
        patches = self.map(patches.transpose(1, 2).unflatten(2, self.grid)).flatten(2).transpose(1, 2)
        return torch.cat([first, patches], dim=1), *others

    def _embedding_size(self, size: tuple[int, int]) -> int:
        """The size of the embedding of one image of that size; also records whether there is a map."""
        ran: list[bool] = []
        hook = self.map.register_forward_hook(lambda *_: ran.append(True))
        try:
            with torch.no_grad():
                embeddings = self.eval().embed(torch.zeros(1, *size))
        except Exception as error:  # networks for other sizes raise any kind of exception
            height, width = self.body.pretrained_cfg["input_size"][1:]
            raise NetworkError(
                f"{self.name} does not take images of {size[0]} by {size[1]} ({str(error).splitlines()[0]}). It was "
                f"made for {height} by {width}: set frontend.size = [{height}, {width}]."
            ) from error
        finally:
            hook.remove()
            self.train()
        self.mapped = bool(ran)
        return embeddings.shape[1]


def timm_models() -> list[str]:
    """The names of timm's networks."""
    import timm

    return timm.list_models()


def is_timm(name: str) -> bool:
    """Whether timm has a network of that name; the part after a dot names published weights."""
    import timm

    return timm.is_model(name)


def timm_asset(name: str) -> Asset | None:
    """The weights that timm publishes for a network, without a checksum; None if there are none."""
    import timm

    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # unknown weights
        raise NetworkError(
            f"timm: {error} Name weights of timm.list_pretrained(), or nothing after the dot."
        ) from error
    if config is None or not (config.hf_hub_id or config.url):
        return None
    page = url = str(config.url)
    if config.hf_hub_id:
        page = f"https://huggingface.co/{config.hf_hub_id}"
        url = f"{page}/resolve/main/{config.hf_hub_filename or 'model.safetensors'}"
    licence, citation = config.license or "see its page", "Wightman: PyTorch Image Models, 2019"
    return Asset(name, "weights", url, name + PurePosixPath(url).suffix, None, None, licence, f"{citation}, {page}")


def _remove_layer(network: nn.Module, name: str) -> nn.Module:
    """Replace a layer by an identity; returns the layer."""
    parent, _, leaf = name.rpartition(".")
    place = network.get_submodule(parent)
    layer = place.get_submodule(leaf)
    setattr(place, leaf, nn.Identity())
    return layer


def _sum_colours(network: nn.Module) -> None:
    """Change the first convolution to one channel; the output is that of three equal channels."""
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    first.weight = nn.Parameter(first.weight.detach().sum(dim=1, keepdim=True))
    first.in_channels = 1


def _widen(network: ResNet, width: int, num_classes: int) -> None:
    """Give a ResNet's stages `width`, 2 `width` ... channels, initialised as in torchvision."""
    stages = [getattr(network, f"layer{stage + 1}") for stage in range(STAGES)]
    block = type(stages[0][0])
    network.inplanes = width
    network.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm2d(width)
    for stage, layers in enumerate(stages):
        layer = network._make_layer(block, width * 2**stage, len(layers), stride=1 if stage == 0 else 2)
        setattr(network, f"layer{stage + 1}", layer)
    network.fc = nn.Linear(network.inplanes, num_classes)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def _add_attention(network: ResNet, attention: str) -> None:
    """Append an attention block to each stage."""
    for stage in range(1, STAGES + 1):
        layers = getattr(network, f"layer{stage}")
        last = layers[-1]
        channels = (last.conv3 if isinstance(last, Bottleneck) else last.conv2).out_channels
        layers.add_module("attention", _ATTENTION[attention](channels))
