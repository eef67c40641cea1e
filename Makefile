# Every target is one line of help: `make` prints them.
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif

help:            ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

lab: .venv/ready     ## open the course in JupyterLab
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

test: .venv/ready    ## every test, and every notebook executed
	$(BIN)/python -m pytest

run: .venv/ready     ## execute all notebooks and store their outputs (NB=notebooks/01_one_to_many.ipynb for one)
	$(BIN)/python -m tests.execute $(NB)

lint: .venv/ready    ## check the style of code and notebooks
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

checkpoints: .venv/ready  ## train again whatever data/checkpoints holds
	$(BIN)/python -m helpers.judge train
	$(BIN)/python -m helpers.homework reader
	$(BIN)/python -m helpers.checkpoints

comparison: .venv/ready  ## give every family the same seconds again
	$(BIN)/python -m helpers.comparison

site: .venv/ready    ## the course as pages and slides for a USB stick, in build/site (needs npm)
	$(BIN)/python -m publish.site

frames: .venv/ready  ## run the live widgets, so that they move in the next `make site` too (takes as long as the lessons)
	$(BIN)/python -m publish.frames $(NB)

student: .venv/ready ## copies of the notebooks without solutions, in build/student
	$(BIN)/python -m publish.copies student

teacher: .venv/ready ## copies with the solutions open and large letters, in build/teacher
	$(BIN)/python -m publish.copies teacher

plugged: .venv/ready ## let trained models go on with a discriminator again
	$(BIN)/python -m helpers.plugged_in

parts: .venv/ready   ## take latent diffusion apart again
	$(BIN)/python -m helpers.parts

glossary: .venv/ready  ## make GLOSSARY.md from the notebooks again
	$(BIN)/python -m tests.glossary

pictures: .venv/ready  ## draw the pictures of the README again
	$(BIN)/python -m tests.readme_pictures

anchors: .venv/ready  ## how many of each kind of picture the judge accepts
	$(BIN)/python -m tests.anchors

bench: .venv/ready   ## measure the speed of drawing, judging, models, threads and the widget
	$(BIN)/python -m tests.bench

peers: .venv/ready   ## measure our models beside other libraries (an hour or two, and 8 GB for those libraries)
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks report

.venv/ready: pyproject.toml helpers/install.py
	@$(PYTHON) helpers/install.py

.PHONY: help lab test run lint checkpoints comparison plugged parts site frames student teacher glossary pictures anchors bench peers
