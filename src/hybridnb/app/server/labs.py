"""JupyterLab, loaded once the server answers: it is half of all that a server has to load.

Who opens `/lab` before that waits at a door of ours, and is let through.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado.routing import PathMatches, Rule
from tornado.web import HTTPError

from hybridnb.app.server.access import Access, declared

LAB = "jupyterlab"
LOADED = "hybridnb_lab"  # key of the web application's settings: a task


class LabDoor(JupyterHandler):
    """`/lab…`, until Lab itself is there."""

    @declared(Access.TOKEN)
    async def get(self) -> None:
        """Wait, and ask again: then it is Lab that answers.

        Raises
        ------
        HTTPError
            503 where Lab can't be loaded; the log says why.
        """
        try:
            await asyncio.shield(self.settings[LOADED])
        except Exception as error:
            raise HTTPError(503, "JupyterLab can't be loaded") from error
        self.redirect(self.request.uri or "/lab")


def door(server: Any) -> Rule:
    """A rule that holds Lab's address."""
    address = url_path_join(server.base_url, "lab")
    return Rule(PathMatches(f"{address}(?:/.*)?"), LabDoor)


async def load_lab(server: Any, held: Rule) -> None:
    """Load Lab beside all that goes on, then take the door away."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, importlib.import_module, "jupyterlab.labapp")
    manager = server.extension_manager
    manager.add_extension(LAB, enabled=True)
    manager.link_extension(LAB)
    manager.load_extension(LAB)
    server.web_app.wildcard_router.rules.remove(held)
