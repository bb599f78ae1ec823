# SPDX-License-Identifier: Apache-2.0
"""Real libraries against the local provider; `run.py` runs one of them."""
