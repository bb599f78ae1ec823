# SPDX-License-Identifier: Apache-2.0
#
# The verbs of this repository; CI runs the same ones (.ci/run). Each sets up what it needs in
# .venv and .venvs on a machine that has Python 3.10 or newer and nothing else prepared.
# The steps are in tools/verify.py. Written for GNU make 3.81 (macOS) and BSD make alike.

PYTHON ?= python3
SPANS ?= 1000000
SEED ?= 1

.PHONY: help check test bench bench-quick coverage demo format fuzz prices clean

help:
	@echo "make check     format, lint, types and unit tests, before every commit (under a minute)"
	@echo "make test      everything, with the time of each part; lists what it had to skip"
	@echo "make bench     the benchmarks, beside other libraries; writes docs/performance.md"
	@echo "make bench-quick  most of them in about three minutes"
	@echo "make coverage  which lines and branches the unit and property tests reach"
	@echo "make demo      four agents at work, and what each of them spends (ARGS=--once: one round)"
	@echo "make fuzz      a million spoilt spans through the doors (SPANS=1000: so many; SEED=1: these)"
	@echo "make format    format the code and mend what the linter can"
	@echo "make prices    build the price table anew from its sources (KEEP=1: keep what they forgot)"
	@echo "make clean     remove the virtual environments and everything built or cached"
	@echo ""
	@echo "PYTHON=/path/to/python3 chooses the Python of .venv; REQUIRE_ALL=1 makes a skip a failure."

check test bench bench-quick coverage format prices:
	@$(PYTHON) tools/verify.py $@

fuzz:
	@FUZZ_SPANS=$(SPANS) FUZZ_SEED=$(SEED) $(PYTHON) tools/verify.py fuzz

demo:
	@$(PYTHON) tools/verify.py demo $(ARGS)

clean:
	rm -rf .venv .venvs build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
