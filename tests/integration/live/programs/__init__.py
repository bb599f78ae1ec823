# SPDX-License-Identifier: Apache-2.0
"""Small programs on real client libraries and agent frameworks, for the local provider to answer."""
