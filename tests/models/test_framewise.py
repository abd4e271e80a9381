"""framewise: which frames there are, when each is, and what they say of a segment."""

import io
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from hubbub.audio.frontend import FrontEnd
from hubbub.config.recipe import Recipe
from hubbub.models.framewise import FRAME_S, Framewise, linear_softmax
from hubbub.models.network import NetworkError
from hubbub.models.recurrent import translations
from hubbub.models.registry import build_network

CLASSES = 3
#: Front ends with 2, 4 and 8 columns a frame.
SETTINGS: dict[int, dict[str, Any]] = {
    2: {"audio": {"rate_hz": 22_050}, "frontend": {"hop": 441, "n_fft": 1024}},
    4: {"audio": {"rate_hz": 16_000}, "frontend": {"hop": 160, "n_fft": 512}},
    8: {"audio": {"rate_hz": 32_000}, "frontend": {"hop": 160, "n_fft": 1024}},
}


def recipe(step: int = 4, length: int = 16_000, **frontend: Any) -> Recipe:
    settings = SETTINGS[step]
    return Recipe.of(
        {
            "data": {"name": "street"},
            "audio": settings["audio"],
            "windows": {"length": length, "hop": length},
            "frontend": {"name": "logmel", "n_mels": 40, "top_db": 0.0, **settings["frontend"], **frontend},
            "network": {"name": "framewise", "width": 8},
        }
    )


def build(step: int = 4) -> tuple[Framewise, FrontEnd]:
    chosen = recipe(step)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(chosen, CLASSES).eval()
    assert isinstance(network, Framewise) and network.step == step
    return network, FrontEnd(chosen.frontend, chosen.audio.rate_hz)


@pytest.mark.parametrize("step", SETTINGS)
def test_the_number_of_frames_is_known_and_they_cover_the_segment(step: int) -> None:
    network, frontend = build(step)
    rate_hz = SETTINGS[step]["audio"]["rate_hz"]
    frame, hop = rate_hz // 25, SETTINGS[step]["frontend"]["hop"]
    for samples in (1, hop - 1, hop, frame - 1, frame, frame + hop, 7 * frame, 7 * frame + hop - 1, 8 * frame - 1):
        with torch.inference_mode():
            logits = network(frontend(torch.zeros(2, samples)))
        assert logits.shape == (2, network.frames(samples), CLASSES)
        # All but less than a hop at the end.
        assert max(samples - hop, 0) < network.frames(samples) * frame < samples + frame
    assert network.frames(10 * rate_hz) == 250


@pytest.mark.parametrize("step", SETTINGS)
@pytest.mark.parametrize("part", [0.3, 0.5, 0.7])
def test_a_click_is_in_its_own_frame(step: int, part: float) -> None:
    """Convolutions that do nothing but smooth answer most in the frame of the click, far from the segment's ends."""
    network, frontend = build(step)
    rate_hz = SETTINGS[step]["audio"]["rate_hz"]
    for layer in network.body:
        if isinstance(layer, nn.Conv2d):
            tent = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0] if layer.kernel_size[0] == 5 else [1.0, 2.0, 1.0])
            layer.weight.data[:] = torch.outer(tent, tent) / tent.sum() ** 2 / layer.in_channels
    for frame in (4, 7, 12, 20):
        wave = torch.zeros(1, rate_hz)
        wave[0, round((frame + part) * FRAME_S * rate_hz)] = 1
        with torch.inference_mode():
            map_ = network.body(frontend(wave)[:, None] + 100)
        assert map_.shape[3] == 25 and map_.mean(dim=(0, 1, 2)).argmax() == frame


@pytest.mark.parametrize("step", SETTINGS)
def test_frames_are_symmetric_in_time(step: int) -> None:
    """Before the recurrent layer, a spectrogram that is its own mirror image around a frame's middle gives such a map,
    if the kernels are their own mirror images: so frames are neither early nor late."""
    network, _ = build(step)
    for layer in network.body:
        if isinstance(layer, nn.Conv2d):
            layer.weight.data += layer.weight.data.flip(3)
    x = torch.randn(1, 40, 1 + 9 * step, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = [network.body(one[:, None]) for one in (x, x.flip(2))]
    torch.testing.assert_close(maps[0], maps[1].flip(3), rtol=1e-4, atol=1e-5)


def test_it_learns_when_a_click_is() -> None:
    network, frontend = build(4)
    network.train()
    rng = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)

    def clicks() -> tuple[Tensor, Tensor]:
        waves = 0.003 * torch.randn(8, 16_000, generator=rng)
        frames = torch.randint(0, 25, (8,), generator=rng)
        waves[torch.arange(8), frames * 640 + torch.randint(100, 540, (8,), generator=rng)] += 1
        return frontend(waves), frames

    for _ in range(30):
        x, frames = clicks()
        loss = nn.functional.cross_entropy(network(x)[..., 0], frames)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, frames = clicks()
    with torch.inference_mode():
        assert (network.eval()(x)[..., 0].argmax(dim=1) == frames).all()


def test_linear_softmax_is_the_mean_weighted_by_itself() -> None:
    logits = 3 * torch.randn(4, 50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = logits.sigmoid()
    torch.testing.assert_close(linear_softmax(logits).sigmoid(), (p * p).sum(1) / p.sum(1))
    far = linear_softmax(torch.tensor([[[-200.0], [-300.0]], [[200.0], [300.0]], [[-200.0], [200.0]]]))
    torch.testing.assert_close(far[:2, 0], torch.tensor([-200.0, 200.0]), rtol=0, atol=1.0)
    assert far[2] > 100, "one certain frame makes a certain segment"


def test_a_label_of_a_segment_raises_its_high_frames() -> None:
    logits = torch.tensor([[[2.0], [1.5], [-3.0], [-4.0]]], requires_grad=True)
    (gradient,) = torch.autograd.grad(linear_softmax(logits).sum(), logits)
    assert (gradient[0, :2] > 0).all() and (gradient[0, 2:] < 0).all()


def test_it_has_one_and_a_half_million_parameters() -> None:
    for classes in (10, 50):
        count = sum(parameter.numel() for parameter in Framewise(classes).parameters())
        assert 1_400_000 < count < 1_500_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hop": 200}, r"frames of 40 ms, .* set frontend.hop = 320 or 160 or 80 at 16000 Hz, not 200"),
        ({"hop": 640}, "not 640"),
        ({"centre": False}, "set frontend.centre = true"),
        ({"convention": "tensorflow", "mel_scale": "htk", "norm": "none"}, "frontend.convention = 'librosa'"),
        ({"n_fft": 513}, "an even frontend.n_fft"),
        ({"frames": 50}, "neither frontend.frames nor"),
        ({"size": [64, 64]}, "neither frontend.frames nor"),
        ({"n_mels": 30}, "the framewise needs 31 bands and 2 frames at least, not 30 and 101"),
    ],
)
def test_front_ends_whose_columns_are_not_where_frames_are_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        build_network(recipe(4, **settings), CLASSES)


def test_frames_of_other_columns_are_refused() -> None:
    with pytest.raises(NetworkError, match="frames of 3 columns: give 2, 4 or 8"):
        Framewise(CLASSES, step=3)


class Graph(nn.Module):
    """Waves -> embeddings and logits of frames."""

    def __init__(self, frontend: FrontEnd, network: Framewise) -> None:
        super().__init__()
        self.frontend, self.network = frontend, network

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.network.embed(self.frontend(waves))
        return embeddings, self.network.fc(embeddings)


@pytest.mark.filterwarnings("ignore")  # torch.export's own, of the GRU's weights and of numbers in LogMel
def test_an_onnx_file_gives_the_same_for_any_batch() -> None:
    network, frontend = build(4)
    graph = Graph(frontend, network).eval()
    waves = 0.1 * torch.randn(5, 32_000, generator=torch.Generator().manual_seed(0))
    program = torch.onnx.export(
        graph,
        (waves[:2],),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        optimize=True,
        verbose=False,
        custom_translation_table=translations(),
    )
    assert program is not None
    file = io.BytesIO()
    onnx.save(program.model_proto, file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for batch in (1, 2, 5):
        found = session.run(None, {session.get_inputs()[0].name: waves[:batch].numpy()})
        with torch.inference_mode():
            expected = graph(waves[:batch])
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.shape == (batch, 50, ours.shape[2])
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-4)
