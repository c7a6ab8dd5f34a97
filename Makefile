# Farseal. `make` alone lists what there is. Everything is installed into ./.venv, nothing outside the checkout.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
MEMBERS := shared auth_server resource_a resource_b testing
EDITABLE := -e "./shared[service,postgres]" -e ./auth_server -e ./resource_a -e ./resource_b -e ./testing
# Workers of the test run; pytest-xdist's words: a number, auto, 0 for one process.
WORKERS ?= auto
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1

.PHONY: asked-python help demo test check fmt bench soak lock clean secrets certificates up down logs system base-images tour sbom

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "  ONCE=1 make demo ends after the tour; PYTHON=python3.13 picks the interpreter"

$(UV): requirements/bootstrap.txt scripts/bootstrap.sh | asked-python
	@sh scripts/bootstrap.sh $(PYTHON)
	@touch $(UV)

# An environment of another Python is not silently used when one is named.
asked-python:
ifneq ($(origin PYTHON),file)
	@sh scripts/bootstrap.sh --same $(PYTHON)
endif

$(VENV)/.demo: $(UV) requirements/demo.txt $(MEMBERS:%=%/pyproject.toml)
	@echo "farseal: installing what the demo needs into $(VENV)"
	@$(UV) pip install --quiet --require-hashes -r requirements/demo.txt
	@$(UV) pip install --quiet --no-deps $(EDITABLE)
	@touch $@

$(VENV)/.dev: $(VENV)/.demo requirements/dev.txt
	@echo "farseal: installing the development tools into $(VENV)"
	@$(UV) pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/.demo ## start everything on an embedded PostgreSQL, play the tour, stay until Ctrl-C
	@exec $(BIN)/python -m demo

test: $(VENV)/.dev ## every test, with branch coverage
	@rm -f .coverage .coverage.*
	@status=0; $(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report= $(ARGS) || status=$$?; \
	$(BIN)/python -m scripts.coverage_floor $(if $(ARGS),--no-floor) && exit $$status

check: $(VENV)/.dev ## format, lint, types, shell scripts, import walls, dependencies, isolation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/shellcheck scripts/*.sh deploy/*/*.sh deploy/*/*/*.sh .ci/run
	$(BIN)/lint-imports
	$(BIN)/deptry demo tests scripts benchmarks soak
	@for m in $(MEMBERS); do (cd $$m && ../$(BIN)/deptry src) || exit 1; done
	$(BIN)/python -m scripts.walls
	$(BIN)/python -m scripts.isolation

fmt: $(VENV)/.dev ## format and fix what can be fixed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# Of the measurement of logouts: seconds between two looks of a server that polls, 1 to 10.
TTL ?= 1

bench: $(VENV)/.dev ## measure verification next to plain PyJWT, status lists, and logouts on the demo's stack
	@BENCH_TTL=$(TTL) $(BIN)/python -m benchmarks

# Of the soak: how long, how many requests in a second (0 for all that are answered), replicas, sessions of people at
# a time, 0 for no control.
SECONDS ?= 60
RATE ?= 0
REPLICAS ?= 3
SESSIONS ?= 20
CONTROL ?= 1

soak: $(VENV)/.dev ## kill replicas, rotate keys, end sessions under load: SECONDS, RATE, REPLICAS, SESSIONS, CONTROL=0
	@SOAK_SECONDS=$(SECONDS) SOAK_RATE=$(RATE) SOAK_REPLICAS=$(REPLICAS) SOAK_SESSIONS=$(SESSIONS) \
	SOAK_CONTROL=$(CONTROL) $(BIN)/python -m soak

base-images: ## where no image registry can be reached: make what stands for the base images
	@bash deploy/base-images/build.sh

# TLS=1 puts TLS before everything, with certificates of a CA of this installation's own.
TLS ?= 0
ifneq ($(filter-out 0,$(TLS)),)
export COMPOSE_FILE := compose.yaml:compose.tls.yaml
up: certificates
endif

certificates: secrets $(VENV)/.demo ## make the certificates of compose.tls.yaml in ./.secrets/tls, unless they are there
	@$(BIN)/python -m scripts.certificates

secrets: ## make the secrets of compose.yaml in ./.secrets, unless they are there
	@sh scripts/secrets.sh

up: secrets ## build and start compose.yaml, wait until all is healthy, say what to try; TLS=1 over https
	@sh scripts/up.sh

# VOLUMES=1 also removes what is stored: accounts, keys, notes.
down: ## stop and remove the containers of compose.yaml; VOLUMES=1 removes what is stored too
	@sh scripts/compose.sh down --remove-orphans $(if $(filter-out 0,$(VOLUMES)),--volumes)

logs: ## follow what the containers say
	@sh scripts/compose.sh logs --follow --tail 50

tour: $(VENV)/.demo ## the tour of the demo, played against containers of its own
	@exec $(BIN)/python -m demo.containers

system: $(VENV)/.dev ## the tests against real containers: isolation, faults, rotation, backup, upgrade
	@sh scripts/system.sh $(ARGS)

# Of the images that are here under FARSEAL_TAG, dev by default; IMAGES="keys seed" are some of them.
sbom: $(VENV)/.dev ## write what is inside each image into ./sbom, as CycloneDX
	@$(BIN)/python -m scripts.sbom $(IMAGES)

lock: $(UV) ## take the newest allowed versions into requirements/*.txt
	@sh scripts/lock.sh

clean: ## remove the environment, caches and the demo's state
	@if test -f $(VENV)/.demo; then $(BIN)/python -m demo.clean; fi
	rm -rf $(VENV) .cache .run sbom .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache uv.lock
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
