# make check: is what this dossier says true? Needs Python 3.10 to 3.13 and requirements.txt; make setup makes .venv with it.
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)

.PHONY: check setup lava

check:
	@$(PYTHON) -c 'import click, h5py, numba, numpy, rich, scipy, threadpoolctl' || { \
	  echo 'make check: packages of requirements.txt are missing; make setup installs them into .venv' >&2; exit 2; }
	@PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m deploy.report.dossier.recheck .

setup:
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet -r requirements.txt

# Lava's own pins cannot be met any more, so that it goes in without them.
lava: setup
	.venv/bin/python -m pip install --quiet -r requirements-lava.txt
	.venv/bin/python -m pip install --quiet --no-deps --ignore-requires-python lava-nc==@@LAVA@@
