"""Jupyter's manager of kernels, which also remembers who ever had a page."""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager


class MeetingKernels(AsyncMappingKernelManager):
    """A page that crashed right after it was opened is seen too."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)  # type: ignore[no-untyped-call]
        self.met: set[str] = set()

    def notify_connect(self, kernel_id: str) -> None:
        """A page is connected to a kernel."""
        self.met.add(kernel_id)
        super().notify_connect(kernel_id)  # type: ignore[no-untyped-call]

    def remove_kernel(self, kernel_id: str) -> Any:
        """A kernel is gone."""
        self.met.discard(kernel_id)
        return super().remove_kernel(kernel_id)
