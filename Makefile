# Two commands do everything on a fresh machine: `make demo` and `make test`. Both install what they lack.
.PHONY: demo test bench kafka lint format console build

CARGO ?= cargo

demo: .ci/built-with console   ## the main job in one process on an embedded broker; prints the address
	$(CARGO) run --quiet --bin hexwatch -- demo $(DEMO)

test: .ci/tested-with          ## every test: Rust, SQL, console, real Kafka, real Chromium
	node .ci/test.mjs

bench: .ci/tested-with console ## figures for benches/README.md; never part of the tests
	$(CARGO) build --release --bin hexwatch
	benches/run

kafka: .ci/tested-with         ## a single-node Apache Kafka on 127.0.0.1:9092, until it is ended
	fixtures/kafka/start .cache/kafka-data 9092

build: .ci/built-with console
	$(CARGO) build --bin hexwatch

console: .ci/built-with        ## web-console/dist, which the binary embeds
	.ci/console

lint: .ci/built-with
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

format:
	$(CARGO) fmt --all
	cd web-console && npm run --silent format

# What a target needs from the system; phony on purpose, the script returns at once when nothing lacks.
.PHONY: .ci/built-with .ci/tested-with
.ci/built-with:
	@.ci/install build
.ci/tested-with:
	@.ci/install test
