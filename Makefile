# PYTHON and VENV choose the interpreter and the folder of its environment: make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# Has Python import the relay of `make compiled`. Without PYTHONSAFEPATH `python -m` would prefer the source.
ON_COMPILED = PYTHONSAFEPATH=1 PYTHONPATH='$(CURDIR)/.cache/compiled:$(CURDIR)'

# "compiled" while no module is.
COMPILED_BUILD = $(if $(wildcard .cache/compiled/mta/smtp/address.*.so),,compiled)

# The settings of `make run`. Others can be given in front of it: MAILNAME=mx.example.org make run
run: export PORT ?= 2525
run: export QUEUE_DIR ?= $(CURDIR)/spool
run: export MAIL_DIR ?= $(CURDIR)/spool/mail

.PHONY: kills rule-swaps soak run test test-all check docs fuzz bench screenshots image-test systemd-test power-loss \
  disk-faults database-faults bench-instructions compiled test-compiled dist dist-test deb debian-test

run: $(VENV)/installed
	@mkdir -p '$(QUEUE_DIR)' '$(MAIL_DIR)'
	@printf '%s\n' \
	  'The relay listens on port $(PORT) and keeps its queue in $(QUEUE_DIR). Stop it with Ctrl-C.' \
	  'From another terminal, send a first message to an address of yours, and look at the queue:' \
	  '  swaks --server 127.0.0.1:$(PORT) --to you@example.org' \
	  '  QUEUE_DIR=$(QUEUE_DIR) $(BIN)/smtprelay queue list' \
	  'No swaks? This does the same:' \
	  "  $(BIN)/python -c \"import smtplib; smtplib.SMTP('127.0.0.1', $(PORT)).sendmail('you@example.org'," \
	  "    'you@example.org', 'Subject: hello\\n\\nFirst message')\"" ''
	@exec $(BIN)/smtprelay run

# Byte code of the tests and of the relay is kept. Otherwise each process of the tests would compile all of it again.
unexport PYTHONDONTWRITEBYTECODE

# JOBS tests run at the same time, by default three for two processor cores.
PYTEST = $(BIN)/pytest --numprocesses $(or $(JOBS),auto) --dist worksteal

# The short form of every test: under four minutes on two cores.
test: $(VENV)/installed
	$(PYTEST)

# The same tests at full length, and those that only make sense at full length. CI runs them.
test-all: $(VENV)/installed
	RELAY_TESTS=all $(PYTEST)

# Tests the systemd unit in a machine of its own, without the network. Needs root, debootstrap and systemd-container. The
# first run makes a Debian in .cache/systemd. See docs/systemd.md.
systemd-test: $(VENV)/installed
	$(BIN)/python -m tests.systemd.debian .cache/systemd
	RELAY_SYSTEMD_TEST=$(CURDIR)/.cache/systemd unshare --net --pid --fork --kill-child --mount-proc \
	  sh -c 'ip link set lo up && $(BIN)/pytest tests/systemd'

# Builds the Debian package in a Debian of its own, as .cache/debian/smtprelay.deb. Needs root, debootstrap and
# systemd-container.
deb: $(VENV)/installed
	nice $(BIN)/python -m tests.packages.debian.build .cache/debian --only-current

# Builds the Debian package and the one before, and installs, upgrades and purges them in a machine of its own, without the
# network. Needs the same. See docs/debian.md.
debian-test: $(VENV)/installed
	nice $(BIN)/python -m tests.packages.debian.build .cache/debian
	RELAY_DEBIAN_TEST=$(CURDIR)/.cache/debian unshare --net --pid --fork --kill-child --mount-proc \
	  sh -c 'ip link set lo up && $(BIN)/pytest tests/packages/debian'

# Builds the image and sends mail through it. Needs root, buildah and debootstrap. The first run makes a Debian in
# .cache/image. COMPILED=1 builds it with compiled modules. See docs/container.md.
image-test: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[sbom]'
	RELAY_IMAGE_TEST=.cache/image RELAY_IMAGE_COMPILE=$(COMPILED) $(BIN)/pytest tests/image

# The same for each platform of the image, those of ARM by qemu: about an hour. Needs Debian's qemu-user-static besides.
.PHONY: image-platforms
image-platforms: $(VENV)/installed
	RELAY_IMAGE_PLATFORMS=.cache/image $(BIN)/pytest -s tests/image/test_platforms.py

# Makes the Python package in dist/: a wheel, and the archive of the source.
dist: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[release]'
	rm -rf dist
	$(BIN)/python -m build --quiet --no-isolation --outdir dist
	$(BIN)/twine check --strict dist/*

# Installs that package with each Python from 3.11 on that is found, and by pipx, and sends mail through it. Needs the
# network.
dist-test: dist
	RELAY_DIST_TEST=$(CURDIR)/dist $(BIN)/pytest tests/packages/python

# Cuts the power of a disk under the relay, CYCLES times in each of several ways. Needs /dev/fuse and Debian's fuse3.
power-loss: $(VENV)/installed
	RELAY_CUTS=$(or $(CYCLES),100) $(BIN)/pytest tests/survival/test_power.py

# Makes each write, sync, rename, ... in the life of a message, a start and a merge fail, one at a time. Needs the same.
disk-faults: $(VENV)/installed
	RELAY_FAULTS=all $(BIN)/pytest tests/survival/test_disk.py tests/survival/test_merge_power.py

# Kills the daemon under load, at times chosen by a seed: about two seconds a cycle. RELAY_SEED=... repeats a run.
kills: $(VENV)/installed
	RELAY_KILLS=$(or $(CYCLES),300) $(BIN)/pytest tests/endtoend/test_kill.py

# Cuts connections to the database CYCLES times, and lets its primary fail and relays be killed a tenth as often each.
# RELAY_SEED=... repeats a run. Needs Debian's postgresql.
database-faults: $(VENV)/installed
	RELAY_CUTS=$(or $(CYCLES),3000) $(BIN)/pytest -s tests/queue/postgres/test_cuts.py
	RELAY_ROUNDS=$$(($(or $(CYCLES),3000) / 10)) $(BIN)/pytest -s tests/queue/postgres/test_failover.py \
	  tests/survival/test_shared_queue.py

# Replaces the rules of a daemon under load, CYCLES times with one process and with two workers: about five minutes each.
# RELAY_SEED=... repeats a run.
rule-swaps: $(VENV)/installed
	RELAY_SWAPS=$(or $(CYCLES),1000) $(BIN)/pytest -s tests/survival/test_rule_swaps.py

# Runs the daemon at half its top rate with 1 % of all faults, some minutes longer than MINUTES. RATE=... messages a second
# skips the measurement of the top rate. Status 0 means no loss and flat memory. Samples go to .cache/soak. COMPILED=1 runs
# the build of `make compiled`.
soak: $(VENV)/installed $(if $(COMPILED),$(COMPILED_BUILD))
	$(if $(COMPILED),$(ON_COMPILED)) $(BIN)/python -m tests.survival.soak --minutes $(or $(MINUTES),60) $(if $(RATE),--rate $(RATE)) \
	  $(if $(SEED),--seed $(SEED))

# Takes the pictures of the page in docs/screenshots. Needs root and Debian's chromium.
screenshots: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[browser]'
	unshare --net --mount sh -c 'mount -t tmpfs none /var/spool && ip link set lo up && \
	  ip address add 198.51.100.1/24 dev lo && ip address add 10.20.0.1/16 dev lo && \
	  $(BIN)/python -m tools.screenshots $(if $(TO),--to $(TO))'

check: $(VENV)/installed
	$(BIN)/ruff check mta tests harness bench tools twisted
	$(BIN)/ruff format --check mta tests harness bench tools twisted
	$(BIN)/mypy
	site=$$(mktemp -d) && trap 'rm -rf "$$site"' EXIT && $(MKDOCS) --site-dir "$$site"

# The documentation as a site, in .cache/site. A broken link or a page that is missing in mkdocs.yml is an error.
docs: $(VENV)/installed
	$(MKDOCS)
	@echo 'Open .cache/site/index.html'

MKDOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Feeds INPUTS inputs to each target in each of two ways, and measures the growth of its work. A million take hours.
# Some targets:
# make fuzz INPUTS=100000 TARGETS=server,client. See tests/fuzz/README.md.
fuzz: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(TARGETS),--targets $(TARGETS)) $(if $(WAYS),--ways $(WAYS))

# QUICK=1 takes under two minutes. BENCH passes further options, see $(BIN)/python -m bench --help. Needs root,
# debootstrap and Debian's postfix package. The first run makes the peers' Debians in .cache/bench.
bench: $(VENV)/installed
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(BENCH)

# Counts the instructions of a message by callgrind, and fails if they are 3 % more than the committed ones. WRITE=1 commits
# the new figures, COMPILED=1 counts those of `make compiled`, which is made if it is missing. Needs Debian's valgrind and postfix. See bench/README.md.
bench-instructions: $(VENV)/installed $(if $(COMPILED),$(COMPILED_BUILD))
	$(if $(COMPILED),$(ON_COMPILED)) $(BIN)/python -m bench.instructions $(if $(WRITE),--write)

# The relay with modules compiled by mypyc, in .cache/compiled: minutes. The checkout stays pure. Needs gcc and the header
# files of Python (Debian: gcc, python3-dev). See docs/compiled.md.
compiled: $(VENV)/installed
	rm -rf .cache/compiled
	SMTPRELAY_COMPILE=1 nice $(BIN)/python setup.py --quiet build --build-lib .cache/compiled

# The tests with that build, which is made if it is missing, also in the processes that they start. TESTS=tests/smtp names
# some, RELAY_TESTS=all gives them their full length.
test-compiled: $(VENV)/installed $(COMPILED_BUILD)
	$(ON_COMPILED) $(PYTEST) --override-ini pythonpath='.cache/compiled .' $(TESTS)

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
