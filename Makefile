# `make demo` and `make test` are the two main commands; see the README. Missing host packages are installed first
# (`ister doctor --install`: apt-get, through sudo for unprivileged users).

CARGO ?= cargo
ISTER := target/debug/ister
export CARGO_TARGET_DIR := target

.PHONY: demo test nightly test-all ister tools test-tools test-packages setup check bench clean

## demo: build the kvm image and boot it to its login prompt
demo: setup
	$(ISTER) build vm-tests/kvm/template.json -o out --boot-test --report out/report
	@$(ISTER) doctor | grep '^slow' || true
	@echo "next:"
	@echo "  cargo install --locked --path .              # ister on your PATH; until then it is $(ISTER)"
	@echo "  ister new kvm -o web.json --name web --user \$$USER --key ~/.ssh/id_ed25519.pub"
	@echo "  docs/tutorial.md                             # a web server image, step by step"

## test: run all tests that must pass before a merge, including those that boot images
test: test-tools
	CARGO="$(CARGO)" tests/lanes.sh

## nightly: publish, verify and boot every image type on its target platform; write pages to out/site
nightly: setup
	# Exit codes 1 (failed tests) and 3 (host errors) leave a results file for the report; other errors do not.
	rm -f out/test/results.json
	$(ISTER) test --discard --history out/history.sqlite || case $$? in 1|3) ;; *) exit 1 ;; esac
	$(ISTER) report out/test -o out/site --history out/history.sqlite --junit out/test/junit.xml

## test-all: run all tests, including the long ones (for nightly runs)
test-all: test-tools
	cd fuzz && $(CARGO) check --locked --quiet
	$(ISTER) doctor --install --tests --dnf --nightly
	CARGO="$(CARGO)" tests/lanes.sh --include-ignored

# Packages are downloaded while clippy runs.
test-tools: ister
	$(MAKE) -j2 check test-packages

test-packages:
	$(ISTER) doctor --install --tests

## check: check formatting and run clippy, if the toolchain has them
check:
	@if $(CARGO) fmt --version >/dev/null 2>&1; then $(CARGO) fmt --check; else echo "skipped: rustfmt is not installed"; fi
	@if $(CARGO) clippy --version >/dev/null 2>&1; then $(CARGO) clippy --locked --all-targets -- -D warnings && \
	$(CARGO) clippy --locked --no-default-features --features lint --bin ister -- -D warnings; \
	else echo "skipped: clippy is not installed"; fi

# Building a test together with the binary makes cargo include the crate features that the tests need. Otherwise the
# dependencies would be compiled a second time for the tests.
ister:
	$(CARGO) build --locked --bin ister --test vm

## tools: install the programs that the tests compare ister with, from PyPI and npm
tools:
	tests/tools/install.sh

setup: ister
	$(ISTER) doctor --install

## bench: compare builds and boots with standard tools; see docs/benchmarks.md
bench: setup
	$(CARGO) build --locked --release
	benches/run.sh
	benches/assemble.sh
	benches/swupd.sh
	benches/formats.sh
	$(CARGO) bench --locked --bench plan

clean:
	$(CARGO) clean
	rm -rf out
