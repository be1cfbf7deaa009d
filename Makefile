# Two commands on a fresh machine: `make demo` and `make test`. `make help` lists the others.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO_SCALE := 0.005
SCRIPTS := .ci/run tools/install-tools.sh

# Tests start hundreds of processes: what was compiled once is kept, whatever the machine's habit is.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench tools clean

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## installs ecoload and its tests into .venv (Python only, no root)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "ecoload needs Python 3.11 or later; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $(INSTALLED)

# The sandbox has a known issue, so a suite on it is CONDITIONAL (8) at best: that is how the demo should end.
demo: setup ## rehearses the whole protocol on the embedded sandbox, in about five minutes
	@tools/install-tools.sh browser || echo "without it the browser phase is left out"
	@$(BIN)/ecoload suite --sandbox --duration-scale $(DEMO_SCALE) --approve-as "whoever runs the demo"; \
	code=$$?; test $$code -eq 8 || exit $$code

test: setup ## passes every test; fetches the foreign tools where it can
	@tools/install-tools.sh || echo "tests that need a missing tool say so and are skipped (CI=true: they fail)"
	$(BIN)/python -W error -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not alone"
	$(BIN)/python -W error -m pytest -m alone

lint: setup ## ruff, mypy --strict, shellcheck
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); \
	elif [ "$$CI" = true ]; then echo "shellcheck is missing: make tools" >&2; exit 1; \
	else echo "shellcheck is missing (make tools); the scripts were not looked at"; fi

tools: setup ## fetches the foreign tools: k6, nginx, wrk, hey, prettier, shellcheck, the Java HdrHistogram, Chromium, Playwright
	@tools/install-tools.sh

bench: setup ## measures ecoload beside wrk, hey and k6 (about half an hour; docs/bench.md)
	$(BIN)/python -m benchmarks

clean: ## removes what was installed and made (not your runs)
	rm -rf $(VENV) .tools build dist ecoload.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
