# Two commands matter: `make figures` and `make test`. Each sets up .venv first if needed, with
# nothing but Python >= 3.11 (with venv) and make; uv does it faster where it is installed.
PYTHON ?= python3
PRESET ?= smoke
JOBS ?= 2
BIN := .venv/bin
READY := .venv/.ready
PICTURES := ns_method_composite ns_long_tail_real de_small_real edl_method_curves

.DEFAULT_GOAL := help
.PHONY: help figures pictures docs test coverage quick test-browser test-slurm check lab bench clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

figures: $(READY) ## execute the notebooks and write their figures (PRESET=smoke JOBS=2)
	$(BIN)/nslab render --preset $(PRESET) --jobs $(JOBS)

# Those of the explorer are chosen from figures/browser, where make test-browser leaves many.
pictures: $(READY) ## renew the pictures of READMEs, in figures/readme
	$(BIN)/nslab render ns_method ns_long_tail de_small_networks edl_method --jobs $(JOBS)
	cp $(PICTURES:%=figures/smoke/%.png) figures/readme
	$(BIN)/python docs/readme_gallery.py
	$(BIN)/python -P -m nslab.plots.smaller $(PICTURES:%=figures/readme/%.png)
	if [ -f figures/browser/explorer.webp ]; then cp figures/browser/explorer.webp figures/readme; fi

docs: $(READY) ## build the site into build/docs/html, executing notebooks that are not current
	@$(BIN)/python -c 'import myst_nb, pydata_sphinx_theme, sphinx_design, sphinx_copybutton' \
		2>/dev/null || if command -v uv >/dev/null 2>&1; then \
			uv pip install --quiet --python $(BIN)/python -e '.[docs]'; \
		else \
			$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'; \
		fi
	$(BIN)/python docs/make.py --jobs $(JOBS)

test: check ## check, then run the tests and the notebooks with small parameters
	$(BIN)/python -P -m pytest tests notebooks # the conftest gives notebooks small parameters

# Apart from the tests, which it would slow by half; nbval and coverage do not agree.
coverage: $(READY) ## say which lines no test runs
	$(BIN)/python -P -m pytest tests --cov --cov-report=term:skip-covered --cov-fail-under=90

quick: $(READY) ## check an edit in some minutes: lint, types, unit tests without processes
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	NSLAB_QUICK=1 $(BIN)/python -P -m pytest tests -m "not slow and not process and not browser" -q

test-browser: $(READY) ## move the explorer's panels in JupyterLab and Voilà (needs Chromium; minutes)
	@$(BIN)/python -c 'import playwright, voila' 2>/dev/null || \
		if command -v uv >/dev/null 2>&1; then \
			uv pip install --quiet --python $(BIN)/python -e '.[browser]'; \
		else \
			$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[browser]'; \
		fi
	NSLAB_BROWSER=1 $(BIN)/python -P -m pytest tests/browser -n 0

test-slurm: $(READY) ## runs on a SLURM of their own, killed in every way (needs slurm-wlm, munge)
	NSLAB_TEST_SLURM=1 $(BIN)/python -P -m pytest tests/slurm -n 0 -s

check: $(READY) ## lint, format, types, and that notebooks are stored without outputs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -P -m nslab.workbench.unrun --check

lab: $(READY) ## open JupyterLab on the notebooks
	$(BIN)/nslab lab

bench: $(READY) ## measure what the claims of speed rest on
	$(BIN)/python benchmarks/ns_overhead.py
	$(BIN)/python benchmarks/ns_texts.py --networks textcnn
	$(BIN)/python benchmarks/fast_scores.py
	$(BIN)/python benchmarks/training_loop.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/image_input.py
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
	@$(BIN)/python -P -m nslab.workbench.unrun --set-up # git sees notebooks as though never run
	@touch $@
