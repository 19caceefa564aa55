# Each command sets itself up: .venv has requirements.txt for train and page, and requirements-dev.txt for the others.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: train page page-files test lint tour clean

train: $(VENV)/ready
	$(RUN) experiment.py

page: $(VENV)/ready
	$(RUN) explore.py --serve

page-files: $(VENV)/ready
	for name in $(patsubst pretrained/%/SHA256SUMS,%,$(wildcard pretrained/*/SHA256SUMS)); do \
		$(RUN) explore.py --checkpoint=pretrained:$$name --export_page=dist/page/$$name.html || exit 1; \
	done

test: $(VENV)/ready-dev
	$(RUN) -m pytest -n 2 --dist=loadfile --no-loadscope-reorder

lint: $(VENV)/ready-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

$(VENV)/ready: requirements.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else "Python 3.11, 3.12 or 3.13 is needed, this is %d.%d. Name one: make PYTHON=python3.12 ..." % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/ready-dev: requirements-dev.txt $(VENV)/ready
	$(RUN) -m pip install --quiet -r requirements-dev.txt
	touch $@

tour: $(VENV)/ready-dev
	$(RUN) -m pip install --quiet 'jupytext>=1.16,<2' 'nbconvert>=7,<8' 'ipykernel>=6,<8'
	$(RUN) -m jupytext --to ipynb --set-kernel python3 --execute examples/tour.py

clean:
	rm -rf $(VENV) runs build dist *.egg-info
