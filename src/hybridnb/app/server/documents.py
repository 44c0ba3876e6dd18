"""The API's own description."""

from __future__ import annotations

from hybridnb.app.server.access import Access, declared
from hybridnb.app.server.handlers import JsonHandler
from hybridnb.app.server.openapi import openapi


class OpenApiHandler(JsonHandler):
    """`/api/openapi.json`."""

    @declared(Access.TOKEN)
    def get(self) -> None:
        """The document."""
        self.send(openapi())
