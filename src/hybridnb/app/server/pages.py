"""The dashboard's page: one notebook that Voila renders, and what that page needs.

Voila's handlers are put together here rather than by its own extension: no list of notebooks, no
template or theme by query, no traceback on a page, and every handler declares its access.
"""

from __future__ import annotations

import gettext
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from jupyter_server.base.handlers import FileFindHandler
from tornado.web import HTTPError
from traitlets.config import Config
from voila.configuration import VoilaConfiguration
from voila.paths import ROOT, collect_static_paths
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.utils import get_voila_labextensions_path

from hybridnb.app.dashboard import TEMPLATE, template_paths
from hybridnb.app.server.access import Access, declared
from hybridnb.app.server.files import FileHandler, PageFileHandler, TemplateFileHandler
from hybridnb.app.server.reaper import KERNEL, end

WIDGETS = ("@voila-dashboards/widgets-manager8", "@jupyter-widgets/jupyterlab-manager")
Rules = list[tuple[Any, ...]]


def under_its_own_spec(_: Any, *, notebook: Any, cwd: str) -> None:
    """Whatever kernel the notebook names, its page's is the dashboard's: the reaper knows it."""
    notebook.metadata.kernelspec.name = KERNEL


def without_mathjax(page: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Nothing of the page is loaded from outside."""
    return page | {"mathjaxConfig": "", "fullMathjaxUrl": ""}


def voila_configuration() -> Config:
    """How the dashboard's page is rendered, whatever other configuration says."""
    return Config(
        VoilaConfiguration={
            "template": TEMPLATE,
            "allow_template_override": "NO",
            "allow_theme_override": "NO",
            "extension_allowlist": list(WIDGETS),
            "file_allowlist": [],
            "file_denylist": [".*"],
            "http_keep_alive_timeout": 10,
            "progressive_rendering": False,
            "show_tracebacks": False,
            "strip_sources": True,
            "page_config_hook": without_mathjax,
            "prelaunch_hook": under_its_own_spec,
        }
    )


def template_environment() -> Environment:
    """Where the page's templates are found."""
    found = Environment(
        loader=FileSystemLoader(template_paths()),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
    )
    words = gettext.translation("nbui", localedir=Path(ROOT, "i18n"), fallback=True)
    found.install_gettext_translations(words, newstyle=False)  # type: ignore[attr-defined]
    return found


class DashboardHandler(TornadoVoilaHandler):  # type: ignore[misc]  # Voila has no types
    """The dashboard."""

    @declared(Access.TOKEN)
    async def get(self, path: str | None = None) -> None:
        """Render the notebook, in a kernel of its own that runs under the dashboard's spec."""
        await super().get(None)


class CloseHandler(VoilaShutdownKernelHandler):  # type: ignore[misc]
    """Ends the kernel of a page that says that it is being closed.

    A page that closes can send no XSRF token; that it is ours is told by its Origin. No other
    kernel than a dashboard's can be ended here.
    """

    def check_xsrf_cookie(self) -> None:
        """The Origin must be there and be this server's, unless a token was sent.

        Raises
        ------
        HTTPError
            404 for a foreign page, 403 for one that doesn't say where it is from.
        """
        if not hasattr(self, "_jupyter_current_user"):
            return  # asked before anybody is known; asked again after
        if not self.check_origin():
            raise HTTPError(404)
        if "Origin" not in self.request.headers and not self.token_authenticated:
            raise HTTPError(403)

    @declared(Access.BEACON)
    async def post(self, kernel_id: str) -> None:
        """End it; one that is gone already is nothing to complain of."""
        if kernel_id in self.kernel_manager and not await end(
            self.kernel_manager, kernel_id, self.log
        ):
            raise HTTPError(404)
        self.set_status(204)
        self.finish()


class LabExtensionHandler(FileHandler, FileFindHandler):
    """Scripts of the widgets' manager."""

    @declared(Access.TOKEN)
    async def get(self, path: str, include_body: bool = True) -> None:
        """A file."""
        await super().get(path, include_body)

    @declared(Access.TOKEN)
    async def head(self, path: str) -> None:
        """Whether a file is there."""
        await super().get(path, include_body=False)


def page_handlers(server: Any, notebook: Path, *, addresses: tuple[str, ...]) -> Rules:
    """Rules of the dashboard at these addresses, and of what its page loads.

    Parameters
    ----------
    server : ServerApp
    notebook : Path
        The dashboard's, inside of the server's root folder.
    """
    configuration = VoilaConfiguration(parent=server, config=voila_configuration())
    server.web_app.settings["voila_jinja2_env"] = template_environment()
    page = {
        "notebook_path": os.path.relpath(notebook, server.root_dir),
        "template_paths": template_paths(),
        "config": server.config,
        "voila_configuration": configuration,
    }
    statics = {"paths": collect_static_paths(["voila", "nbconvert"], TEMPLATE)}
    labextensions = get_voila_labextensions_path()
    return [
        *((address, DashboardHandler, page) for address in addresses),
        (r"/voila/templates/(.*)", TemplateFileHandler),
        (r"/voila/static/(.*)", PageFileHandler, statics),
        (r"/voila/labextensions/(.*)", LabExtensionHandler, {"path": labextensions}),
        (r"/voila/api/shutdown/([\w-]+)", CloseHandler),
    ]
