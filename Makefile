# Everything a person or a machine does with this checkout; CI runs the same targets.
# The steps that need more than a line are in scripts/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Tools that `make deps` builds.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

# Crates without I/O: their tests take seconds and need no PostgreSQL.
PURE := -p wire -p sql -p policy -p telemetry

# Programs that check Rust's drivers; a workspace of its own.
DRIVERS := tests/drivers/rust/Cargo.toml

# Fuzz targets, and what asks libpg_query; one more.
FUZZ := fuzz/Cargo.toml

# make bench BENCH="--quick": options of target/release/bench.
BENCH ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: deps ## A primary, two replicas and Weir in front of them, until Ctrl-C
	@exec scripts/run.sh

.PHONY: test
test: test-deps ## All tests: unit, end to end on real clusters, PostgreSQL's own, documentation, deploy/
	scripts/test.sh --workspace
	cargo test --locked --workspace --doc
	scripts/regress.sh
	scripts/oracle.sh
	scripts/instructions.sh
	$(MAKE) deploy-check

.PHONY: regress
regress: test-deps ## PostgreSQL's own regression suite, straight and through Weir (part of `make test`)
	scripts/regress.sh

.PHONY: oracle
oracle: test-deps ## Whether a standby runs what is classified as a read (part of `make test`)
	scripts/oracle.sh

.PHONY: check
check: check-deps ## What must hold before a commit: style, walls, quick tests, licences
	cargo fmt --all --check
	cargo fmt --manifest-path $(DRIVERS) --check
	cargo fmt --manifest-path $(FUZZ) --all --check
	$(MAKE) arch
	$(MAKE) docs
	cargo clippy --locked --workspace --all-targets -- -D warnings
	scripts/test.sh $(PURE)
	cargo test --locked --quiet --doc $(PURE)
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	scripts/deny.sh

# make sim SEEDS=100000, or SEED=7 to replay one run with all that happens in it.
SEEDS ?= 10000

.PHONY: sim
sim: ## Clients, Weirs and a failing cluster in virtual time: SEEDS=10000 runs, or SEED=7 again
	cargo build --locked --release -p weir-sim
	target/release/sim $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all
	cargo fmt --manifest-path $(DRIVERS)
	cargo fmt --manifest-path $(FUZZ) --all

.PHONY: arch
arch: ## Check who may know whom, and that the checker notices (scripts/arch.sh)
	scripts/arch.sh
	scripts/arch-test.sh

# make microbench MICROBENCH="scan --quick": a filter and options of criterion; the table is kept without them.
MICROBENCH ?=

.PHONY: microbench
microbench: ## What reading SQL costs, average and hostile, and each step of a cycle that needs no I/O
	cargo bench --locked -p weir-bench --bench path --bench sql -- $(MICROBENCH)

# make instructions INSTRUCTIONS=--update: options of target/release/instructions.
INSTRUCTIONS ?=

.PHONY: instructions
instructions: test-deps ## Count instructions per transaction; fails 5 % above the baseline (part of `make test`)
	scripts/instructions.sh $(INSTRUCTIONS)

.PHONY: bench
bench: bench-deps ## pgbench through Weir and its peers, in one run of about 12 minutes
	cargo build --locked --release -p weir --bin weir -p weir-bench --bins
	target/release/bench $(BENCH)

# make offload OFFLOAD="--quick": options of target/release/offload.
OFFLOAD ?=

.PHONY: offload
offload: deps ## Which share of the reads replicas serve, by lag, time to think, scope and level
	cargo build --locked --release -p weir --bin weir -p weir-bench --bin offload
	target/release/offload $(OFFLOAD)

# make scale SCALE="--quick": options of target/release/scale.
SCALE ?=

.PHONY: scale
scale: deps ## How cost grows with clients, nodes, databases and statements
	cargo build --locked --release -p weir --bin weir -p weir-bench --bin scale
	ulimit -n "$$(ulimit -Hn)" && target/release/scale $(SCALE)

# make load LOAD="--idle 2000": options of target/release/load.
LOAD ?=

.PHONY: load
load: test-deps ## What 10,000 idle clients cost, and whether 1,000 busy ones are served alike
	cargo build --locked --release -p weir-tests --bins
	ulimit -n "$$(ulimit -Hn)" && target/release/load $(LOAD)

# make fuzz SECONDS=600 SEED=7: for each target; SEED chooses the differential's texts.
SECONDS ?= 60
SEED ?=
export SEED

.PHONY: fuzz
fuzz: fuzz-deps ## Fuzz what reads SQL, SECONDS=60 for each target, one after another
	scripts/fuzz.sh $(SECONDS)

.PHONY: differential
differential: fuzz-deps ## Of it only: must all that Weir calls a read be one to PostgreSQL's parser?
	scripts/fuzz.sh $(SECONDS) differential

.PHONY: docs
docs: ## Check links in documents, and that all words of metrics and logs are explained
	scripts/docs.sh

.PHONY: deploy-check
deploy-check: ## Validate the Kubernetes manifests and the configuration in them
	deploy/validate.sh

.PHONY: advisories
advisories: check-deps ## Ask the RustSec database about all dependencies (needs GitHub)
	scripts/deny.sh advisories

.PHONY: deps test-deps bench-deps check-deps fuzz-deps
deps: ## Install what `make run` needs and the machine lacks
	@scripts/deps.sh run
test-deps: ## The same for `make test`
	@scripts/deps.sh test
bench-deps: ## The same for `make bench`
	@scripts/deps.sh bench
check-deps: ## The same for `make check`
	@scripts/deps.sh check
fuzz-deps: ## The same for `make fuzz`
	@scripts/deps.sh fuzz

.PHONY: clean
clean: ## Remove all that was built
	cargo clean
