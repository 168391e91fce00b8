# Needs Python 3.11+, make and a package index. PYTHON, VENV, JOBS and PIP_ARGS can be overridden.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
PIP_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check $(PIP_ARGS) -c constraints/ci.txt

# Compiling all of torch would double the time of an install; what is used is compiled when it is first used.
unexport PYTHONDONTWRITEBYTECODE
RUNS := fixtures/breakout-dqn fixtures/breakout-redo

# Tests run side by side; more threads than cores would only get in each other's way.
PYTEST_JOBS := $(BIN)/python -m pytest -n $(JOBS)
PYTEST := OMP_NUM_THREADS=1 $(PYTEST_JOBS)

.DEFAULT_GOAL := help
.PHONY: help demo example fixtures fixtures-samples test test-slow test-browser test-sb3 test-libraries test-durability test-random test-processors check bench bench-metrics format clean

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do \
		printf '%-14s%s\n' "$$name" "$$what"; done

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints/ci.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints/ci.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $(VENV)/.installed $@

demo: $(VENV)/.installed  ## scan the two fixture runs and build demo/report.html
	@mkdir -p demo
	$(BIN)/dormancy scan $(RUNS) --tau 0.1 --tau 0
	@echo
	$(BIN)/dormancy report $(RUNS) --tau 0.1 --tau 0 -o demo/report.html --png demo/figures --force --quiet
	@echo
	@echo "$(CURDIR)/demo/report.html"

example: $(VENV)/.installed  ## make docs/example/report.html again, with a fixed date
	SOURCE_DATE_EPOCH=1764000000 $(BIN)/dormancy report $(RUNS) --tau 0.1 --tau 0 -o docs/example/report.html --force --quiet

test: $(VENV)/.installed-dev  ## run the tests and doctests, without those that take minutes
	$(PYTEST)

test-random: $(VENV)/.installed-dev  ## run the tests in three orders, each with other random numbers
	for seed in 1 2 3; do TEST_SEED=$$seed $(PYTEST) --randomly-seed=$$seed --hypothesis-seed=$$seed || exit 1; done

# torch, oneDNN, MKL and OpenBLAS choose their kernels by what the processor can do; each setting allows less than the last.
# oneDNN keeps AVX2 in the third: its convolutions without it take minutes where they take seconds.
test-processors: $(VENV)/.installed-dev  ## run the tests as older processors would compute, with 1 and 2 threads
	for threads in 1 2; do \
		for settings in '-u ATEN_CPU_CAPABILITY' \
			'ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell' \
			'ATEN_CPU_CAPABILITY=default MKL_ENABLE_INSTRUCTIONS=SSE4_2 OPENBLAS_CORETYPE=Prescott'; do \
			echo "$$threads threads, env $$settings"; \
			env $$settings OMP_NUM_THREADS=$$threads $(PYTEST_JOBS) || exit 1; \
		done; \
	done

test-slow: $(VENV)/.installed-dev  ## run the tests that take minutes
	$(PYTEST) -m slow

test-browser: $(VENV)/.installed-dev  ## look at the report in a real headless Chromium; pictures of it go to screenshots/
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
		apt-get install --yes --no-install-recommends chromium || { \
		echo "error: no Chromium found; install one (Debian, Ubuntu: apt-get install chromium) and try again" >&2; exit 1; }
	@mkdir -p screenshots
	DORMANCY_SCREENSHOTS=screenshots $(PYTEST) -m browser

test-sb3: $(VENV)/.installed-dev  ## watch agents of the real Stable-Baselines3, which is installed for it
	$(PIP) -e '.[sb3]' sb3-contrib
	$(PYTEST) -m sb3 tests/integrations

test-libraries: $(VENV)/.installed-dev  ## scan what other libraries write, each in an environment of its own; LIBRARY=sb3: one
	OMP_NUM_THREADS=1 DORMANCY_LIBRARIES=$(abspath $(VENV)-libraries) $(BIN)/python -m pytest -m libraries tests/libraries $(if $(LIBRARY),-k "$(LIBRARY)")

test-durability: $(VENV)/.installed-dev  ## kill trainers at 50 points each, fill disks, and compare what they resume to
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/durability.py --algorithm dqn --kills 50 --signals 10 --full-disks 10
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/durability.py --algorithm dqn-atari --kills 10 --signals 2
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/durability.py --algorithm drq --kills 50 --signals 10
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/durability.py --algorithm sac --kills 50 --signals 10

check: $(VENV)/.installed-dev  ## ruff, mypy --strict, the import contract, doctests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) dormancy cli agents

bench: $(VENV)/.installed-dev  ## measure what a scan costs
	$(BIN)/python benchmarks/scan.py

bench-metrics: $(VENV)/.installed-dev  ## measure what each metric costs, and how often intervals hold the truth
	$(BIN)/python benchmarks/metrics.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage.py

fixtures: $(BIN)/python  ## write fixtures/foreign with the real libraries, in an environment of their own
	$(PYTHON) -m venv $(VENV)-fixtures
	$(VENV)-fixtures/bin/python -m pip install --quiet $(PIP_ARGS) -c constraints/ci.txt torch safetensors stable-baselines3 sb3-contrib flax
	OMP_NUM_THREADS=1 $(VENV)-fixtures/bin/python fixtures/make_foreign.py
	OMP_NUM_THREADS=1 $(VENV)-fixtures/bin/python fixtures/make_templates.py
	OMP_NUM_THREADS=1 $(VENV)-fixtures/bin/python fixtures/make_modules.py
	OMP_NUM_THREADS=1 $(VENV)-fixtures/bin/python fixtures/make_flax.py
	OMP_NUM_THREADS=1 $(VENV)-fixtures/bin/python fixtures/make_programs.py

fixtures-samples: $(BIN)/python  ## write fixtures/samples with the real libraries, in an environment of their own
	$(PYTHON) -m venv $(VENV)-samples
	$(VENV)-samples/bin/python -m pip install --quiet $(PIP_ARGS) -c constraints/ci.txt torch 'minari[create,hdf5]==0.5.4' \
	    tianshou==0.5.1 stable-baselines3==2.9.2 torchrl==0.14.1 gymnasium gin-config absl-py
	$(VENV)-samples/bin/python -m pip install --quiet $(PIP_ARGS) --no-deps dopamine-rl==4.1.2
	OMP_NUM_THREADS=1 $(VENV)-samples/bin/python fixtures/make_samples.py

format: $(VENV)/.installed-dev  ## repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what the other targets made, save the virtual environment
	rm -rf demo screenshots dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
