# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
PY := .venv/bin/python
export RAY_USAGE_STATS_ENABLED := 0
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test test-slow lint format install clean

demo: .venv/installed
	.venv/bin/stems demo

# One thread each: the tests start processes of their own, and more threads than cores slow all of them down.
# Two at a time, file by file: most of them keep one core busy.
test: lint
	OMP_NUM_THREADS=1 $(PY) -m pytest -q --durations=10 -n 2 --dist loadfile

test-slow: .venv/installed
	$(PY) -m pytest -q --durations=10 -m slow --timeout 1800

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: .venv/installed
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

install: .venv/installed

# torch goes first and alone, so that a CPU build already at hand is kept.
.venv/installed: pyproject.toml
	python3 -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@# torchaudio's wheel links CUDA; beside a CPU torch its compiled extension cannot load, and
	@# `import torchaudio` fails. Everything used here is its pure-Python part: drop the extension.
	@$(PY) -c 'import torch; raise SystemExit(torch.version.cuda is not None)' \
	  && find .venv -path '*/torchaudio/lib/*.so' -delete || true
	$(PY) -c 'import torchaudio, transformers'
	touch $@

clean:
	rm -rf .venv runs
