"""Files that the server hands out: reports, and what the dashboard's page loads."""

from __future__ import annotations

from pathlib import Path

from jupyter_server.base.handlers import JupyterHandler
from tornado.web import HTTPError, StaticFileHandler
from voila.static_file_handler import MultiStaticFileHandler, TemplateStaticFileHandler

from hybridnb.app.server.access import Access, declared

_ITSELF = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
_INLINE = "img-src 'self' data: blob:; font-src data:; frame-ancestors 'self'"
# In an origin of its own: a script in a report holds no cookie and reaches no API.
REPORT_POLICY = f"sandbox allow-scripts allow-downloads allow-popups; {_ITSELF} {_INLINE}"
PDF_POLICY = "default-src 'none'; frame-ancestors 'self'"  # browsers' viewers need their origin


class FileHandler(JupyterHandler):
    """Hands out a file."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse what can be no file's name on any system, before it is asked for.

        Raises
        ------
        HTTPError
            404.
        """
        if "%00" in self.request.path or "\0" in self.request.path:
            raise HTTPError(404)
        await super().prepare()


class ReportHandler(FileHandler, StaticFileHandler):
    """`/reports/…`: what stands in the reports' folder, and nothing that a link leads out to."""

    @property
    def content_security_policy(self) -> str:
        """A report's scripts act for nobody."""
        return PDF_POLICY if self.request.path.endswith(".pdf") else REPORT_POLICY

    def set_extra_headers(self, path: str) -> None:
        """Reports are never changed; their index is."""
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """The file, if it is inside of the folder once every link was followed.

        Raises
        ------
        HTTPError
            404 for what isn't there, is hidden, or is elsewhere.
        """
        inside = Path(root).resolve()
        meant = Path(absolute_path).resolve()
        if not meant.is_relative_to(inside) or not meant.exists():
            raise HTTPError(404)
        if any(part.startswith(".") for part in meant.relative_to(inside).parts):
            raise HTTPError(404)
        if meant.is_dir() and not (meant / (self.default_filename or "")).is_file():
            raise HTTPError(404)
        return super().validate_absolute_path(root, absolute_path)

    @declared(Access.TOKEN)
    async def get(self, path: str, include_body: bool = True) -> None:
        """A report."""
        await StaticFileHandler.get(self, path, include_body)

    @declared(Access.TOKEN)
    async def head(self, path: str) -> None:
        """Whether a report is there."""
        await StaticFileHandler.get(self, path, include_body=False)


class PageFileHandler(FileHandler, MultiStaticFileHandler):  # type: ignore[misc]  # untyped
    """Scripts and styles of the dashboard's page, for those who may see it."""

    @declared(Access.TOKEN)
    async def get(self, path: str, include_body: bool = True) -> None:
        """A file."""
        await StaticFileHandler.get(self, path, include_body)

    @declared(Access.TOKEN)
    async def head(self, path: str) -> None:
        """Whether a file is there."""
        await StaticFileHandler.get(self, path, include_body=False)


class TemplateFileHandler(FileHandler, TemplateStaticFileHandler):  # type: ignore[misc]
    """Files that lie beside a template of the dashboard's page."""

    def parse_url_path(self, url_path: str) -> str:
        """Where a file would be.

        Raises
        ------
        HTTPError
            404 for an address that isn't TEMPLATE/static/FILE.
        """
        parts = url_path.split("/")
        if len(parts) < 3 or parts[1] != "static" or parts[0] in ("", ".", ".."):
            raise HTTPError(404)
        return str(super().parse_url_path(url_path))

    @declared(Access.TOKEN)
    async def get(self, path: str, include_body: bool = True) -> None:
        """A file."""
        await StaticFileHandler.get(self, path, include_body)

    @declared(Access.TOKEN)
    async def head(self, path: str) -> None:
        """Whether a file is there."""
        await StaticFileHandler.get(self, path, include_body=False)
