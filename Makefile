# make task=listops    trains and evaluates one cell; `make` alone says what else there is.

tasks := $(filter-out __init__ common table,$(basename $(notdir $(wildcard configs/*.py))))
model := fnet
seed := 0
seeds := 1

ifndef accel
accel := $(shell if [ -e /proc/driver/nvidia/version ]; then echo cuda13; \
  elif [ -e /dev/accel0 ] || [ -n "$$TPU_NAME" ]; then echo tpu; else echo cpu; fi)
endif
ifeq ($(filter $(accel),cpu cuda13 tpu),)
$(error unknown accel "$(accel)"; choose cpu, cuda13 or tpu)
endif

# ---------------------------------------------------------------------------
# Commands

ifdef task
.DEFAULT_GOAL := train
else
.DEFAULT_GOAL := help
endif

.PHONY: help train eval which-run test test-slow lint format lock clean
help:
	@echo "make task=TASK     train, evaluate and print the result of one cell"
	@echo "                   TASK     $(tasks)"
	@echo "                   model=   $(model) (default), or another file of lra_fnet/mixers"
	@echo "                   recipe=  quick (default on CPUs), lra2020 (default elsewhere), strong"
	@echo "                   seed=    $(seed) (default); seeds=5 trains five from there in one program"
	@echo "                   workdir= folder of the run; the same command goes on where it stopped"
	@echo "                   flags=   any config key: flags=\"--config.train.num_steps=100\""
	@echo "make eval workdir=RUN   evaluate a saved run in a new process"
	@echo "make test          lint, types and tests, offline, minutes on two cores"
	@echo "make test-slow     tests that take longer"
	@echo "make lint, format, lock, clean"
	@echo
	@echo "accel=cpu|cuda13|tpu picks the JAX build; here: $(accel). Data lies in ./data,"
	@echo "or in LRA_DATA. Everything is installed into .venv from requirements/."

ifdef task
ifeq ($(filter $(task),$(tasks)),)
$(error unknown task "$(task)"; have: $(tasks). For example: make task=listops)
endif
endif

train: .venv/installed-$(accel)
	$(python) -m lra_fnet.main --config=configs/$(task).py$(addprefix :,$(recipe)) \
	  --config.model=$(model) --config.seed=$(seed) --config.num_seeds=$(seeds) \
	  $(addprefix --workdir=,$(workdir)) $(flags)

eval: $(if $(workdir),,which-run) .venv/installed-$(accel)
	$(python) -m lra_fnet.evaluate --workdir=$(workdir)

which-run:
	$(error which run? For example: make eval workdir=$(firstword $(wildcard runs/*/*) runs/listops/...))

test: lint
	$(python) -m pytest -m "not slow"

test-slow: .venv/installed-dev
	$(python) -m pytest -m slow

lint: .venv/installed-dev
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m mypy

format: .venv/installed-dev
	$(python) -m ruff format .
	$(python) -m ruff check --fix .

clean:
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache

# ---------------------------------------------------------------------------
# Installation: one environment, from locked versions with hashes

python := .venv/bin/python

supported := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
pip := $(python) -m pip install --quiet --disable-pip-version-check --require-hashes

.venv/bin/python:
	@for candidate in $(base_python) python3 python3.12 python3.11 python3.13; do \
	  if $$candidate -c '$(supported)' 2>/dev/null; then \
	    echo "$$candidate -m venv .venv"; \
	    $$candidate -m venv .venv && exit 0; \
	    echo "error: $$candidate cannot make environments; install its venv package" \
	      "(Debian, Ubuntu: apt-get install python3-venv)"; rm -rf .venv; exit 1; \
	  fi; \
	done; echo "error: needs Python 3.11 to 3.13; make base_python=/path/to/python3.12"; exit 1

.venv/installed-%: requirements/%.txt | .venv/bin/python
	@echo "installing requirements/$*.txt (minutes the first time)"
	$(pip) -r requirements/$*.txt
	@rm -f .venv/installed-*
	@touch $@

.venv/installed-dev: requirements/dev.txt .venv/installed-$(accel)
	$(pip) -r requirements/dev.txt
	@touch $@

# The locks serve every supported Python and platform; uv is needed only here.
lock:
	for accel in cpu cuda13 tpu; do \
	  uv pip compile pyproject.toml --extra $$accel --universal --python-version 3.11 \
	    --generate-hashes --no-header --quiet -o requirements/$$accel.txt || exit 1; \
	done
	uv pip compile pyproject.toml --extra data --constraint requirements/cpu.txt \
	  --universal --python-version 3.11 --generate-hashes --no-header --quiet \
	  -o requirements/data.txt
	uv pip compile --group pyproject.toml:dev --constraint requirements/cpu.txt \
	  --universal --python-version 3.11 --generate-hashes --no-header --quiet \
	  -o requirements/dev.txt
