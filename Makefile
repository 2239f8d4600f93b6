# `make` alone says what there is; every target calls one verb of `python -m lra_fnet`.
python := .venv/bin/python
all_tasks := $(filter-out __init__ common grid,$(basename $(notdir $(wildcard configs/*.py))))
accel := $(or $(accel),$(shell if [ -e /proc/driver/nvidia/version ]; then echo cuda13; \
  elif [ -e /dev/accel0 ] || [ -n "$$TPU_NAME" ]; then echo tpu; else echo cpu; fi))
accels := $(if $(filter compile,$(MAKECMDGOALS)),h100 v4 v5e v5p v6e,cpu cuda13 tpu)
$(if $(filter $(accel),$(accels)),,$(error unknown accel "$(accel)"; choose $(accels)))
ifdef task
.DEFAULT_GOAL := train
$(if $(filter $(task),$(all_tasks)),,$(error unknown task "$(task)"; have: $(all_tasks). For example: make task=listops))
endif

# Earlier names of two variables.
$(foreach v,mixer mixers,$(if $($(v)),,$(eval $(v) := $($(subst mixer,model,$(v))))))

# Several mixers for some targets, one for the others.
$(if $(filter table speed compile smoke,$(MAKECMDGOALS)),$(if $(mixers),,$(eval mixers := $(mixer))),\
  $(if $(mixer),,$(if $(mixers),$(error mixers=$(mixers) is for make table, speed, compile and smoke; write mixer=NAME))))
$(if $(filter export,$(MAKECMDGOALS)),$(if $(task)$(workdir),,$(error export what? workdir=RUN or task=TASK)))

comma := ,
# Variables that were given, as flags of the same names; values may have spaces.
quoted = '$(subst ','\'',$(1))'
given = $(foreach v,$(1),$(if $($(v)),$(call quoted,--$(v)=$($(v)))))
of_run := task recipe source data
# Public data sets come through TensorFlow Datasets, installed when they are asked for.
tfds := $(if $(and $(filter text image,$(or $(task),text)),$(filter tfds,$(or $(source),tfds))),.venv/installed-data)
verb = @echo $(call quoted,python -m lra_fnet $(1)) && exec $(python) -m lra_fnet $(1)

.PHONY: $(shell sed -n 's/^\([a-z][a-z -]*\):\([^=].*\)*$$/\1/p' Makefile)
.NOTPARALLEL:
help:
	@sed -n '/^## /s/^## //p' Makefile | sed 's/ALL_TASKS/$(all_tasks)/'

## make task=TASK            train and evaluate FNet, print the result
##   TASK                    ALL_TASKS
##   mixer=transformer       another mixer: make mixers lists them
##   recipe=quick            quick (default on CPUs), small, lra2020 (default elsewhere), strong
##   seed=0 seeds=5          five seeds from there, trained together
##   source= data=DIR        where examples come from; source=sample: made up, no network
##   workdir=DIR             folder of the run; the same command resumes it
##   init_from=RUN           begin with the encoder of another run
##   parity=params           sizes with the base Transformer's number of parameters
##   flags="--config.train.num_steps=100"   any key of configs/common.py
## make record task=TASK target=PERCENT   seconds that three seeds take to reach it
train record: .venv/installed-$(accel) $(tfds)
	$(call verb,$@ $(call given,$(of_run) mixer seed seeds workdir init_from parity target) $(flags))

## make eval workdir=RUN     evaluate a run again; make export: its weights [to=FILE] [seed=]
## make predict workdir=RUN file=FILE   answers to a text, expressions, a picture [seed=]
## make sample workdir=RUN   a language model goes on [start= temperature= draw= seed=]
export: $(if $(workdir),export-run,export-data)
eval predict sample export-run: .venv/installed-$(accel)
	$(call verb,$(subst -run,,$@) $(call given,workdir file to seed start temperature draw))

## make data [task=TASK]     prepare data, print a summary
## make check-data           verify prepared data; make export task= [to=]: for TFDS
export-data: .venv/installed-data
data check-data export-data: .venv/installed-$(accel) $(tfds)
	@for task in $(or $(task),$(filter-out corpus glue,$(all_tasks))); do $(python) -m lra_fnet data --task=$$task \
	  $(call given,recipe source data to) $(if $(filter check-data,$@),--check) \
	  $(if $(filter export-data,$@),--export=$(or $(format),tfds)) $(flags) || failed=1; \
	done; exit $${failed:-0}

## make table                run what is missing of a table; stop and repeat as you like
##   tasks= mixers= recipe= seeds= sources="text=folder:DIR" shard=3/16 dry=1 retry=0
table: .venv/installed-$(accel)
	$(if $(dry)$(sources),,$(if $(filter text image,$(subst $(comma), ,$(or $(tasks),$(task),text))),-@$(MAKE) --no-print-directory .venv/installed-data))
	$(call verb,table $(if $(tasks),,$(if $(task),--tasks=$(task))) $(call given,tasks mixers recipe seeds sources shard parity) \
	  $(if $(filter-out 0,$(dry)),--dry) $(if $(filter 0,$(retry)),--no-retry) $(flags))

## make report               report/index.html, table.md, table.csv, results.csv [runs= to=]
report: .venv/installed-$(accel) ; $(call verb,report $(call given,runs to))

## make speed                speed and memory against length [mixers= lengths= task= batch= limit= to=]
## make speed-compare        FNet against its formula, attention, a plain trainer [sections= task= to=]
## make speed-fourier        which Fourier algorithm is fastest here [lengths= widths= to=]
speed speed-compare speed-fourier: .venv/installed-$(accel)
	$(call verb,$@ $(call given,mixers lengths widths sections task batch limit to))

## make mixers               list all; make new-mixer name=NAME: begin one of your own
## make check-mixer mixer=NAME   hold it to the contract; without mixer=: all of them
mixers models docs: .venv/installed-$(accel)
	$(if $(filter docs,$@),@$(python) -m lra_fnet report --runs=results --to=docs/report --documents="README.md docs/language.md docs/results.md")
	$(if $(filter docs,$@),@$(python) tools/differences.py)
	$(call verb,mixers $(if $(filter docs,$@),--write=docs/mixers.md))
check-mixer conform: .venv/installed-$(accel) ; $(call verb,check-mixer $(call given,mixer))
new-mixer: .venv/installed-$(accel) ; $(call verb,new-mixer $(call given,name))

## make compile accel=h100|v4|v5e|v5p|v6e [tasks= mixers= recipe= devices= fourier=1]   what fits it
compile: python = $(dir $<)bin/python
compile: .venv-$(if $(filter h100,$(accel)),cuda13,tpu)/installed
	$(call verb,compile $(call given,accel tasks mixers recipe devices) $(if $(filter-out 0,$(fourier)),--fourier) $(flags))

## make smoke                two steps of every mixer on every task [tasks= mixers=]
smoke: .venv/installed-$(accel) ; @tools/smoke.sh "$(tasks)" "$(mixers)"
## make test                 lint, types and tests, offline; make test-all: slow ones, too
# A file is one process, in which its tests share runs, data and compiled programs.
test test-all: lint .venv/installed-data
	$(python) -m pytest $(if $(filter test,$@),-m "not slow") --numprocesses=auto --maxprocesses=4 --dist=loadfile

## make lint, format, size (lines of code), lock, clean
lint: .venv/installed-dev
	$(python) -m ruff format --check . && $(python) -m ruff check . && $(python) -m mypy
format: .venv/installed-dev ; $(python) -m ruff format . && $(python) -m ruff check --fix .
size: .venv/installed-dev ; $(python) tools/size.py
lock: ; tools/lock.sh
clean: ; rm -rf .venv .venv-* .cache .mypy_cache .pytest_cache .ruff_cache
## accel=cpu|cuda13|tpu picks the JAX build. Data lie in ./data, or in LRA_DATA.
.venv/bin/python .venv-cuda13/bin/python .venv-tpu/bin/python:
	@tools/make_environment.sh $(@:/bin/python=) $(base_python)
.venv/installed-%: requirements/%.txt | .venv/bin/python
	@echo "installing requirements/$*.txt (minutes the first time)"
	$(python) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/$*.txt
	@rm -f $(if $(filter $*,cpu cuda13 tpu),.venv/installed-cpu .venv/installed-cuda13 .venv/installed-tpu)
	@touch $@
.venv-%/installed: requirements/%.txt | .venv-%/bin/python
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< || { echo "error: $< cannot be installed, for the reason above; when that is mended, repeat the command: it continues" >&2; exit 1; }
	@touch $@
.venv/installed-dev .venv/installed-data: .venv/installed-$(accel)
