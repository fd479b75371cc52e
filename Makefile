# Two commands matter: `make figures` and `make test`. Each sets up .venv first if needed, with
# nothing but Python >= 3.11 (with venv) and make; uv does it faster where it is installed.
PYTHON ?= python3
PRESET ?= smoke
JOBS ?= 2
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help figures test check lab bench clean

help: ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

figures: $(READY) ## execute the notebooks and write their figures (PRESET=smoke JOBS=2)
	$(BIN)/nslab render --preset $(PRESET) --jobs $(JOBS)

test: check ## check, then run the tests and the notebooks with small parameters
	$(BIN)/python -m pytest tests --cov --cov-report=term:skip-covered --cov-fail-under=90
	@# apart, as nbval and coverage do not agree; the conftest gives the notebooks small parameters
	$(BIN)/python -m pytest tests/conftest.py notebooks

check: $(READY) ## lint, format, types, and that notebooks are stored without outputs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb

lab: $(READY) ## open JupyterLab on the notebooks
	$(BIN)/nslab lab

bench: $(READY) ## measure what the claims of speed rest on
	$(BIN)/python benchmarks/ns_overhead.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/de_generation.py
	$(BIN)/python benchmarks/population_forward.py
	$(BIN)/python benchmarks/de_functions.py
	$(BIN)/python benchmarks/edl_search.py

clean: ## remove caches and the environment; data/ and figures/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage *.egg-info
	find nslab tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is touched last, so an install that was cut short starts again.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "nslab needs Python 3.11 or later: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python $(PYTHON) .venv && \
		uv pip install --quiet --python $(BIN)/python -e '.[dev]'; \
	else \
		$(PYTHON) -m venv .venv && \
		echo "installing into .venv, several GB because of torch: some minutes" && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'; \
	fi
	@touch $@
