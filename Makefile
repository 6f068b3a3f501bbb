# `make demo` scores and pictures the small model that comes along, `make train-demo` trains one first. `make check` reads
# the code, `make test-fast` runs what needs no training, `make test` does both and runs every test but the long ones,
# which `make test-long` runs. `make benchmark` measures anew what configs/README.md tells, in half an hour during which
# the machine must be free; it needs Stamps. Each sets up .venv first.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

# A worker a core, each with one thread: together they would otherwise fight for the cores.
WORKERS ?= 2
TEST := OMP_NUM_THREADS=1 $(RUN) -m pytest tests -q -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

BENCHMARK := $(RUN) tools/benchmark.py --write --config-file

.PHONY: demo train-demo benchmark check test-fast test test-long setup clean

check: setup
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

test-fast: setup
	$(TEST) -m "not slow and not long"

test: check
	$(TEST) -m "not long" --cov --durations 15

test-long: setup
	$(TEST) -m long --durations 15

demo: setup
	$(RUN) tools/make_demo.py --output output/demo

train-demo: setup
	$(RUN) tools/make_demo.py --output output/train-demo --train

benchmark: setup
	$(BENCHMARK) $(wildcard configs/avs_ms3_*.yaml) --runs 3 --pixel-decoder FPNPixelDecoder MSDeformAttnPixelDecoder
	$(BENCHMARK) $(wildcard configs/avs_*_R101.yaml configs/avs_*_swin_base.yaml) --measure waits
	$(BENCHMARK) configs/avs_s4_R50.yaml configs/avs_s4_R101.yaml --measure evaluation --runs 1 -- \
		DATASETS.TEST "('stamps_s4_test',)"
	$(BENCHMARK) configs/stamps/stamps_s4_R18.yaml configs/stamps/stamps_ms3_R18.yaml --measure loading --runs 3
	OMP_NUM_THREADS=1 $(BENCHMARK) stamps_ms3_lite0 --measure engines --runs 3
	$(BENCHMARK) stamps_ms3_lite0 --measure video --runs 3

setup: $(VENV)/.installed

# Done anew only when what is to be installed has changed. TrackEval comes without what it asks for: all of it is there, but
# for opencv-python, which would overwrite opencv-python-headless.
$(VENV)/.installed: requirements.txt pyproject.toml setup.py tools/install_detectron2.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -r requirements.txt
	$(RUN) tools/install_detectron2.py
	$(RUN) -m pip install --quiet --no-deps trackeval==1.3.0 --editable .
	touch $@

clean:
	rm -rf $(VENV) output build dist
