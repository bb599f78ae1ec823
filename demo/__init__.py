# SPDX-License-Identifier: Apache-2.0
"""A small multi-agent program that shows spancost at work, and the local provider that answers it."""
