# SPDX-License-Identifier: Apache-2.0
PYTHON ?= python3

.PHONY: check test bench prices clean help

help:
	@echo "make check | test | bench | prices | clean"

check test bench prices clean:
	@$(PYTHON) tools/verify.py $@
