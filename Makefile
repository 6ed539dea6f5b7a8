# Vision SmolMamba for Loihi 2. `make` lists what there is.

PYTHON  ?= python3
DATASET ?= digits
PRESET  ?= small
NAME    ?= $(DATASET)-$(PRESET)
NPROC   ?= 1
N       ?= 1000
VENV    := .venv
PY      := $(VENV)/bin/python
STAMP   := $(VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test coverage lint types docs train bench kills soak gpu fuzz audit clean

help:
	@echo 'make demo     install, train a small model, export it, run it in the Lava simulator, write runs/demo/report.html'
	@echo 'make test     install, run the tests (ARGS="-m \"not slow\"" and the like go to pytest)'
	@echo 'make coverage install, run the tests, say which lines of sim and convert none of them runs'
	@echo 'make lint     install, check style, format and types'
	@echo 'make types    install, check types alone (pyright)'
	@echo 'make docs     install, build the documentation as a site in site/'
	@echo 'make train    install, train: DATASET=$(DATASET) PRESET=$(PRESET) NAME=$(NAME) DATA_ROOT=folder NPROC=processes ARGS="more options"'
	@echo 'make bench    install, run the benchmarks (ARGS="options")'
	@echo 'make kills    install, end commands at random moments and look at what they leave (ARGS="--n 40")'
	@echo 'make soak     install, run Lava many times in a row and look at what grows (ARGS="--n 300")'
	@echo 'make gpu      install, check and measure what takes a GPU with CUDA, in less than ten minutes'
	@echo 'make fuzz     install, read N=$(N) damaged files of every kind, within limits of memory and time (ARGS="--kinds net nir")'
	@echo 'make audit    install bandit and pip-audit beside it, look for what is unsafe in the code and in what it needs (takes a network)'
	@echo 'make setup    make $(VENV) and install everything: PYTHON=python3.11 chooses another Python, 3.10 to 3.13 (after make clean)'
	@echo 'make clean    remove $(VENV) and caches; runs/ and data/ stay'

setup: $(STAMP)

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
	  echo 'make: "$(PYTHON)" is not a Python 3.10 to 3.13, which is needed ('"$$($(PYTHON) --version 2>&1 | head -n 1)"').' \
	       'Name one: make PYTHON=python3.11 $(MAKECMDGOALS)' >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

# The Lava wheels pin versions that no longer exist together; what they need is in pyproject.toml.
$(STAMP): pyproject.toml constraints.txt | $(PY)
	@echo 'Installing into $(VENV): 3 GB with a CPU build of torch, 6 GB with CUDA; takes minutes the first time'
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-warn-conflicts -c constraints.txt -e '.[train,test]'
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python -c constraints.txt lava-nc lava-dl
	@touch $@
	@echo 'Installed'

# The whole way, step by step, on the embedded data.
demo: setup
	$(PY) -m train --dataset digits --preset tiny --name demo
	$(PY) -m convert export runs/demo/model.pt
	$(PY) -m deploy report runs/demo/model.net

# Side by side on all cores (tests/conftest.py says how many); ARGS="-n 0": one after the other, in one process.
test: setup
	@$(PY) -m pytest -n auto --dist worksteal $(ARGS)

coverage: setup
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-warn-conflicts -c constraints.txt -e '.[coverage]'
	@$(PY) -m coverage erase
	@$(PY) -m coverage run -m pytest -n auto --dist worksteal $(ARGS)
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report

lint: setup
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m pyright

types: setup
	@$(PY) -m pyright

docs: setup
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-warn-conflicts -c constraints.txt -e '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo 'Built site/index.html'

train: setup
	@$(if $(filter-out 1,$(NPROC)),$(PY) -m torch.distributed.run --standalone --nproc-per-node $(NPROC) -m train,$(PY) -m train) --dataset $(DATASET) --preset $(PRESET) --name $(NAME) $(if $(DATA_ROOT),--data-root "$(DATA_ROOT)") $(ARGS)

bench: setup
	@$(PY) -m bench $(ARGS)

fuzz: setup
	@PYTHONPATH=.:tests OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(PY) -m fuzz -n $(N) $(ARGS)

kills: setup
	@$(PY) -m bench.kills $(ARGS)

soak: setup
	@$(PY) -m bench.soak $(ARGS)

# In an environment of its own: what audits is not part of what is audited.
audit: setup
	@$(PY) -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check 'bandit[toml]>=1.8' 'pip-audit>=2.7'
	@$(VENV)/audit/bin/bandit --quiet -c pyproject.toml -r sim events train convert deploy smolmamba bench
	@$(PY) -m pip freeze --exclude-editable | sed 's/+cpu$$//' > $(VENV)/installed.txt
	@$(VENV)/audit/bin/pip-audit --no-deps --disable-pip -r $(VENV)/installed.txt

gpu: setup
	@$(PY) -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { \
	  echo 'make gpu: torch finds no GPU with CUDA on this machine; nothing was checked' >&2; exit 1; }
	@timeout 360 $(PY) -m pytest tests/train/test_cuda.py tests/train/test_dynamics_cuda.py
	@timeout 230 $(PY) -m bench --only training --quick

clean:
	@rm -rf $(VENV) build site *.egg-info .pytest_cache .hypothesis .ruff_cache .coverage .coverage.*
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
