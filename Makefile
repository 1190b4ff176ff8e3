# The front door. `make` lists what there is; every target installs what it needs first.

PYTHON := .venv/bin/python
SLOWEST := --durations=8 --durations-min=20
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install run-scenario images lint test test-unit test-kernel test-faults test-daemons test-process test-scenarios test-scenarios-1 test-scenarios-2 test-scenarios-3 test-footprint test-browser test-sandbox bench docs clean

help: ## This list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

install: $(STAMP) ## Everything that emu needs here: .venv, emu itself, packages that are missing; removes nothing

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
	@touch $@

# Which packages of the distribution are needed is decided by what this machine offers: emu/doctor/packages.py.
$(STAMP): .venv/.python emu/doctor/packages.py emu/sandbox/uml/parts.py scripts/install-packages
	@packages=$$($(PYTHON) -m emu.doctor.packages) && scripts/install-packages $$packages
	@touch $@

run-scenario: $(STAMP) ## The main job: SCENARIO=queue-proxy-oom ARGS="--set pod.containerConcurrency=10"
	@.venv/bin/emu run $(SCENARIO) $(ARGS)

images: $(STAMP) ## Build the images that containers run
	@.venv/bin/emu images

test: lint test-unit ## Every test, on a real kernel with cgroup v2 and a real Docker engine
	@$(PYTHON) -c 'from emu.runtime import images; images.prepare(print)'
	@$(MAKE) --no-print-directory --keep-going --output-sync=line -j $$($(PYTHON) scripts/where-it-runs.py --jobs) \
	    $(ALSO) test-scenarios-1 test-scenarios-3 test-faults test-kernel test-process test-daemons test-scenarios-2 \
	    test-sandbox test-browser

lint: $(STAMP) ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/mypy bench/*.py

test-unit: $(STAMP) ## Tests that need neither root nor Docker
	$(PYTHON) -m pytest tests/unit $(ARGS)

test-kernel: $(STAMP) ## Tests of cgroups, pods and verdicts, on this host if it qualifies, else on our own kernel
	@$(PYTHON) -c 'from emu.runtime import images; images.prepare(print)'
	@$(PYTHON) scripts/where-it-runs.py $(PYTHON) -m pytest tests/kernel tests/scenario/test_pod.py \
	    tests/scenario/test_probes.py tests/scenario/test_verdicts.py $(SLOWEST) $(ARGS)

test-faults: $(STAMP) ## Tests of what breaks: processes, the engine, the disk, the clock; in the same place
	@$(PYTHON) -c 'from emu.runtime import images; images.prepare(print)'
	@$(PYTHON) scripts/where-it-runs.py $(PYTHON) -m pytest tests/scenario/test_faults.py \
	    tests/scenario/test_record_full.py tests/scenario/test_clock_set.py tests/scenario/test_engine_lost.py \
	    $(SLOWEST) $(ARGS)

test-daemons: $(STAMP) ## Tests of emu freezer and emu calibrate on real containers
	@$(PYTHON) -c 'from emu.runtime import images; images.prepare(print)'
	@$(PYTHON) scripts/where-it-runs.py $(PYTHON) -m pytest tests/scenario/test_calibrate.py \
	    tests/scenario/test_freezer.py tests/scenario/test_freezer_containers.py \
	    tests/scenario/test_frozen_faults.py $(SLOWEST) $(ARGS)

test-process: $(STAMP) ## Tests of pods without Docker, of scale to zero, and of the tutorial
	@$(PYTHON) -c 'from emu.runtime import images; images.prepare(print)'
	@$(PYTHON) scripts/where-it-runs.py $(PYTHON) -m pytest tests/scenario/test_process.py tests/scenario/test_tutorial.py \
	    tests/scenario/test_held_back.py tests/scenario/test_autoscaling.py $(SLOWEST) $(ARGS)

# Three parts of about the same length, for as many sandboxes; tests that look at the same run are in the same part.
PART_1 := idle-policies or variants or freezer or graceful-stop
PART_2 := app-oom or app-swap or cold-starts or crash-loop or sidecar or page or swap_is or journal
test-scenarios-1: PART = ($(PART_1))
test-scenarios-2: PART = ($(PART_2)) and not ($(PART_1))
test-scenarios-3: PART = not ($(PART_1) or $(PART_2))

test-scenarios: test-scenarios-1 test-scenarios-2 test-scenarios-3 ## Every built-in scenario as a test, in the same place

test-scenarios-1 test-scenarios-2 test-scenarios-3: $(STAMP)
	@$(PYTHON) -c 'from emu.runtime import images; images.prepare(print)'
	@$(PYTHON) scripts/where-it-runs.py $(PYTHON) -m pytest tests/scenario/test_scenarios.py -k '$(PART)' $(SLOWEST) $(ARGS)

test-footprint: $(STAMP) ## Is queue-proxy killed and stalled where Knative's was? Within 5 %, so on a quiet machine
	@$(PYTHON) -c 'from emu.runtime import images; images.prepare(print)'
	@$(PYTHON) scripts/where-it-runs.py $(PYTHON) -m pytest tests/scenario/test_footprint.py $(ARGS)

test-browser: $(STAMP) ## The report's page in a headless Chromium, which this installs where there is apt
	@scripts/install-packages chromium || true
	$(PYTHON) -m pytest tests/browser $(SLOWEST) $(ARGS)

test-sandbox: $(STAMP) ## Tests of the sandbox itself: boots some ten guests, in about four minutes
	$(PYTHON) -m pytest tests/sandbox $(ARGS)

bench: $(STAMP) ## What the emulator itself costs, as JSON: bench/*.py
	$(PYTHON) scripts/where-it-runs.py $(PYTHON) bench/recorder.py
	$(PYTHON) scripts/where-it-runs.py $(PYTHON) bench/freeze.py
	$(PYTHON) scripts/where-it-runs.py $(PYTHON) bench/cold_start.py
	$(PYTHON) bench/overhead.py

docs: $(STAMP) ## Make docs/cli.md, docs/scenario-file.md's tables and the JSON Schema again
	$(PYTHON) -m emu.cli.docs

clean: ## Remove what was built; image disks stay (drop those with: emu sandbox reset)
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

-include systemd.mk
