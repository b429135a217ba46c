# make help lists the targets. Everything is installed into .venv; nothing else is touched.

PYTHON ?=
PIP_ARGS ?=
ARGS ?=

CANDIDATES := $(if $(PYTHON),'$(PYTHON)',python3.13 python3.12 python3.11 python3 python)
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS)
SOURCES := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-extension test-browser kernels soak stories check docs bench clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24
	@echo
	@echo '  PYTHON=/path/to/python chooses the Python (3.11 or newer) that .venv is made from.'
	@echo '  PIP_ARGS=... goes to pip install; ARGS=... to pytest, to the demo or to the benchmarks.'

demo: $(VENV)/installed ## install and run a whole study on the embedded base and data
	@$(BIN)/bakeoff run $(ARGS)

# A test that hangs ends its process with the stacks of all threads, and is named.
ENDS := -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true
# Where there are several processes it would be begun again, eight times.
ONCE := --max-worker-restart=0

test: $(VENV)/installed-dev ## install and run the tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder \
	    -m "not browser and not soak" $(ENDS) $(ONCE) $(ARGS)

test-extension: $(VENV)/installed-dev ## install examples/extension into build/ and run its tests
	@rm -rf build/extension && mkdir -p build && cp -r examples/extension build/extension
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
	    --no-build-isolation --target build/extension/site build/extension
	@cd build/extension && OMP_NUM_THREADS=1 PYTHONPATH=site ../../$(BIN)/python -m pytest -q tests $(ENDS) $(ARGS)

test-browser: $(VENV)/installed-browser ## test the report and the playground in Chromium, which must be installed
	@BAKEOFF_BROWSER=required $(BIN)/python -m pytest -n auto --dist loadscope -m browser \
	    tests/report tests/serve tests/documents tests/audits $(ENDS) $(ONCE) $(ARGS)

# Beside the rest: where Triton can be imported, every start of PyTorch would import it.
TRITON := build/triton/3.9.0
$(TRITON):
	@echo 'Installing Triton into $(TRITON) ...'
	@rm -rf build/triton && $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --no-deps --only-binary :all: --target $(TRITON).part triton==$(notdir $(TRITON)) && mv $(TRITON).part $@

kernels: $(VENV)/installed-dev | $(TRITON) ## compile the Triton kernels for four kinds of cards, and test them interpreted
	@OMP_NUM_THREADS=1 TRITON_INTERPRET=1 PYTHONPATH=$(TRITON) $(BIN)/python -m pytest -q \
	    tests/base/kernels/test_triton_kernels.py $(ENDS) $(ARGS)
	@TRITON_DEFAULT_FP_FUSION=1 PYTHONPATH=$(TRITON) $(BIN)/python -m tools.compile_kernels

soak: $(VENV)/installed-dev ## the long tests: the campaign of faults, all of fake CUDA, the GPU campaign's dry run
	@seed=$$(date +%s); echo "kills drawn with BAKEOFF_KILL_SEED=$$seed"; \
	    OMP_NUM_THREADS=1 BAKEOFF_KILLS=20 BAKEOFF_KILL_SEED=$$seed \
	    $(BIN)/python -m pytest tests/execution/test_kill.py $(ARGS)
	@BAKEOFF_FAKE_CUDA=full $(BIN)/python -m pytest tests/fake_cuda tests/benchmarks/test_campaign.py $(ARGS)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m soak $(ARGS)
	@$(BIN)/python -m tests.faults.soak

stories: $(VENV)/installed-dev ## follow all tutorials (from the sources), notebooks and stories (from the installed wheel)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile tests/tutorials tests/stories $(ARGS)

check: $(VENV)/installed-dev ## lint, format, types and import contracts
	@echo 'ruff check';    $(BIN)/ruff check .
	@echo 'ruff format';   $(BIN)/ruff format --check .
	@echo 'mypy';          $(BIN)/mypy
	@echo 'import-linter'; $(BIN)/lint-imports

docs: $(VENV)/installed-docs ## build the documentation site into build/site, strictly
	@$(BIN)/python -m tools.documents

bench: $(VENV)/installed ## measure speed and memory against plain Transformers, briefly
	@set -e; for part in train generate study; do \
	    echo "benchmarks/$$part.py" >&2; \
	    $(BIN)/python benchmarks/$$part.py --quick --device cpu $(ARGS); \
	done

clean: ## remove caches and built packages; .venv and runs/ stay
	rm -rf build dist .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: $(SOURCES) | $(VENV)/ready
	@echo 'Installing bakeoff and its libraries into $(VENV) (some minutes the first time) ...'
	@$(PIP_INSTALL) -e .
	@touch $@

# The tools come on top of the package, so the package needs no second installation for the demo.
$(VENV)/installed-dev: $(SOURCES) | $(VENV)/ready
	@echo 'Installing bakeoff, its libraries and its tools into $(VENV) (some minutes the first time) ...'
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $(VENV)/installed $@

$(VENV)/installed-browser: $(SOURCES) | $(VENV)/ready
	@echo 'Installing bakeoff, its libraries, its tools and Playwright into $(VENV) ...'
	@$(PIP_INSTALL) -e '.[dev,browser]'
	@touch $(VENV)/installed $(VENV)/installed-dev $@

$(VENV)/installed-docs: $(SOURCES) | $(VENV)/ready
	@echo 'Installing bakeoff, its libraries and the builder of its site into $(VENV) ...'
	@$(PIP_INSTALL) -e '.[docs]'
	@touch $(VENV)/installed $@

$(VENV)/ready:
	@set -e; python=; old=; \
	for candidate in $(CANDIDATES); do \
	    "$$candidate" -c '' 2>/dev/null || continue; \
	    "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { old="$$candidate"; continue; }; \
	    python="$$candidate"; \
	    "$$candidate" -c 'import venv, ensurepip' 2>/dev/null && break; \
	done; \
	if [ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    touch $@; exit 0; \
	fi; \
	if [ -z "$$python" ]; then \
	    echo "bakeoff needs Python 3.11 or newer; found $${old:+only an older }$${old:-none}." >&2; \
	    echo 'Install it, or name it: make PYTHON=/path/to/python ...' >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
	    echo "$$python cannot make virtual environments: its venv module is not installed." >&2; \
	    echo 'On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$python --version) ..."; \
	"$$python" -m venv $(VENV); \
	touch $@
