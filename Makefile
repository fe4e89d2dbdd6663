# hls-swarm: what people and CI type. `make help` lists it.
CARGO ?= cargo
URL ?= http://127.0.0.1:17080/stream.m3u8
RELEASE := target/release
REPORT ?= demo-report.json
# nginx lives in /usr/sbin, which is not in every user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help build run dev demo test test-unit test-integration lint fmt check \
	test-origin test-origin-low-latency bench-overhead ci clean tools test-tools \
	load-test-50 load-test-100 load-test-300 load-test-500 load-test-1000

help: ## list the targets
	@grep -hE '^[a-z0-9%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 26

tools:
	@scripts/install-tools ffmpeg nginx cc

test-tools:
	@scripts/install-tools ffmpeg nginx cc curl openssl

build: ## build both programs, optimized
	$(CARGO) build --release --locked

run: build ## load test URL=… (FLAGS=… for more)
	$(RELEASE)/hls-swarm $(FLAGS) $(URL)

dev: ## the same, not optimized
	$(CARGO) run --bin hls-swarm -- $(FLAGS) $(URL)

demo: tools build ## origin, 20 real viewers for 30 s, summary, report; installs what is missing
	@REPORT=$(REPORT) scripts/demo $(RELEASE) $(FLAGS)

test: test-tools ## all tests; installs what is missing
	$(CARGO) test --locked

test-unit: ## the tests of the library alone
	$(CARGO) test --locked --lib

test-integration: test-tools ## the tests against real programs
	$(CARGO) test --locked --tests

lint: ## formatting, lints, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets
	scripts/lint-probe
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet

fmt: ## format the code
	$(CARGO) fmt --all

check: lint test ## lint and test

test-origin: tools build ## the test origin on port 17080 (FLAGS=… for more)
	$(RELEASE)/hls-origin $(FLAGS)

test-origin-low-latency: tools build ## the same with segments of 1 s
	$(RELEASE)/hls-origin --profile low-latency $(FLAGS)

load-test-50 load-test-100 load-test-300 load-test-500 load-test-1000: load-test-%: tools build ## N viewers for 5 minutes against URL
	$(RELEASE)/hls-swarm --clients $* --ramp-rate 20 --duration 5m --report load-test-$*.json $(FLAGS) $(URL)

bench-overhead: tools ## what the orchestrator and a viewer cost
	$(CARGO) bench --locked --bench overhead

ci: ## what CI runs
	.ci/run

clean: ## remove what was built
	$(CARGO) clean
