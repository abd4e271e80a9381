# Two commands: `make demo` (sets everything up, runs the main job) and `make test` (sets everything up, runs the tests).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-slow faults check docs lock benchmarks clean

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock -e .
	touch $@

demo: setup
	$(BIN)/hubbub demo

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow

# The long form of tests/faults: damaged files, kills, full disks, hostile clients. Hours; docs/reliability.md has the figures.
# And every recipe, exported network and network on pictures: `make test-slow` has one or two of those that are alike.
faults: setup
	HUBBUB_FAULTS=long $(BIN)/python -m pytest -n 2 --dist loadfile --timeout 36000 tests/faults \
		tests/experiment/test_shipped_esc.py tests/experiment/test_shipped_others.py \
		tests/experiment/test_from_images.py tests/classifier/test_export.py

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# docs/recipe-reference.md, from the descriptions of the settings; the table of docs/results.md and the figures of
# docs/model-card.md, from docs/results/.
docs: setup
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_results.py
	$(BIN)/python docs/make_card.py
	$(BIN)/python docs/make_licences.py

# Versions only: what resolves together, for every platform, without the address of any index.
lock: setup
	$(BIN)/uv pip compile --quiet --universal --all-extras --python-version 3.11 --no-header --no-annotate --upgrade \
		pyproject.toml -o requirements.lock

# Every row of docs/performance.md: about an hour with nothing else running. Peers are of the extra `bench`.
benchmarks: setup
	$(BIN)/python -m benchmarks.run_all

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache dist runs
