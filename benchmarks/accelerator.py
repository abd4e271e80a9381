"""What an accelerator makes of the networks: segments a second, epochs of training, and whether it gives the CPU's
probabilities.

    python -m benchmarks.accelerator [--repeats 5] [--seconds 420] [--profile FILE]

ESResNeXt-fbsp and AudioCLIP's audio branch have random weights. `hubbub` is single precision without TF32, as hubbub
predicts by default; `bf16` is its `--fast`; `TF32` is torch's default; `plain` is the network as its paper writes it,
with torch's defaults. Training is hubbub's own, of decoded clips, beside an ordinary loop on precomputed features. Rows
that do not fit into `--seconds` are skipped, as all are where torch sees no accelerator; `--device cpu --tiny` shows
that the script works.
"""

import gc
import json
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import hubbub
from benchmarks.esresnext import SAMPLES, PlainESResNeXt
from benchmarks.measure import clips_of, cores, emit, machine, median_seconds, options, skip
from benchmarks.peers import plain_training
from hubbub.audio import decode
from hubbub.classifier.load import load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.data.cache import Waves
from hubbub.inference.predict import predict_files
from hubbub.models.esresnext import RATE_HZ, AudioCLIP, ESResNeXt
from hubbub.runtime import homes
from hubbub.runtime.devices import choose_device, full_precision, has_bfloat16
from hubbub.training.fit import fit_network

Array = npt.NDArray[np.float32]
LABELS = tuple(f"class {k}" for k in range(50))
#: The length of a clip, and how many an epoch of ESC-50 has.
CLIP_SECONDS, CLIPS = 5, 1_600
#: Recipes of all large and small networks.
RECIPES = (
    *("esc50-esresnext", "esc50-audioclip", "us8k-transformer", "us8k-cnn1d", "esc50-baseline", "esc50-resnet50"),
    *("esc50-resnet50-se", "esc50-resnet50-cbam", "us8k-alexnet", "us8k-convnext_tiny", "us8k-efficientnet_b0"),
    *("us8k-inception_v3", "us8k-mobilenet_v2", "us8k-resnet18", "us8k-vgg16"),
)


class Bench:
    """The device, how often to measure, when to stop, and sizes divided by `parts`."""

    def __init__(self, device: str, repeats: int, seconds: float, tiny: bool) -> None:
        self.device, self.repeats, self.until = device, repeats, time.monotonic() + seconds
        self.parts = 64 if tiny else 1
        self.bf16 = has_bfloat16(device) or device == "cpu"

    def size(self, count: int) -> int:
        return max(2, count // self.parts)

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def attempt(self, row: str, measure: Callable[[], object]) -> None:
        """Measures a row. Where that fails, or where there is no time left, a line says so and the next one begins."""
        began = time.monotonic()
        if began > self.until:
            skip(row, row, "no time was left for it")
            return
        try:
            measure()
        except Exception as error:
            traceback.print_exc()
            skip(row, row, f"{type(error).__name__}: {(str(error) or 'no reason').splitlines()[0]}")
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
        print(f"# {row}: {time.monotonic() - began:.1f} s in all", flush=True)

    def speeds(self, works: dict[str, Callable[[], object]], count: int, row: str, work: str, **facts: object) -> None:
        """Emits a row of segments a second; each work handles `count` segments."""

        def waiting(run: Callable[[], object]) -> Callable[[], None]:
            def call() -> None:
                run()
                self.wait()

            return call

        seconds = median_seconds({name: waiting(run) for name, run in works.items()}, self.repeats)
        figures = {name: count / s for name, s in seconds.items()}
        emit(row, work, "segments/s", figures, cores(), self.repeats, **facts)

    def passes(self, network: nn.Module, batch: torch.Tensor, passes: int, mode: str) -> Callable[[], None]:
        """Passes of a network: `single` precision, torch's own `TF32`, `bf16`."""

        def run() -> None:
            short = torch.autocast(self.device, torch.bfloat16, enabled=mode == "bf16")
            exact = full_precision(self.device) if mode == "single" else nullcontext()
            with torch.inference_mode(), short, exact:
                for _ in range(passes):
                    network(batch)

        return run


@cache
def clips(rate_hz: int) -> list[Array]:
    """Real clips of 5 s, at most 400; one of noise where no data home has ESC-50."""
    length = CLIP_SECONDS * rate_hz

    def read(path: Path) -> Array:
        wave = decode.load(path, rate_hz)[:length]
        return np.pad(wave, (0, length - len(wave)))

    with ThreadPoolExecutor(cores()) as pool:
        found = list(pool.map(read, clips_of("esc50", 400)))
    return found or [np.random.default_rng(0).normal(0, 0.1, length).astype(np.float32)]


def waves(rate_hz: int, count: int) -> Waves:
    """Clips as the cache holds them, over and over."""
    real = clips(rate_hz)
    samples = np.concatenate([real[number % len(real)] for number in range(count)])
    offsets = np.arange(count + 1) * CLIP_SECONDS * rate_hz
    return Waves(samples, offsets, tuple(map(str, range(count))), rate_hz, "benchmark")


def segments(rate_hz: int, samples: int, count: int) -> Array:
    """Segments of clips, from random places."""
    real, rng = clips(rate_hz), np.random.default_rng(0)
    longer = [np.tile(wave, -(-samples // len(wave)) + 1) for wave in real[:count]]
    starts = rng.integers(CLIP_SECONDS * rate_hz, size=count)
    return np.stack([longer[k % len(longer)][s : s + samples] for k, s in enumerate(starts)])


def classifier_of(name: str, *settings: str) -> TorchClassifier:
    """An untrained classifier of a recipe, of one view a segment; YAMNet with its own weights."""
    if name == "yamnet":
        return load_torch(name)
    return TorchClassifier(Recipe.load(name, ["network.mode=finetune", "evaluate.shifts=[]", *settings]), LABELS)


def parity(bench: Bench, name: str, model: TorchClassifier, count: int = 32) -> None:
    """Prints how far the device's answers are from the CPU's, for the same segments."""
    given = segments(model.rate_hz, model.recipe.windows.length, bench.size(count))
    expected = model.to("cpu").outputs(given)
    model.to(bench.device)
    found = {"hubbub": model.outputs(given)}
    with torch.inference_mode():
        batch = torch.from_numpy(given).to(bench.device)
        found["TF32"] = (model.embeddings if model.frozen else model.logits)(batch).float().cpu().numpy()
    if bench.bf16:
        model.precision = "bfloat16"
        found["bf16"] = model.outputs(given)
        model.precision = "single"
    scores = model.predict_proba(expected, [0])[0]
    differences = {
        mode: {
            "probability": float(f"{np.abs(model.predict_proba(values, [0])[0] - scores).max():.3g}"),
            "outputs, relative": float(f"{np.linalg.norm(values - expected) / np.linalg.norm(expected):.3g}"),
        }
        for mode, values in found.items()
    }
    print(json.dumps({"row": f"parity-{name}", "segments": len(given), "difference": differences}), flush=True)


def networks() -> dict[str, tuple[str, nn.Module, nn.Module]]:
    """ESResNeXt-fbsp and AudioCLIP's audio branch, each with its plain form."""
    plain = AudioCLIP(50)
    plain.audio = PlainESResNeXt(1_024)
    return {
        "esresnext": ("ESResNeXt-fbsp", ESResNeXt(50).eval(), PlainESResNeXt(50).eval()),
        "audioclip": ("AudioCLIP's audio branch", AudioCLIP(50).eval(), plain.eval()),
    }


def resident(bench: Bench, name: str, size: int, samples: int = SAMPLES) -> None:
    """Segments that are on the device already, in batches of `size`."""
    title, network, plain = networks()[name]
    network, plain, seconds = network.to(bench.device), plain.to(bench.device), samples / RATE_HZ
    batch = torch.from_numpy(segments(RATE_HZ, samples, bench.size(size))).to(bench.device)
    passes = max(1, 512 // size // bench.parts)
    works = {
        "hubbub": bench.passes(network, batch, passes, "single"),
        "TF32": bench.passes(network, batch, passes, "TF32"),
        "bf16": bench.passes(network, batch, passes, "bf16"),
        "plain": bench.passes(plain, batch, passes, "TF32"),
        "plain bf16": bench.passes(plain, batch, passes, "bf16"),
    }
    work = f"{title}, segments of {seconds:.2g} s, batches of {size}, resident"
    facts = {"goal": 5_000, "published": "464 on an A100"}
    bench.speeds(works, passes * len(batch), f"{name}-{seconds:.2g}s-{size}", work, **facts)


def tuned(bench: Bench, size: int = 512) -> None:
    """ESResNeXt-fbsp where cuDNN tries its kernels for each convolution, which takes seconds a shape."""
    _, network, _ = networks()["esresnext"]
    batch = torch.from_numpy(segments(RATE_HZ, SAMPLES, bench.size(size))).to(bench.device)
    run = bench.passes(network.to(bench.device), batch, 1, "bf16")
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        work = f"ESResNeXt-fbsp, bf16, batches of {size}, resident, cuDNN's kernels tried"
        bench.speeds({"hubbub": run}, len(batch), "esresnext-tuned", work)


def from_host(bench: Bench, name: str, model: TorchClassifier, count: int) -> None:
    """Waves in the host's memory to probabilities there, as predictions run."""
    model.to(bench.device)
    given = segments(model.rate_hz, model.recipe.windows.length, bench.size(count))

    def run(precision: str) -> None:
        model.precision = precision
        model.predict_proba(model.outputs(given), [0])

    works = {"hubbub": lambda: run("single"), "bf16": lambda: run("bfloat16")}
    work = f"{name}, waves of the host to probabilities, batches of {model.batch}"
    bench.speeds(works, len(given), f"{name}-host", work)


def train(bench: Bench, recipe: Recipe, data: Waves, epochs: int) -> tuple[TorchClassifier, float]:
    """Trains as the product does: the classifier, and the median seconds of the epochs after the first."""
    model, ends = TorchClassifier(recipe, LABELS), []

    def ended(_: dict[str, float]) -> None:
        bench.wait()
        ends.append(time.perf_counter())

    everything = np.arange(len(data))
    with tempfile.TemporaryDirectory() as folder:
        fit_network(
            model, data, everything % len(LABELS), everything, everything[:0], Path(folder), seed=0, each_epoch=ended
        )
    return model, statistics.median(np.diff(ends))


def epoch(bench: Bench, name: str, recipe_name: str, *settings: str, epochs: int = 6) -> None:
    """An epoch of 1,600 clips, beside the ordinary loop with the same network, batch size and optimizer."""
    recipe = Recipe.load(recipe_name, [f"train.epochs={epochs}", f"train.device={bench.device}", *settings])
    data = waves(recipe.audio.rate_hz, bench.size(CLIPS))
    model, seconds = train(bench, recipe, data, epochs)
    with torch.inference_mode():
        cut = torch.from_numpy(data.samples).view(len(data), -1)[:, : recipe.windows.length]
        features = torch.cat([model.features(part.to(bench.device)).cpu() for part in cut.split(100)])
    plain, targets = classifier_of(recipe_name).network, torch.arange(len(data)) % len(LABELS)
    times = list(plain_training.train(plain, features.clone(), targets, recipe.train, 4, bench.device))
    figures = {"hubbub": seconds, "ordinary loop": statistics.median(times[1:])}
    work = f"`{name}`, one epoch of {CLIPS:,} clips"
    facts = {"batch": recipe.train.batch_size, "precision": recipe.train.precision}
    emit(f"epoch-{name}", work, "s", figures, cores(), epochs - 1, clips_per_s=round(len(data) / seconds), **facts)
    parity(bench, f"{name}-trained", model)


def training_of(bench: Bench, name: str) -> None:
    """Segments a second and memory of training a recipe's network as it is, from random weights."""
    shortened = ["train.epochs=3", "train.freeze_epochs=0", "train.warmup_epochs=0", "network.mode=finetune"]
    recipe = Recipe.load(name, [*shortened, f"train.device={bench.device}"])
    data = waves(recipe.audio.rate_hz, bench.size(256))
    if bench.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model, seconds = train(bench, recipe, data, 3)
    count = sum(len(model.spans(int(length))) for length in data.lengths)
    peak = torch.cuda.max_memory_allocated() / 1e9 if bench.device == "cuda" else 0.0
    facts = {"batch": recipe.train.batch_size, "precision": recipe.train.precision, "peak_gb": round(peak, 2)}
    work = f"training `{name}`, {len(data)} clips of {CLIP_SECONDS} s"
    emit(f"train-{name}", work, "segments/s", {"hubbub": count / seconds}, cores(), 2, **facts)


def yamnet_resident(bench: Bench, size: int = 1_024) -> None:
    network = load_torch("yamnet").to(bench.device).network
    batch = torch.from_numpy(segments(16_000, 15_600, bench.size(size))).to(bench.device)
    modes = {"hubbub": "single", "TF32": "TF32", "bf16": "bf16"}
    works = {name: bench.passes(network, batch, 4, mode) for name, mode in modes.items()}
    bench.speeds(works, 4 * len(batch), "yamnet-resident", f"YAMNet, batches of {size:,}, resident")


def folder(bench: Bench) -> None:
    """Files to YAMNet's answers, in a process that has everything loaded."""
    paths = [str(path) for path in clips_of("esc50", bench.size(400))]
    models = {
        "hubbub": load_torch("yamnet").to(bench.device),
        "hubbub on the CPU": hubbub.load("yamnet", device="cpu"),
    }
    works = {name: lambda model=model: list(predict_files(model, paths)) for name, model in models.items()}
    seconds = median_seconds(works, min(3, bench.repeats))
    work = "a folder of clips of 5 s to YAMNet's answers"
    emit("yamnet-folder", work, "files/s", {name: len(paths) / s for name, s in seconds.items()}, cores(), 3)


def profile(bench: Bench, file: Path) -> None:
    """Writes which kernels take the time of a pass of ESResNeXt in bf16, and of an epoch of `compact`."""
    from torch.profiler import ProfilerActivity

    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.device == "cuda" else [])]
    by = f"self_{bench.device}_time_total"
    network = ESResNeXt(50).eval().to(bench.device)
    batch = torch.from_numpy(segments(RATE_HZ, SAMPLES, bench.size(256))).to(bench.device)
    recipe = Recipe.load("esc50-compact", ["train.epochs=2", f"train.device={bench.device}"])
    data = waves(recipe.audio.rate_hz, bench.size(CLIPS))
    works: dict[str, Callable[[], object]] = {
        "ESResNeXt, single": bench.passes(network, batch, 1, "single"),
        "ESResNeXt, bf16": bench.passes(network, batch, 1, "bf16"),
        "two epochs of compact": lambda: train(bench, recipe, data, 2),
    }
    with file.open("w") as out:
        for title, run in works.items():
            run()
            with torch.profiler.profile(activities=kinds) as found:
                run()
                bench.wait()
            table = found.key_averages().table(sort_by=by, row_limit=20, max_name_column_width=70)
            out.write(f"{title}\n{table}\n\n")
            out.flush()


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=420, help="begin no row after so many seconds")
    parser.add_argument("--profile", type=Path, help="a file for what takes the time")
    parser.add_argument("--device", default=choose_device(), help="default: the accelerator")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try the script")
    given = parser.parse_args()
    if given.device == "cpu" and not given.tiny:
        skip("accelerator", "networks and training on an accelerator", "torch sees no accelerator")
        return
    bench = Bench(given.device, given.repeats, given.seconds, given.tiny)
    name = torch.cuda.get_device_name() if given.device == "cuda" else given.device
    print(json.dumps({"machine": machine() | {"accelerator": name}}), flush=True)
    for row, measure in rows(bench, given.profile):
        bench.attempt(row, measure)


def rows(bench: Bench, profile_file: Path | None) -> list[tuple[str, Callable[[], object]]]:
    """What is measured, the most important first."""

    def of(name: str, count: int = 32) -> tuple[str, Callable[[], object]]:
        return f"parity-{name}", lambda: parity(bench, name, classifier_of(name), count)

    def host(name: str) -> tuple[str, Callable[[], object]]:
        return f"{name}-host", lambda: from_host(bench, name, classifier_of(f"esc50-{name}"), 2_048)

    def an_epoch(name: str, *settings: str) -> tuple[str, Callable[[], object]]:
        return f"epoch-{name}", partial(epoch, bench, name, *settings)

    found = [of("esc50-esresnext"), of("esc50-audioclip")]
    for name in ("esresnext", "audioclip"):
        found += [(f"{name}-{size}", partial(resident, bench, name, size)) for size in (32, 128, 512)]
        found.append(host(name))
    found += [an_epoch("compact", "esc50-compact"), an_epoch("resnet18", "esc50-resnet18-cv")]
    if homes.find("weights", "yamnet.h5"):
        found += [of("yamnet"), ("yamnet-resident", partial(yamnet_resident, bench))]
        found.append(("yamnet-host", lambda: from_host(bench, "yamnet", classifier_of("yamnet"), 8_192)))
    found.append(an_epoch("compact-256", "esc50-compact", "train.batch_size=256"))
    found.append(an_epoch("resnet18-64-amp", "esc50-resnet18-cv", "train.batch_size=64", "train.precision=amp"))
    if profile_file:
        found.append(("profile", partial(profile, bench, profile_file)))
    if homes.find("weights", "yamnet.h5") and clips_of("esc50", 1):
        found.append(("yamnet-folder", partial(folder, bench)))
    found += [("esresnext-4s", partial(resident, bench, "esresnext", 64, 4 * RATE_HZ))]
    found += [("esresnext-tuned", partial(tuned, bench))]
    found += [(f"train-{name}", partial(training_of, bench, name)) for name in RECIPES]
    return found + [of(name, 8) for name in RECIPES[2:]]


if __name__ == "__main__":
    main()
