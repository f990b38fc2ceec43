# natwatch: set-up, demonstration, tests. `make help` lists the targets.
# Everything made here stands in .venv and .cache; `make clean` removes both.

PYTHON := .venv/bin/python
MICROPYTHON := .cache/micropython/micropython
SHELL_FILES = .ci/run $(shell find agent provider provisioning tests -name '*.sh')
# As many pytest workers: the tests in the lab wait more than they compute (with four, two cores
# idle for most of the time), but many more at once would disturb one another's timers.
WORKERS ?= 6

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-cpython test-micropython lint bench-lifetime bench-diagnosis \
	bench-layers bench-abuse fuzz soak chaos clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 20

setup:  ## install what is missing: Debian packages (named first), .venv, MicroPython
	@tests/setup/all.sh

demo: export KEEP := $(KEEP)
demo: setup  ## the main job end to end in a lab; KEEP=1 stays up
	@exec $(PYTHON) -m tests.lab.demo

test: setup test-micropython test-cpython  ## every test, on both interpreters; 16 minutes

test-cpython: setup
	$(PYTHON) -m pytest -n $(WORKERS) --dist load --maxschedchunk 1 --durations 15 tests

# In two halves, side by side. The heap is for the simulated line of the tests; an agent does
# with far less (bench-lifetime).
test-micropython: setup
	$(MICROPYTHON) -X heapsize=4m tests/micropython/run.py 1/2 & one=$$!; \
	$(MICROPYTHON) -X heapsize=4m tests/micropython/run.py 2/2; two=$$?; \
	wait $$one && exit $$two

lint: setup  ## ruff, mypy, shellcheck, and mpy-cross of every device file
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	shellcheck $(SHELL_FILES)
	$(PYTHON) -m pytest tests/tools/test_compiles.py

bench-lifetime: setup  ## measured brackets, costs and times beside a doubling search
	$(PYTHON) -m tests.bench.lifetime

bench-diagnosis: setup  ## what a check says of 27 lines whose truth is known, both interpreters
	$(PYTHON) -m tests.bench.diagnosis

bench-layers: setup  ## which box forgets: one to three NATs in a row, both interpreters; 16 minutes
	$(PYTHON) -m tests.bench.layers

bench-abuse: setup  ## liars flood the reflector while 50 agents measure; 2 minutes, a machine of its own
	$(PYTHON) -m tests.bench.abuse

fuzz: export FUZZ_INPUTS := $(FUZZ_INPUTS)
fuzz: export FUZZ_PARSERS := $(FUZZ_PARSERS)
fuzz: setup  ## a million bad inputs for each parser; FUZZ_INPUTS=, FUZZ_PARSERS="stun sip"
	@exec $(PYTHON) -m tests.fuzz

soak: export SOAK_DAYS := $(SOAK_DAYS)
soak: setup  ## a simulated month of one device on a bad line; SOAK_DAYS=31
	@exec $(PYTHON) -m tests.soak

chaos: export CHAOS_MINUTES := $(CHAOS_MINUTES)
chaos: export CHAOS_SEED := $(CHAOS_SEED)
chaos: setup  ## everything fails at random, then every report is looked for; CHAOS_MINUTES=7
	@exec $(PYTHON) -m tests.bench.chaos

clean:  ## remove .venv, .cache and everything built
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf agent/*.egg-info provider/*.egg-info provisioning/*.egg-info
	rm -rf agent/build provider/build provisioning/build
