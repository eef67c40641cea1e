# Every target is one line of help: `make` prints them.
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
RUN := $(BIN)/python -m
# A kernel starts in notebooks/. If .venv is a link, it would find the helpers of the copy that it belongs to.
export PYTHONPATH := $(CURDIR)
TESTS := $(RUN) pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

help:            ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

lab: lessons     ## open the course in JupyterLab (ARGS=--port=9000 hands options on)
	@$(RUN) helpers.lab $(ARGS)

test: tests      ## every test, and every notebook executed
	$(TESTS) $(ARGS)

check: tests     ## what to run before a commit: style, the rules of the house, and the quick tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(TESTS) -q -m "not slow" tests

sweep: tests     ## every notebook, and every test that trains, with other seeds, threads and instructions (hours; goes on)
	$(RUN) tests.sweep $(ARGS)

run: tests       ## execute all notebooks and store their outputs (NB=notebooks/01_one_to_many.ipynb for one)
	$(RUN) tests.execute $(NB)

lint: tests      ## check the style of code and notebooks
	$(RUN) ruff check . && $(RUN) ruff format --check .

lock:            ## choose the versions of requirements.lock anew (needs uv; ARGS=--upgrade for the newest)
	uv pip compile --quiet --no-annotate --universal --python-version 3.11 --all-extras --custom-compile-command \
		"make lock (no hashes: torch for machines without an NVIDIA card, from its own index, has others)" \
		$(ARGS) pyproject.toml --output-file requirements.lock

checkpoints: lessons  ## train again whatever data/checkpoints holds
	$(RUN) helpers.judge train
	$(RUN) helpers.homework reader
	$(RUN) helpers.checkpoints

comparison: lessons  ## give every family the same seconds again
	$(RUN) helpers.comparison

site: tests      ## the course as pages and slides for a USB stick, in build/site (needs npm)
	$(RUN) publish.site

book: tests      ## all lessons as one PDF, in build/book.pdf (needs npm and Chromium)
	$(RUN) publish.book

release: tests   ## run the tests, then pack site, book and copies into build/release and say which tag to set
	$(RUN) publish.release

frames: tests    ## run the live widgets, so that they move in the next `make site` too (takes as long as the lessons)
	$(RUN) publish.frames $(NB)

student: tests   ## copies of the notebooks without solutions, in build/student
	$(RUN) publish.copies student

teacher: tests   ## copies with the solutions open and large letters, in build/teacher
	$(RUN) publish.copies teacher

plugged: lessons ## let trained models go on with a discriminator again
	$(RUN) helpers.plugged_in

parts: lessons   ## take latent diffusion apart again
	$(RUN) helpers.parts

badges: tests    ## buttons for Colab, Kaggle, Binder and Codespaces (REPO=owner/name BRANCH=main; REPO= takes them out)
	@$(if $(filter undefined,$(origin REPO)),$(error say which repository: make badges REPO=owner/name))
	@$(RUN) publish.badges "$(REPO)" "$(or $(BRANCH),main)"

links: tests     ## every address outside the course, and where it stands; and every link inside it that leads nowhere
	@$(RUN) tests.links

glossary: tests  ## make GLOSSARY.md from the notebooks again
	$(RUN) tests.glossary

pictures: tests  ## draw the pictures of the README again
	$(RUN) tests.readme_pictures

anchors: tests   ## how many of each kind of picture the judge accepts
	$(RUN) tests.anchors

bench: tests     ## measure the speed of drawing, judging, models, threads and the widget
	$(RUN) tests.bench

peers: tests     ## measure our models beside other libraries (an hour or two, and 8 GB for those libraries)
	$(RUN) tests.benchmarks
	$(RUN) tests.benchmarks report

# Quick where .venv is right already: a stamp in it says what it was made from. NEWEST=1 ignores requirements.lock.
lessons:
	@"$(PYTHON)" helpers/install.py

tests:
	@"$(PYTHON)" helpers/install.py test

.PHONY: help lab test check sweep run lint checkpoints comparison plugged parts site frames student teacher badges links glossary pictures anchors bench peers lock book release lessons tests
