# `make study` and `make test` are README.md's two commands; `make help` lists the rest.
# Everything is installed into .venv; nothing here calls apt.
SHELL := /bin/bash
PYTHON ?= python3
CXX ?= g++
VENV ?= .venv
WITH ?=
ARGS ?=

comma := ,
empty :=
space := $(empty) $(empty)
bin := $(VENV)/bin
cpp_sources := $(shell find cpp -name '*.cpp' -o -name '*.hpp' -o -name CMakeLists.txt)
build_inputs := pyproject.toml constraints.txt CMakeLists.txt $(cpp_sources)
# The stamp of an installation with extras: .venv/.installed-test-torch and so on.
stamp = $(VENV)/.installed-$(subst $(space),-,$(sort $(1) $(subst $(comma),$(space),$(WITH))))

.DEFAULT_GOAL := help
.PHONY: help prerequisites install study test test-long bench lint native docs findings clean

help:
	@echo 'make study       install into .venv (downloads about 130 MB) and run the main job: a federated'
	@echo '                 study on 569 real patients; writes study-breast-cancer/report.html'
	@echo 'make test        install into .venv (about 190 MB) and run the tests, C++ tests among them'
	@echo 'make install     only install what `make test` needs'
	@echo 'make test-long   the long statistics and scale runs'
	@echo 'make bench       measure Veil beside its peers (adds 0.4 to 3 GB: torch, Flower, Opacus, OpenDP)'
	@echo 'make lint        ruff, mypy, numpydoc, clang-format, clang-tidy'
	@echo 'make native      C++ tests as debug, under sanitizers, and for aarch64 under qemu'
	@echo 'make docs        the documentation, into docs/_build/html'
	@echo 'make findings    what surprised us in other packages: each installs its own, and says if it changed'
	@echo 'make clean       remove .venv and everything that was built'
	@echo
	@echo 'WITH=torch,flower  add extras (torch: 0.2 to 2.7 GB, as the platform has it; `make study` then'
	@echo '                   studies a perceptron too, and trains a CNN on X-rays if VEIL_DATA_DIR has them)'
	@echo 'PYTHON=python3.12  choose the interpreter      ARGS="..."  pass options to the command'

# One line that says what is missing; everything else comes from PyPI.
prerequisites:
	@set -u; missing=; name=$$(basename '$(PYTHON)'); \
	[[ $$name =~ ^python3(\.[0-9]+)?$$ ]] || name=python3; \
	if ! command -v '$(PYTHON)' >/dev/null; then missing="$$name $$name-venv $$name-dev"; \
	elif ! '$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then \
	  echo "Veil needs CPython 3.10 or newer and found $$('$(PYTHON)' -V 2>&1); set PYTHON=python3.X"; exit 1; \
	else \
	  '$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || missing="$$name-venv"; \
	  '$(PYTHON)' -c 'import pathlib, sys, sysconfig; sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())' \
	    || missing="$$missing $$name-dev"; \
	fi; \
	command -v '$(CXX)' >/dev/null || missing="$$missing g++"; \
	if [[ -n $$missing ]]; then \
	  printf 'Something is missing on this machine. Run this, then make again:\n\n    sudo apt install %s\n\n' "$$(echo $$missing)"; exit 1; \
	fi

$(bin)/python: | prerequisites
	@echo 'Creating $(VENV) with $(PYTHON)'
	@'$(PYTHON)' -m venv '$(VENV)'

# Constraints hold for Veil's dependencies and for the build's own.
$(VENV)/.installed-%: $(build_inputs) | $(bin)/python
	@echo 'Compiling Veil and installing it into $(VENV) with the extras $(subst -,$(comma) ,$*)'
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
	  CXX='$(CXX)' '$(bin)/python' -m pip install --quiet --editable '.[$(subst -,$(comma),$*)]'
	@touch '$@'

install: $(call stamp,test)

study: $(call stamp,study)
	'$(bin)/veil' study --out study-breast-cancer $(ARGS)
ifneq (,$(filter torch,$(subst $(comma),$(space),$(WITH))))
	'$(bin)/veil' study --task mlp --out study-breast-cancer-mlp $(ARGS)
	@if [[ -f "$${VEIL_DATA_DIR:-}/pneumonia/pneumoniamnist.npz" ]]; then '$(bin)/python' examples/xray_cnn.py; \
	else echo 'CNN: set VEIL_DATA_DIR to a folder with pneumonia/pneumoniamnist.npz (PneumoniaMNIST, MedMNIST v2) to train it'; fi
endif

test: $(call stamp,test)
	'$(bin)/python' -m pytest $(ARGS)

test-long: $(call stamp,test)
	'$(bin)/python' -m pytest -m long $(ARGS)

bench: $(call stamp,test bench)
	mkdir -p build
	'$(bin)/python' -m pytest bench --benchmark-only --benchmark-json=build/bench.json -q $(ARGS)
	'$(bin)/python' bench/report.py build/bench.json docs/benchmarks.md

lint: $(call stamp,test dev)
	'$(bin)/ruff' check .
	'$(bin)/ruff' format --check .
	'$(bin)/mypy'
	'$(bin)/numpydoc' lint $$(find python/veil -name '*.py')
	'$(bin)/clang-format' --dry-run --Werror $$(find cpp -name '*.cpp' -o -name '*.hpp')
	'$(bin)/cmake' -S . -B build/lint -G Ninja -DVEIL_UNITY=OFF -DCMAKE_MAKE_PROGRAM='$(abspath $(bin))/ninja' \
	  -DPython_EXECUTABLE='$(abspath $(bin))/python' \
	  -Dpybind11_DIR="$$('$(bin)/python' -m pybind11 --cmakedir)" >/dev/null
	find cpp/src cpp/bindings -name '*.cpp' -print0 | \
	  xargs -0 -n 1 -P 2 '$(bin)/clang-tidy' -p build/lint --quiet

# `make test` runs the release preset: C++ tests, nm gate, and secrets under valgrind.
native: $(call stamp,test dev)
	set -e; export PATH='$(abspath $(bin))':$$PATH; for preset in debug sanitize aarch64; do \
	  cmake --preset $$preset >/dev/null; cmake --build build/$$preset; \
	  ctest --test-dir build/$$preset --output-on-failure --no-tests=error; \
	done

docs: $(call stamp,test docs)
	'$(bin)/sphinx-build' -W --keep-going -q docs docs/_build/html
	@echo 'Open docs/_build/html/index.html'

# Not part of the tests: each script installs pinned packages into a folder of its own.
findings:
	@failed=0; for script in findings/*.sh; do echo "== $$script"; bash "$$script" || failed=1; done; exit $$failed

clean:
	rm -rf '$(VENV)' build dist docs/_build .pytest_cache .hypothesis .mypy_cache .ruff_cache .benchmarks
