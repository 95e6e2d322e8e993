# The two commands of the README, and what they are made of. Everything the host lacks is installed first
# (`ister doctor --install`: apt-get, through sudo for an ordinary user).

CARGO ?= cargo
ISTER := target/debug/ister
export CARGO_TARGET_DIR := target

.PHONY: demo test nightly test-all ister tools test-tools test-packages setup check bench clean

## demo: build the kvm image and boot it to its login prompt
demo: setup
	$(ISTER) build vm-tests/kvm/template.json -o out --boot-test --report out/report

## test: what must pass before a merge, booting images included
test: test-tools
	CARGO="$(CARGO)" tests/lanes.sh

## nightly: every image type, each published, verified and booted where it will run; pages of it in out/site
nightly: setup
	# What failed, or could not be done, is in the results; anything else leaves none.
	rm -f out/test/results.json
	$(ISTER) test --discard --history out/history.sqlite || case $$? in 1|3) ;; *) exit 1 ;; esac
	$(ISTER) report out/test -o out/site --history out/history.sqlite --junit out/test/junit.xml

## test-all: the long tests too, for the night
test-all: test-tools
	$(ISTER) doctor --install --tests --dnf --nightly
	CARGO="$(CARGO)" tests/lanes.sh --include-ignored

# Packages come from the network while clippy computes.
test-tools: ister
	$(MAKE) -j2 check test-packages

test-packages:
	$(ISTER) doctor --install --tests

## check: formatting and lints, where the toolchain has them
check:
	@if $(CARGO) fmt --version >/dev/null 2>&1; then $(CARGO) fmt --check; else echo "skipped: no rustfmt here"; fi
	@if $(CARGO) clippy --version >/dev/null 2>&1; then $(CARGO) clippy --locked --all-targets -- -D warnings && \
	$(CARGO) clippy --locked --no-default-features --features lint --bin ister -- -D warnings; \
	else echo "skipped: no clippy here"; fi

# With a test beside it: cargo then takes in what features the tests' libraries want, and nothing is compiled a second time for them.
ister:
	$(CARGO) build --locked --bin ister --test vm

## tools: what the tests compare ister with, from PyPI and npm
tools:
	tests/tools/install.sh

setup: ister
	$(ISTER) doctor --install

## bench: whole builds and boots beside the same work done by hand
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
