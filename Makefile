# `make demo` scores and pictures the small model that comes along, `make train-demo` trains one first. `make check` reads
# the code, `make test-fast` runs what needs no training, `make test` does both and runs every test but the long ones,
# which `make test-long` runs. Each sets up .venv first.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

# A worker a core, each with one thread: together they would otherwise fight for the cores.
WORKERS ?= 2
TEST := OMP_NUM_THREADS=1 $(RUN) -m pytest tests -q -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

.PHONY: demo train-demo check test-fast test test-long setup clean

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
