"""YAMNet, waves of .975 s to scores, segments a second with as many threads as cores.

    python -m benchmarks.yamnet [--segments 320] [--repeats 5]

hubbub is `hubbub.load("yamnet")`, from waves to probabilities. Peers: the 8-bit network in LiteRT, one segment at a
time; the Keras network in single precision, where tensorflow is installed; the same network in torch, called directly,
in single precision and in bf16.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch

import hubbub
from benchmarks.measure import clips_of, cores, emit, median_seconds, options, skip
from hubbub.audio import decode
from hubbub.models.yamnet import PATCH_SAMPLES, load_yamnet
from hubbub.runtime import homes

BATCH, HOP = 64, 7_680


def real_segments(count: int) -> np.ndarray:
    """Segments `[count, 15600]` of real clips; of noise where no data home has ESC-50."""
    clips = clips_of("esc50", -(-count // 9))
    if not clips:
        return np.random.default_rng(0).normal(0, 0.1, (count, PATCH_SAMPLES)).astype(np.float32)
    waves = [decode.load(clip, 16_000) for clip in clips]
    cut = [w[s : s + PATCH_SAMPLES] for w in waves for s in range(0, len(w) - PATCH_SAMPLES + 1, HOP)]
    return np.stack(cut[:count])


def litert(segments: np.ndarray) -> Callable[[], object]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(homes.find("weights", "yamnet_litert.tflite")), num_threads=cores())
    interpreter.allocate_tensors()
    wave_in, scores_out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run() -> None:
        for segment in segments:
            interpreter.set_tensor(wave_in, segment[None])
            interpreter.invoke()
            interpreter.get_tensor(scores_out)

    return run


def keras(segments: np.ndarray) -> Callable[[], object]:
    """The layers of the published network as Keras runs them, on log-mel patches: the front end is left out."""
    tf = import_module("tensorflow")  # optional, and no dependency

    tf.config.threading.set_intra_op_parallelism_threads(cores())
    layers = tf.keras.layers
    x = given = layers.Input((96, 64, 1))
    x = layers.ReLU()(layers.Conv2D(32, 3, 2, padding="same")(x))
    sizes = [(1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024)]
    for stride, filters in sizes:
        x = layers.ReLU()(layers.DepthwiseConv2D(3, stride, padding="same")(x))
        x = layers.ReLU()(layers.Conv2D(filters, 1, padding="same")(x))
    x = layers.Dense(521, "sigmoid")(layers.GlobalAveragePooling2D()(x))
    model = tf.keras.Model(given, x)
    patches = np.random.default_rng(0).normal(size=(len(segments), 96, 64, 1)).astype(np.float32)
    return lambda: model.predict(patches, BATCH, verbose=0)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--segments", type=int, default=320)
    given = parser.parse_args()
    if not homes.find("weights", "yamnet.h5"):
        skip("yamnet", "YAMNet", "no data home has weights/yamnet.h5")
        return
    torch.set_num_threads(cores())
    segments = real_segments(given.segments)
    model, network = hubbub.load("yamnet"), load_yamnet().eval()
    batches = [torch.from_numpy(segments[at : at + BATCH]) for at in range(0, len(segments), BATCH)]

    def of_torch(precision: torch.dtype) -> Callable[[], object]:
        def run() -> None:
            with torch.inference_mode(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
                for batch in batches:
                    network(batch)

        return run

    works: dict[str, Callable[[], object]] = {
        "hubbub": lambda: model.predict_proba(model.outputs(segments), [0]),
        "torch fp32": of_torch(torch.float32),
        "torch bf16": of_torch(torch.bfloat16),
    }
    if find_spec("ai_edge_litert") and homes.find("weights", "yamnet_litert.tflite"):
        works["LiteRT 8 bits"] = litert(segments)
    else:
        skip("yamnet-litert", "YAMNet in LiteRT", "ai-edge-litert or weights/yamnet_litert.tflite is missing")
    if find_spec("tensorflow"):
        works["Keras fp32 without front end"] = keras(segments)
    else:
        skip("yamnet-keras", "YAMNet in Keras", "tensorflow is not installed, and hubbub does not ask for it")
    seconds = median_seconds(works, given.repeats)
    figures = {name: len(segments) / s for name, s in seconds.items()}
    emit("yamnet", "YAMNet, waves to scores", "segments/s", figures, cores(), given.repeats)


if __name__ == "__main__":
    main()
