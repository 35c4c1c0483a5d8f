# make demo | test | up | check | bench | calibration | soak. Everything lives in .venv and in $(ONLINEEVAL_HOME).
PYTHON ?= python3
BIN := .venv/bin
export ONLINEEVAL_HOME ?= $(CURDIR)/.onlineeval
export DO_NOT_TRACK := 1
export DAGSTER_DISABLE_TELEMETRY := yes
# Where it is set, each of the hundreds of processes that tests start compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo up test check format bench calibration soak wheel lock clean

setup: .venv/ready
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==0.13.*"
	$(BIN)/uv pip install --quiet --system-certs --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable . --group dev
	@touch $@

demo: setup
	$(BIN)/onlineeval demo

up: setup
	$(BIN)/onlineeval up

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --constraint constraints.txt --group bench
	$(BIN)/python -m tests.bench

calibration: setup
	$(BIN)/python -m pytest -m slow tests/calibration
	$(BIN)/python -m tests.calibration.report
	$(BIN)/python -m tests.calibration.people
	$(BIN)/python -m tests.calibration.experiments
	$(BIN)/python -m tests.calibration.deploys
	$(BIN)/python -m tests.calibration.causes
	$(BIN)/python -m tests.calibration.standard_set quiet

soak: setup
	$(BIN)/python -m pytest -m slow tests --ignore tests/calibration

wheel: setup
	$(BIN)/python -m build --wheel --no-isolation
	$(BIN)/python -m build --wheel --no-isolation --outdir dist sdk

lock: setup
	$(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --group dev --group bench --no-header --all-extras pyproject.toml -o constraints.txt

clean:
	rm -rf .venv .onlineeval dist build
