# `make day` and `make test` need Python 3.11 or later and nothing else; the rest is installed here.
PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13,$(shell command -v python$(v) 2>/dev/null)) $(shell command -v python3 2>/dev/null))
BIN := .venv/bin
READY := .venv/.ready
EXTRAS := test,dask,postgres,ibkr,ccxt,yfinance
# What no run needs of the packages is not compiled ahead of it: half of all there is.
SELDOM := '/tests?/|/(_inductor|babel|ccxt|fontTools|plotly|statsmodels|sympy)/'

TOGETHER := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: day test evidence bench lint format constraints clean
.DELETE_ON_ERROR:

day: $(READY)
	$(BIN)/hybridnb day

# Three at a time, also on two cores: many tests wait for other processes. `tests/conftest.py` has
# the longest files begin first.
test: $(READY)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/python -m pytest $(TOGETHER) --nbval --nbval-current-env tests

evidence: $(READY)
	HYBRIDNB_EVIDENCE=1 $(BIN)/python -m pytest $(TOGETHER) tests

# Takes some 20 minutes; BENCH=--quick takes two. The peers have an environment of their own.
bench: $(READY) .venv-bench/.ready
	$(BIN)/python benchmarks/run.py $(BENCH)
	$(BIN)/python benchmarks/api.py --out benchmarks/api.json
	$(BIN)/python benchmarks/desk.py --out benchmarks/desk.json

lint: $(READY)
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/mypy

# Resolves every requirement anew, without the old pins, in a folder of its own.
constraints:
	@$(call need_python)
	rm -rf .venv-fresh
	$(PYTHON) -m venv .venv-fresh
	.venv-fresh/bin/python -m pip install --quiet --disable-pip-version-check --no-compile ".[$(EXTRAS)]"
	.venv-fresh/bin/python -m pip freeze --exclude hybridnb \
		| grep -v -e '^-e' -e '^#' -e ' @ ' | sed 's/+cpu$$//' > constraints.txt
	rm -rf .venv-fresh

clean:
	rm -rf .venv .venv-bench .venv-fresh dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

define need_python
{ test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; } \
	|| { echo "hybridnb needs Python 3.11 or later, and found: $(or $(PYTHON),none)." >&2; \
	     echo "Install it, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
endef

# An installation that was cut short leaves no stamp and is done again.
$(READY): pyproject.toml constraints.txt
	@$(call need_python)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
		-c constraints.txt -e ".[$(EXTRAS)]"
	$(BIN)/python -m compileall -q -j 0 -x $(SELDOM) .venv/lib >/dev/null 2>&1 || true  # some are templates
	$(BIN)/python -m hybridnb.app.jupyter_files
	touch $(READY)

.venv-bench/.ready: benchmarks/requirements.txt
	@$(call need_python)
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		-r benchmarks/requirements.txt
	touch $@
