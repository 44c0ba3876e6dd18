"""`hybridnb view`: the dashboard alone, for those who may look and do nothing.

A Voila of its own with kernels kept warm. Nothing else of a Jupyter server is there: no Lab, no
contents, no terminals, no API; a page's kernel has no controls, and its channel takes no code.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tornado.ioloop
import tornado.web
from jupyter_server.services.kernels.handlers import KernelHandler
from tornado.httpserver import HTTPServer
from traitlets import Any as AnyTrait
from traitlets.config import Config
from voila.app import Voila
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler
from voila.utils import get_voila_labextensions_path

from hybridnb.app.dashboard import dashboard_notebook
from hybridnb.app.dashboard.entry import READ_ONLY
from hybridnb.app.home import home
from hybridnb.app.server.access import Access, declared
from hybridnb.app.server.addresses import is_loopback
from hybridnb.app.server.files import PageFileHandler, TemplateFileHandler
from hybridnb.app.server.meeting import MeetingKernels
from hybridnb.app.server.pages import (
    CloseHandler,
    DashboardHandler,
    LabExtensionHandler,
    voila_configuration,
)
from hybridnb.app.server.reaper import KERNEL, reap
from hybridnb.app.server.serving import PINGS, TOKEN, Binding, binding, jupyter_folders, transport

WARM = 1  # kernels that wait for the next viewer, the page rendered already
_KERNEL_ID = r"(?P<kernel_id>[\w-]+)"


class KernelModelHandler(KernelHandler):
    """What a page asks about its kernel before it connects: looking only."""

    SUPPORTED_METHODS = ("GET", "HEAD")

    @declared(Access.TOKEN)
    async def get(self, kernel_id: str) -> None:
        """Name, state and connections."""
        await super().get(kernel_id)  # type: ignore[misc]  # it is a coroutine


class ViewerKernels(MeetingKernels):
    """Kernels of viewers run under the dashboard's spec, whatever a notebook names."""

    async def start_kernel(self, **given: Any) -> str:  # type: ignore[override]
        """A kernel; its id."""
        started: str = await super().start_kernel(**given | {"kernel_name": KERNEL})
        return started


class Viewers(Voila):  # type: ignore[misc]  # published without types
    """Voila, with what a desk demands of anything that listens."""

    bound: Any = AnyTrait()  # a `Binding`
    ready: Any = AnyTrait()  # called once, when the server listens

    def init_settings(self) -> dict[str, Any]:
        """As Voila has them; foreign Host headers and callers without a login are held off."""
        found: dict[str, Any] = super().init_settings()
        return found | {
            "allow_remote_access": not is_loopback(self.bound.ip),
            "allow_unauthenticated_access": False,
            "xsrf_cookies": True,
            **PINGS,
        }

    def init_handlers(self) -> list[tuple[Any, ...]]:
        """The page, what it loads, its kernel's channel, and the login."""
        page = {
            "notebook_path": os.path.relpath(self.notebook_path, self.root_dir),
            "template_paths": self.template_paths,
            "config": self.config,
            "voila_configuration": self.voila_configuration,
        }
        labextensions = {"path": get_voila_labextensions_path()}
        return [
            ("/", DashboardHandler, page),
            (f"/api/kernels/{_KERNEL_ID}", KernelModelHandler),
            (f"/api/kernels/{_KERNEL_ID}/channels", VoilaKernelWebsocketHandler),
            ("/voila/templates/(.*)", TemplateFileHandler),
            ("/voila/static/(.*)", PageFileHandler, {"paths": self.static_paths}),
            ("/voila/labextensions/(.*)", LabExtensionHandler, labextensions),
            (r"/voila/api/shutdown/([\w-]+)", CloseHandler),
            *self.identity_provider.get_handlers(),
        ]

    def listen(self) -> None:
        """Listen where it was checked that one may, until SIGTERM or SIGINT."""
        files = {"certfile": self.bound.certfile, "keyfile": self.bound.keyfile}
        HTTPServer(self.app, ssl_options=files if self.bound.certfile else None).listen(
            self.bound.port, self.bound.ip
        )
        self.ioloop = tornado.ioloop.IOLoop.current()
        self.ioloop.add_callback(self._listening)
        try:
            self.ioloop.start()
        except KeyboardInterrupt:
            self.log.info("stopping")
        finally:
            self.stop()

    async def _listening(self) -> None:
        self._reaping = asyncio.create_task(reap(self.kernel_manager, self.log))
        self.ready()


def _configuration(bound: Binding, runtime: Path) -> Config:
    found = voila_configuration()
    found.VoilaConfiguration.update(
        {
            "prelaunch_hook": None,
            "preheat_kernel": True,
            "default_pool_size": WARM,
            "multi_kernel_manager_class": ViewerKernels,
        }
    )
    notebook = dashboard_notebook()
    own = {"ip": bound.ip, "port": bound.port, "token": bound.token, "open_browser": False}
    own |= {"notebook_path": str(notebook), "root_dir": str(notebook.parent)}
    found.merge(Config({"Voila": own} | transport(runtime)))
    return found


def view(
    *,
    ip: str,
    port: int,
    certfile: str = "",
    keyfile: str = "",
    ready: Callable[[Mapping[str, Any]], None],
) -> None:
    """Serve viewers until SIGTERM or SIGINT; every kernel ends with the server.

    Parameters
    ----------
    ready : callable
        Called once the server listens, with url, ip, port, pid, and the token where it was made.

    Raises
    ------
    UsageError, Missing
        As `serving.binding` has it.
    """
    bound = binding(ip=ip, port=port, certfile=certfile, keyfile=keyfile)
    os.environ.pop(TOKEN, None)  # kernels of viewers have no use for it
    os.environ[READ_ONLY] = "1"
    where = home()
    with where.locked(f"viewer-{bound.port}"), jupyter_folders(where) as runtime:
        Viewers.clear_instance()
        server = Viewers.instance(
            config=_configuration(bound, runtime),
            config_file_paths=[],
            connection_dir_root=str(runtime),
            bound=bound,
            ready=lambda: ready(bound.told()),
        )
        server.initialize(argv=[])
        server.start()
