"""nnU-Net's pools of processes, without the processes."""

from __future__ import annotations

from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


@contextmanager
def in_this_process(*modules: ModuleType) -> Iterator[None]:
    """Let nnU-Net's pools of processes in ``modules`` be threads.

    A spawned worker needs seconds to import nnU-Net: longer than a small dataset takes.
    """
    kept = [module.multiprocessing for module in modules]
    for module in modules:
        vars(module)["multiprocessing"] = _Threads
    try:
        yield
    finally:
        for module, original in zip(modules, kept, strict=True):
            vars(module)["multiprocessing"] = original


class _Threads:
    """Stands where nnU-Net expects the ``multiprocessing`` module."""

    @staticmethod
    def get_context(method: str) -> type[_Threads]:
        return _Threads

    @staticmethod
    def Pool(processes: int) -> ThreadPool:
        return ThreadPool(1)
