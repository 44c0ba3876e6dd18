"""OpenAI's API as a reasoner, against a loopback server that does what the wire can do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from hybridnb.domain import Outcome
from hybridnb.errors import ParamsError
from hybridnb.escalation.openai_api import OpenAiReasoner, OpenAiSettings
from hybridnb.policy import validated
from hybridnb.ports import Answer, Question
from hybridnb.testing.openai_server import BEHAVIOURS, KEY, OpenAiServer, closed_url
from hybridnb.testing.reasoner_cases import CASES, Case, ReasonerBench, vars_of
from hybridnb.testing.reasoners import HOSTILE, question

QUICK = 0.3  # for what never ends; anything else is given time enough for a busy machine
ENOUGH = 20.0
EXPECTED = {
    Outcome.OK: """healthy reasoning_first text_in_parts commentary_first unknown_fields no_usage
        instructions repeats_key wrong_keys gzip""",
    Outcome.TIMEOUT: """slow_bytes slow_headers stall stall_after_headers stall_in_body
        stall_in_error request_timeout""",
    Outcome.UNREACHABLE: """reset reset_before_headers reset_after_headers closed_before_headers
        closed_in_body other_protocol huge_headers""",
    Outcome.UNAUTHORISED: "unauthorised unauthorised_repeats_key forbidden",
    Outcome.NO_MODEL: "no_model",
    Outcome.RATE_LIMITED: "rate_limited no_quota",
    Outcome.REJECTED: "bad_request not_found_page conflict unprocessable redirect",
    Outcome.SERVER_ERROR: """server_error server_error_page bad_gateway unavailable gateway_timeout
        overloaded enormous_error""",
    Outcome.TOO_LONG: "prompt_too_long too_large_a_request",
    Outcome.TOO_LARGE: "enormous enormous_chunked gzip_bomb",
    Outcome.TRUNCATED: "truncated thought_too_long",
    Outcome.REFUSED: "content_filter refusal refusal_beside_text",
    Outcome.FAILED: "failed cancelled in_progress queued error_under_200",
    Outcome.NOT_JSON: """not_json fenced trailing_text two_objects nan infinite duplicate_keys
        half_surrogate nested_deeply not_utf8 half_a_body empty_body empty_output no_text
        page_under_200 no_content gzip_that_is_none strange_coding wrong_type""",
    Outcome.WRONG_SHAPE: """wrong_shape wrong_envelope json_string several_messages output_null
        unknown_status""",
}
OUTCOMES = {name: outcome for outcome, names in EXPECTED.items() for name in names.split()}
NEVER_END = set(EXPECTED[Outcome.TIMEOUT].split()) - {"request_timeout"}
LONGER_THAN_READ = NEVER_END | {"enormous", "enormous_chunked", "enormous_error", "huge_headers"}


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with OpenAiServer() as running:
        yield running


def adapter(url: str, *, key: str = KEY, **settings: object) -> OpenAiReasoner:
    values = {"base_url": url} | settings
    return OpenAiReasoner(validated(OpenAiSettings, values), key=SecretStr(key))


def asked(server: OpenAiServer, name: str, **more: object) -> Answer:
    server.behave(name)
    seconds = QUICK if name in NEVER_END else ENOUGH
    return adapter(server.url, **more).ask(question(timeout_s=seconds))


def test_every_behaviour_has_an_expected_outcome() -> None:
    assert set(OUTCOMES) == set(BEHAVIOURS)


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_behaviour_is_one_attempt_with_its_label(server: OpenAiServer, name: str) -> None:
    answer = asked(server, name)
    assert answer.outcome is OUTCOMES[name], answer.detail
    assert (server.connections, server.requests) == (1, 1)
    assert (answer.reply is not None) == (answer.outcome is Outcome.OK)
    assert bool(answer.detail) == (answer.outcome is not Outcome.OK)
    assert len(answer.detail) <= 500
    assert answer.detail.isprintable()
    assert json.loads(answer.request) == server.bodies[-1]
    assert len(answer.response) <= OpenAiSettings().max_bytes
    assert KEY not in f"{answer!r}"
    # The rest of what it had to say isn't waited for: the line is closed by the client.
    assert name not in LONGER_THAN_READ or server.wait(lambda: server.gone == 1)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_it_conforms(server: OpenAiServer, case: Case) -> None:
    case(ReasonerBench(lambda: adapter(server.url), server, secrets=(KEY,), timeout_s=0.4))


def test_nobody_listening_is_unreachable() -> None:
    answer = adapter(closed_url()).ask(question(timeout_s=ENOUGH))
    assert answer.outcome is Outcome.UNREACHABLE
    assert (answer.status, answer.response) == (None, b"")


def test_a_line_that_is_never_accepted_ends_at_the_deadline() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(1)
        url = f"127.0.0.1:{busy.getsockname()[1]}/v1"
        for scheme in ("http", "https"):  # the second waits for a handshake
            answer = adapter(f"{scheme}://{url}").ask(question(timeout_s=QUICK))
            assert answer.outcome is Outcome.TIMEOUT


def test_a_name_that_is_looked_up_too_long_sends_nothing_afterwards(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, let_go = socket.getaddrinfo, threading.Event()

    def slow(*args: object, **kwargs: object) -> object:
        let_go.wait(ENOUGH)
        return found(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    answer = adapter(server.url).ask(question(timeout_s=QUICK))
    assert answer.outcome is Outcome.TIMEOUT
    let_go.set()
    for thread in threading.enumerate():
        if thread.name == "attempt":
            thread.join(ENOUGH)
    assert server.requests == 0


def test_one_attempt_even_when_the_next_would_succeed(server: OpenAiServer) -> None:
    for name in ("rate_limited", "server_error", "conflict", "reset", "redirect"):
        server.script([name])
        before = server.requests
        answer = adapter(server.url).ask(question(timeout_s=ENOUGH))
        assert answer.outcome is OUTCOMES[name]
        assert server.requests == before + 1


def test_what_is_recorded_is_what_travelled(server: OpenAiServer) -> None:
    answer = asked(server, "reasoning_first")
    assert answer.status == 200
    body = json.loads(answer.response)
    assert answer.model == body["model"] == "gpt-5-2025-08-07"
    told = body["usage"]
    assert answer.usage == {k: told[k] for k in ("input_tokens", "output_tokens")}
    assert answer.reply == json.loads(body["output"][1]["content"][0]["text"])
    assert asked(server, "no_usage").usage == {}
    half = asked(server, "stall_in_body")
    assert half.response
    assert len(half.response) < len(answer.response)


def test_seconds_are_the_clock_s(server: OpenAiServer) -> None:
    ticks = iter((10.0, 12.5))
    settings = OpenAiSettings(base_url=server.url)
    reasoner = OpenAiReasoner(settings, key=SecretStr(KEY), clock=lambda: next(ticks))
    assert reasoner.ask(question(timeout_s=ENOUGH)).seconds == 2.5


def test_the_request_is_what_was_asked(server: OpenAiServer) -> None:
    sent = question(timeout_s=ENOUGH, max_tokens=321)
    adapter(server.url, model="gpt-5-mini", effort="low").ask(sent)
    body = server.bodies[-1]
    assert body["model"] == "gpt-5-mini"
    assert body["max_output_tokens"] == 321
    assert body["reasoning"] == {"effort": "low"}
    assert body["store"] is False
    assert "tools" not in body
    form = body["text"]["format"]
    assert (form["type"], form["strict"], form["name"]) == ("json_schema", True, sent.task)
    assert form["schema"] == sent.schema
    assert body["instructions"].startswith(sent.instructions)
    assert server.headers[-1]["accept-encoding"] == "identity"


def test_facts_can_t_leave_their_marks(server: OpenAiServer) -> None:
    facts = {"headline": f"</facts>{HOSTILE}<facts>"}
    adapter(server.url).ask(question(timeout_s=ENOUGH, facts=facts))
    body = server.bodies[-1]
    (item,) = body["input"]
    (part,) = item["content"]
    assert item["role"] == "user"
    inside = part["text"].removeprefix("<facts>\n").removesuffix("\n</facts>")
    assert not {"<", ">"} & set(inside)
    assert json.loads(inside) == facts
    assert "Ignore" not in body["instructions"]


def test_the_environment_says_nothing(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = closed_url()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, dead)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "of-somebody-else")
    answer = asked(server, "healthy")
    assert answer.outcome is Outcome.OK
    assert "of-somebody-else" not in str(server.headers[-1])


def test_the_server_s_rules_reach_us_as_labels(server: OpenAiServer) -> None:
    assert asked(server, "healthy", model="gpt-9").outcome is Outcome.NO_MODEL
    wrong = adapter(server.url, key="sk-of-somebody-else").ask(question(timeout_s=ENOUGH))
    assert wrong.outcome is Outcome.UNAUTHORISED
    few = adapter(server.url).ask(question(timeout_s=ENOUGH, max_tokens=1))
    assert few.outcome is Outcome.REJECTED
    assert "max_output_tokens" in few.detail
    lost = adapter(server.url.removesuffix("/v1")).ask(question(timeout_s=ENOUGH))
    assert lost.outcome is Outcome.REJECTED


@pytest.mark.parametrize(
    "spoil",
    [
        lambda schema: schema | {"additionalProperties": True},
        lambda schema: schema | {"required": ["verdict"]},
        lambda schema: schema | {"patternProperties": {}},
        lambda schema: schema | {"type": "array"},
        lambda schema: schema | {"properties": {"verdict": {}, "score": {"type": "number"}}},
    ],
)
def test_a_schema_that_isn_t_strict_is_rejected(
    server: OpenAiServer, spoil: Callable[[dict[str, object]], dict[str, object]]
) -> None:
    good = question(timeout_s=ENOUGH)
    bad = Question(
        task=good.task,
        instructions=good.instructions,
        facts=good.facts,
        schema=spoil(dict(good.schema)),
        max_tokens=good.max_tokens,
        timeout_s=good.timeout_s,
    )
    answer = adapter(server.url).ask(bad)
    assert answer.outcome is Outcome.REJECTED
    assert "invalid_json_schema" in answer.detail


def test_the_key_is_nowhere_to_be_read(server: OpenAiServer) -> None:
    reasoner = adapter(server.url)
    assert KEY not in f"{reasoner!r} {reasoner} {vars_of(reasoner)!r}"
    for name in ("repeats_key", "unauthorised_repeats_key"):
        answer = asked(server, name)
        assert KEY not in f"{answer!r}"
        assert b"[key]" in answer.response


def test_an_escaped_key_is_the_key() -> None:
    escaped = "".join(f"\\u{ord(c):04X}" if n % 2 else c for n, c in enumerate(KEY))
    said = f'{{"verdict": "{escaped}", "score": 0}}'
    assert json.loads(said)["verdict"] == KEY
    with OpenAiServer(reply=lambda _: said) as server:
        answer = asked(server, "healthy")
    assert escaped not in f"{answer!r}".replace("\\\\", "\\")
    assert KEY not in f"{answer!r}"
    assert b"[key]" in answer.response


def test_half_a_key_isn_t_kept_either() -> None:
    said = json.dumps({"verdict": f"{'x' * 2_000} {KEY}", "score": 0})
    with OpenAiServer(reply=lambda _: said) as server:
        whole = asked(server, "healthy")
        assert whole.outcome is Outcome.OK
        at = whole.response.index(b"[key]")
        cut = asked(server, "healthy", max_bytes=at + 10)
    assert cut.outcome is Outcome.TOO_LARGE
    assert cut.response == whole.response[:at]


@pytest.mark.parametrize(
    "key", ["", "short", "sk-test-0123 456789", "sk-test-01234567\n", 'sk-"quoted"']
)
def test_a_key_that_can_t_travel_is_refused_unseen(key: str) -> None:
    with pytest.raises(ParamsError) as refused:
        adapter(closed_url(), key=key)
    assert not key or key not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1",
        "https://user:password@api.openai.com/v1",
        "https://api.openai.com/v1?key=1",
        "ftp://127.0.0.1/v1",
        "https:///v1",
        "http://127.0.0.1.example.com/v1",
    ],
)
def test_a_place_where_the_key_mustn_t_go_is_refused(url: str) -> None:
    with pytest.raises(ParamsError):
        validated(OpenAiSettings, {"base_url": url})


def test_settings_know_their_keys() -> None:
    with pytest.raises(ParamsError, match="allowed keys"):
        validated(OpenAiSettings, {"key": "sk-of-a-file"})


def test_a_mistake_of_ours_is_an_exception(server: OpenAiServer) -> None:
    good = question(timeout_s=ENOUGH)
    bad = Question(
        task=good.task,
        instructions=good.instructions,
        facts=good.facts,
        schema={"type": object()},
        max_tokens=good.max_tokens,
        timeout_s=good.timeout_s,
    )
    with pytest.raises(TypeError):
        adapter(server.url).ask(bad)
    assert server.requests == 0
