# Everything that a newcomer, a developer or a build server runs. What is missing on the machine is installed first.
#
#   ARGS=…     more arguments for `make demo` (client demo --help), `make bench`, `make image` (docker build --help)
#   SERVER=…   another server for `make test` and `make demo`, say SERVER=/usr/bin/valkey-server

# The tests run elsewhere, so a path must be whole; a bare name is looked up as ever.
ifdef SERVER
export MQ_SERVER := $(if $(findstring /,$(SERVER)),$(abspath $(SERVER)),$(SERVER))
endif

# Most tests wait for servers more than they compute.
RUST_TEST_THREADS ?= 6
export RUST_TEST_THREADS

.PHONY: help demo test sim fuzz valgrind chaos stalls memory soak bench lint build image setup

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name why; do printf '  make %-8s %s\n' "$$name" "$$why"; done

demo: build ## the proof: a million messages through many peers, kills on the way, then a verdict
	target/release/client demo $(ARGS)

test: build ## every test of every crate, against real servers and real processes
	cargo build -p mq --features faults
	cargo test --workspace
	cargo test -p mq-engine --features faults --test faults -- --nocapture

sim: ## ten million steps of crashes, failovers and wrong clocks, from seeds; SEED=n runs one world again, STEPS=n so many steps
	cargo test --release -p mq-engine --test simulation -- --ignored --nocapture

EXECUTIONS ?= 10000000

fuzz: build ## ten million made-up dumps, effects and calls against engine and parser, a hundredth of that against a server (EXECUTIONS=…)
	MQ_EXECUTIONS=$(EXECUTIONS) cargo test --release -p mq-engine --test hostile -- --nocapture
	MQ_EXECUTIONS=$(EXECUTIONS) cargo test --release -p mq random_words -- --nocapture
	MQ_EXECUTIONS=$$(($(EXECUTIONS) / 100)) cargo test -p mq-tests --test hostile_restore -- --nocapture

valgrind: build ## the integration tests on servers that valgrind's memcheck watches: no report (TESTS="copies session": only these files)
	@.ci/setup valgrind
	cargo build -p mq --features faults
	tests/memcheck/run $(TESTS)

chaos: build ## half a minute each of servers and peers killed, frozen, cut off, failed over, refused, under full traffic (SECONDS=…)
	MQ_CHAOS_SECONDS=$(or $(SECONDS),30) cargo test -p mq-tests --test chaos -- --nocapture --test-threads 1

stalls: build ## how long one turn keeps the server from its other clients, for a million messages in the worst shapes (SHAPES=part of a name, ROUNDS=…)
	MQ_SHAPES='$(SHAPES)' MQ_ROUNDS=$(or $(ROUNDS),1) cargo test -p mq-tests --test stalls -- --ignored --nocapture

memory: build ## whether memory that is needed no more comes back, for a million messages, keys, names (SHAPES=part of a name)
	MQ_SHAPES='$(SHAPES)' cargo test -p mq-tests --test memory_back -- --ignored --nocapture

soak: build ## what takes too long for `make test`: the two above, memory of a million messages in every state, delays over a minute, payloads of half a gigabyte
	cargo test -p mq-tests -- --ignored --nocapture --test-threads 1

bench: build ## what push, claim and ack cost the server, beside lists and Streams in the same run
	cargo run --release -p mq-tests --bin bench -- $(ARGS)

lint: setup ## what a reviewer should never have to say: format, clippy, broken links in the docs
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --workspace

build: setup ## the module (target/release/libmq.so) and the client (target/release/client)
	cargo build --release -p mq -p client

image: ## a docker image `mq`: redis-server with the module loaded, and the client
	docker build $(ARGS) --file docker/Dockerfile --tag mq .

setup: ## install a C compiler, libclang and redis-server where they are missing
	@.ci/setup
