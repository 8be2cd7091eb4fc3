# The short ways. `make demo` shows MailDT at work, `make test` proves it; both install what they need on Debian.

# cargo as rustup installs it, also where no shell profile has put it on PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin
TARGET := $(or $(CARGO_TARGET_DIR),target)
NOT_RUN := $(TARGET)/not-run.txt
# The tests of the running program mostly wait: more of them at a time than there are processors.
export RUST_TEST_THREADS ?= 8

.PHONY: help demo test bench lint pictures setup setup-demo cargo

help:
	@echo 'make demo    MailDT with a mail server of its own; needs no account'
	@echo 'make test    everything that must pass: format, lints, all tests'
	@echo 'make bench   the figures'
	@echo 'make lint    format and lints only'
	@echo 'make pictures the pictures of the documentation, from the running program'
	@echo 'make setup   installs what the tests need (Debian) or says what is missing'

demo: setup-demo cargo
	cargo build --release --locked
	exec $(TARGET)/release/maildt demo

test: cargo
	@mkdir -p $(TARGET) && rm -f $(NOT_RUN)
	@scripts/setup.sh test
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo test --locked
	@if [ -s $(NOT_RUN) ]; then echo 'All that could run here has passed. Not run:'; sort -u $(NOT_RUN); \
		else echo 'All tests have run and passed.'; fi

bench: cargo setup
	cargo bench --locked

lint: cargo
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings

pictures: cargo setup
	cargo test --locked --test it -- --ignored --test-threads 1 browser::pictures

setup:
	@scripts/setup.sh test

setup-demo:
	@scripts/setup.sh demo

cargo:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust as https://rustup.rs says, then run make again' >&2; exit 1; }
