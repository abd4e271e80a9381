"""openapi.json against the server, by schemathesis (https://schemathesis.readthedocs.io): requests that it makes of the
description, good ones and bad ones, and every answer held against the description."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.helpers.serving import Server

SETTINGS = Path(__file__).parents[2] / "schemathesis.toml"


@pytest.mark.slow
def test_answers_are_as_described(served: Server) -> None:
    words = ["--config-file", str(SETTINGS), "run", f"{served.url}/openapi.json"]
    words += ["--checks", "all", "--mode", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", "50"]
    command = [sys.executable, "-m", "schemathesis.cli", *words, "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 selected / 6 total" in done.stdout
    assert [line for line in served.lines() if line["level"] == "error"] == []


def test_metrics_are_described_as_text(served: Server) -> None:
    described = httpx.get(f"{served.url}/openapi.json").json()["paths"]["/metrics"]["get"]["responses"]
    assert list(described["200"]["content"]) == ["text/plain"]
    assert httpx.get(f"{served.url}/metrics").headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/v1/model", "/openapi.json"])
def test_parameters_that_nobody_knows_are_refused_by_name(served: Server, path: str) -> None:
    reply = httpx.get(f"{served.url}{path}?min_duration=1")
    assert reply.status_code == 400
    assert reply.json()["error"] == "there is no parameter 'min_duration' here. It takes none: leave it out."
    assert httpx.get(f"{served.url}{path}?").status_code == 200


@pytest.mark.parametrize(
    ("route", "query", "said"),
    [
        (
            "classify",
            "min_duration=1",
            "no parameter 'min_duration' here. Known: events, gap, release, shortest, threshold.",
        ),
        (
            "classify",
            "treshold=.5",
            "'treshold' here. Did you mean 'threshold'? It takes events, gap, release, shortest,",
        ),
        ("classify", "threshold=.5&Gap=1", "no parameter 'Gap' here. Did you mean 'gap'?"),
        ("classify", "gap=1&threshold=.5&gap=1", "the parameter 'gap' was given 2 times. Give it once."),
        ("classify", "threshold", "threshold: Input should be a valid number"),
        ("classify", "=", "there is no parameter '' here."),
        ("explain", "threshold=.5", "no parameter 'threshold' here. Known: end, label, start."),
        ("explain", "labl=rain", "Did you mean 'label'?"),
        ("explain", "%00%1b=1", "there is no parameter '\\x00\\x1b' here."),
    ],
)
def test_parameters_of_an_upload_are_its_own(served: Server, route: str, query: str, said: str) -> None:
    reply = httpx.post(f"{served.url}/v1/{route}?{query}", content=b"RIFF")
    assert (reply.status_code, set(reply.json())) == (400, {"error"})
    assert said in reply.json()["error"]
