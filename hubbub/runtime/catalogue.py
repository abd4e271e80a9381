"""The data sets and weights that can be downloaded, with url, licence, citation, size and checksum.

This module is a list; `download.py` downloads what is on it.
"""

from dataclasses import dataclass

__all__ = ["ASSETS", "Asset"]


@dataclass(frozen=True)
class Asset:
    """A data set or weights file that can be downloaded.

    `url` gives `file`, which `hash` verifies: "sha256:..." or "md5:...", the first digits of a sha256 if no more are
    published, None if no checksum is published. With `unpack` ("zip" or "tar") it becomes the folder `data/NAME`:
    `strip` names the top folder inside the archive to drop, and `check` lists (relative file, sha256) to verify after
    unpacking. `size` is in bytes, for display.
    """

    name: str
    kind: str  # "data" or "weights"
    url: str
    file: str
    hash: str | None
    size: int | None
    licence: str
    citation: str
    unpack: str | None = None
    strip: str = ""
    check: tuple[tuple[str, str], ...] = ()
    note: str = ""


_YAMNET = "Plakal, Ellis: YAMNet, TensorFlow Model Garden, 2019"
_ESRESNEXT = (
    "Guzhov, Raue, Hees, Dengel: ESResNe(X)t-fbsp: Learning Robust Time-Frequency Transformation of Audio, "
    "IJCNN, 2021, arXiv 2104.11587"
)
_AUDIOCLIP = (
    "Guzhov, Raue, Hees, Dengel: AudioCLIP: Extending CLIP to Image, Text and Audio, ICASSP, 2022, arXiv 2106.13043"
)
_PANNS = (
    "Kong, Cao, Iqbal, Wang, Wang, Plumbley: PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern "
    "Recognition, IEEE/ACM TASLP 28, 2020, arXiv 1912.10211"
)
_BEATS = "Chen et al.: BEATs: Audio Pre-Training with Acoustic Tokenizers, ICML, 2023, arXiv 2212.09058"
#: The authors' own addresses (https://github.com/microsoft/unilm/tree/master/beats) no longer give the files.
_BEATS_NOTE = "a copy, since the authors' addresses are dead; no checksum is published; size approximate"
_RESNET = "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR, 2016, arXiv 1512.03385"
_EFFICIENTAT = (
    "Schmid, Koutini, Widmer: Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation, "
    "ICASSP, 2023, arXiv 2211.04772"
)


def _efficientat(network: str, file: str, size: int, digits: str) -> Asset:
    """EfficientAT's weights, released beside its code. Its authors state no checksums; these are of programs that pin
    the files."""
    url = f"https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/{file}"
    return Asset(network, "weights", url, file, f"sha256:{digits}", size, "MIT", _EFFICIENTAT)


def _imagenet(network: str, file: str, size: int, paper: str) -> Asset:
    """torchvision's weights, trained on ImageNet; the file name ends in the published digits of its sha256."""
    url, digits = f"https://download.pytorch.org/models/{file}", file.rpartition("-")[2].removesuffix(".pth")
    licence = "BSD-3-Clause (torchvision; trained on ImageNet)"
    return Asset(f"{network}_imagenet", "weights", url, file, f"sha256:{digits}", size, licence, paper)


# fmt: off
_CATALOGUE = (
    Asset("yamnet", "weights", "https://storage.googleapis.com/audioset/yamnet.h5", "yamnet.h5",
          "sha256:13c3308955bbfaef262f175ac9c40e47b134573a93984f009220dd7cc12a1744", 15_296_092, "Apache-2.0", _YAMNET),
    Asset("yamnet_class_map", "weights",
          "https://raw.githubusercontent.com/tensorflow/models/master/research/audioset/yamnet/yamnet_class_map.csv",
          "yamnet_class_map.csv", "sha256:cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2", 14_096,
          "Apache-2.0", _YAMNET),
    Asset("esresnext_audioset", "weights",
          "https://github.com/AndreyGuzhov/ESResNeXt-fbsp/releases/download/v0.1/ESResNeXtFBSP_AudioSet.pt",
          "ESResNeXtFBSP_AudioSet.pt", "sha256:502a5dcde1771cf6f3c636780a428575322f842ceb2efac5ed72b0f68b858afe",
          124_801_585, "none stated, its repository has no licence file", _ESRESNEXT),
    Asset("audioclip_full", "weights",
          "https://github.com/AndreyGuzhov/AudioCLIP/releases/download/v0.1/AudioCLIP-Full-Training.pt",
          "AudioCLIP-Full-Training.pt", "sha256:2441d35b353352c8b1bbfb8f7c687f46314c3d2909e940eaf763b8c17f632c44",
          537_302_068, "MIT", _AUDIOCLIP),
    Asset("audioclip_partial", "weights",
          "https://github.com/AndreyGuzhov/AudioCLIP/releases/download/v0.1/AudioCLIP-Partial-Training.pt",
          "AudioCLIP-Partial-Training.pt", "sha256:1921885b6c3b5de0619f2ef4a9700ecbade758a398b34eb064230c30baef0c75",
          537_302_068, "MIT", _AUDIOCLIP),
    _efficientat("mn04_as", "mn04_as_mAP_432.pt", 4_080_000,  # what its tensors come to: none is stated
                 "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c"),
    _efficientat("mn10_as", "mn10_as_mAP_471.pt", 19_708_753,
                 "0bd7dc2443af498c289a2e739f02ebb515d6aa3fd3ab9db539c86123ae368a4e"),
    Asset("cnn14_audioset", "weights", "https://zenodo.org/record/3987831/files/Cnn14_mAP%3D0.431.pth?download=1",
          "Cnn14_mAP=0.431.pth", "md5:541141fa2ee191a88f24a3219fff024e", 327_428_481,
          "CC BY 4.0, as others quote Zenodo's record; its repository states none for the weights", _PANNS),
    Asset("beats_audioset", "weights",
          "https://huggingface.co/camenduru/beats/resolve/main/BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt2.pt",
          "BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt2.pt", None, 363_000_000, "MIT", _BEATS, note=_BEATS_NOTE),
    Asset("beats_unlabelled", "weights",
          "https://huggingface.co/datasets/Bencr/beats-checkpoints/resolve/main/BEATs_iter3_plus_AS2M.pt",
          "BEATs_iter3_plus_AS2M.pt", None, 361_000_000, "MIT", _BEATS, note=_BEATS_NOTE),
    # torchvision's IMAGENET1K_V1, except for ResNet-50: its V2, trained longer, is better by 4.7 points on ImageNet.
    # Sizes are torchvision's, in thousandths of a mebibyte.
    _imagenet("alexnet", "alexnet-owt-7be5be79.pth", 244_409_000,
              "Krizhevsky: One weird trick for parallelizing convolutional neural networks, 2014, arXiv 1404.5997"),
    _imagenet("vgg16", "vgg16-397923af.pth", 553_434_000,
              "Simonyan, Zisserman: Very Deep Convolutional Networks, ICLR, 2015, arXiv 1409.1556"),
    _imagenet("resnet18", "resnet18-f37072fd.pth", 46_830_000, _RESNET),
    _imagenet("resnet50", "resnet50-11ad3fa6.pth", 102_540_000, _RESNET),
    _imagenet("mobilenet_v2", "mobilenet_v2-b0353104.pth", 14_213_000,
              "Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2, CVPR, 2018, arXiv 1801.04381"),
    _imagenet("inception_v3", "inception_v3_google-0cc3c7bd.pth", 108_950_000,
              "Szegedy et al.: Rethinking the Inception Architecture, CVPR, 2016, arXiv 1512.00567"),
    _imagenet("efficientnet_b0", "efficientnet_b0_rwightman-7f5810bc.pth", 21_444_000,
              "Tan, Le: EfficientNet, ICML, 2019, arXiv 1905.11946"),
    _imagenet("convnext_tiny", "convnext_tiny-983f1562.pth", 114_420_000,
              "Liu et al.: A ConvNet for the 2020s, CVPR, 2022, arXiv 2201.03545"),
    Asset("esc50", "data", "https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip", "ESC-50-master.zip",
          None, 647_000_000, "CC BY-NC 3.0 (the ESC-10 subset: CC BY 3.0)",
          "Piczak: ESC: Dataset for Environmental Sound Classification, ACM Multimedia, 2015",
          unpack="zip", strip="ESC-50-master",
          check=(("meta/esc50.csv", "ca660da60191a97de289983a05821c9382d852a38a2ba8428980816b68cf6246"),),
          note="GitHub builds the archive on request: size approximate, list of clips verified instead"),
    Asset("urbansound8k", "data", "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz?download=1",
          "UrbanSound8K.tar.gz", "md5:9aa69802bbf37fb986f71ec1483a196e", 6_023_741_708, "CC BY-NC 4.0",
          "Salamon, Jacoby, Bello: A Dataset and Taxonomy for Urban Sound Research, ACM Multimedia, 2014",
          unpack="tar", strip="UrbanSound8K", note="needs more than twice its size while it is unpacked"),
    Asset("emodb", "data", "http://emodb.bilderbar.info/download/download.zip", "emodb.zip",
          None, 40_500_000, "free for research use, with citation",
          "Burkhardt, Paeschke, Rolfes, Sendlmeier, Weiss: A Database of German Emotional Speech, Interspeech, 2005",
          unpack="zip", note="no checksum is published; size approximate"),
)
# fmt: on
ASSETS: dict[str, Asset] = {asset.name: asset for asset in _CATALOGUE}
