# SPDX-License-Identifier: Apache-2.0
"""Usage: its values, and how the instrumentations of the field write it on spans."""

from spancost.usage.dialects import Dialect
from spancost.usage.meaning import Reading
from spancost.usage.reader import dialect_of, read_usage
from spancost.usage.values import Usage

__all__ = ["Dialect", "Reading", "Usage", "dialect_of", "read_usage"]
