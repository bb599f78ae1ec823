# SPDX-License-Identifier: Apache-2.0
"""Recorded traces through the engine: two passes, rows, totals, explanations."""
