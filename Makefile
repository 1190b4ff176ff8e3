# The front door. `make` lists what there is; every target installs what it needs first.

PYTHON := .venv/bin/python
SLOWEST := --durations=8 --durations-min=20
STAMP := .venv/.installed
# Byte code is kept, as pip does for what it installs: else each process compiles emu again, and a guest's are slow at it.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install run-scenario images lint test test-unit test-scenarios test-browser test-sandbox bench docs clean

help: ## This list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

install: $(STAMP) ## Everything that emu needs here: .venv, emu itself, packages that are missing; removes nothing

# One `make` at a time installs; another that is started meanwhile waits, and finds everything in place.
ifndef INSTALLING
$(STAMP): pyproject.toml constraints.txt emu/doctor/packages.py emu/sandbox/uml/parts.py scripts/install-packages
	@$$(command -v flock && echo Makefile) $(MAKE) --silent --no-print-directory INSTALLING=yes $@
else

.venv/bin/python:
	@find_python() { for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	    "$$p" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; \
	done; }; \
	python=$$(find_python); \
	if [ -z "$$python" ]; then scripts/install-packages python3-venv; python=$$(find_python); fi; \
	if [ -z "$$python" ]; then \
	    echo "make install: no Python 3.11 or newer with venv is on PATH; install one:" \
	        "sudo apt-get install --no-remove python3.11 python3.11-venv" >&2; exit 2; \
	fi; \
	echo "making .venv with $$("$$python" --version)"; \
	"$$python" -m venv .venv

.venv/.python: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing emu and its Python packages into .venv (about a minute the first time)"
	@$(PYTHON) -m pip install --quiet --progress-bar off --disable-pip-version-check --use-pep517 \
	    --constraint constraints.txt --editable '.[dev]'
	@$(PYTHON) -m compileall -q cgroups emu
	@touch $@

# Which packages of the distribution are needed is decided by what this machine offers: emu/doctor/packages.py.
$(STAMP): .venv/.python emu/doctor/packages.py emu/sandbox/uml/parts.py scripts/install-packages
	@packages=$$($(PYTHON) -m emu.doctor.packages) && scripts/install-packages $$packages
	@[ "$$($(PYTHON) scripts/where-it-runs.py --place 2>/dev/null)" != sandbox ] \
	    || .venv/bin/emu sandbox kernel --fetch --if-none \
	    || echo "make install: the sandbox continues with the distribution's kernel (see above)"
	@touch $@
endif

run-scenario: $(STAMP) ## The main job: SCENARIO=queue-proxy-oom ARGS="--set pod.containerConcurrency=10"
	@.venv/bin/emu run $(SCENARIO) $(ARGS)

images: $(STAMP) ## Build the images that containers run
	@.venv/bin/emu images

# What fails in a guest is played once more in `make test`, in a new guest: $(1) is the part, $(2) its command,
# $(3) what the second try gets besides. Why: docs/decisions/0031-a-second-try-in-a-new-guest.md
AGAIN := --last-failed
define tried
$(2) || { [ -n "$(SECOND_TRY)" ] && echo "part $(1): failed; what failed is played once more, in a new guest" \
    && $(2) $(3) && echo "part $(1): passed at the second try" | tee -a build/tried/passed; }
endef

# Guests wait for much: what needs none goes beside the first of them, and uses the processors meanwhile.
LONGEST_FIRST := lint test-scenarios-1 test-scenarios-2 test-scenarios-3 test-unit test-scenarios-4 test-kernel \
    test-faults test-process test-daemons test-sandbox test-browser

test: export SECOND_TRY := yes
test: $(STAMP) ## Every test, on a real kernel with cgroup v2 and a real Docker engine
	@$(MAKE) --no-print-directory prepared
	@rm -rf build/tried && mkdir -p build/tried
	@$(MAKE) --no-print-directory --keep-going --output-sync=line -j $$($(PYTHON) scripts/where-it-runs.py --jobs) \
	    $(ALSO) $(LONGEST_FIRST)
	@cat build/tried/passed 2>/dev/null || true

.PHONY: prepared
prepared: $(STAMP)
	@$(PYTHON) -c 'from emu.runtime import images; images.prepare(print)'

lint: $(STAMP) ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/mypy bench/*.py

test-unit: $(STAMP) ## Tests that need neither root nor Docker
	$(PYTHON) -m pytest tests/unit $(ARGS)

# Each test of tests/kernel and tests/scenario has a mark that names its part; a part is played on this host if it
# qualifies, else in a sandbox of its own. Only files that speak of the part are collected: all of them take seconds.
SCENARIOS := scenarios-1 scenarios-2 scenarios-3 scenarios-4
PARTS := kernel faults process daemons $(SCENARIOS) footprint
WITHOUT_DOCKER := scenarios-1 scenarios-3 scenarios-4

test-kernel: ## Tests of cgroups, pods and verdicts, on this host if it qualifies, else in the sandbox
test-faults: ## Tests of what is killed, interrupted, full or gone: runs, the engine, the disk; in the same place
test-process: ## Tests of pods without Docker, of scale to zero, and of the tutorial
test-daemons: ## Tests of emu freezer and emu calibrate on real containers
test-footprint: ## Is queue-proxy killed and stalled where Knative's was? Within 5 %, so on a quiet machine
test-scenarios: $(SCENARIOS:%=test-%) ## Every built-in scenario as a test, in the same place

.PHONY: $(PARTS:%=test-%)
$(PARTS:%=test-%): test-%: $(STAMP)
	@$(PYTHON) -c 'from emu.runtime import images; images.prepare(print)'
	@$(call tried,$*,$(PYTHON) scripts/where-it-runs.py $(if $(filter $*,$(WITHOUT_DOCKER)),--without-docker) \
	    $(PYTHON) -m pytest $$(grep -rlF --include='*.py' '$(if $(filter scenarios-%,$*),part_of,name="$*")' tests/kernel tests/scenario | sort) \
	    -m 'part(name="$*")' -o cache_dir=build/tried/$* $(SLOWEST) $(ARGS),$(AGAIN))

test-browser: $(STAMP) ## The report's page in a headless Chromium, which this installs where there is apt
	@scripts/install-packages chromium || true
	@$(call tried,browser,$(PYTHON) -m pytest tests/browser -o cache_dir=build/tried/browser $(SLOWEST) $(ARGS),\
	    $(AGAIN))

test-sandbox: $(STAMP) ## Tests of the sandbox itself: boots some ten guests
	@$(call tried,sandbox,$(PYTHON) -m pytest tests/sandbox -o cache_dir=build/tried/sandbox $(ARGS),$(AGAIN))

bench: $(STAMP) ## What the emulator itself costs, as JSON: bench/*.py
	$(PYTHON) scripts/where-it-runs.py $(PYTHON) bench/recorder.py
	$(PYTHON) scripts/where-it-runs.py $(PYTHON) bench/freeze.py
	$(PYTHON) scripts/where-it-runs.py $(PYTHON) bench/cold_start.py
	$(PYTHON) bench/scale_up.py
	$(PYTHON) bench/overhead.py
	$(PYTHON) bench/decisions.py

docs: $(STAMP) ## Make docs/cli.md, docs/scenario-file.md's tables and the JSON Schema again
	$(PYTHON) -m emu.cli.docs

clean: ## Remove what was built; image disks stay (drop those with: emu sandbox reset)
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

-include systemd.mk
