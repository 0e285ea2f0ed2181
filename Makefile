# Two commands: `make demo` runs the main job on embedded data, `make test` passes the tests. Both set up .venv first.
PYTHON ?= python3.11
VENV := .venv
NEWEST := .venv-newest
LITERT := .venv-litert
WEB := .venv-web
DOCS := .venv-docs
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# every extra that installs beside the others on any machine; `gpu` does not, see docs/how-to/gpu.md
EXTRAS := mobile,ncnn,openvino,coreml,loadgen,mlflow,detection,hf-data,dev
# what `make check` compares with: a commit or a branch
BASE ?= HEAD
# the environment whose libraries `make lock` writes down
FROM ?= $(VENV)
# errors are shown, warnings are not: pip repeats those about places that hold no index for every library
PIP = -m pip install -qq --disable-pip-version-check
# a file's tests share what they set up, so they stay in one process; each has one thread, and the cores are shared;
# files come in the order of their folders: by the number of their tests, long ones with few tests would come last;
# a process that crashes ends the run and names its test: pytest-xdist 3.8 may wait for ever after it starts another
PARALLEL = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# $(call timed,what is done,command) says what is done, and then how many seconds it took
timed = @printf '   %-51s ' '$(1)'; began=$$(date +%s); $(2) && echo "$$(($$(date +%s) - began)) s"

.PHONY: venv venv-newest venv-litert venv-web lock demo test test-newest check lint types arrows docs slow bench gpu clean help

help:
	@echo "make demo   set up .venv, compress, export, measure, gate, report and pack the embedded digits task"
	@echo "make test   set up .venv and run the tests"
	@echo "make check  lint, types, arrows and the tests that touch what changed since BASE (default: the last commit)"
	@echo "make lint | types | arrows   ruff | mypy --strict | import rules"
	@echo "make slow   the long tests (they use real data where TIGHTSHIP_DATA names it)"
	@echo "make bench  the benchmark suites (pytest-benchmark)"
	@echo "make docs   set up .venv-docs and build the documentation into docs/_build/html; a broken link is an error"
	@echo "make venv   set up .venv with every extra that runs on this machine, in the versions of constraints.txt"
	@echo "make venv-newest | test-newest   .venv-newest with the newest libraries that pyproject.toml allows | the tests there"
	@echo "make lock   write constraints.txt from .venv, or from another environment: make lock FROM=.venv-newest"
	@echo "make venv-litert  set up .venv-litert, where target litert-xnnpack runs"
	@echo "make venv-web  set up .venv-web, which holds ONNX Runtime for browsers (needs npm; running it needs Chromium)"

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "== setting up $(VENV) (a few minutes the first time)"
	$(call timed,an environment of $(PYTHON),{ test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); })
	$(call timed,PyTorch,$(BIN)/python $(PIP) -c constraints.txt torch)
	$(call timed,the other libraries and tightship itself,$(BIN)/python $(PIP) -c constraints.txt -e ".[$(EXTRAS)]")
	@touch $(STAMP)

# the newest is another one every day, so this has no stamp
venv-newest:
	@echo "== setting up $(NEWEST) (a few minutes the first time)"
	$(call timed,an environment of $(PYTHON),{ test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST); })
	$(call timed,the newest libraries and tightship itself,$(NEWEST)/bin/python $(PIP) -U --upgrade-strategy eager -e ".[$(EXTRAS)]")
	@$(NEWEST)/bin/python -m pip freeze --exclude-editable | sed 's/+.*//' | diff - constraints.txt | grep '^[<>] [^#]' || echo "   as in constraints.txt"

# an index has the versions without the tag of a build, such as +cpu
lock:
	@$(FROM)/bin/python -m pip freeze --exclude-editable > $(FROM)/freeze.txt
	@! grep ' @ ' $(FROM)/freeze.txt || { echo "these were installed from a place of their own: no index has them"; exit 1; }
	@{ grep '^#' constraints.txt; sed 's/+.*//' $(FROM)/freeze.txt; } > $(FROM)/constraints.txt
	@cp $(FROM)/constraints.txt constraints.txt
	@git diff --stat constraints.txt

# LiteRT downgrades libraries of ours, so it has an environment of its own
venv-litert: $(LITERT)/.installed

$(LITERT)/.installed:
	@echo "== setting up $(LITERT) (a few minutes the first time)"
	$(call timed,an environment of $(PYTHON),{ test -x $(LITERT)/bin/python || $(PYTHON) -m venv $(LITERT); })
	$(call timed,PyTorch and LiteRT,$(LITERT)/bin/python $(PIP) "torch==2.13.0" "litert-torch==0.10.0" "ai-edge-litert==2.3.0")
	@touch $(LITERT)/.installed

# the same version as WEB in artifacts/environments.py, which a test holds it to
venv-web: $(WEB)/.installed

$(WEB)/.installed:
	@echo "== setting up $(WEB)"
	$(call timed,ONNX Runtime for browsers,npm install onnxruntime-web@1.30.0 --silent --ignore-scripts --no-audit --no-fund --prefix $(WEB))
	@touch $(WEB)/.installed

demo: venv
	@echo "== running recipes/digits.yaml"
	$(BIN)/tightship run recipes/digits.yaml

test: venv
	@echo "== running the tests, a process for each core"
	$(PARALLEL)

test-newest: BIN := $(NEWEST)/bin
test-newest: venv-newest
	@echo "== running the tests with the newest libraries"
	$(PARALLEL)

# pytest's exit code 5 says that all of the tests are long ones, which `make slow` runs
check: lint types arrows
	@echo "== running the tests that touch what changed since $(BASE)"
	@tests="$$($(BIN)/python .ci/changed_tests.py $(BASE))" || exit; \
	if [ -z "$$tests" ]; then echo "nothing changed that a test touches"; else echo "$$tests"; $(PARALLEL) $$tests || [ $$? = 5 ]; fi

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
	@echo "== setting up $(DOCS)"
	$(call timed,an environment of $(PYTHON),{ test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS); })
	$(call timed,a pip that knows dependency groups,$(DOCS)/bin/python $(PIP) --upgrade "pip>=25.1")
	$(call timed,Sphinx and its theme,$(DOCS)/bin/python $(PIP) --group docs)
	$(call timed,tightship without its dependencies,$(DOCS)/bin/python $(PIP) --no-deps --editable .)
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
	rm -rf $(VENV) $(NEWEST) $(DOCS) docs/_build .tightship runs dist .mypy_cache .ruff_cache .pytest_cache
