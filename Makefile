# Everything a person or the CI runs. `make` alone lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What `make run` draws, and where it puts the clip. `value` keeps dollar signs in a prompt as they are.
PROMPT ?= a red circle moves right on a black background
OUT ?= clip.mp4
override PROMPT := $(value PROMPT)
override OUT := $(value OUT)
export PROMPT OUT

target_dir := $(or $(CARGO_TARGET_DIR),target)
kinora = "$(target_dir)/debug/kinora"
build_settings = settings=$$(scripts/env libtorch ffmpeg) ; eval "$$settings"
test_settings = settings=$$(scripts/env) ; eval "$$settings"

# How many faults `make chaos` makes, over how many minutes, and what decides which.
KILLS ?= 1000
MINUTES ?= 12
SEED ?= 1

# How many fake workers `make simulate` has.
WORKERS ?= 10000

# Which Python and which cases `make bench-models` takes; all that a CPU can when none is named.
PYTHON ?= python3
CASES ?=

# Which of fuzz/'s targets `make fuzz` runs, and how often.
TARGET ?= json
RUNS ?= 10000000

.PHONY: help setup run up test openapi methods contracts release-contracts check-api fuzz eval-prompts stripe-live fake-stripe chaos lint deny bench bench-models bench-llm bench-prompts bench-accounts bench-billing bench-scheduler bench-edge simulate clean-cache

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## fetch libtorch, an OpenID provider, a mail server, clients of other people, a browser, what checks contracts, a sentence encoder, a small language model, the weights of a frame detector, and ffmpeg, PostgreSQL, NATS and Redis where missing (once, into the user's cache)
	@scripts/env

run: ## draw PROMPT on this machine's CPU and write OUT, an mp4
	@$(build_settings)
	cargo build -p kinora-cli
	$(kinora) generate "$$PROMPT" -o "$$OUT"

up: ## start the whole mesh in one process
	@$(build_settings)
	cargo build -p kinora-cli
	$(kinora) up

test: ## all tests, on SQLite and on a real PostgreSQL, with a real NATS, Redis, OpenID provider, mail server and ffmpeg, and with clients of other people and a browser
	@$(test_settings)
	# The journeys start the programs themselves. With --tests, or dependencies would be built once for these and once for those.
	cargo build --workspace --bins --tests
	if cargo nextest --version >/dev/null 2>&1; then
		scripts/with-postgres cargo nextest run --workspace
	else
		scripts/with-postgres cargo test --workspace --lib --bins --tests
	fi
	# Volumes that fill up need the right to mount.
	if unshare --mount true 2>/dev/null; then
		cargo test -p kinora-model-store --test full_volume -- --ignored
		scripts/with-postgres cargo test -p kinora-integration-tests --test full_disks -- --ignored
	else
		echo "== full volumes not tested: no right to mount here"
	fi

openapi: ## write docs/openapi.json from the contracts; a test fails while it is another
	@cargo run -q -p kinora-edge --example openapi > docs/openapi.json.new
	mv docs/openapi.json.new docs/openapi.json

methods: ## write docs/security/methods.md from the contracts and the services' callers; a test fails while it is another
	@cargo run -q -p kinora-methods > docs/security/methods.md.new
	mv docs/security/methods.md.new docs/security/methods.md

contracts: ## buf lint, buf breaking against what was released, and whether docs/openapi.json is valid
	@scripts/check-contracts

release-contracts: ## what the contracts are now is what `make contracts` compares with from now on
	@scripts/check-contracts --release

check-api: ## everything that docs/openapi.json has, asked of a whole mesh for MINUTES by schemathesis; fails at a 5xx or another answer than documented
	@$(build_settings)
	python=$$(scripts/setup-schemathesis)
	cargo build -p kinora-cli
	"$$python" integration-tests/schemathesis/run.py $(kinora) $(MINUTES)

fuzz: ## RUNS random inputs for TARGET: path, query, json, multipart, moderation or prompt (docs/security/fuzzing.md)
	@scripts/fuzz $(TARGET) $(RUNS)

eval-prompts: ## what enhancement and moderation do to their labelled prompts, as tables (docs/prompts.md, docs/moderation.md)
	@settings=$$(scripts/env libtorch minilm ffmpeg) ; eval "$$settings"
	cargo run -q -p kinora-enhancement --example eval_enhancement
	cargo run -q -p kinora-moderation --example eval_moderation
	# Words and classifier together, through the service.
	cargo test -q --workspace --test evaluation floors_hold_with_the_classifier -- --nocapture

stripe-live: ## the gateway against Stripe's test mode, with the key in KINORA_STRIPE_TEST_KEY (docs/stripe-live.md); makes customers there
	@[ -n "$${KINORA_STRIPE_TEST_KEY:-}" ] || { echo "set KINORA_STRIPE_TEST_KEY to a secret key of Stripe's test mode" >&2 ; exit 1 ; }
	cargo test -p kinora-stripe-gateway --test live -- --ignored --test-threads 1

fake-stripe: ## a Stripe of no real money on this machine, to try out buying (docs/billing.md)
	cargo run -q -p kinora-testkit --features stripe

chaos: ## KILLS faults over MINUTES at a whole mesh, and rolling restarts; fails when a job is lost, done twice or wrongly paid
	@settings=$$(scripts/env libtorch ffmpeg postgres nats) ; eval "$$settings"
	cargo build -p kinora-accounts -p kinora-billing -p kinora-scheduler -p kinora-edge -p kinora-integration-tests --bins
	chaos=$(target_dir)/debug/kinora-chaos
	"$$chaos" --log warn rolling
	report=$(target_dir)/chaos-soak.md
	"$$chaos" --log warn soak --kills $(KILLS) --minutes $(MINUTES) --seed $(SEED) --report "$$report"

lint: ## formatting and clippy, warnings are errors
	@cargo fmt --all --check
	$(build_settings)
	cargo clippy --workspace --all-targets -- -D warnings

deny: ## licences, sources and banned crates; installs cargo-deny into the cache the first time (minutes)
	@scripts/cargo-deny check bans licenses sources

bench: ## what the mesh adds to a generation, as a table (release build); tools/bench compares with diffusers
	@$(build_settings)
	# Both name both crates, so that dependencies are built once.
	cargo build --release -p kinora-cli -p kinora-integration-tests
	cargo bench -p kinora-cli -p kinora-integration-tests --bench mesh

bench-models: ## denoising against diffusers on the same weights; PYTHON needs the packages of tools/goldens
	@$(build_settings)
	cargo build --release -p kinora-cli
	$(PYTHON) tools/bench/models.py --engine $(target_dir)/release/kinora $(CASES)

bench-prompts: ## what it takes to judge a prompt and to rewrite it by rules, over gRPC, as a table (release build)
	@settings=$$(scripts/env libtorch minilm ffmpeg) ; eval "$$settings"
	cargo bench -p kinora-prompts --bench prompts

bench-llm: ## SmolLM2 against transformers on the same file, as a table (release build); PYTHON needs the packages of tools/goldens
	@settings=$$(scripts/env libtorch smollm2) ; eval "$$settings"
	cargo build --release -p kinora-models --example llm
	$(PYTHON) tools/bench/llm.py "$$KINORA_SMOLLM2" --engine $(target_dir)/release/examples/llm

bench-accounts: ## signing in, checking a token beside jose, and calling with an API key, as tables (release build)
	@settings=$$(scripts/env postgres oidc ffmpeg libtorch) ; eval "$$settings"
	# Both name the same crates and targets' features, so that dependencies are built once.
	crates="-p kinora-accounts -p kinora-scheduler -p kinora-edge -p kinora-integration-tests"
	cargo build --release $$crates --bins --bench accounts
	scripts/with-postgres cargo bench $$crates --bench accounts

bench-billing: ## holds and captures of many payers and of one, beside a transfer by hand, as tables (release build)
	@settings=$$(scripts/env postgres) ; eval "$$settings"
	scripts/with-postgres --durable cargo bench -p kinora-billing --bench billing

bench-scheduler: ## claims, submissions, waits and events of the scheduler beside graphile-worker, as a table; then simulate
	@settings=$$(scripts/env postgres nats) ; eval "$$settings"
	cargo build --release -p kinora-bench-scheduler
	npm ci --prefix tools/bench-scheduler --no-audit --no-fund >/dev/null
	scripts/with-postgres --durable $(target_dir)/release/kinora-bench-scheduler --peer tools/bench-scheduler
	$(MAKE) simulate

bench-edge: ## REST through the edge beside direct gRPC and Envoy's transcoder, and a thousand watchers of events, as tables (release build)
	@envoy=$$(scripts/setup-envoy)
	# What the edge is built with, so that dependencies are built once.
	cargo build --release -p kinora-edge -p kinora-bench-edge --bins
	# A thousand watchers are a thousand sockets of the edge's, and as many of the clients'.
	ulimit -n 4096
	$(target_dir)/release/kinora-bench-edge --envoy "$$envoy"

simulate: ## the scheduler's policy and store with WORKERS fake workers on a virtual clock: a table and plots in docs/scheduling
	cargo build --release -p kinora-simulate
	mkdir -p docs/scheduling
	$(target_dir)/release/simulate --workers $(WORKERS) --tenants 40 --load 1.5 --duration 2m --warm-up 1m --pause 200ms --cancel-rest \
		--seed $(SEED) --plots docs/scheduling | tee docs/scheduling/simulation.txt

clean-cache: ## remove what setup fetched into the user's cache
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}"/kinora
	[ "$$(id -u)" -ne 0 ] || rm -rf /var/cache/kinora

# A recipe is one script, so that the settings it evaluates reach its later lines.
.ONESHELL:
