PYTHON ?= python3
BIN := .venv/bin

# Tests wait for disks and for processes to start more than they compute: more at a time than there are cores.
JOBS ?= $(shell expr $$(nproc) + 1)

# Salt takes a second more at each start where Python may not keep what it compiled, and tests start it a thousand times.
unexport PYTHONDONTWRITEBYTECODE

# What Debian brings and PyPI does not.
DEMO_PACKAGES := git nginx rsync
TEST_PACKAGES := $(DEMO_PACKAGES) socat chromium nodejs $(if $(shell command -v npm),,npm) openssh-client openssh-server pebble sudo systemd composer cron logrotate mariadb-server php-fpm php-cli php-mbstring php-mysql php-pgsql php-xml postgresql lxc mmdebstrap iproute2 pdns-server pdns-backend-sqlite3 pdns-backend-pgsql bind9-dnsutils sqlite3 nftables haproxy btrfs-progs uidmap zstd curl slapd gcc libldap-dev libsasl2-dev python3-dev

CLOUD_PACKAGES := lxc mmdebstrap debian-archive-keyring iproute2 uidmap zstd socat openssh-client git curl

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-cloud demo-cloud-stop test lab controller check format bench docs debian clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

venv: .venv/.complete ## .venv with corpus, Salt and every tool

$(BIN)/uv:
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || tools/debian python3-venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet uv

.venv/.complete: setup.py pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[test,dev,docs]'
	@touch $@

demo: venv ## push a project, see it served, push a broken one, see it rolled back
	tools/debian $(DEMO_PACKAGES)
	$(BIN)/python tools/demo.py

demo-cloud: venv ## a controller, a node, people, web pages and a guest with an application, on this machine; as root
	tools/debian $(CLOUD_PACKAGES)
	$(BIN)/python tools/demo_cloud.py start $(ARGS)

demo-cloud-stop: venv ## remove all of that
	$(BIN)/python tools/demo_cloud.py stop $(ARGS)

test: venv ## every test
	tools/debian $(TEST_PACKAGES)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[ldap]'
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadscope --no-loadscope-reorder

lab: venv ## the tests that run machines of their own (LXC); as root
	tools/debian $(TEST_PACKAGES)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[ldap]'
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadscope --no-loadscope-reorder tests/lab

controller: venv ## make this machine the cloud controller; as root. ARGS='--zone corpus.example.org --master-address 192.0.2.1'
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e '.[web]'
	$(BIN)/python tools/controller.py $(ARGS)

check: venv ## format, lint, types, imports between rooms, sls
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	PYTHONPATH=_utils $(BIN)/lint-imports
	find projects examples salt -name '*.sls' 2>/dev/null | xargs -r $(BIN)/salt-lint

format: venv ## write Python the way that check wants it
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: venv ## measure
	$(BIN)/python bench/run.py

docs: venv ## docs/_build/html
	$(BIN)/sphinx-build -W docs docs/_build/html

debian: ## name the Debian packages that are missing; as root, install them
	tools/debian $(TEST_PACKAGES)

clean: ## remove what make made
	rm -rf .venv build dist docs/_build *.egg-info _utils/*.egg-info client/build client/*.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
