# From a fresh clone, with Python >= 3.11 and git:
#   make demo      set up, factorize the example, write demo/report.html
#   make test      set up, lint, check the plugin's manifest, run the quick tests
#   make test-all  the same with the slow tests
#   make lint      formatting, ruff, mypy
#   make bench     print the performance table
#   make screenshots   the pictures of the plugin in docs
#   make clean     remove the environment and everything that was built
# WORKERS=4 runs the tests in so many processes (2 if not given).
# TORCH=cuda takes torch as pip finds it, CUDA included, instead of a build for the CPU.

TORCH ?= cpu
WORKERS ?= 2
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready-$(TORCH)

ifeq ($(TORCH),cpu)
CONSTRAINTS := constraints-cpu.txt
else ifneq ($(TORCH),cuda)
$(error TORCH is '$(TORCH)'; it must be 'cpu' or 'cuda')
endif

# Qt's "offscreen" platform has no OpenGL and fails as soon as a layer is added.
unexport QT_QPA_PLATFORM

.DELETE_ON_ERROR:
.PHONY: setup demo test test-all lint manifest screenshots bench clean

setup: $(READY)

demo: $(READY)
	$(BIN)/dsfunet demo

test: lint manifest
	$(PYTEST) -m "not slow"
	$(OTHER_QT) -m "not slow"

test-all: lint manifest
	$(PYTEST)
	$(OTHER_QT)

# Processes side by side, each with one thread: small tests make little use of more.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# The plugin's window once more, with the other binding; users have either.
OTHER_QT = QT_API=pyside6 $(PYTEST) -o qt_api=pyside6 \
	$(addprefix tests/napari/test_,docks.py screenshot.py)

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

manifest: $(READY)
	$(BIN)/npe2 validate --imports napari-dsfunet

screenshots: $(READY)
	xvfb-run -a -s "-screen 0 1600x1000x24" $(BIN)/python docs/make_screenshots.py

bench: $(READY)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf src/napari_dsfunet/napari.yaml src/napari_dsfunet/docs

# Each step leaves a stamp in the environment; the next run skips it.

$(VENV)/system-packages: scripts/system-packages
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one: make PYTHON=..."; exit 1; }
	scripts/system-packages $(PYTHON)
	@mkdir -p $(VENV) && touch $@

$(VENV)/created: $(VENV)/system-packages
	$(PYTHON) -m venv $(VENV)
	@touch $@

# A change from one kind of torch to the other starts by taking the old one out: to pip
# both are the same version.
$(READY): pyproject.toml hatch_build.py $(CONSTRAINTS) $(VENV)/created
	@if ls $(VENV)/ready-* 2>/dev/null | grep -qvx $@; then \
		$(BIN)/python -m pip uninstall -qq -y torch triton; rm -f $(VENV)/ready-*; fi
	@echo "Installing into $(VENV) (torch: $(TORCH)); the first time takes a few minutes."
	@$(BIN)/python -m pip install -qq $(CONSTRAINTS:%=-c %) -e '.[all,train,dev]' || { \
		test "$(TORCH)" = cpu || exit 1; \
		echo "That did not work, most likely because pip sees no build of torch for the CPU alone."; \
		echo "Trying again with the build that pip finds, which can be several GB in size."; \
		$(BIN)/python -m pip install -qq -e '.[all,train,dev]'; }
	@touch $@
