"""Networks by name, and the checks that a recipe fits its network."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from hubbub.audio.frontend import FrontEnd
from hubbub.audio.image import MEAN_SD
from hubbub.config.recipe import Recipe
from hubbub.errors import did_you_mean
from hubbub.models.blocks import check_blocks
from hubbub.models.network import Network, NetworkError

if TYPE_CHECKING:
    from hubbub.models.custom import NetworkFactory
    from hubbub.models.network import Architecture

__all__ = ["NETWORKS", "NetworkError", "build_network", "input_size"]


# fmt: off
TORCHVISION = (
    "alexnet", "vgg16", "resnet18", "resnet50", "mobilenet_v2", "inception_v3", "efficientnet_b0", "convnext_tiny",
)
# fmt: on
RESNETS = ("resnet18", "resnet50")
EFFICIENTAT = ("mn04_as", "mn10_as")
#: The networks on waves of the library transformers; the last one is whichever its checkpoint says.
WAVE_ENCODERS = ("wav2vec2", "hubert", "wavlm", "transformers")
#: Those on spectrograms, with their own front ends.
SPECTROGRAM_ENCODERS = ("ast", "clap", "whisper")
#: The networks whose architecture is in a checkpoint's config.
HUB = (*WAVE_ENCODERS, *SPECTROGRAM_ENCODERS)


# The networks take seconds to import, so each is imported only when it is built.
def _cnn(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models.cnn import SmallCNN

    bands, _ = _input_shape(recipe, SmallCNN.SMALLEST)
    return SmallCNN(num_classes, bands, recipe.network.width or SmallCNN.WIDTH, recipe.network.dropout)


def _compact(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models.cnn import Compact

    bands, _ = _input_shape(recipe, Compact.SMALLEST)
    return Compact(num_classes, bands, recipe.network.width or Compact.WIDTH, recipe.network.dropout)


def _framewise(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models.framewise import FRAME_S, Framewise

    bands, columns = _input_shape(recipe, (Framewise.LOWEST, 2))
    settings, length, hop = recipe.frontend, recipe.windows.length, recipe.frontend.hop
    if not settings.centre or settings.convention != "librosa" or settings.n_fft % 2 or columns != 1 + length // hop:
        raise NetworkError(
            "the framewise needs a column of the spectrogram at each multiple of frontend.hop: set frontend.centre = "
            "true and frontend.convention = 'librosa', an even frontend.n_fft, and neither frontend.frames nor "
            "frontend.size."
        )
    steps = [step for step in Framewise.STEPS if step * hop == FRAME_S * recipe.audio.rate_hz]
    if not steps:
        hops = [f"{FRAME_S * recipe.audio.rate_hz / step:g}" for step in Framewise.STEPS]
        raise NetworkError(
            f"the framewise has frames of 40 ms, which are 2, 4 or 8 columns: set frontend.hop = {' or '.join(hops)} "
            f"at {recipe.audio.rate_hz} Hz, not {hop}."
        )
    width = recipe.network.width or Framewise.WIDTH
    return Framewise(num_classes, bands, steps[0], hop, width, recipe.network.dropout)


def _baseline(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models.cnn import Baseline

    _input_shape(recipe, Baseline.SMALLEST, recipe.network.channels)
    return Baseline(num_classes, recipe.network.channels, recipe.network.dropout)


def _cnn1d(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models.sequence import AudioCNN1D

    bands, frames = _input_shape(recipe, (1, AudioCNN1D.SMALLEST))
    return AudioCNN1D(num_classes, bands, frames, recipe.network.dropout)


def _transformer(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models.sequence import Transformer

    bands, _ = _input_shape(recipe)
    return Transformer(num_classes, bands, recipe.network.dropout)


def _torchvision(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models.vision import PLANS, WIDTH, Vision

    settings = recipe.network
    _input_shape(recipe, PLANS[settings.name].smallest, settings.channels)
    _check_standardise(recipe, "half" if settings.name == "inception_v3" else "imagenet")
    return Vision(
        settings.name,
        num_classes,
        channels=settings.channels,
        width=settings.width or WIDTH,
        attention=settings.attention,
        dropout=settings.dropout,
    )


def _timm(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models.vision import Timm

    settings = recipe.network
    size = _input_shape(recipe, channels=settings.channels)
    network = Timm(settings.name, num_classes, size, channels=settings.channels, dropout=settings.dropout)
    config = network.body.pretrained_cfg
    expected = [name for name, figures in MEAN_SD.items() if figures == (tuple(config["mean"]), tuple(config["std"]))]
    if expected:
        _check_standardise(recipe, expected[0])
    return network


def _yamnet(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models import yamnet

    _check_waves(recipe, yamnet.RATE_HZ)
    if recipe.windows.length > yamnet.PATCH_SAMPLES:
        raise NetworkError(
            f"yamnet takes {yamnet.PATCH_SAMPLES} samples at a time, not {recipe.windows.length}. Set windows.length."
        )
    network = yamnet.YAMNet(recipe.network.dropout, layer=recipe.network.layer)
    if recipe.head.name == "none" or recipe.network.layer != -1:
        network.reset_head(num_classes)
    return network


def _yamnet_framewise(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models import yamnet, yamnet_framewise

    _check_waves(recipe, yamnet.RATE_HZ)
    return yamnet_framewise.FramewiseYAMNet(num_classes, recipe.network.dropout)


def _small(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models import small

    _check_waves(recipe, small.RATE_HZ)
    network = small.Small(dropout=recipe.network.dropout)
    if recipe.head.name == "none":
        network.reset_head(num_classes)
    return network


def _esresnext(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models import esresnext

    _check_waves(recipe, esresnext.RATE_HZ)
    return esresnext.ESResNeXt(num_classes, recipe.network.dropout)


def _audioclip(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models import esresnext

    _check_waves(recipe, esresnext.RATE_HZ)
    return esresnext.AudioCLIP(num_classes, recipe.network.dropout)


def _efficientat(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models import efficientat

    _check_waves(recipe, efficientat.RATE_HZ)
    network = efficientat.EfficientAT(efficientat.WIDTHS[recipe.network.name], recipe.network.dropout)
    if recipe.head.name == "none":
        network.reset_head(num_classes)
    return network


def _cnn14(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models import panns

    _check_waves(recipe, panns.RATE_HZ)
    return panns.Cnn14(num_classes, recipe.network.dropout)


def _beats(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models import beats

    _check_waves(recipe, beats.RATE_HZ)
    return beats.BEATs(num_classes, recipe.network.dropout)


def _wave_encoder(recipe: Recipe, num_classes: int, architecture: "Architecture | None") -> Network:
    from hubbub.models import wave_encoder

    settings = recipe.network
    architecture = architecture or wave_encoder.architecture_of(settings.name, settings.weights)
    _check_waves(recipe, wave_encoder.rate_hz(architecture))
    return wave_encoder.WaveEncoder(
        num_classes, architecture, layer=settings.layer, pooling=settings.token_pooling, dropout=settings.dropout
    )


def _foreign(recipe: Recipe, num_classes: int) -> Network:
    from hubbub.models.foreign import Foreign

    settings = recipe.network
    if settings.weights in ("default", "imagenet", "none"):
        raise NetworkError(
            f"onnx is the network of a file: set network.weights to the path of an .onnx or .tflite file, not "
            f"'{settings.weights}'."
        )
    if recipe.head.name == "none" and settings.mode != "head":
        raise NetworkError(
            "a file of another team is computed as it is and cannot be fine-tuned: set head.name, e.g. 'logreg', or "
            "network.mode = 'head' for a last layer."
        )
    return Foreign(num_classes, input_size(recipe), recipe.audio.rate_hz, settings.output, settings.dropout)


def _spectrogram_encoder(recipe: Recipe, num_classes: int, architecture: "Architecture | None") -> Network:
    from hubbub.models import ast, clap, spectrogram_encoder, whisper

    settings, name = recipe.network, recipe.network.name
    module = {"ast": ast, "clap": clap, "whisper": whisper}[name]
    _check_waves(recipe, module.RATE_HZ)
    architecture = architecture or spectrogram_encoder.architecture_of(name, settings.weights, module.BASE)
    network: ast.AST | clap.CLAP | whisper.Whisper
    if name == "ast":
        network = ast.AST(num_classes, architecture, layer=settings.layer, dropout=settings.dropout)
    elif name == "clap":
        network = clap.CLAP(num_classes, architecture, dropout=settings.dropout)
    else:
        network = whisper.Whisper(
            num_classes, architecture, layer=settings.layer, pooling=settings.token_pooling, dropout=settings.dropout
        )
    if recipe.windows.length > network.frontend.longest:
        raise NetworkError(
            f"{name} takes {network.frontend.longest} samples at most, and cuts off the rest of segments of "
            f"{recipe.windows.length}. Set windows.length."
        )
    return network


NETWORKS: dict[str, Callable[..., Network]] = {
    "cnn": _cnn,
    "compact": _compact,
    "framewise": _framewise,
    "baseline": _baseline,
    "cnn1d": _cnn1d,
    "transformer": _transformer,
    **dict.fromkeys(TORCHVISION, _torchvision),
    "small": _small,
    "yamnet": _yamnet,
    "yamnet_framewise": _yamnet_framewise,
    "esresnext": _esresnext,
    "audioclip": _audioclip,
    **dict.fromkeys(EFFICIENTAT, _efficientat),
    "cnn14": _cnn14,
    "beats": _beats,
    **dict.fromkeys(WAVE_ENCODERS, _wave_encoder),
    "onnx": _foreign,
    **dict.fromkeys(SPECTROGRAM_ENCODERS, _spectrogram_encoder),
}
#: Settings that only some networks have, and these networks; timm's also have `channels`.
_SETTINGS = {
    "channels": ("baseline", *TORCHVISION),
    "width": ("cnn", "compact", "framewise", *RESNETS),
    "attention": RESNETS,
    "layer": (*WAVE_ENCODERS, "ast", "whisper", "yamnet"),
    "token_pooling": (*WAVE_ENCODERS, "whisper"),
    "output": ("onnx",),
}


def build_network(
    recipe: Recipe,
    num_classes: int,
    factory: "NetworkFactory | None" = None,
    architecture: "Architecture | None" = None,
) -> Network:
    """The recipe's network with random weights, or the one that `factory` makes. `architecture` is that of a saved
    network of the hub; without it, it is read from the checkpoint that the recipe names, which may be downloaded.
    Raises `NetworkError` if the recipe does not fit it."""
    name = recipe.network.name
    if factory is None:
        check_name(name)
    for setting, names in _SETTINGS.items():
        value, default = getattr(recipe.network, setting), type(recipe.network).model_fields[setting].default
        if value != default and name not in names and not (setting == "channels" and name not in NETWORKS):
            raise NetworkError(f"network.{setting} is for {', '.join(names)}, not for {name}. Leave it out.")
    if factory is not None:
        from hubbub.models.custom import build_custom

        network = build_custom(recipe, num_classes, factory, input_size(recipe))
    elif name in HUB:
        network = NETWORKS[name](recipe, num_classes, architecture)
    else:
        network = NETWORKS.get(name, _timm)(recipe, num_classes)
    if recipe.by_blocks:
        check_blocks(network, recipe.network)
    return network


def check_name(name: str) -> None:
    if name in NETWORKS:
        return
    from hubbub.models import vision
    from hubbub.models.custom import PREFIX, is_custom

    if is_custom(name):
        mine = name.removeprefix(PREFIX)
        raise NetworkError(
            f"this recipe's network is your class {mine}, which hubbub does not import. Give it in Python: "
            f"hubbub.bench(recipe, network={mine.rpartition('.')[2]})"
        )

    if vision.is_timm(name):
        return
    near = [*get_close_matches(name, NETWORKS), *get_close_matches(name, vision.timm_models(), cutoff=0.8)]
    named = " or ".join(f"'{match}'" for match in list(dict.fromkeys(near))[:3])
    hint = f"Did you mean {named}?" if named else did_you_mean(name, NETWORKS)
    raise NetworkError(f"there is no network '{name}', here or in timm. {hint}")


def _input_shape(recipe: Recipe, smallest: int | tuple[int, int] = 1, channels: int = 1) -> tuple[int, int]:
    """Height and width of the network's input. Raises `NetworkError` if the network does not take it."""
    name, settings = recipe.network.name, recipe.frontend
    if settings.name == "none":
        raise NetworkError(f"the {name} takes spectrograms: set frontend.name = 'logmel'.")
    if settings.colours != "none" and channels == 1:
        more = "network.channels = 3 or " if name in _SETTINGS["channels"] or name not in NETWORKS else ""
        raise NetworkError(f"a colour image, but one channel is expected: set {more}frontend.colours = 'none'.")
    bands, frames = FrontEnd(settings, recipe.audio.rate_hz).shape(recipe.windows.length)
    lowest, shortest = (smallest, smallest) if isinstance(smallest, int) else smallest
    if bands < lowest or frames < shortest:
        raise NetworkError(
            f"the {name} needs {lowest} bands and {shortest} frames at least, not {bands} and {frames}. Set "
            f"frontend.size, or more frontend.n_mels, a smaller frontend.hop or longer windows."
        )
    return bands, frames


def input_size(recipe: Recipe) -> tuple[int, ...]:
    """The size of a segment at the network's input: of a wave, of a spectrogram, or of an image in colour."""
    settings, length = recipe.frontend, recipe.windows.length
    if settings.name == "none":
        return (length,)
    colours = () if settings.colours == "none" else (3,)
    return (*colours, *FrontEnd(settings, recipe.audio.rate_hz).shape(length))


def _check_standardise(recipe: Recipe, expected: str) -> None:
    chosen = recipe.frontend.standardise
    if recipe.network.weights in ("default", "imagenet") and chosen in MEAN_SD and chosen != expected:
        raise NetworkError(
            f"the weights of {recipe.network.name} expect other input: set frontend.standardise = '{expected}', not "
            f"'{chosen}'."
        )


def _check_waves(recipe: Recipe, rate_hz: int) -> None:
    name = recipe.network.name
    if recipe.frontend.name != "none":
        raise NetworkError(f"{name} has its own front end: set frontend.name = 'none', not '{recipe.frontend.name}'.")
    if recipe.audio.rate_hz != rate_hz:
        raise NetworkError(
            f"{name} takes sound at {rate_hz} Hz, not {recipe.audio.rate_hz}. Set audio.rate_hz = {rate_hz}."
        )
