# The commands for people and CI. `make help` lists them.
CARGO ?= cargo
URL ?= http://127.0.0.1:17080/stream.m3u8
RELEASE := target/release
REPORT ?= demo-report.json
# The demo's profile is compiled in half the time.
DEMO_PROFILE ?= demo
DEST ?= $(RELEASE)
PREFIX ?= /usr/local
# nginx is in /usr/sbin, which is not in every user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help build install uninstall rust cc run dev dev-run demo test test-unit test-integration soak lint fmt reference check \
	test-origin test-origin-low-latency test-origin-4k-abr test-origin-stress test-origin-logged test-origin-debug \
	nginx-config bench bench-native bench-overhead bench-tuning viewer-ffmpeg check-nix ci clean tools demo-tools test-tools \
	container container-load container-run container-run-origin container-tools container-test compose-up compose-down compose-test \
	load-test-50 load-test-100 load-test-300 load-test-500 load-test-1000 \
	swarm-client swarm-client-gentle swarm-client-burst swarm-client-stress swarm-client-extreme

help: ## list the targets
	@grep -hE '^[a-z0-9%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 26

rust:
	@command -v $(CARGO) >/dev/null || { printf 'error: %s is not installed\n  help: install Rust from https://rustup.rs, then open a new shell\n' "$(CARGO)" >&2; exit 3; }

cc:
	@scripts/install-tools cc

tools:
	@scripts/install-tools ffmpeg nginx cc

demo-tools:
	@scripts/install-tools cc ffmpeg nginx || echo "warning: continuing without FFmpeg or nginx"

test-tools:
	@scripts/install-tools ffmpeg nginx cc curl openssl patch nix-instantiate prometheus kubectl gstreamer

build: rust cc ## build both programs in release mode
	$(CARGO) build --release --locked
	@scripts/install --pages $(RELEASE)

install: ## install the built programs, manual pages and completions below PREFIX=/usr/local (with sudo)
	@scripts/install $(RELEASE) "$(DESTDIR)$(PREFIX)"

uninstall: ## remove the files that make install has installed
	@scripts/install --remove "$(DESTDIR)$(PREFIX)"

run: build ## load test URL=… (FLAGS=… for more flags)
	$(RELEASE)/hls-swarm $(FLAGS) $(URL)

dev: ## open a shell with everything the project needs (Nix); without Nix, like run in debug mode
	@if command -v nix >/dev/null 2>&1 && nix flake metadata >/dev/null 2>&1; then exec nix develop; \
	else $(MAKE) --no-print-directory dev-run; fi

dev-run: rust cc ## load test URL=… with an unoptimized build (FLAGS=… for more flags)
	$(CARGO) run --bin hls-swarm -- $(FLAGS) $(URL)

demo: rust demo-tools ## test origin, 20 viewers for 10 s, summary and reports; installs missing tools
	$(CARGO) build --profile $(DEMO_PROFILE) --locked --bins
	@target/$(DEMO_PROFILE)/hls-swarm demo --report $(basename $(REPORT)).html --report $(REPORT) $(FLAGS) || { code=$$?; \
		[ $$code -eq 5 ] || exit $$code; } # the demo explains an invalid run, and keeps its reports

test: rust test-tools ## all tests; installs missing tools
	$(CARGO) test --locked --workspace --no-fail-fast

test-unit: rust cc ## the unit tests
	$(CARGO) test --locked --workspace --lib

test-integration: rust test-tools ## the tests with real programs
	$(CARGO) test --locked --workspace --tests

.PHONY: test-versions
test-versions: rust test-tools ## the tests with other versions of FFmpeg and nginx (VERSIONS="sid …" selects some; about 40 minutes)
	@scripts/test-versions $(VERSIONS)

.PHONY: aarch64-test
aarch64-test: build ## build for aarch64, and run unit tests and FFmpeg viewers under an emulated processor (as root; 20 minutes)
	@scripts/test-aarch64 $(RELEASE)

.PHONY: fuzz-smoke fuzz-planted
fuzz-smoke: rust cc ## fuzz every parser of foreign data, two minutes altogether (scripts/fuzz run TARGET for longer)
	@scripts/fuzz smoke

fuzz-planted: rust cc ## check that fuzzing finds the bug that is planted in each target
	@scripts/fuzz planted

.PHONY: player-test
player-test: rust cc ## open reports and the live page in Chromium, record hls.js, and compare the model of a player with it (CASES="clean late missing cap still")
	@scripts/player-test $(CASES)

soak: rust test-tools ## the long tests of the origin: 20 killed processes with 20 viewers, every profile for three minutes
	$(CARGO) test --locked --test integration -- --ignored --nocapture origin::

lint: rust cc ## check formatting, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets
	CARGO_TARGET_DIR=target $(CARGO) clippy --locked --manifest-path fuzz/Cargo.toml -- -D warnings
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	scripts/lint-probe
	scripts/lint-prose --self-test
	scripts/lint-prose
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet

.PHONY: deny msrv latest-stable
deny: rust ## licenses, sources and duplicates of dependencies, by deny.toml
	scripts/deny

msrv: rust cc ## the oldest Rust that Cargo.toml promises; prints what this machine cannot check
	scripts/check-msrv

latest-stable: rust cc ## compile with a newer stable Rust than rust-toolchain.toml names; warnings are allowed
	scripts/check-latest-stable

.PHONY: lint-prose
lint-prose: ## words in prose and names that scripts/banned-words.txt replaces (FLAGS=--summary counts them)
	scripts/lint-prose --self-test
	scripts/lint-prose $(FLAGS)

reference: rust cc ## regenerate the reference pages and other generated files in the repository
	UPDATE_REFERENCE=1 $(CARGO) test --locked --test integration -- _are
	UPDATE_REFERENCE=1 $(CARGO) test --locked -p hls-swarm-host --lib tables_of_the_documentation

fmt: ## format the code
	$(CARGO) fmt --all

check: lint test ## lint and test

test-origin: tools build ## run the test origin on port 17080 (FLAGS=… for more flags)
	$(RELEASE)/hls-origin $(FLAGS)

test-origin-low-latency test-origin-4k-abr test-origin-stress test-origin-logged test-origin-debug: test-origin-%: tools build ## like test-origin, with another profile: 1 s segments, a ladder up to 2160p, 4K, access log of segments or of all requests
	$(RELEASE)/hls-origin --profile $* $(FLAGS)

nginx-config: tools build ## print the nginx.conf of the test origin, with the reason for each directive (FLAGS="--profile ...")
	@$(RELEASE)/hls-origin render nginx $(FLAGS)

swarm-client: build ## load test URL with the default profile (also swarm-client-gentle, -burst, -stress, -extreme)
	$(RELEASE)/hls-swarm --profile default $(FLAGS) $(URL)

swarm-client-gentle swarm-client-burst swarm-client-stress swarm-client-extreme: swarm-client-%: build
	$(RELEASE)/hls-swarm --profile $* $(FLAGS) $(URL)

load-test-50 load-test-100 load-test-300 load-test-500 load-test-1000: load-test-%: tools build ## load test URL with N viewers for 30 s after the ramp
	$(RELEASE)/hls-swarm --clients $* --ramp-rate 20 --duration $$(($* / 20 + 30))s --report load-test-$*.json $(FLAGS) $(URL)

viewer-ffmpeg: ## build a small FFmpeg for viewers from Debian's source package (DEST=… to install elsewhere)
	scripts/viewer-ffmpeg $(DEST)

bench: rust cc ## what an event, a second, a playlist, a record and a report cost (BENCH=snapshot for some; under two minutes)
	$(CARGO) bench --locked --bench micro -- $(BENCH)

bench-overhead: rust tools ## measure the CPU and memory of the orchestrator and of a viewer (BASE=FILE: compared with that hls-swarm)
	BASE='$(BASE)' $(CARGO) bench --locked --bench overhead

check-nix: ## check the Nix files as far as this machine can, and list what it cannot check
	scripts/check-nix

.PHONY: nix-build
nix-build: ## build and run what the flake defines, without a binary cache (NIXPKGS_GIT=…, MICROVM_GIT=…; as root)
	scripts/nix-build

bench-native: rust tools ## measure native viewers: bytes per CPU-second, CPU and memory per viewer, TLS beside hyper
	$(CARGO) bench --locked --bench native

.PHONY: bench-tap
bench-tap: build ## measure what the network of the lab carries: 5,000 native viewers for a minute (VIEWERS=…, GOAL=GBIT; as root)
	@scripts/install-tools ffmpeg nginx ip jq ethtool
	@scripts/bench-tap $(RELEASE)

bench-tuning: build ## compare a tuned and an untuned server with wrk and viewers, as ratios (as root)
	@scripts/install-tools ffmpeg nginx wrk patch
	@scripts/bench-tuning $(RELEASE)
	@scripts/bench-changes $(RELEASE)

# NixOS uses machines of its own (microvm.nix); VM_KIND=debian or VM_KIND=nix selects one.
.PHONY: microvm-tools microvm-image microvm-check-kvm microvm-start microvm-start-tap microvm-stop microvm-reset \
	microvm-console network-setup network-check network-teardown lab lab-test
VM_KIND ?= $(if $(wildcard /etc/NIXOS),nix,debian)
MACHINE ?= origin
microvm = VM_KIND=$(VM_KIND) scripts/microvm

microvm-tools:
	@scripts/install-tools qemu-system-x86_64 mmdebstrap mkfs.erofs ssh ip

microvm-image: microvm-tools build ## build the image of the lab's machines from Debian packages (REFRESH=1 downloads them again)
	@scripts/microvm-image $(RELEASE)

microvm-check-kvm: ## check whether machines run at full speed here (KVM)
	@$(microvm) check-kvm

microvm-start: $(if $(filter nix,$(VM_KIND)),,microvm-image) ## start MACHINE=origin (or client), with ports forwarded from 127.0.0.1
	@NET=user $(microvm) start $(MACHINE)

microvm-start-tap: $(if $(filter nix,$(VM_KIND)),,microvm-image) ## start MACHINE=origin (or client) on the bridge; requires: sudo make network-setup
	@NET=tap $(microvm) start $(MACHINE)

microvm-stop: ## stop both machines
	@$(microvm) stop origin
	@$(microvm) stop client

microvm-reset: ## restart MACHINE with the same settings
	@$(microvm) reset $(MACHINE)

microvm-console: ## show the console of MACHINE
	@$(microvm) console $(MACHINE)

network-setup: ## create the bridge and TAP devices of the lab (with sudo; OWNER=…, NETNS=…)
	@scripts/network setup

network-check: ## check the bridge and TAP devices
	@scripts/network check

network-teardown: ## remove the bridge and TAP devices (with sudo)
	@scripts/network teardown

lab: microvm-image ## boot an origin and a client, run a scenario between them, and keep only the report
	@scripts/lab

lab-test: microvm-image ## test the lab: request counts, delays, a power cut, and that it cleans up
	$(CARGO) test --locked --test integration --no-run
	scripts/lab shell $(CARGO) test --locked --test integration -- --ignored --test-threads=1 --nocapture lab::pair::
	$(CARGO) test --locked --test integration -- --ignored --test-threads=1 lab::cleanup::

.PHONY: deb deb-test
deb: build ## pack both programs as a package for Debian and Ubuntu (DEST=… for another directory)
	@scripts/install-tools dpkg-shlibdeps
	@scripts/package-deb $(RELEASE) $(if $(filter $(RELEASE),$(DEST)),target,$(DEST))

deb-test: deb ## install the package in a bare Debian 12 and 13, and run the demo there (as root)
	@scripts/install-tools mmdebstrap
	scripts/deb-test target/hls-swarm_*.deb bookworm trixie

.PHONY: otlp-test
otlp-test: rust test-tools ## push metrics to OTLP_PROMETHEUS=PROGRAM (Prometheus or VictoriaMetrics), and compare what it stored
	OTLP_PROMETHEUS='$(OTLP_PROMETHEUS)' $(CARGO) test --locked --test integration -- --ignored --exact \
		pushed_metrics::a_database_that_is_pushed_to_has_the_values

.PHONY: units-test units-machine-test
units-test: build ## run the units that the programs render under a real systemd, in a container (as root)
	scripts/test-units $(RELEASE)

units-machine-test: microvm-image ## run the same units in a machine that systemd boots (as root; emulated where there is no KVM)
	scripts/test-units --machine $(RELEASE)

container: ## build container images of both programs
	containers/build

container-load: ## load the container images of the flake
	for image in swarm-client-container test-origin-container; do \
		docker load <"$$(nix build --no-link --print-out-paths .#$$image)" || exit 1; done

container-run: container ## load test URL from a confined container (FLAGS=… for more flags)
	docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
		--ulimit nofile=16384:16384 --network host hls-swarm:local $(FLAGS) $(URL)

container-run-origin: container ## run the test origin in a confined container, on port 17080 (FLAGS=… for more flags)
	docker run --rm --read-only --tmpfs /tmp --tmpfs /run/hls-origin:mode=1777 --cap-drop ALL \
		--security-opt no-new-privileges --ulimit nofile=16384:16384 --publish 127.0.0.1:17080:17080 hls-origin:local $(FLAGS)

compose-up: container ## start origin, 20 viewers, Prometheus and Grafana (OFFLINE=1: without Grafana)
	containers/compose $(if $(OFFLINE),,--profile grafana) up --detach

compose-down: ## stop and remove what compose-up started
	containers/compose $(if $(OFFLINE),,--profile grafana) down

compose-test: container-tools ## test that the compose stack counts the same requests as nginx and is scraped
	OFFLINE=1 containers/build
	$(CARGO) test --locked --test integration -- --ignored containers::the_compose_stack

container-tools:
	@scripts/install-tools docker docker-compose prometheus

container-test: container-tools ## test the images, the compose stack, and a load of four containers
	OFFLINE=1 containers/build
	$(CARGO) test --locked --test integration -- --ignored --test-threads=1 containers::

ci: ## run what CI runs
	.ci/run

clean: ## remove build results
	$(CARGO) clean
