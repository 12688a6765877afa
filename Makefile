# Set-up and daily commands. `make test` and `make demo` need nothing but Python with venv, and a C++20 compiler.
#
#   make test        set up .venv and pass the tests      make test PYTEST_ARGS="tests/indexes -x"
#   make demo        set up .venv and run the main job    make demo DEMO_ARGS="--output demo-output"
#   make test-slow   the slow tests
#   make bench       measurements                         make bench BENCH_ARGS="NAME"
#   make lint        style; make format mends it
#   make typecheck   types
#   make wheel       source archive and wheel in dist/
#   make clean       remove all that these commands made
#
# Another interpreter: make test PYTHON=python3.12 VENV=.venv312

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=

PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --constraint constraints.txt

# A stamp says which set of packages $(VENV) holds. Python files are live in the editable install; only a change in
# the native sources or in the packaging makes it stale.
STAMPS := $(VENV)/.stamps
NATIVE := $(shell find cpp_ext -type f) pyproject.toml constraints.txt
CLANG_FORMAT := find cpp_ext -regex '.*[.]\(cpp\|cu\|h\)' -exec $(VENV)/bin/clang-format
BUILD_REQUIRES := scikit-build-core nanobind cmake ninja

# The tests' packages include the demo's: where they are installed, the demo does not install again.
DEMO_STAMP := $(if $(wildcard $(STAMPS)/test),$(STAMPS)/test,$(STAMPS)/demo)

.PHONY: test test-slow demo bench lint format typecheck wheel clean
.DELETE_ON_ERROR:

test: $(STAMPS)/test
	$(VENV)/bin/pytest $(PYTEST_ARGS)

test-slow: $(STAMPS)/test
	$(VENV)/bin/pytest -m slow $(PYTEST_ARGS)

demo: $(DEMO_STAMP)
	$(VENV)/bin/cluscomp demo $(DEMO_ARGS)

bench: $(STAMPS)/test
	$(VENV)/bin/cluscomp bench $(BENCH_ARGS)

lint: $(STAMPS)/style
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(CLANG_FORMAT) --dry-run --Werror {} +

format: $(STAMPS)/style
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format
	$(CLANG_FORMAT) -i {} +

# Type checkers cannot see through an editable install with mapped folders, so they get a farm of links that has the
# installed layout, with the stub of the native core that the build generated.
typecheck: $(STAMPS)/mypy
	rm -rf build/typecheck && mkdir -p build/typecheck/cluscomp
	ln -s $(CURDIR)/cluscomp/* $(CURDIR)/indexes $(CURDIR)/eval build/typecheck/cluscomp/
	ln -s "$$($(VENV)/bin/python -c 'import os.path, cluscomp._core as m; print(os.path.dirname(m.__file__))')"/_core.pyi \
	  build/typecheck/cluscomp/
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy tests/typing

# Source archive first, then the wheel from it: what the archive lacks, the wheel cannot have. Constraints reach the
# isolated build through the environment, which is the only way that pip hands them on.
wheel: $(STAMPS)/build
	rm -rf dist
	PIP_CONSTRAINT=constraints.txt $(VENV)/bin/python -m build

clean:
	rm -rf build dist $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/venv:
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS)
	touch $@

# Without build isolation the build folder stays valid, so that a change in one C++ file compiles one file; and the
# constraints hold for the build's own packages too.
$(STAMPS)/native-tools: constraints.txt | $(STAMPS)/venv
	$(INSTALL) --quiet $(BUILD_REQUIRES)
	touch $@

$(STAMPS)/test $(STAMPS)/demo: $(STAMPS)/native-tools $(NATIVE)
	@echo "Installing the packages for '$(notdir $@)' and compiling the native core: some minutes the first time"
	$(INSTALL) --no-build-isolation --editable '.[$(notdir $@)]'
	touch $@

$(STAMPS)/style: constraints.txt | $(STAMPS)/venv
	$(INSTALL) --quiet ruff clang-format
	touch $@

$(STAMPS)/mypy: constraints.txt | $(STAMPS)/test
	$(INSTALL) --quiet mypy
	touch $@

$(STAMPS)/build: constraints.txt | $(STAMPS)/venv
	$(INSTALL) --quiet build
	touch $@
