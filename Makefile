# SPDX-License-Identifier: MIT
# Short commands over Meson. `make` alone lists them.
BUILD ?= build
PREFIX ?= /usr/local
export DV_ROOT := $(CURDIR)

help:
	@echo 'drover: language models on ordinary CPU machines'
	@echo
	@echo '  make run        install what is missing, build, and chat with the model that ships with drover'
	@echo '  make test       install what is missing, build, and run every test'
	@echo '  make build      build $(BUILD)/drover'
	@echo '  make compare    check answers and log-probabilities against llama.cpp (as root: sets it up in a folder)'
	@echo '  make bench      measure speed against llama.cpp on the same files (as root)'
	@echo '  make fuzz       fuzz every parser for a while (FUZZ_SECONDS=600)'
	@echo '  make install    install to PREFIX=$(PREFIX)'
	@echo '  make clean      remove the build folders'

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --prefix=$(PREFIX) -Dtests=false >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

setup:
	@tools/setup.sh build

build: setup $(BUILD)/build.ninja
	@meson configure $(BUILD) --prefix=$(PREFIX) >/dev/null
	@ninja -C $(BUILD) $(NINJA_FLAGS)

run: setup $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet
	@exec $(BUILD)/drover run -m models/pocket-dictionary.gguf

test:
	@tools/setup.sh test
	@exec tools/run-tests.sh

compare: build
	@tools/setup.sh compare
	@exec tests/peer/run.sh

bench: build
	@tools/setup.sh bench
	@exec bench/run.sh

fuzz:
	@tools/setup.sh fuzz
	@exec tests/fuzz/run.sh

install: build
	@meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf build build-*

.PHONY: help setup build run test compare bench fuzz install clean
