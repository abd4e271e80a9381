"""The blocks of torchvision's and timm's networks, from input to output (`Network.blocks`)."""

import re
from typing import Any

from torch import nn
from torchvision.models.alexnet import AlexNet
from torchvision.models.convnext import CNBlock
from torchvision.models.efficientnet import MBConv
from torchvision.models.inception import Inception3
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.vgg import VGG

from hubbub.models.blocks import cut

__all__ = ["timm_blocks", "torchvision_blocks"]

_RESIDUAL = (BasicBlock, Bottleneck, MBConv, CNBlock)


def torchvision_blocks(body: Any) -> list[nn.Module]:
    """The residual blocks, and the convolutions between them; Inception's mixed ones; of AlexNet and VGG each
    convolution and each linear layer with what follows it."""
    if isinstance(body, AlexNet | VGG):
        rows = (body.features, body.classifier)
        return [block for row in rows for block in cut(row, lambda layer: isinstance(layer, nn.Conv2d | nn.Linear))]
    if isinstance(body, Inception3):
        return [stage for name, stage in body.named_children() if name.startswith("Mixed")]
    stages = (body.layer1, body.layer2, body.layer3, body.layer4) if isinstance(body, ResNet) else body.features
    found: list[nn.Module] = []
    for stage in stages:
        found += [block for block in stage.children() if isinstance(block, _RESIDUAL)] or [stage]
    return found


def timm_blocks(body: Any) -> list[nn.Module]:
    """The layers that timm numbers for learning rates by depth; none of a network that it has no numbers for."""
    matcher = getattr(body, "group_matcher", None)
    wanted = matcher(coarse=False).get("blocks") if matcher else None
    patterns = [wanted] if isinstance(wanted, str) else [pattern for pattern, _ in wanted or ()]
    numbered = [pattern for pattern in map(re.compile, patterns) if pattern.groups]
    return [
        module
        for name, module in body.named_modules()
        if any(pattern.fullmatch(name) for pattern in numbered) and next(module.parameters(), None) is not None
    ]
