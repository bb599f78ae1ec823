# SPDX-License-Identifier: Apache-2.0
"""``python -m demo``."""

from __future__ import annotations

import sys

from demo.app import main

if __name__ == "__main__":
    sys.exit(main())
