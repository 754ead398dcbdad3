PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
ONLY ?=
# Processes that share the tests.
JOBS ?= 3
# What is imported is compiled once and kept: the tests start many processes, and each would compile all of it again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test bench chaos check types lint whole collect lock install install-dev
.DEFAULT_GOAL := demo

# A stamp of the lock file: the second run of any target starts at once.
.venv/installed: requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

install: .venv/installed
install-dev: .venv/installed-dev

demo: install
	@$(BIN)/python manage.py demo $(ARGS)

test: install-dev
	$(BIN)/python -m pytest -n $(JOBS) --dist load $(ARGS)

bench: install-dev
	@$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

chaos: install-dev
	@$(BIN)/python -m tests.chaos $(if $(ONLY),--only $(ONLY)) $(ARGS)

# Types take longest, on one core: the others are done beside them.
check: install-dev
	@$(MAKE) --no-print-directory -j2 types lint whole collect

types:
	$(BIN)/mypy .

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

whole:
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py check_rules

# Every test can be imported; and what the processes of `make test` import is compiled then.
collect:
	$(BIN)/python -m pytest --collect-only -q -q

# Needs uv on the PATH. Hashes, no URLs, every platform.
lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
	    --python-version 3.11 pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
	    --python-version 3.11 pyproject.toml --group dev -o requirements-dev.lock
