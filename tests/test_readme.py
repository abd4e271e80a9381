"""The README and the docs say what is there: files, commands, recipes, settings."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from hubbub.config.recipe import Recipe, shipped
from hubbub.experiment import suite
from tests.helpers.command_line import parsed, run_hubbub
from tests.helpers.sounds import sounds

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES, SUITES = shipped(), suite.shipped()


def commands(text: str) -> list[str]:
    """The lines of code that call hubbub, without what is piped into them or follows."""
    code = re.findall(r"^(?: {4}|\$ ) *(\S.*)", text.replace("\\\n", " "), re.MULTILINE)
    parts = (part.strip() for line in code for part in re.split(r" [|>] | && ", line.partition("  #")[0]))
    return [re.sub(r"^(?:[A-Z_]+=\S+ )+", "", part) for part in parts if re.match(r"(?:[A-Z_]+=\S+ )*hubbub ", part)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_recipe_and_setting_in_the_docs_exists(page: Path) -> None:
    for line in commands(page.read_text(encoding="utf-8")):
        if re.match(r"hubbub \S+ \.\.\.|hubbub demo|hubbub recipes", line):
            continue
        command, given = parsed(line)
        for name in given.get("names") or [given.get("recipe") or ""]:
            if name in RECIPES:
                Recipe.load(name, given.get("settings") or [])
            else:
                assert not name or name.endswith(".toml") or (command == "bench" and name in SUITES), line


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, _, heading in re.findall(r"\]\(([^)#:\s]*)(#([^)]+))?\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, f"{target}#{heading}"


def test_the_readme_links_to_every_page_of_the_docs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name})" in readme, page.name


def test_the_architecture_page_names_wings_modules_and_tiers_that_exist() -> None:
    from tests.test_layers import TIERS

    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for file in re.findall(r"\b([a-z]+/\w+\.py)\b", page.partition("Outside the package")[0]):
        assert (ROOT / "hubbub" / file).is_file() or file.startswith("tests/"), file
    sections = dict(re.findall(r"^### (\w+)\n\n(.+?)\n\n", page, re.MULTILINE | re.DOTALL))
    assert sorted(sections) == sorted(w for tier in TIERS for w in tier if w != "errors")
    for wing, text in sections.items():
        for module in re.findall(r"`(\w+\.py)`", text):
            assert (ROOT / "hubbub" / wing / module).is_file(), f"{wing}/{module}"
    rows = re.findall(r"^\| (\d) \| (.+?) \|", page, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)(?:/|\.py)`", wings)) for _, wings in rows] == [set(tier) for tier in TIERS]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_class_that_a_page_names_exists(page: Path) -> None:
    code = "\n".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "hubbub").rglob("*.py")))
    known = set(re.findall(r"\w+", code))
    for name in re.findall(
        r"`((?:\w+\.)*[A-Z][a-z]+[A-Z]?\w*(?:\.\w+)?)(?:\([^`]*\))?`", page.read_text(encoding="utf-8")
    ):
        assert set(name.split(".")) <= known or (ROOT / name).exists(), name


@pytest.mark.slow
def test_the_first_commands_and_the_python_of_the_readme_run(
    tmp_path: Path,
    home: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home("weights", "yamnet.h5")
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own folder")[2]
    typed = commands(text.partition("\n## ")[0])
    assert [command.split()[1] for command in typed] == ["train", "data", "classify"]
    sounds(tmp_path, "street.wav", *(f"recordings/{c}/{n}.wav" for c in ("dog", "siren") for n in range(10)), seconds=1)
    monkeypatch.chdir(tmp_path)
    for command in typed:
        done = run_hubbub(*shlex.split(command)[1:])
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "recordings" / "report.html").is_file()
    exec(text.partition("```python\n")[2].partition("```")[0], {})
    run, *rest = capsys.readouterr().out.splitlines()
    assert run.startswith("Run runs/recordings: recordings")
    assert any(re.fullmatch(r"(dog|siren) [01]\.\d+", line) for line in rest), rest


def test_the_test_command_of_the_readme_is_what_ci_runs() -> None:
    assert "    make test " in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
