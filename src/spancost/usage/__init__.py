# SPDX-License-Identifier: Apache-2.0
"""Usage: its values, and how the instrumentations of the field write it on spans."""

from spancost.usage.values import Usage

__all__ = ["Usage"]
