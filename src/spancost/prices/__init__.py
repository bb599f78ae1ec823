# SPDX-License-Identifier: Apache-2.0
"""Rate cards, the rules that find one by provider and model id, and the vendored table."""
