"""The Jupyter server extension: everything of ours that a Jupyter server serves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from tornado.routing import Rule
from traitlets import Any as AnyTrait
from traitlets import Bool

from hybridnb import __version__
from hybridnb.app.dashboard.entry import dashboard_notebook
from hybridnb.app.home import home, reports_folder
from hybridnb.app.server.documents import OpenApiHandler
from hybridnb.app.server.files import ReportHandler
from hybridnb.app.server.handlers import SERVICES, Services, api_handlers
from hybridnb.app.server.labs import LOADED, door, load_lab
from hybridnb.app.server.metrics import READ_MODEL, MetricsHandler, whole
from hybridnb.app.server.reaper import reap
from hybridnb.errors import HybridnbError

INDEX = "index.html"
DASHBOARD = "/hybridnb"  # the dashboard's address in a server that isn't ours alone


class HybridnbApp(ExtensionApp):
    """API, reports, metrics and dashboard; at the root only of the product's own server."""

    name = "hybridnb"
    version = __version__
    load_other_extensions = True
    extension_url = DASHBOARD
    at_root = Bool(False, help="The dashboard is at /, and /metrics is ours.").tag(config=True)
    ready: Any = AnyTrait(None, allow_none=True)  # called once, when the server listens

    def initialize_settings(self) -> None:
        """What all handlers share."""
        self._begun: list[asyncio.Task[None]] = []
        self.settings[SERVICES] = Services()

    def initialize_handlers(self) -> None:
        """Every address of ours."""
        self.handlers.extend(self.rules())

    def rules(self) -> Iterator[tuple[Any, ...]]:
        """Address, handler and what the handler is given."""
        from hybridnb.app.server.pages import page_handlers

        yield from api_handlers()
        yield "/api/openapi.json", OpenApiHandler
        reports = reports_folder(home())
        reports.mkdir(parents=True, exist_ok=True)
        yield r"/reports/(.*)", ReportHandler, {"path": str(reports), "default_filename": INDEX}
        server: Any = self.serverapp
        notebook = dashboard_notebook()
        if self.at_root:
            yield "/metrics", MetricsHandler
            own = Path(server.root_dir, notebook.name)
            yield from page_handlers(server, own, addresses=(DASHBOARD, "/"))
        elif notebook.is_relative_to(server.root_dir):  # what Voila renders is in the contents
            yield from page_handlers(server, notebook, addresses=(DASHBOARD,))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """The server listens: kernels are watched from now on, and who waits is told."""
        self._begin(reap(serverapp.kernel_manager, self.log))
        if self.at_root:
            held = door(serverapp)
            serverapp.web_app.wildcard_router.rules.insert(0, held)
            serverapp.web_app.settings[LOADED] = self._begin(self._rest(serverapp, held))
        if self.ready is not None:
            self.ready()

    async def _rest(self, serverapp: Any, held: Rule) -> None:
        """What a server that answers can do without: first what everybody reads, then Lab."""
        services: Services = self.settings[SERVICES]
        try:
            await services.snapshots.get(READ_MODEL, whole)
        except HybridnbError as error:
            self.log.warning("the present state can't be read: %s", error)
        await load_lab(serverapp, held)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._begun.append(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.error("%s ended: %s", task.get_name(), error, exc_info=error)

    async def stop_extension(self) -> None:
        """End what was begun here."""
        for task in self._begun:
            task.cancel()
        await asyncio.gather(*self._begun, return_exceptions=True)
        self.settings[SERVICES].close()
