# The recipes of this repository; CI runs them and nothing else.
# Needs: Rust (the version in Cargo.toml or newer), a C compiler, make.

SHELL := /bin/bash
FUZZ_SECONDS ?= 5

.PHONY: help demo setup test check fuzz kills bless

help: ## list the recipes
	@echo "make RECIPE"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

demo: ## show the main job on a mail server of its own; EXIT=1 ends after it
	@echo "Building Postroom; the first time takes some minutes .."
	@cargo run --release --package postroom -- demo $(if $(EXIT),--exit)

setup: ## install the programs that tests use: Debian packages when root or sudo is there, others below target/
	@bash scripts/setup.sh
	@bash scripts/programs.sh

test: setup ## run all tests, and each fuzz target for FUZZ_SECONDS (default 5)
	cargo xtask test --fuzz-seconds $(FUZZ_SECONDS)

check: ## formatting, lints, tidy, documentation, licences
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask tidy
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --log-level error check bans licenses sources; \
	else echo "cargo deny is not installed: licences were not checked"; fi

fuzz: ## run one fuzz target (NAME=, default all) for SECONDS (default 60)
	cargo xtask fuzz $(NAME) --seconds $(or $(SECONDS),60)

kills: ## end work of the store after every single statement; make test takes some
	EVERY_KILL=1 cargo test --package postroom-store --test class_kills --test keys --test erasure

bless: ## rewrite the golden files; review the difference
	BLESS=1 cargo test --workspace
	git diff --stat
