# Every target does the set-up that it needs, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORES  ?= $(shell getconf _NPROCESSORS_ONLN)
BIN    := .venv/bin
READY  := .venv/.ready

.PHONY: setup demo test benchmark lint schemas clean

setup: $(READY)  # .venv alone

demo: $(READY)  # the whole workflow on a generated small world
	$(BIN)/snakemake --configfile config/demo.yaml --cores $(CORES) all
	@echo "Open results/demo/scorecard.html"

# In the files' order: by default those with few tests come last, and the longest files have few.
test: $(READY)  # the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses $(CORES) --dist loadfile --no-loadscope-reorder

benchmark: $(READY)  # what GenRec's sequence models cost here: an epoch, a step and its floor, a ranking, memory
	$(BIN)/snakemake --cores 1 results/genrec/beauty/data/check.json
	$(BIN)/python -m reprise benchmark genrec beauty all sound --epochs 1 --repeats 1

lint: $(READY)  # style of the code and of the workflow
	$(BIN)/ruff check workflow tests
	$(BIN)/snakemake --lint

schemas: $(READY)  # workflow/schemas, from the classes that check
	$(BIN)/python -m reprise.schemas

clean:  # what the demo and the tests leave behind; never data, results or the store of runs
	rm -rf results/demo .pytest_cache .ruff_cache

$(READY): envs/requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.txt
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@
