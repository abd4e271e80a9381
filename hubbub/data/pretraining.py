"""What published weights have learnt from, as their authors state, and whether a data set's clips may be among it.

A frozen network's figure on clips that its weights have learnt from is not a figure on new sounds. Data sets are known
by name, so recordings of one's own are "not known": only their owner can tell. Clips of ESC-50 and UrbanSound8K are cut
from recordings of Freesound, and 94 of these recordings are in both (the numbers in the clips' names).
"""

from dataclasses import dataclass

from hubbub.config.sections import Network
from hubbub.errors import listed

__all__ = ["Overlap", "overlap"]

#: Known data sets, and where their recordings are from.
ORIGINS = {"esc50": "Freesound", "esc10": "Freesound", "urbansound8k": "Freesound", "emodb": "a studio in Berlin"}
#: The data sets that hold a data set's clips.
PARTS = {"esc50": ("ESC-50",), "esc10": ("ESC-50",), "urbansound8k": ("UrbanSound8K",), "emodb": ("EmoDB",)}


@dataclass(frozen=True)
class Weights:
    """Published weights: what they learnt from, the origins of those sounds, and where the authors say so. `note` says
    what is known of a data set's clips among these."""

    learnt_from: tuple[str, ...]
    origins: tuple[str, ...]
    source: str
    note: str = ""


_AUDIOSET = ("AudioSet",), ("YouTube",)
_IMAGENET = Weights(("ImageNet",), (), "torchvision and timm: weights of images alone")
_YAMNET = Weights(*_AUDIOSET, "Plakal, Ellis: YAMNet, tensorflow/models, 2020")
_EFFICIENTAT = Weights(("ImageNet", "AudioSet"), ("YouTube",), "Schmid, Koutini, Widmer, ICASSP 2023, arXiv 2211.04772")
_BEATS = Weights(*_AUDIOSET, "Chen et al., ICML 2023, arXiv 2212.09058")
_ESRESNEXT = Weights(("ImageNet", "AudioSet"), ("YouTube",), "Guzhov et al., IJCNN 2021, arXiv 2104.11587")
_AUDIOCLIP = Weights(("AudioSet", "CLIP's pairs of images and texts"), ("YouTube",), "Guzhov et al., arXiv 2106.13043")
#: By the name of a network (its default weights) or of weights.
KNOWN = {
    **dict.fromkeys(("yamnet", "yamnet_framewise"), _YAMNET),
    **dict.fromkeys(("mn04_as", "mn10_as"), _EFFICIENTAT),
    **dict.fromkeys(("cnn14", "cnn14_audioset"), Weights(*_AUDIOSET, "Kong et al., arXiv 1912.10211")),
    **dict.fromkeys(("beats", "beats_audioset", "beats_unlabelled"), _BEATS),
    **dict.fromkeys(("esresnext", "esresnext_audioset"), _ESRESNEXT),
    **dict.fromkeys(("audioclip", "audioclip_full", "audioclip_partial"), _AUDIOCLIP),
    "ast": Weights(("ImageNet", "AudioSet"), ("YouTube",), "Gong, Chung, Glass, Interspeech 2021, arXiv 2104.01778"),
    "clap": Weights(
        ("LAION-Audio-630K", "AudioSet"),
        ("Freesound", "YouTube", "sound libraries"),
        "Wu et al., arXiv 2211.06687; github.com/LAION-AI/audio-dataset, issue 97",
        "it has recordings of Freesound, as these are; its authors left shared ones out of their own tests",
    ),
    "wav2vec2": Weights(("LibriSpeech",), ("audio books",), "Baevski et al., NeurIPS 2020, arXiv 2006.11477"),
    "hubert": Weights(("LibriSpeech",), ("audio books",), "Hsu et al., TASLP 2021, arXiv 2106.07447"),
    "wavlm": Weights(
        ("Libri-Light", "GigaSpeech", "VoxPopuli"),
        ("audio books", "YouTube", "the European Parliament"),
        "Chen et al., JSTSP 2022, arXiv 2110.13900",
    ),
    "whisper": Weights(("680,000 h of speech",), ("the web",), "Radford et al., 2022, arXiv 2212.04356"),
    "small": Weights(
        ("ESC-50", "UrbanSound8K's folds 1 to 9, without labels", "AudioSet through its teacher YAMNet"),
        ("Freesound", "YouTube"),
        "docs/model-card.md",
        "ESC-50, which shares 13 recordings with fold 10 of UrbanSound8K",
    ),
}
#: Networks that have no published weights: they start from random ones.
SCRATCH = ("cnn", "compact", "framewise", "baseline", "cnn1d", "transformer")


@dataclass(frozen=True)
class Overlap:
    """What a network's weights had learnt from before the run, whether the run's clips may be among it, and where that
    is stated ("" where nothing is)."""

    learnt_from: str
    overlap: str
    source: str = ""


def overlap(network: Network, data: str) -> Overlap:
    """Whether the clips of a data set, or of a folder or table, may have been among what a network's weights learnt
    from, as a short text: `yes`, `likely`, `none known` or `not known`, and the reason."""
    if network.weights == "none" or (network.weights == "default" and network.name in SCRATCH):
        return Overlap("nothing", "none: random weights")
    by_default = network.weights in ("default", "imagenet")
    known = KNOWN.get(network.name if by_default else network.weights, _IMAGENET if by_default else None)
    if known is None:
        return Overlap(network.weights, "not known: see what their authors state")
    learnt_from = "; ".join(known.learnt_from)
    if not known.origins:
        return Overlap(learnt_from, "none: no sounds", known.source)
    if data not in ORIGINS:
        return Overlap(learnt_from, f"not known: sounds of {listed(known.origins)}", known.source)
    if any(part.startswith(PARTS[data]) for part in known.learnt_from):
        return Overlap(learnt_from, f"yes: {known.note or 'these clips'}", known.source)
    if ORIGINS[data] in known.origins:
        return Overlap(learnt_from, f"likely: {known.note or f'both are of {ORIGINS[data]}'}", known.source)
    return Overlap(learnt_from, f"none known: {ORIGINS[data]} here, {listed(known.origins)} there", known.source)
