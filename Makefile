# Everything the companion does, by name. `make` alone lists what there is.
SHELL := bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:
MAKEFLAGS += --no-print-directory

## PROFILE=smoke   how much to compute: smoke, quick, laptop or paper (`anml profiles` says what each is)
PROFILE ?= smoke
## DATA=auto       glyphs (the embedded drawings), omniglot, a packed .npz file, or auto: Omniglot if it is here, else glyphs
DATA ?= auto
## NOTEBOOK=       for `make rerun`: the name of one notebook, such as fig3_continual_learning, or all
NOTEBOOK ?=
## OUT=            for `make rerun`: one folder for what it writes, in place of build/notebooks and build/figures
OUT ?=
## VENV=.venv      the Python environment to install into; inside conda: VENV="$CONDA_PREFIX"
VENV ?= .venv
## PYTHON=         the Python 3.11 that makes the environment; found by itself where possible
PYTHON ?= $(shell for p in python3.11 python3 python "$(VENV)/bin/python"; do "$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

# Values travel by environment, quoted once in the recipes, so that paths may hold spaces. STAND is
# where the user stands: with `make -C companion`, a relative DATA starts from there.
STAND := $(PWD)
export PROFILE DATA NOTEBOOK OUT STAND

BIN := $(VENV)/bin
# One stamp for each place: a copied or moved tree must not run another tree's installation.
STAMP := $(VENV)/.anml-installed-$(shell pwd | cksum | cut -d' ' -f1)
# Standard library only (-S): it must be able to speak before anything is installed.
PREFLIGHT = "$(PYTHON)" -S workflow/preflight.py --profile "$$PROFILE" --data "$$DATA" --stand "$$STAND"
# One graph, workflow/Snakefile; it says itself what it does and why (workflow/profiles/default).
# Groups that would need more memory than the machine has wait for each other. Resources on a command
# line stand in place of the profile's, so its GPU is named again.
MEMORY_MB = $$("$(BIN)/python" -c 'import os; print(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6)')
FLOW = "$(BIN)/snakemake" --resources gpu=1 mem_mb="$(MEMORY_MB)" --snakefile workflow/Snakefile --cores all
STOPPED = { echo "error: stopped; the line above that begins with error: or with the name of an error says why; the same command goes on from here" >&2; exit 1; }
READY = \nThe book is ready. Open this page:\n  %s\n
PYTEST = "$(BIN)/python" -m pytest
# The one that meta-trains takes longest: begun first, it is not alone in the end.
EXECUTED = book/notebooks/quickstart.ipynb $(filter-out %/quickstart.ipynb,$(wildcard book/notebooks/*.ipynb))

.PHONY: help python check check-notebook setup book site results rerun pages bench test test-site clean

help: ## list the targets and the variables
	@echo "Usage: make TARGET [VARIABLE=value ...]     Start with: make book"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "Variables, here or from the environment (after = stands the default):"
	@awk '/^## / {sub(/^## /, "  "); print}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "Notebooks:"
	@awk -F '"' '/^output = / {print "  " $$2}' workflow/notebooks.toml

python:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 is needed and was not found (python3 is $$(python3 --version 2>&1 || true)); install it, or name it: make ... PYTHON=/path/to/python3.11" >&2; exit 2; }

check: python
	@$(PREFLIGHT) >/dev/null

check-notebook: python
	@$(PREFLIGHT) --notebook "$$NOTEBOOK" >/dev/null

setup: $(STAMP) ## create .venv and install the pinned versions (only when they changed)

# The stamp is written last and removed first, so an installation that stopped half-way is repeated;
# an environment that was made in another place holds that place's paths, and is made anew.
$(STAMP): pyproject.toml constraints.txt | python
	@"$(PYTHON)" -S workflow/preflight.py
	@if [ "$(VENV)" = .venv ] && ! [ -e "$@" ] && ls .venv/.anml-installed-* >/dev/null 2>&1; then rm -rf .venv; fi
	@rm -f "$(VENV)"/.anml-installed-*
	@"$(BIN)/python" -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	  || "$(PYTHON)" -m venv $(if $(filter .venv,$(VENV)),--clear) "$(VENV)" \
	  || { echo "error: $(PYTHON) cannot make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	"$(BIN)/python" -m pip install -c constraints.txt -e '.[book,test]' \
	  || { echo "error: the installation did not finish; mend what pip says above and run the same command again" >&2; exit 1; }
	@touch "$@"

book: check $(STAMP) ## compute at PROFILE on DATA, run the notebooks, build the site
	@data="$$($(PREFLIGHT))" && $(FLOW) site --forcerun pages --config profile="$$PROFILE" data="$$data" \
	  || $(STOPPED)
	@printf '$(READY)' "$(CURDIR)/_build/html/index.html"

site: $(STAMP) ## build the site from the notebooks as they stand, running nothing
	"$(BIN)/jupyter-book" build . --all -W -n --keep-going \
	  || { echo "error: the book was not built cleanly; the warnings above say where" >&2; exit 1; }
	@printf '$(READY)' "$(CURDIR)/_build/html/index.html"

results: check $(STAMP) ## only compute: meta-train and meta-test at PROFILE on DATA, into runs/
	@data="$$($(PREFLIGHT))" && $(FLOW) results --config profile="$$PROFILE" data="$$data" \
	  || $(STOPPED)

rerun: check-notebook $(STAMP) ## run one NOTEBOOK, or all, at PROFILE on DATA, into build/ or OUT
	@data="$$($(PREFLIGHT))" && "$(BIN)/python" workflow/build_notebooks.py --profile "$$PROFILE" \
	  --data "$$data" --rerun "$$NOTEBOOK" --out "$$OUT" --stand "$$STAND"

pages: $(STAMP) ## for contributors: make the committed pages again, from recorded results
	"$(BIN)/python" workflow/build_notebooks.py --recorded --profile smoke --data glyphs
	"$(BIN)/python" workflow/profile_table.py

bench: $(STAMP) ## measure the speed, on an idle machine: what the page on speed shows
	"$(BIN)/python" benchmarks/cost.py
	"$(BIN)/python" benchmarks/meta_test_speed.py
	"$(BIN)/python" benchmarks/network_speed.py
	"$(BIN)/python" benchmarks/memory_speed.py
	"$(BIN)/python" benchmarks/beside.py
	"$(BIN)/python" workflow/profile_table.py

test: $(STAMP) ## the whole test suite: style, fast, slow, notebooks, site
	@printf '\n== 1 of 5: style\n'
	"$(BIN)/python" -m ruff check .
	"$(BIN)/python" -m ruff format --check .
	@printf '\n== 2 of 5: fast tests\n'
	$(PYTEST) -q -m "not slow" --ignore=tests/site -n 2 --dist loadfile
	@printf '\n== 3 of 5: slow tests\n'
	$(PYTEST) -q -m slow --ignore=tests/site -n 2 --dist loadfile || [ $$? -eq 5 ]  # 5: none is slow
	@printf '\n== 4 of 5: the notebooks run again, and their numbers compared\n'
	$(PYTEST) -q --nbval --nbval-current-env --nbval-cell-timeout 600 --nbval-sanitize-with tests/notebooks/sanitise.cfg -p tests.notebooks.own_kernels -n 2 --dist loadfile --no-loadscope-reorder $(EXECUTED)
	@printf '\n== 5 of 5: the site, read in a browser\n'
	@$(MAKE) site test-site

test-site: $(STAMP) ## the browser tests on the site that stands in _build/, or is built
	@test -f _build/html/index.html || $(MAKE) site  # here, not by two browsers at once
	$(PYTEST) -q tests/site -n 2

clean: ## remove what was built; runs/ (your results) and the environment stay
	rm -rf build _build .snakemake .pytest_cache .ruff_cache .hypothesis
	find anml tests workflow benchmarks notebooks book -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
