# `make demo` trains, scores and pictures a small model; `make test` runs every test. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test setup clean

test: setup
	$(RUN) -m pytest tests -q

demo: setup
	$(RUN) tools/make_demo.py --output output/demo

setup: $(VENV)/.installed

# Done anew only when what is to be installed has changed.
$(VENV)/.installed: requirements.txt setup.py tools/install_detectron2.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -r requirements.txt
	$(RUN) tools/install_detectron2.py
	$(RUN) -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) output
