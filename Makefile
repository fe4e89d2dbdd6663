# hls-swarm: what people and CI type. `make help` lists it.
CARGO ?= cargo
URL ?= http://127.0.0.1:17080/stream.m3u8
RELEASE := target/release
REPORT ?= demo-report.json
DEST ?= $(RELEASE)
PREFIX ?= /usr/local
# nginx lives in /usr/sbin, which is not in every user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help build install uninstall rust cc run dev demo test test-unit test-integration soak lint fmt reference check \
	test-origin test-origin-low-latency test-origin-4k-abr test-origin-stress test-origin-logged test-origin-debug \
	nginx-config bench-overhead bench-tuning viewer-ffmpeg check-nix ci clean tools demo-tools test-tools \
	container container-load container-run container-tools container-test compose-up compose-down compose-test \
	load-test-50 load-test-100 load-test-300 load-test-500 load-test-1000 \
	swarm-client swarm-client-gentle swarm-client-burst swarm-client-stress swarm-client-extreme

help: ## list the targets
	@grep -hE '^[a-z0-9%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 26

rust:
	@command -v $(CARGO) >/dev/null || { echo "$(CARGO) is missing: install Rust from https://rustup.rs, then open a new shell"; exit 3; }

cc:
	@scripts/install-tools cc

tools:
	@scripts/install-tools ffmpeg nginx cc

demo-tools:
	@scripts/install-tools cc ffmpeg nginx || echo "going on without FFmpeg or nginx, as far as that goes"

test-tools:
	@scripts/install-tools ffmpeg nginx cc curl openssl patch nix-instantiate prometheus kubectl

build: rust cc ## build both programs, optimized
	$(CARGO) build --release --locked

install: ## copy the programs that make build has made, manual pages and completions below PREFIX=/usr/local (with sudo)
	@scripts/install $(RELEASE) "$(DESTDIR)$(PREFIX)"

uninstall: ## remove what make install has copied
	@scripts/install --remove "$(DESTDIR)$(PREFIX)"

run: build ## load test URL=… (FLAGS=… for more)
	$(RELEASE)/hls-swarm $(FLAGS) $(URL)

dev: rust cc ## the same, not optimized
	$(CARGO) run --bin hls-swarm -- $(FLAGS) $(URL)

demo: rust demo-tools build ## origin, 20 real viewers for 30 s, summary, report; installs what is missing
	@REPORT=$(REPORT) scripts/demo $(RELEASE) $(FLAGS)

test: rust test-tools ## all tests; installs what is missing
	$(CARGO) test --locked --workspace --no-fail-fast

test-unit: rust cc ## the tests of the library alone
	$(CARGO) test --locked --workspace --lib

test-integration: rust test-tools ## the tests against real programs
	$(CARGO) test --locked --workspace --tests

.PHONY: test-versions
test-versions: rust test-tools ## the tests that meet FFmpeg and nginx, with other versions of both (VERSIONS="sid …" for some; about 40 minutes)
	@scripts/test-versions $(VERSIONS)

soak: rust test-tools ## the origin's long tests: 20 deaths under 20 viewers, every profile for three minutes
	$(CARGO) test --locked --test integration -- --ignored --nocapture origin::

lint: rust cc ## formatting, lints, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets
	scripts/lint-probe
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet

reference: rust cc ## write anew what is generated from tables and stands in the repository
	UPDATE_REFERENCE=1 $(CARGO) test --locked --test integration -- _are

fmt: ## format the code
	$(CARGO) fmt --all

check: lint test ## lint and test

test-origin: tools build ## the test origin on port 17080 (FLAGS=… for more)
	$(RELEASE)/hls-origin $(FLAGS)

test-origin-low-latency test-origin-4k-abr test-origin-stress test-origin-logged test-origin-debug: test-origin-%: tools build ## the same with another profile: 1 s segments, a ladder to 2160p, 4K, access log of segments, of everything
	$(RELEASE)/hls-origin --profile $* $(FLAGS)

nginx-config: tools build ## print the test origin's nginx.conf, each directive with its reason (FLAGS="--profile ...")
	@$(RELEASE)/hls-origin render nginx $(FLAGS)

swarm-client: build ## viewers by the default profile against URL (also swarm-client-gentle, -burst, -stress, -extreme)
	$(RELEASE)/hls-swarm --profile default $(FLAGS) $(URL)

swarm-client-gentle swarm-client-burst swarm-client-stress swarm-client-extreme: swarm-client-%: build
	$(RELEASE)/hls-swarm --profile $* $(FLAGS) $(URL)

load-test-50 load-test-100 load-test-300 load-test-500 load-test-1000: load-test-%: tools build ## N viewers for 5 minutes against URL
	$(RELEASE)/hls-swarm --clients $* --ramp-rate 20 --duration 5m --report load-test-$*.json $(FLAGS) $(URL)

viewer-ffmpeg: ## an FFmpeg that can only be a viewer, from Debian's source package (DEST=… to install elsewhere)
	scripts/viewer-ffmpeg $(DEST)

bench-overhead: rust tools ## what the orchestrator and a viewer cost
	$(CARGO) bench --locked --bench overhead

check-nix: ## the Nix side, as far as this machine can; says what it cannot
	scripts/check-nix
bench-tuning: build ## the tuned server against a bad one: wrk and viewers, as ratios (root)
	@scripts/install-tools ffmpeg nginx wrk patch
	@scripts/bench-tuning $(RELEASE)
	@scripts/bench-changes $(RELEASE)

# NixOS has its own machines (microvm.nix); VM_KIND=debian or VM_KIND=nix chooses.
.PHONY: microvm-tools microvm-image microvm-check-kvm microvm-start microvm-start-tap microvm-stop microvm-reset \
	microvm-console network-setup network-check network-teardown lab lab-test
VM_KIND ?= $(if $(wildcard /etc/NIXOS),nix,debian)
MACHINE ?= origin
microvm = VM_KIND=$(VM_KIND) scripts/microvm

microvm-tools:
	@scripts/install-tools qemu-system-x86_64 mmdebstrap mkfs.erofs ssh ip

microvm-image: microvm-tools build ## what the lab's machines boot (Debian packages; REFRESH=1 takes them anew)
	@scripts/microvm-image $(RELEASE)

microvm-check-kvm: ## whether machines run at full speed here
	@$(microvm) check-kvm

microvm-start: $(if $(filter nix,$(VM_KIND)),,microvm-image) ## MACHINE=origin (or client), ports forwarded from 127.0.0.1
	@NET=user $(microvm) start $(MACHINE)

microvm-start-tap: $(if $(filter nix,$(VM_KIND)),,microvm-image) ## MACHINE=origin (or client) on the bridge; first: sudo make network-setup
	@NET=tap $(microvm) start $(MACHINE)

microvm-stop: ## stop both machines
	@$(microvm) stop origin
	@$(microvm) stop client

microvm-reset: ## stop MACHINE and start it anew, as it was
	@$(microvm) reset $(MACHINE)

microvm-console: ## what MACHINE says
	@$(microvm) console $(MACHINE)

network-setup: ## bridge and TAP devices for the lab (with sudo; OWNER=…, NETNS=…)
	@scripts/network setup

network-check: ## whether they are there, and as they should be
	@scripts/network check

network-teardown: ## remove them (with sudo)
	@scripts/network teardown

lab: microvm-image ## boot an origin and a client, play a scenario between them, leave nothing but the report
	@scripts/lab

lab-test: microvm-image ## hold the lab against the truth: counts, delays, a power cut, what stays behind
	$(CARGO) test --locked --test integration --no-run
	scripts/lab shell $(CARGO) test --locked --test integration -- --ignored --test-threads=1 --nocapture lab::pair::
	$(CARGO) test --locked --test integration -- --ignored --test-threads=1 lab::remains::

container: ## images of both programs for the engine of this machine
	containers/build

container-load: ## the images of the flake into the engine of this machine
	for image in swarm-client-container test-origin-container; do \
		"$$(nix build --no-link --print-out-paths .#$$image)" | docker load || exit 1; done

container-run: container ## viewers of URL in a container that may do nothing else (FLAGS=… for more)
	docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
		--ulimit nofile=16384:16384 --network host hls-swarm:local $(FLAGS) $(URL)

compose-up: container ## origin, 20 viewers, Prometheus and Grafana (OFFLINE=1: without Grafana)
	containers/compose $(if $(OFFLINE),,--profile grafana) up --detach

compose-down: ## end and remove what compose-up started
	containers/compose $(if $(OFFLINE),,--profile grafana) down

compose-test: container-tools ## the compose stack counts as nginx does and is scraped
	OFFLINE=1 containers/build
	$(CARGO) test --locked --test integration -- --ignored containers::the_compose_stack

container-tools:
	@scripts/install-tools docker docker-compose prometheus

container-test: container-tools ## images, compose stack and four containers as one load, on the engine of this machine
	OFFLINE=1 containers/build
	$(CARGO) test --locked --test integration -- --ignored --test-threads=1 containers::

ci: ## what CI runs
	.ci/run

clean: ## remove what was built
	$(CARGO) clean
