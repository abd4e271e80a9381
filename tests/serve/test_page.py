"""The server's page in a real browser: upload, microphone, explanation and error messages."""

import io
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from hubbub.classifier.calibration import Confidence
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.runtime import homes
from hubbub.serve.build import STATIC
from tests.helpers.browsing import CONTRAST, FLAGS, VIEWS
from tests.helpers.serving import Server, serving

HOSTILE = "<img src=x onerror=alert(1)>"
LABELS = ("dog", HOSTILE, "siren")
RATE = 44_100
PATIENCE_MS = 60_000  # what fails, fails at last; nothing waits for it otherwise
expect.set_options(timeout=PATIENCE_MS)
Open = Callable[..., Page]


def made(folder: Path, threshold: float | None = None) -> Path:
    recipe = Recipe.load("street-cnn", ["network.width=4", "windows.length=16000", "windows.hop=8000"])
    model = TorchClassifier(recipe, LABELS, seed=0)
    model.confidence = Confidence(30, 10, threshold)  # else one class has it all
    model.card = {"trained_on": "nothing", "not_comparable": [f"RANDOM WEIGHTS {HOSTILE}"]}
    return model.save(folder / "classifier")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def served(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("served"), model) as server:
        yield server


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    model = made(tmp_path_factory.mktemp("unsure"), threshold=1e9)  # which nothing reaches
    limits = {"max_mb": 1.0, "max_seconds": 5.0, "queue": 2, "streams": 1, "stall_s": 60}
    with serving(tmp_path_factory.mktemp("strict"), model, limits=limits, token="sesame") as server:
        yield server


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds: a dog of ESC-50 if it is installed, else of the generated street."""
    folder = homes.find("data", "esc50")
    real = sorted(folder.rglob("1-100032-A-0.*")) if folder else []
    if real:
        wave, rate = soundfile.read(real[0], dtype="float32")
    else:
        from hubbub.data.synthetic import SAMPLE_RATE_HZ, plan, render

        wave, rate = render(plan()[0]), SAMPLE_RATE_HZ
    file = tmp_path_factory.mktemp("clip") / "dog & <b>bold.wav"
    soundfile.write(file, np.resize(wave, 4 * rate), rate, subtype="PCM_16")
    return file


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as tools:
        yield tools


def launched(playwright: Playwright, *flags: str) -> Browser:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    return playwright.chromium.launch(executable_path=program, args=[*FLAGS, *flags])


@pytest.fixture(scope="module")
def hearing(playwright: Playwright, clip: Path) -> Iterator[Browser]:
    """A browser whose microphone hears the clip, over and over, and may be used."""
    microphone = f"--use-file-for-fake-audio-capture={clip}"
    flags = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        "--autoplay-policy=no-user-gesture-required",
    )
    browser = launched(playwright, *flags, microphone)
    yield browser
    browser.close()


@pytest.fixture
def visit(hearing: Browser) -> Iterator[Open]:
    """`visit(server, "phone")`; in the end, that nothing was said in the console, failed or left the server, but for
    refusals with the status `wrong_but`."""
    contexts, wrong, allowed = [], [], []

    def open_page(server: Server, view: str = "desktop", browser: Browser = hearing, wrong_but: str = "-") -> Page:
        contexts.append(browser.new_context(**VIEWS[view]))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_MS)
        allowed.append(wrong_but)
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        own = (server.url, server.url.replace("http", "ws"), f"blob:{server.url}", "data:")
        page.on("request", lambda request: request.url.startswith(own) or wrong.append(request.url))
        page.goto(server.url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [line for line in wrong if not any(one in line for one in allowed)] == []


def upload(page: Page, file: Path | dict[str, Any]) -> None:
    page.set_input_files("#file", file)  # type: ignore[arg-type]


def until(page: Page, truth: str) -> None:
    """Wait for what no locator tells; playwright's own way is against the page's Content-Security-Policy."""
    for _ in range(100_000):
        if page.evaluate(truth):
            return
    raise AssertionError(f"{truth} has not come true")


def noise(seconds: float, kind: str = "WAV", rate: int = 16_000) -> bytes:
    content = io.BytesIO()
    wave = np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)).astype(np.float32)
    soundfile.write(content, wave, rate, format=kind)
    return content.getvalue()


def given(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "audio/wav", "buffer": content}


def classified(server: Server, file: Path) -> dict[str, Any]:
    return httpx.post(f"{server.url}/v1/classify", files={"file": (file.name, file.read_bytes())}, timeout=60).json()


COLOURS = """canvas => new Set(new Uint32Array(
  canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""


def test_a_recording_is_answered(served: Server, visit: Open, clip: Path) -> None:
    page, answer = visit(served), classified(served, clip)
    expect(page.locator("#about")).to_contain_text("3 classes, 1.00 s of sound every 0.50 s")
    upload(page, clip)
    expect(page.locator("#heard")).to_be_focused()
    expect(page.locator("#name")).to_have_text(clip.name)
    expect(page.locator("#label")).to_have_text(answer["label"])
    expect(page.locator("#unknown")).to_be_hidden()
    expect(page.locator("#score")).to_have_text(f"{answer['score']:.2f}")
    expect(page.get_by_role("status")).to_have_text(f"{answer['label']}, {answer['score']:.2f}, in 4.0 s of sound.")
    best = sorted(answer["scores"].items(), key=lambda pair: -pair[1])
    assert page.locator("#bars li").all_inner_texts() == [f"{name}\n{score:.2f}" for name, score in best]
    segments = page.locator("#lanes button")
    names = [segments.nth(i).get_attribute("aria-label") for i in range(segments.count())]
    wanted = [f"{s['label']}, {s['score']:.2f}, {s['start']:.2f} to {s['end']:.2f} s" for s in answer["segments"]]
    assert sorted(map(str, names)) == sorted(wanted)
    for canvas in ("#wave", "#spectrogram"):
        assert page.eval_on_selector(canvas, COLOURS) > (1 if canvas == "#wave" else 50)


def test_what_is_named_with_malice_is_only_text(served: Server, visit: Open, clip: Path) -> None:
    page = visit(served)
    expect(page.locator("#warnings li")).to_have_text([f"RANDOM WEIGHTS {HOSTILE}"])
    upload(page, clip)
    expect(page.locator("#bars")).to_contain_text(HOSTILE)
    expect(page.locator("#name")).to_have_text(clip.name)
    assert page.locator("img, b").count() == 0


def test_what_is_odd_about_a_recording_is_shown(served: Server, visit: Open, clip: Path) -> None:
    wave, rate = soundfile.read(clip, dtype="float32")
    file = io.BytesIO()
    soundfile.write(file, np.stack([wave, -wave], axis=1), rate, format="WAV", subtype="PCM_16")
    page = visit(served)
    upload(page, {"name": "wired.wav", "mimeType": "audio/wav", "buffer": file.getvalue()})
    expect(page.locator("#odd li")).to_contain_text(["The channels cancel each other"])
    expect(page.locator("#odd")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("The channels cancel each other")
    upload(page, clip)
    expect(page.locator("#name")).to_have_text(clip.name)
    expect(page.locator("#odd")).to_be_hidden()


def test_a_segment_is_heard_and_explained(served: Server, visit: Open, clip: Path) -> None:
    page, answer = visit(served), classified(served, clip)
    upload(page, clip)
    third = answer["segments"][2]
    words = f"{third['label']}, {third['score']:.2f}, 1.00 to 2.00 s"
    page.get_by_role("button", name=words).click()
    expect(page.locator("#segment-title")).to_have_text(words)
    expect(page.get_by_role("button", name=words)).to_have_attribute("aria-current", "true")
    until(page, "player.paused && player.currentTime >= 2 && player.currentTime < 3")
    expect(page.locator("#now")).to_contain_text(" s: ")
    left = page.eval_on_selector("#cursor", "e => parseFloat(e.style.left)")
    assert 50 <= left < 75
    page.click("#why")
    picture = page.locator("#explanation img")
    expect(picture).to_have_attribute(
        "alt", f"Spectrogram of the segment; the parts that count for {third['label']} are marked (Grad-CAM)."
    )
    until(page, "document.querySelector('#explanation img').naturalWidth > 300")
    with clip.open("rb") as content:
        query = {"label": third["label"], "start": 1, "end": 2}
        why = httpx.post(f"{served.url}/v1/explain", params=query, files={"file": content}, timeout=60).json()
    assert why["seconds"] == pytest.approx(1.0)
    for name, place in (("listened", "The part that the model used"), ("rest", "The rest")):
        score = why["scores"][name][third["label"]]
        expect(page.locator("#explanation")).to_contain_text(f"{place}: {third['label']} {score:.2f}")


def test_the_timeline_follows_playback(served: Server, visit: Open, clip: Path) -> None:
    page = visit(served)
    upload(page, clip)
    until(page, "player.duration > 0")
    for time, number in ((0.2, 0), (1.1, 1), (3.9, 6)):
        page.evaluate(f"player.currentTime = {time}")
        until(page, f"Math.abs(parseFloat(cursor.style.left) - {time / 4 * 100}) < .1")
        now = page.locator("#lanes button.now")
        expect(now).to_have_count(1)
        assert str(now.get_attribute("aria-label")).endswith(f"{number / 2:.2f} to {number / 2 + 1:.2f} s")
    page.locator("#spectrogram").click(position={"x": 1, "y": 20})
    until(page, "parseFloat(cursor.style.left) < 1")


def test_the_keyboard_is_enough(served: Server, visit: Open, clip: Path) -> None:
    page = visit(served)
    page.on("filechooser", lambda chooser: chooser.set_files(clip))
    expect(page.locator("#about")).to_contain_text("3 classes")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Choose a file")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#heard")).to_be_focused()
    page.keyboard.press("Tab")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused).endswith("0.00 to 1.00 s")
    for key, end in (
        ("ArrowRight", "0.50 to 1.50 s"),
        ("End", "3.00 to 4.00 s"),
        ("ArrowRight", "3.00 to 4.00 s"),
        ("ArrowLeft", "2.50 to 3.50 s"),
        ("Home", "0.00 to 1.00 s"),
    ):
        page.keyboard.press(key)
        assert page.evaluate(focused).endswith(end)
    page.keyboard.press("Enter")
    expect(page.locator("#segment-title")).to_contain_text("0.00 to 1.00 s")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "why":
            break
    page.keyboard.press("Space")
    expect(page.locator("#explanation img")).to_be_visible()


def test_the_microphone_is_heard(served: Server, visit: Open) -> None:
    page = visit(served)
    page.get_by_role("button", name="Listen to the microphone").click()
    expect(page.locator("#lanes button").nth(3)).to_be_attached()
    expect(page.locator("#name")).to_have_text("Microphone")
    figures = page.inner_text("#figures")
    assert figures.endswith(" s behind, 0 blocks dropped") and float(figures.split()[0]) > 2
    for canvas in ("#wave", "#spectrogram"):
        assert page.eval_on_selector(canvas, COLOURS) > (1 if canvas == "#wave" else 20)
    page.get_by_role("button", name="Stop listening").click()
    expect(page.locator("#player")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text(" s of sound.")
    expect(page.get_by_role("button", name="Listen to the microphone")).to_be_enabled()
    page.locator("#lanes button").first.click()
    page.click("#why")
    expect(page.locator("#explanation img")).to_be_visible()


def test_a_file_ends_the_microphone(served: Server, visit: Open, clip: Path) -> None:
    page = visit(served)
    page.click("#microphone")
    expect(page.locator("#lanes button").nth(0)).to_be_attached()
    upload(page, clip)
    expect(page.locator("#name")).to_have_text(clip.name)
    expect(page.locator("#microphone")).to_have_text("Listen to the microphone")
    expect(page.locator("#figures")).to_be_hidden()
    assert page.locator("#lanes button").count() == 7


@pytest.mark.slow
def test_a_microphone_that_is_refused(playwright: Playwright, served: Server, visit: Open) -> None:
    browser = launched(playwright, "--use-fake-device-for-media-stream", "--deny-permission-prompts")
    page = visit(served, browser=browser)
    page.click("#microphone")
    expect(page.get_by_role("alert")).to_contain_text("The microphone was refused. Allow it")
    expect(page.locator("#microphone")).to_be_enabled()
    browser.close()


def test_what_is_no_sound_is_said(served: Server, visit: Open) -> None:
    page = visit(served, wrong_but="status of 415")
    upload(page, given("letter.wav", b"Dear neighbour, " * 50))
    expect(page.get_by_role("alert")).to_contain_text("cannot be read as audio")
    expect(page.locator("#heard")).to_be_hidden()


@pytest.mark.slow
def test_a_server_that_wants_its_token_and_has_limits(strict: Server, visit: Open, clip: Path) -> None:
    page = visit(strict, wrong_but="status of 4")
    field = page.get_by_label("This server requires its token")
    expect(field).to_be_focused()
    field.fill("open")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("This server requires its token")
    field.fill("sesame")
    page.keyboard.press("Enter")
    expect(page.locator("#about")).to_contain_text("3 classes")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(field).to_be_hidden()
    upload(page, clip)
    expect(page.locator("#label")).not_to_be_empty()
    expect(page.locator("#unknown")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Probably none of the classes.")
    upload(page, given("large.wav", noise(40)))
    expect(page.get_by_role("alert")).to_contain_text(
        "large.wav has 1.3 MB, and 1 MB are the most. Give a shorter or a compressed recording."
    )
    upload(page, given("long.flac", noise(6, "FLAC")))
    expect(page.get_by_role("alert")).to_contain_text("5 s are the most.")
    page.click("#microphone")
    expect(page.locator("#lanes button").nth(0)).to_be_attached()
    other = visit(strict, wrong_but="WebSocket connection to")
    other.get_by_label("This server requires its token").fill("sesame")
    other.keyboard.press("Enter")
    expect(other.locator("#about")).to_contain_text("3 classes")
    other.click("#microphone")
    expect(other.get_by_role("alert")).to_contain_text("The server has no room for another stream.")
    page.click("#microphone")
    expect(page.locator("#player")).to_be_visible()
    other.click("#again")
    expect(other.locator("#microphone")).to_have_text("Stop listening")


@pytest.mark.slow
def test_a_busy_server_is_asked_again(strict: Server, visit: Open, clip: Path) -> None:
    page = visit(strict, wrong_but="status of 4")
    page.get_by_label("This server requires its token").fill("sesame")
    page.keyboard.press("Enter")
    expect(page.locator("#about")).to_contain_text("3 classes")
    head = "POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer sesame\r\nContent-Length: 9\r\n\r\n"
    with socket.create_connection(("127.0.0.1", strict.port)) as other:
        other.sendall(head.encode())
        while (
            "hubbub_uploads 1"
            not in httpx.get(f"{strict.url}/metrics", headers={"authorization": "Bearer sesame"}).text
        ):
            pass
        upload(page, clip)
        expect(page.get_by_role("alert")).to_contain_text("Try again in 1 s.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#name")).to_have_text(clip.name)
    expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.slow
def test_a_server_that_is_gone(model: Path, visit: Open, clip: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "served", model) as server:
        page = visit(server, wrong_but="net::ERR_CONNECTION")
        page.click("#microphone")
        expect(page.locator("#lanes button").nth(0)).to_be_attached()
        server.process.kill()
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
        expect(page.locator("#microphone")).to_have_text("Listen to the microphone")
        upload(page, clip)
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()


@pytest.mark.parametrize("view", VIEWS)
def test_it_can_be_read_everywhere(served: Server, visit: Open, clip: Path, view: str) -> None:
    page = visit(served, view, wrong_but="status of 415")
    expect(page.locator("#about")).to_contain_text("3 classes")
    upload(page, clip)
    page.locator("#lanes button").first.click()
    page.click("#why")
    expect(page.locator("#explanation img")).to_be_visible()
    width = VIEWS[view]["viewport"]["width"]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    faint = [(what, round(ratio, 1)) for what, ratio in page.evaluate(CONTRAST) if ratio < 4.5]
    assert faint == []
    light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light == (view != "dark")
    upload(page, given("letter.wav", b"Dear neighbour, " * 50))
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert [ratio for _, ratio in page.evaluate(CONTRAST) if ratio < 4.5] == []


def test_every_control_has_a_name(served: Server, visit: Open, clip: Path) -> None:
    page = visit(served)
    upload(page, clip)
    page.locator("#lanes button").first.click()
    nameless = """[...document.querySelectorAll("button, input:not([hidden]), audio, canvas, section, [role=group]")]
      .filter(e => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length)).map(e => e.outerHTML)"""
    assert page.evaluate(nameless) == []
    in_order = page.locator("#lanes button[tabindex='0']")
    expect(in_order).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(in_order).to_have_count(1)


def test_numbers_of_the_page_are_right(served: Server, visit: Open) -> None:
    """The transform against its definition, the WAV against soundfile, a tone in its band."""
    page = visit(served)
    found = page.evaluate(
        """async () => {
          const { Spectrum, transform, wav } = await import("/static/sound.js");
          const real = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i * i)), imaginary = new Float32Array(64);
          const given = [...real];
          transform(real, imaginary);
          const tone = Float32Array.from({ length: 16000 }, (_, i) => Math.sin(2 * Math.PI * 1000 * i / 16000));
          const spectrum = new Spectrum(16000), column = [...spectrum.at(tone, 8000)];
          const band = column.indexOf(Math.max(...column));
          const hz = spectrum.edges.map(edge => edge * 16000 / spectrum.size);
          const bytes = [...new Uint8Array(await wav(Float32Array.from(given), 8000).arrayBuffer())];
          return { given, real: [...real], imaginary: [...imaginary], band: [hz[band], hz[band + 1]], bytes };
        }"""
    )
    expected = np.fft.fft(found["given"])
    assert np.array(found["real"]) + 1j * np.array(found["imaginary"]) == pytest.approx(expected, abs=1e-4)
    assert found["band"][0] - 16 <= 1000 <= found["band"][1] + 16
    wave, rate = soundfile.read(io.BytesIO(bytes(found["bytes"])), dtype="float32")
    assert (rate, wave.tolist()) == (8000, pytest.approx(found["given"]))


def test_the_page_asks_for_nothing_that_is_not_there(served: Server) -> None:
    page = httpx.get(served.url + "/").text
    assert "<script>" not in page and "style=" not in page and "onclick" not in page
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8")
        assert "innerHTML" not in text and "https://" not in text.replace("https://arxiv.org", "")


def test_a_segment_of_several_classes_has_a_button_in_each_of_their_lanes(
    visit: Open, clip: Path, tmp_path: Path
) -> None:
    recipe = Recipe.load(
        "street-cnn", ["network.width=4", "windows.length=16000", "windows.hop=8000", "data.multilabel=true"]
    )
    model = TorchClassifier(recipe, LABELS, seed=0)
    model.confidence = Confidence(clips=(1e-6, 1e-6, 1.0), events=(1e-6, 1e-6, 1.0))
    with serving(tmp_path / "served", model.save(tmp_path / "classifier")) as server:
        answer = httpx.post(f"{server.url}/v1/classify", files={"file": clip.open("rb")}, timeout=60).json()
        assert set(answer["present"]) == {"dog", HOSTILE}
        assert all(set(one["present"]) == {"dog", HOSTILE} for one in answer["segments"])
        page = visit(server)
        upload(page, clip)
        expect(page.locator("#lanes .lane")).to_have_count(2)
        expect(page.locator("#label")).to_have_text(" + ".join(answer["present"]))
        for number in range(2):
            buttons = page.locator("#lanes .lane").nth(number).locator("button")
            expect(buttons).to_have_count(len(answer["segments"]))
