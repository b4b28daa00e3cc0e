# Two commands do everything on a machine that has Python, make and Node:
#   make book    the course and the reference as a site
#   make test    every check

# The Python that makes the environments: 3.11 or newer.
PYTHON ?= python3
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist loadscope
# One file of mathematics typesetting, from npm and served with the site, so that a reader's browser asks nobody for it.
MATHJAX_VERSION := 3.2.2

BUILD := book/_build
MATHJAX := $(BUILD)/static/mathjax/tex-svg-full.js
JB_OUT := $(BUILD)/jupyter-book

.DEFAULT_GOAL := help
.PHONY: help book test lint notebooks experiments vectors kill-matrix atlas bench jupyter-book clean

help: ## Print this text
	@echo 'make TARGET, where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'Another Python: make PYTHON=python3.12 TARGET'

book: .venv/ready $(MATHJAX) ## Execute the notebooks that changed, build the site, print the page to open
	.venv/bin/sphinx-build -W -n --keep-going -c book -d $(BUILD)/doctrees -D nb_execution_mode=cache . $(BUILD)/html
	$(call say-where,$(BUILD)/html/book/index.html)

test: .venv/ready lint ## Run every check: style, types, unit tests, doctests, notebooks against their stored outputs
	.venv/bin/pytest $(PYTEST_ARGS)

lint: .venv/ready ## Check style and types only
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

notebooks: .venv/ready ## Run every notebook from a fresh kernel and store its outputs
	.venv/bin/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False --CoalesceStreamsPreprocessor.enabled=True notebooks/*.ipynb

experiments: .venv/ready ## Compute the course's stored experiments anew
	.venv/bin/python -m rmsprop_ref.course.experiments $(EXPERIMENTS)

vectors: .venv/ready ## Compute the published test vectors anew
	.venv/bin/python -m rmsprop_ref.vectors

kill-matrix: .venv/ready ## Run the faulty implementations through the oracle and the published tests
	.venv/bin/python book/kill_matrix.py

atlas: .venv/ready ## Run the real libraries through the oracle, each in an environment of its own: an hour, 8 GB
	.venv/bin/python book/atlas.py $(ADAPTERS)
	.venv/bin/python book/atlas.py --long $(ADAPTERS)

bench: .bench/ready ## Time a step by every path and library that is installed, and what the oracle costs; write the page
	mkdir -p $(BUILD)
	.bench/bin/python -m pytest benchmarks -q --benchmark-sort=name --benchmark-columns=min,median,rounds --benchmark-json=$(BUILD)/bench.json
	.bench/bin/python book/speed.py $(BUILD)/bench.json

jupyter-book: .venv-jupyter-book/ready $(MATHJAX) ## Build the same pages with Jupyter Book 1, from the stored outputs
	.venv-jupyter-book/bin/jupyter-book build . --config book/_config.yml --toc book/_toc.yml --path-output $(JB_OUT) -W -n --keep-going
	$(call say-where,$(JB_OUT)/_build/html/book/index.html)

clean: ## Remove the environments, the site and the caches
	rm -rf .atlas .bench .venv .venv-jupyter-book $(BUILD) .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/ready: pyproject.toml constraints.txt
	$(call make-venv,.venv)
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[book,lint,test]'
	@touch $@

# The libraries that a step is timed against; torch first, so that none brings another build of it.
.bench/ready: pyproject.toml constraints.txt
	$(call make-venv,.bench)
	.bench/bin/python -m pip install --quiet torch==2.13.0
	.bench/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]' jax optax
	-.bench/bin/python -m pip install --quiet tensorflow-cpu==2.21.0
	@touch $@

.venv-jupyter-book/ready: pyproject.toml book/requirements-jupyter-book.txt
	$(call make-venv,.venv-jupyter-book)
	.venv-jupyter-book/bin/python -m pip install --quiet --requirement book/requirements-jupyter-book.txt --editable .
	@touch $@

$(MATHJAX): Makefile
	@command -v npm >/dev/null || { echo 'npm is needed, once, to fetch MathJax: install Node.' >&2; exit 1; }
	npm install --silent --no-save --no-package-lock --prefix $(BUILD)/npm mathjax@$(MATHJAX_VERSION)
	@mkdir -p $(@D)
	cp $(BUILD)/npm/node_modules/mathjax/es5/$(@F) $(BUILD)/npm/node_modules/mathjax/LICENSE $(@D)
	@touch $@

define make-venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo '$(PYTHON) is missing, or older than Python 3.11. Name another: make PYTHON=python3.12 …' >&2; exit 1; }
@echo 'Installing into $(1): about a minute.'
$(PYTHON) -m venv --clear $(1)
endef

define say-where
@$(PYTHON) -c 'import pathlib; print("Open", pathlib.Path("$(1)").resolve().as_uri())'
endef
