"""Handlers made of the table of endpoints: access, bodies, answers and errors of all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, ClassVar

from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError

from hybridnb.app.server.access import Access, declared
from hybridnb.app.server.addresses import on_loopback
from hybridnb.app.server.problems import BODY, http_problem, problem, status_of
from hybridnb.app.server.snapshots import Snapshots
from hybridnb.app.server.table import ENDPOINTS, Endpoint, Lane, reduced
from hybridnb.errors import HybridnbError
from hybridnb.policy import Params, validated

SERVICES = "hybridnb_services"  # key of the web application's settings
LONGEST = 64 * 1024  # bytes of a body
_OURS_ALONE = frozenset({"token", "no_track_activity"})  # of a query: the server's own


class Services:
    """What the handlers share: answers in memory, and the threads that act and ask."""

    def __init__(self) -> None:
        self.snapshots = Snapshots()
        self._lanes = {
            lane: ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"hybridnb-{lane}")
            for lane in (Lane.ACT, Lane.ASK)
        }

    async def act(self, lane: Lane, run: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Run what a caller asked for, one at a time, to its end even if the caller goes."""
        doing = asyncio.get_running_loop().run_in_executor(self._lanes[lane], run)
        try:
            return await asyncio.shield(doing)
        finally:
            self.snapshots.forget()

    def close(self) -> None:
        """Let every thread end; what was begun is finished."""
        self.snapshots.close()
        for lane in self._lanes.values():
            lane.shutdown(wait=False, cancel_futures=True)


class JsonHandler(APIHandler):
    """Answers with JSON; so are its errors, with a code, a sentence and a remedy."""

    @property
    def services(self) -> Services:
        """What the handlers share."""
        found: Services = self.settings[SERVICES]
        return found

    def send(self, answer: Mapping[str, Any]) -> None:
        """Finish with an object."""
        self.finish(json.dumps(answer, ensure_ascii=False, allow_nan=False).encode())

    def fail(self, error: HybridnbError, *, usage: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        """Finish with an error of ours."""
        status = status_of(error, usage=usage)
        self.set_status(status)
        self.send(problem(error, status))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A refusal of the server's own."""
        error = kwargs.get("exc_info", (None, None))[1]
        said = error.log_message or "" if isinstance(error, HTTPError) else ""
        self.send(http_problem(status_code, said))


class ApiHandler(JsonHandler):
    """One address: its methods are made of the endpoints of the table."""

    endpoints: ClassVar[Mapping[str, Endpoint]] = {}

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse who may not call, before anything is read."""
        if self.request.method == "POST" and len(self.request.body) > LONGEST:
            raise HTTPError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        await super().prepare()
        if self.current_user is None and self.request.method in self.endpoints:
            mine = self.endpoints[self.request.method]
            if mine.access is not Access.REDUCED or not on_loopback(self.request):
                raise HTTPError(HTTPStatus.FORBIDDEN)

    async def answer(self, endpoint: Endpoint) -> None:
        """Answer one request; an error of ours becomes its status and its remedy."""
        try:
            if endpoint.method == "GET":
                await self._read(endpoint)
            else:
                self.send(await self._act(endpoint))
        except HybridnbError as error:
            self.fail(error, usage=endpoint.usage)

    async def _read(self, endpoint: Endpoint) -> None:
        query = validated(endpoint.takes, self._query(), file=BODY)
        key = f"{endpoint.path} {query.model_dump_json()}"
        kept = await self.services.snapshots.get(key, lambda reader: endpoint.run(reader, query))
        self.set_header("Cache-Control", "no-store")
        if self.current_user is None:
            self.send(reduced(kept.answer, endpoint.reduced))
        else:
            self.finish(kept.text)

    async def _act(self, endpoint: Endpoint) -> Mapping[str, Any]:
        body = validated(endpoint.takes, self._body(endpoint.takes), file=BODY)
        return await self.services.act(endpoint.lane, lambda: endpoint.run(body))

    def _query(self) -> dict[str, Any]:
        names = self.request.query_arguments.keys() - _OURS_ALONE
        return {name: self.get_query_argument(name) for name in names}

    def _body(self, kind: type[Params]) -> dict[str, Any]:
        text = self.request.body.strip()
        if not text:
            return {}
        try:
            found = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise HTTPError(HTTPStatus.BAD_REQUEST, "the body isn't JSON") from error
        if not isinstance(found, dict):
            raise HTTPError(HTTPStatus.BAD_REQUEST, "the body isn't a JSON object")
        return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _method(endpoint: Endpoint) -> Any:
    async def answer(self: ApiHandler) -> None:
        await self.answer(endpoint)

    answer.__name__ = endpoint.method.lower()
    answer.__doc__ = endpoint.what
    return declared(endpoint.access)(answer)


def handler_of(path: str) -> type[ApiHandler]:
    """The handler of an address, with a method for each of its endpoints."""
    mine = {e.method: e for e in ENDPOINTS if e.path == path}
    name = "".join(word.title() for word in path.replace("/", "-").split("-")) + "Handler"
    methods = {method.lower(): _method(endpoint) for method, endpoint in mine.items()}
    return type(name, (ApiHandler,), {**methods, "endpoints": mine, "__doc__": f"`{path}`."})


def api_handlers() -> list[tuple[str, type[ApiHandler]]]:
    """Addresses of the table with their handlers, in its order."""
    paths = dict.fromkeys(endpoint.path for endpoint in ENDPOINTS)
    return [(path, handler_of(path)) for path in paths]
