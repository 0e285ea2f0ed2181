# Two commands: `make demo` runs the main job on embedded data, `make test` passes the tests. Both set up .venv first.
PYTHON ?= python3.11
VENV := .venv
LITERT := .venv-litert
WEB := .venv-web
DOCS := .venv-docs
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# a file's tests share what they set up, so they stay in one process; each has one thread, and the cores are shared;
# files come in the order of their folders: by the number of their tests, long ones with few tests would come last;
# a process that crashes ends the run and names its test: pytest-xdist 3.8 may wait for ever after it starts another
PARALLEL := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.PHONY: venv venv-litert venv-web demo test lint types arrows docs slow bench gpu clean help

help:
	@echo "make demo   set up .venv, compress, export, measure, gate, report and pack the embedded digits task"
	@echo "make test   set up .venv and run the tests"
	@echo "make venv   set up .venv with every extra that runs on this machine"
	@echo "make venv-litert  set up .venv-litert, where target litert-xnnpack runs"
	@echo "make venv-web  set up .venv-web, which holds ONNX Runtime for browsers (needs npm; running it needs Chromium)"
	@echo "make lint | types | arrows   ruff | mypy --strict | import rules"
	@echo "make docs   set up .venv-docs and build the documentation into docs/_build/html; a broken link is an error"
	@echo "make bench  the benchmark suites (pytest-benchmark)"
	@echo "make slow   the long tests (they use real data where TIGHTSHIP_DATA names it)"

venv: $(STAMP)

$(STAMP): pyproject.toml
	@echo "== setting up $(VENV) (PyTorch and the mobile extra: a few minutes)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[mobile,ncnn,openvino,coreml,loadgen,mlflow,dev]"
	@touch $(STAMP)

# LiteRT downgrades libraries of ours, so it has an environment of its own
venv-litert: $(LITERT)/.installed

$(LITERT)/.installed:
	@echo "== setting up $(LITERT) (LiteRT's converter and interpreter: a few minutes)"
	test -x $(LITERT)/bin/python || $(PYTHON) -m venv $(LITERT)
	$(LITERT)/bin/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0" "litert-torch==0.10.0" "ai-edge-litert==2.3.0"
	@touch $(LITERT)/.installed

# the same version as WEB in artifacts/environments.py, which a test holds it to
venv-web: $(WEB)/.installed

$(WEB)/.installed:
	@echo "== setting up $(WEB) (ONNX Runtime for browsers)"
	npm install --ignore-scripts --no-audit --no-fund --prefix $(WEB) onnxruntime-web@1.30.0
	@touch $(WEB)/.installed

demo: venv
	@echo "== running recipes/digits.yaml"
	$(BIN)/tightship run recipes/digits.yaml

test: venv
	@echo "== running the tests, a process for each core"
	$(PARALLEL)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv
	$(BIN)/mypy
	$(BIN)/mypy docs/generate.py docs/source_pages.py

arrows: venv
	$(BIN)/lint-imports

# the site's own environment: what it imports of ours (recipe, verbs) needs neither PyTorch nor a runtime
$(DOCS)/.installed: pyproject.toml
	@echo "== setting up $(DOCS) (Sphinx: under a minute)"
	test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --group docs
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(DOCS)/.installed

# every warning is an error: a link, an anchor or a page that is missing, and a page that no other leads to
docs: $(DOCS)/.installed
	$(DOCS)/bin/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet --builder html docs docs/_build/html
	@echo "== docs/_build/html/index.html"

slow: venv
	$(PARALLEL) -m "slow and not gpu" --durations=15

bench: venv
	$(BIN)/python -m pytest -q -m "not gpu" -rP benchmarks/suites

gpu: venv
	$(BIN)/python -m pytest -q -m gpu tests/gpu

clean:
	rm -rf $(VENV) .tightship runs dist .mypy_cache .ruff_cache .pytest_cache
