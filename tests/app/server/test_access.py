"""Who may call what: declared by every handler, and held by a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from served import TOKEN, Served
from tornado.web import RequestHandler

from hybridnb.app.server.access import Access, access_of
from hybridnb.app.server.addresses import host_name, is_loopback
from hybridnb.app.server.table import ENDPOINTS, Endpoint

REDUCED = {e.path for e in ENDPOINTS if e.access is Access.REDUCED}
OTHERS = ["/metrics", "/api/openapi.json", "/reports/index.html", "/", "/hybridnb", "/lab"]
OTHERS += ["/voila/static/voila.js", "/voila/templates/lab/static/voila.js"]
OTHERS += ["/voila/labextensions/x/y.js", "/api/contents", "/api/kernels", "/api/terminals"]


def test_only_five_addresses_answer_without_a_token() -> None:
    assert {
        "/api/gpt5-status",
        "/api/risk-status",
        "/api/model-stats",
        "/health/ai",
        "/health/ai/integration",
    } == REDUCED
    assert all(e.access is Access.TOKEN for e in ENDPOINTS if e.method == "POST")
    assert all(e.reduced for e in ENDPOINTS if e.access is Access.REDUCED)


def test_every_handler_of_ours_declares_who_may_call_it() -> None:
    from hybridnb.app.server import documents, files, handlers, labs, metrics, pages, viewing

    ours = [kind for _, kind in handlers.api_handlers()]
    for module in (documents, files, labs, metrics, pages, viewing):
        ours += [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, RequestHandler)
            and value.__module__ == module.__name__
        ]
    assert len(ours) >= len({e.path for e in ENDPOINTS}) + 9
    nothing = RequestHandler._unimplemented_method
    for kind in ours:
        methods = {m.lower(): getattr(kind, m.lower()) for m in kind.SUPPORTED_METHODS}
        there = {n: m for n, m in methods.items() if m is not nothing and n != "options"}
        assert there or kind.__subclasses__(), kind
        for name, method in there.items():
            assert access_of(method) is not None, f"{kind.__name__}.{name}"


@dataclass(frozen=True)
class Caller:
    """How somebody calls: headers, and whether a login's cookie is sent."""

    name: str
    headers: dict[str, str] = field(default_factory=dict)
    cookie: bool = False
    xsrf: bool = False
    get: int = 200
    post: int = 200
    free: int = 200  # of the five

    def status(self, endpoint: Endpoint) -> int:
        if endpoint.access is Access.REDUCED:
            return self.free
        return self.get if endpoint.method == "GET" else self.post


FOREIGN = {"Origin": "http://evil.example"}
AS_TOKEN = {"Authorization": f"token {TOKEN}"}
CALLERS = [
    Caller("none", get=403, post=403),
    Caller("wrong token", {"Authorization": "token wrong"}, get=403, post=403),
    Caller("token", AS_TOKEN),
    Caller("token as bearer", {"Authorization": f"Bearer {TOKEN}"}),
    Caller("cookie without XSRF", cookie=True, post=403),
    Caller("cookie with XSRF", cookie=True, xsrf=True),
    Caller("foreign Host", {"Host": "evil.example"}, get=403, post=403, free=403),
    Caller("foreign Host, token", AS_TOKEN | {"Host": "a.example"}, get=403, post=403, free=403),
    Caller("foreign Origin", FOREIGN, get=403, post=404, free=404),
    Caller("foreign Origin, cookie", FOREIGN, cookie=True, get=404, post=404, free=404),
    Caller("foreign Origin, cookie, XSRF", FOREIGN, True, True, get=404, post=404, free=404),
    Caller("foreign Origin, token", AS_TOKEN | FOREIGN),
    Caller("a proxy, none", {"X-Forwarded-For": "9.9.9.9"}, get=403, post=403, free=403),
]


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    """One connection for the whole matrix; it keeps no cookie from one call to the next."""
    with served.client() as made:
        yield made


@pytest.fixture(scope="module")
def cookies(served: Served) -> httpx.Cookies:
    """Of a browser that logged in with the token."""
    with served.client() as client:
        login = client.get("/login")
        xsrf = client.cookies["_xsrf"]
        assert login.status_code == 200
        done = client.post("/login", data={"password": TOKEN, "_xsrf": xsrf})
        assert done.status_code == 302
        return client.cookies


def call(client: httpx.Client, caller: Caller, cookies: httpx.Cookies, endpoint: Endpoint) -> int:
    headers = dict(caller.headers)
    if caller.xsrf:
        headers["X-XSRFToken"] = cookies["_xsrf"]
    client.cookies = httpx.Cookies(cookies) if caller.cookie else httpx.Cookies()
    # A body that no endpoint takes: who gets past the door is told so, and nothing is done.
    sent = {"json": {"no such key": 1}} if endpoint.method == "POST" else {}
    return client.request(endpoint.method, endpoint.path, headers=headers, **sent).status_code


@pytest.mark.parametrize("caller", CALLERS, ids=lambda c: c.name)
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: f"{e.method} {e.path}")
def test_the_matrix(
    client: httpx.Client, cookies: httpx.Cookies, endpoint: Endpoint, caller: Caller
) -> None:
    expected = caller.status(endpoint)
    if expected == 200 and endpoint.method == "POST":
        expected = 400
    assert call(client, caller, cookies, endpoint) == expected


@pytest.mark.parametrize("path", OTHERS)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}], ids=["none", "wrong"])
def test_everything_else_leads_to_the_login(
    served: Served, path: str, headers: dict[str, str]
) -> None:
    with served.client(**headers) as client:
        found = client.get(path)
    if found.status_code == 302:
        assert found.headers["location"].startswith("/login?next=")
    else:
        assert found.status_code == 403


@pytest.mark.parametrize("path", sorted(REDUCED))
def test_without_a_token_the_body_has_the_declared_fields_alone(served: Served, path: str) -> None:
    (endpoint,) = (e for e in ENDPOINTS if e.path == path)
    with served.client() as nobody, served.operator() as operator:
        little, whole = nobody.get(path).json(), operator.get(path).json()
    flat = set()
    for name, value in little.items():
        inner = value if isinstance(value, dict) else None
        flat |= {f"{name}.{key}" for key in inner} if inner is not None else {name}
    assert flat == set(endpoint.reduced)
    assert len(whole) > len(little)


def test_what_counts_as_this_machine() -> None:
    assert all(map(is_loopback, ("localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("", "0.0.0.0", "::", "10.0.0.1", "localhost.evil.example")))
    assert host_name("[::1]:8051") == "::1" and host_name("::1") == "::1"
    assert host_name("localhost:8051") == "localhost" and host_name("a.example") == "a.example"


def test_a_report_reaches_nothing(served: Served) -> None:
    with served.operator() as operator:
        page = operator.get("/reports/")
        policy = page.headers["content-security-policy"]
        assert page.status_code == 200 and "days" in page.text
        assert policy.startswith("sandbox ") and "allow-same-origin" not in policy
        assert "default-src 'none'" in policy
        assert operator.get("/reports/index.html").status_code == 200
        assert "sandbox" not in operator.get("/reports/day.pdf").headers["content-security-policy"]
        assert operator.head("/reports/index.html").status_code == 200


WAYS_OUT = ["..%2fledger%2fheads.json", "%2e%2e/ledger/heads.json", ".hidden", "out.txt"]
WAYS_OUT += ["..%2f..%2f..%2fetc%2fpasswd", "%00", "nowhere.html", "//etc/passwd", "..\\x"]


@pytest.mark.parametrize("path", WAYS_OUT)
def test_no_way_leads_out_of_the_reports(served: Served, path: str) -> None:
    with served.operator() as operator:
        assert operator.get(f"/reports/{path}").status_code in (400, 403, 404)
