# SPDX-License-Identifier: Apache-2.0
"""What has to begin anew in a forked child, where another thread of the parent may have held a lock (design 5.11)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

_Kept = TypeVar("_Kept")


def after_fork(renew: Callable[[], object]) -> None:
    """Call *renew* in every forked child, after what was registered before; never where there is no fork."""
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=renew)


def renew_each_after_fork(kept: Iterable[_Kept], renew: Callable[[_Kept], object]) -> None:
    """Call *renew* in every forked child with each of what there is by then, such as a weak set's."""

    def renew_each() -> None:
        for each in list(kept):
            renew(each)

    after_fork(renew_each)
