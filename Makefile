# make task=listops    trains and evaluates one cell; `make` alone says what else there is.

all_tasks := $(filter-out __init__ common table,$(basename $(notdir $(wildcard configs/*.py))))
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

# Where examples come from: source= and data= (a folder or archive), else the config's.
data_flags := $(addprefix --config.data.source=,$(source)) \
  $(addprefix --config.data.directory=,$(data))

# ---------------------------------------------------------------------------
# Commands

ifdef task
.DEFAULT_GOAL := train
else
.DEFAULT_GOAL := help
endif

.PHONY: help train data check-data export conform new-mixer models docs smoke eval which-run table report speed speed-fourier speed-compare test lint format lock clean
help:
	@echo "make task=TASK     train, evaluate and print the result of one cell"
	@echo "                   TASK     $(all_tasks)"
	@echo "                   model=   $(model) (default), or another file of lra_fnet/mixers"
	@echo "                   recipe=  quick (default on CPUs), lra2020 (default elsewhere), strong"
	@echo "                   seed=    $(seed) (default); seeds=5 trains five from there in one program"
	@echo "                   parity=  params: sizes with the base Transformer's parameters"
	@echo "                   workdir= folder of the run; the same command goes on where it stopped"
	@echo "                   flags=   any config key: flags=\"--config.train.num_steps=100\""
	@echo "                   source=  where examples come from; sample: small, made up, no network"
	@echo "                            (not for listops, which is generated); see docs/data.md"
	@echo "                   data=    the folder or archive of that source"
	@echo "make data [task=TASK source= data= recipe=]          prepare data, print a summary"
	@echo "make check-data [task=TASK ...]                      verify prepared data again"
	@echo "make export task=TASK format=tfds [to=FOLDER ...]    write data for other frameworks"
	@echo "make models        all mixers: formula, cost, parameters, reference"
	@echo "make new-mixer name=NAME   begin one of your own"
	@echo "make conform [model=NAME]  hold it, or all mixers, to the contract"
	@echo "make smoke [tasks= models=]   two steps of every mixer on every task, LRA sizes"
	@echo "make eval workdir=RUN   evaluate a saved run in a new process"
	@echo "make table [tasks= models= recipe=lra2020 seeds=5]   run the missing cells of a grid"
	@echo "                   dry=1    say what there is to run, for how long; start nothing"
	@echo "                   shard=   3/16: a fixed sixteenth; sources=\"image=folder:DIR ...\""
	@echo "                   retry=0  leave failed cells; flags= as above; see docs/table.md"
	@echo "make report [runs=\"results runs\" to=report]   all results as a page, Markdown and CSV"
	@echo "make speed [models= lengths= task=text batch=32 limit=300 to=runs/speed]   steps/s,"
	@echo "                   latency and memory of every mixer against length; goes on"
	@echo "make speed-compare [sections= task=text to=runs/speed]   FNet against its published"
	@echo "                   formula, attention, a plain trainer, PyTorch; see docs/performance.md"
	@echo "make speed-fourier [lengths= widths= to=FILE]   measure which transform is fastest here"
	@echo "make test          lint, types and tests, offline, minutes on two cores"
	@echo "make lint, format, lock, clean"
	@echo
	@echo "accel=cpu|cuda13|tpu picks the JAX build; here: $(accel). Data lies in ./data,"
	@echo "or in LRA_DATA. Everything is installed into .venv from requirements/."

ifdef task
ifeq ($(filter $(task),$(all_tasks)),)
$(error unknown task "$(task)"; have: $(all_tasks). For example: make task=listops)
endif
endif

# Public data sets come through TensorFlow Datasets, installed when they are asked for.
needs_tfds := $(and $(filter text image,$(task)),$(filter tfds,$(or $(source),tfds)))

train: .venv/installed-$(accel) $(if $(needs_tfds),.venv/installed-data)
	$(python) -m lra_fnet.main --config=configs/$(task).py$(addprefix :,$(recipe)) \
	  --config.model=$(model) --config.seed=$(seed) --config.num_seeds=$(seeds) \
	  $(data_flags) $(addprefix --parity=,$(parity)) $(addprefix --workdir=,$(workdir)) $(flags)

prepare = $(python) -m lra_fnet.prepare --config=configs/$(task).py$(addprefix :,$(recipe)) \
	  $(data_flags) $(flags)

ifdef task
data: .venv/installed-$(accel) $(if $(needs_tfds),.venv/installed-data)
	$(prepare) --action=make

check-data: .venv/installed-$(accel)
	$(prepare) --action=check

export: .venv/installed-$(accel) .venv/installed-data
ifneq ($(or $(format),tfds),tfds)
	$(error unknown format "$(format)"; have: tfds. The cache itself is plain .npy, see docs/data.md)
endif
	$(prepare) --action=export $(addprefix --to=,$(to))
else
data check-data:
	@status=0; for task in $(all_tasks); do \
	  $(MAKE) --no-print-directory $@ task=$$task || status=1; \
	done; exit $$status

export:
	$(error which task? For example: make export task=listops format=tfds)
endif

new-mixer: .venv/installed-$(accel)
	$(if $(name),,$(error which name? For example: make new-mixer name=mymixer))\
	$(python) -m lra_fnet.new_mixer --name=$(name)

conform: .venv/installed-$(accel)
	$(python) -m lra_fnet.conform $(if $(findstring command,$(origin model)),--model=$(model))

smoke: .venv/installed-$(accel)
	$(python) -m lra_fnet.smoke $(if $(tasks),--tasks="$(tasks)") \
	  $(if $(models),--models="$(models)")

models docs: .venv/installed-$(accel)
	$(python) -m lra_fnet.mixers.listing $(if $(filter docs,$@),--write=docs/mixers.md)

eval: $(if $(workdir),,which-run) .venv/installed-$(accel)
	$(python) -m lra_fnet.evaluate --workdir=$(workdir)

which-run:
	$(error which run? For example: make eval workdir=$(firstword $(wildcard runs/*/*) runs/listops/...))

# Without the data sets' own packages the tasks that need them fail, and the others run.
table_tasks = $(or $(tasks),$(task),$(all_tasks))
sourced = $(foreach item,$(sources),$(if $(findstring =tfds,$(item)),,$(firstword $(subst =, ,$(item)))))
table_tfds = $(if $(filter-out 0,$(dry))$(findstring data.source,$(flags)),,$(filter-out $(sourced),$(filter text image,$(table_tasks))))
typed = $(if $(findstring command,$(origin $(1))),$($(1)))

# exec: make hands a signal to its child alone, which would be a shell.
table: .venv/installed-$(accel)
	$(if $(table_tfds),-@$(MAKE) --no-print-directory .venv/installed-data)
	@exec $(python) -m lra_fnet.table --tasks="$(or $(tasks),$(task))" \
	  --models="$(or $(models),$(call typed,model))" $(addprefix --recipe=,$(recipe)) \
	  $(addprefix --seeds=,$(call typed,seeds)) --sources="$(sources)" --flags="$(flags)" \
	  $(addprefix --shard=,$(shard)) $(if $(filter-out 0,$(dry)),--dry) \
	  $(if $(filter 0,$(retry)),--no-retry)

report: .venv/installed-$(accel)
	$(python) -m lra_fnet.report $(if $(runs),--runs="$(runs)") $(addprefix --to=,$(to))

# exec: as above.
speed: .venv/installed-$(accel)
	@exec $(python) -m lra_fnet.speed $(if $(models),--models="$(models)") \
	  $(if $(lengths),--lengths="$(lengths)") $(addprefix --task=,$(task)) \
	  $(addprefix --batch=,$(batch)) $(addprefix --limit=,$(limit)) $(addprefix --to=,$(to))

speed-fourier: .venv/installed-$(accel)
	$(python) -m lra_fnet.speed.transform $(if $(lengths),--lengths="$(lengths)") \
	  $(if $(widths),--widths="$(widths)") $(addprefix --to=,$(to))

speed-compare: .venv/installed-$(accel)
	$(python) -m lra_fnet.speed.compare $(if $(sections),--sections="$(sections)") \
	  $(addprefix --task=,$(task)) $(addprefix --to=,$(to))

test: lint .venv/installed-data
	$(python) -m pytest $(in_parallel)

# Tests mostly compile, on one core each.
in_parallel := --numprocesses=auto --maxprocesses=4 --dist=loadgroup

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
	@rm -f $(if $(filter $*,cpu cuda13 tpu),.venv/installed-cpu .venv/installed-cuda13 .venv/installed-tpu)
	@touch $@

.venv/installed-dev .venv/installed-data: .venv/installed-$(accel)

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
