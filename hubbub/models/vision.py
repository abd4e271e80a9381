"""Image networks on spectrograms: eight of torchvision's, and any of timm's.

`Vision` holds torchvision's own module (https://docs.pytorch.org/vision/stable/models.html), `Timm` one of timm's
(Wightman: PyTorch Image Models, https://github.com/huggingface/pytorch-image-models), each without its last layer,
which is `fc` here. Their parameters keep their names under `body.`, so that published files load strictly. A network
of one channel is the network of three that is given the same picture in each: its first kernels are summed over the
colours, as timm has it. This room does not download; it tells where timm's weights are.
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
from hubbub.models.cnn import as_images
from hubbub.models.network import Network, NetworkError
from hubbub.runtime.download import Asset

__all__ = ["PLANS", "ImageNetwork", "Timm", "Vision", "is_timm", "timm_asset", "timm_models"]

WIDTH = 64  # channels of a ResNet's first stage, as published
STAGES = 4  # of a ResNet
_ATTENTION = {"se": SqueezeExcitation, "cbam": CBAM}


@dataclass(frozen=True)
class Plan:
    """What torchvision's module does not tell of itself.

    `smallest`: height and width of the smallest picture that can be trained on [pixels]. `last`: its last layer.
    `cam`: where its last map comes from, before any last pooling. `dropout`: its own before the last layer.
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


@dataclass(frozen=True)
class Translated:
    """A state dict under our names; names that a file may hold though the network does not; what was changed."""

    state: dict[str, Tensor]
    optional: tuple[str, ...]
    notes: tuple[str, ...]


class ImageNetwork(Network):
    """Spectrograms `[B, F, W]` or pictures `[B, channels, F, W]` -> logits `[B, num_classes]`.

    A spectrogram is given to each of the channels. Raises `NetworkError` for other channels.
    """

    body: Any  # torchvision's or timm's module

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__(dropout)
        self.channels = channels

    @property
    @abstractmethod
    def published_heads(self) -> tuple[str, ...]:
        """What published files call the last layer; where there are several, ours is the first."""

    def translated(self, state: Mapping[str, Tensor]) -> Translated:
        """A published state dict, or one of ours, in the names and with the channels of this network."""
        own, ours, notes, optional = self.state_dict(), dict(state), [], []
        if not any(name.startswith("body.") for name in state):
            last = self.published_heads[0]
            heads = {f"{last}.{leaf}": f"fc.{leaf}" for leaf in ("weight", "bias")}
            ours = {heads.get(name, f"body.{name}"): tensor for name, tensor in state.items()}
            # The other heads go, and a norm before the layer that is replaced.
            gone = tuple(f"body.{name.partition('.')[0]}." for name in self.published_heads)
            optional += [name for name in ours if name.startswith(gone) and name not in own]
        # Buffers that are not saved: older files have them all the same.
        optional += [name for name, _ in self.named_buffers() if name not in own]
        for name, tensor in ours.items():
            alike = name in own and tensor.dim() == 4 and own[name].shape == (len(tensor), 1, *tensor.shape[2:])
            if alike and tensor.shape[1] == 3:
                ours[name] = tensor.sum(dim=1, keepdim=True)
                notes.append(f"{name}: kernels for three colours summed for one channel")
        return Translated(ours, tuple(optional), tuple(notes))


class Vision(ImageNetwork):
    """One of torchvision's networks with fresh weights, drawn as torchvision draws them.

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
        # Without init_weights torchvision warns of a change to come; standardise = "half" is its transform_input.
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
        self.to(memory_format=torch.channels_last)
        self._side: list[Tensor] = []

    @property
    def published_heads(self) -> tuple[str, ...]:
        return (self.plan.last,)

    @property
    def cam_layer(self) -> nn.Module:
        return self.body.get_submodule(self.plan.cam)

    def embed(self, x: Tensor) -> Tensor:
        """Spectrograms `[B, F, W]` or pictures `[B, channels, F, W]` -> embeddings `[B, D]`."""
        out = self.body(as_images(x, self.channels))
        self._side = []
        if isinstance(out, InceptionOutputs):
            self._side, out = [out.aux_logits], out.logits
        return out

    def side_logits(self) -> list[Tensor]:
        """Of InceptionV3's auxiliary classifier, which is there in training only."""
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
        """A copy has no part in this one's last pass."""
        return {**self.__dict__, "_side": []}


class Timm(ImageNetwork):
    """Any of timm's networks with fresh weights, for pictures of `size` (height, width), which is tried once.

    Raises `NetworkError` where timm does not make it, or it does not take that size.
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
                f"timm cannot make '{name}': {error} Name another, e.g. without what follows the dot."
            ) from error
        self.name = name
        self.layout = str(getattr(self.body, "output_fmt", "NCHW"))
        self.map = nn.Identity()
        self.grid: tuple[int, int] | None = getattr(getattr(self.body, "patch_embed", None), "grid_size", None)
        if self.grid and hasattr(self.body, "num_prefix_tokens") and hasattr(self.body, "blocks"):
            # What follows the last block may look at the class token alone, so the map is what that block is given.
            self.body.blocks[-1].register_forward_pre_hook(self._tokens)
        self.to(memory_format=torch.channels_last)
        self.fc = nn.Linear(self._embedding_size(size), num_classes)

    @property
    def published_heads(self) -> tuple[str, ...]:
        heads = self.body.pretrained_cfg.get("classifier") or "fc"
        return (heads,) if isinstance(heads, str) else tuple(heads)

    @property
    def cam_layer(self) -> nn.Module:
        """Its last map, of a vision transformer what its last block is given. `NetworkError` where it has no map."""
        if not self.mapped:
            raise NetworkError(f"{self.name} keeps no map of its picture that could be shown. Take another network.")
        return self.map

    def embed(self, x: Tensor) -> Tensor:
        """Spectrograms `[B, F, W]` or pictures `[B, channels, F, W]` -> embeddings `[B, D]`."""
        features = self.body.forward_features(as_images(x, self.channels))
        if isinstance(features, Tensor) and features.dim() == 4:
            last = self.layout == "NHWC"
            features = self.map(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) if last else self.map(features)
        return self.body.forward_head(features)

    def _tokens(self, block: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Tokens `[B, prefix + f * w, C]` on their way into a block go through `map` as `[B, C, f, w]`."""
        tokens, *others = given
        prefix = self.body.num_prefix_tokens
        if not self.grid or tokens.dim() != 3 or tokens.shape[1] != prefix + math.prod(self.grid):
            return None
        first, patches = tokens[:, :prefix], tokens[:, prefix:]
        patches = self.map(patches.transpose(1, 2).unflatten(2, self.grid)).flatten(2).transpose(1, 2)
        return torch.cat([first, patches], dim=1), *others

    def _embedding_size(self, size: tuple[int, int]) -> int:
        """Embeds one picture of that size: the embedding's width; notes whether there is a map."""
        ran: list[bool] = []
        hook = self.map.register_forward_hook(lambda *_: ran.append(True))
        try:
            with torch.no_grad():
                embeddings = self.eval().embed(torch.zeros(1, *size))
        except Exception as error:  # a network too small or of one size alone says so in any exception at all
            height, width = self.body.pretrained_cfg["input_size"][1:]
            raise NetworkError(
                f"{self.name} does not take pictures of {size[0]} by {size[1]} ({str(error).splitlines()[0]}). It was "
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
    """Whether timm has a network of that name; what follows a dot is a name of its published weights."""
    import timm

    return timm.is_model(name)


def timm_asset(name: str) -> Asset | None:
    """Where the weights that timm publishes for a network are; None where there are none. No checksum is published."""
    import timm

    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # a name of weights that it does not know
        raise NetworkError(
            f"timm: {error} Name weights of timm.list_pretrained(), or nothing after the dot."
        ) from error
    if config is None or not (config.hf_hub_id or config.url):
        return None
    page = url = str(config.url)
    if config.hf_hub_id:
        page = f"https://huggingface.co/{config.hf_hub_id}"
        url = f"{page}/resolve/main/{config.hf_hub_filename or 'model.safetensors'}"
    licence, made = config.license or "see its page", "Wightman: PyTorch Image Models, 2019"
    return Asset(name, "weights", url, name + PurePosixPath(url).suffix, None, None, licence, f"{made}, {page}")


def _remove_layer(network: nn.Module, name: str) -> nn.Module:
    """Puts an identity in the place of a layer, which is returned."""
    parent, _, leaf = name.rpartition(".")
    place = network.get_submodule(parent)
    layer = place.get_submodule(leaf)
    setattr(place, leaf, nn.Identity())
    return layer


def _sum_colours(network: nn.Module) -> None:
    """Makes the first convolution one of one channel, which gives what three alike channels gave."""
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    first.weight = nn.Parameter(first.weight.detach().sum(dim=1, keepdim=True))
    first.in_channels = 1


def _widen(network: ResNet, width: int, num_classes: int) -> None:
    """Makes a ResNet's stages `width`, 2 `width` ... channels wide, drawn as torchvision draws them."""
    stages = [getattr(network, f"layer{stage + 1}") for stage in range(STAGES)]
    block = type(stages[0][0])
    network.inplanes = width
    network.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm2d(width)
    for stage, layers in enumerate(stages):
        made = network._make_layer(block, width * 2**stage, len(layers), stride=1 if stage == 0 else 2)
        setattr(network, f"layer{stage + 1}", made)
    network.fc = nn.Linear(network.inplanes, num_classes)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def _add_attention(network: ResNet, attention: str) -> None:
    """Puts attention behind each stage, as the last part of it."""
    for stage in range(1, STAGES + 1):
        layers = getattr(network, f"layer{stage}")
        last = layers[-1]
        channels = (last.conv3 if isinstance(last, Bottleneck) else last.conv2).out_channels
        layers.add_module("attention", _ATTENTION[attention](channels))
