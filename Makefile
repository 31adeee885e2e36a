# SPDX-License-Identifier: MIT
# Short commands over Meson. `make` alone lists them.
BUILD ?= build
PREFIX ?= /usr/local
override DESTDIR := $(if $(DESTDIR),$(abspath $(DESTDIR)))
export DESTDIR

help:
	@echo 'drover: language models on ordinary CPU machines'
	@echo
	@echo '  make run        install what is missing, build, and serve the model that ships with drover'
	@echo '  make chat       the same, and chat with it in the terminal'
	@echo '  make test       install what is missing, build, and run every test'
	@echo '  make build      build $(BUILD)/drover'
	@echo '  make compare    check answers and log-probabilities against llama.cpp (as root: sets it up in a folder)'
	@echo '  make bench-compare    measure speed against llama.cpp and the machine: table, CSV, chart (as root; BENCH_ARGS)'
	@echo '  make compare-server   measure drover engine against llama-server (as root)'
	@echo '  make soak       32 clients, good and bad, against the server with AddressSanitizer (SOAK_SECONDS=600)'
	@echo '  make fuzz       fuzz every parser for a while (FUZZ_SECONDS=600)'
	@echo '  make install    install to PREFIX=$(PREFIX) (below DESTDIR, if set)'
	@echo '  make clean      remove the build folders'

run:
	@tools/setup.sh build
	@tools/build.sh '$(BUILD)' --new -Dtests=false --target drover
	@exec '$(BUILD)/drover' serve -m models/pocket-dictionary.gguf

chat:
	@tools/setup.sh build
	@tools/build.sh '$(BUILD)' --new -Dtests=false --target drover
	@exec '$(BUILD)/drover' run -m models/pocket-dictionary.gguf

build:
	@tools/setup.sh build
	@tools/build.sh '$(BUILD)' --new -Dtests=false --set '--prefix=$(abspath $(PREFIX))'

test:
	@tools/setup.sh test
	@exec tools/run-tests.sh

compare:
	@tools/setup.sh compare
	@tools/build.sh build-test --set -Dtests=true
	@DV_BUILD='$(CURDIR)/build-test' exec tests/peer/run.sh

bench-compare: build
	@tools/setup.sh bench
	@tools/build.sh '$(BUILD)' --target bench/roofline tools/synth-gguf
	@exec bench/run.sh compare.py --build '$(BUILD)' $(BENCH_ARGS)

bench: bench-compare

compare-server: build
	@tools/setup.sh bench
	@exec bench/run.sh server.py --build '$(BUILD)' $(SERVER_ARGS)

soak:
	@tools/setup.sh test
	@exec tools/run-tests.sh soak

fuzz:
	@tools/setup.sh fuzz
	@exec tests/fuzz/run.sh

install: build
	@meson install -C '$(BUILD)' --no-rebuild

clean:
	rm -rf '$(BUILD)' build-*

.PHONY: help run chat build test compare bench bench-compare compare-server soak fuzz install clean
