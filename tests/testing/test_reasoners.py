"""The scripted reasoner, what a schema's value looks like, and the loopback server's own rules."""

from __future__ import annotations

import json

import httpx
import pytest
from jsonschema import Draft202012Validator

from hybridnb.domain import Outcome
from hybridnb.ports import Answer, Question
from hybridnb.testing.openai_server import KEY, OpenAiServer
from hybridnb.testing.reasoner_cases import CASES, Case, ReasonerBench, check_reasoner
from hybridnb.testing.reasoners import FAULTS, SCHEMA, ScriptedReasoner, question, specimen


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_scripted_reasoner_conforms(case: Case) -> None:
    reasoner = ScriptedReasoner()
    case(ReasonerBench(lambda: reasoner, reasoner, secrets=("sk-nowhere",)))


class Retrying(ScriptedReasoner):
    """Asks again when it fails, as an SDK does by default."""

    def ask(self, question: Question) -> Answer:
        answer = super().ask(question)
        return answer if answer.outcome is Outcome.OK else super().ask(question)


class Optimist(ScriptedReasoner):
    """Takes every failure for a reply."""

    def ask(self, question: Question) -> Answer:
        answer = super().ask(question)
        return Answer(outcome=Outcome.OK, reply=answer.reply or {}, request=answer.request)


@pytest.mark.parametrize("wrong", [Retrying, Optimist])
def test_a_wrong_reasoner_doesn_t_conform(wrong: type[ScriptedReasoner]) -> None:
    reasoner = wrong()
    with pytest.raises(AssertionError):
        check_reasoner(ReasonerBench(lambda: reasoner, reasoner))


def test_it_answers_by_task_and_keeps_the_questions() -> None:
    whole = Answer(outcome=Outcome.TIMEOUT, detail="late")
    script = {"judge": {"stay_demo": True}, "auditor": Outcome.REFUSED, "engineer": whole}
    reasoner = ScriptedReasoner(script)
    answers = [reasoner.ask(question(task)) for task in script]
    assert answers[0].reply == {"stay_demo": True}
    assert [a.outcome for a in answers] == [Outcome.OK, Outcome.REFUSED, Outcome.TIMEOUT]
    assert answers[2] is whole
    assert [q.task for q in reasoner.questions] == list(script)
    with pytest.raises(KeyError):
        reasoner.ask(question("nobody"))


def test_it_answers_by_a_function_of_the_question() -> None:
    reasoner = ScriptedReasoner(lambda asked: {"facts": json.loads(asked.facts)})
    assert reasoner.ask(question(facts={"n": 3})).reply == {"facts": {"n": 3}}


def test_an_unknown_fault_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        ScriptedReasoner().behave("hiccup")
    assert "healthy" in FAULTS


@pytest.mark.parametrize(
    "schema",
    [
        SCHEMA,
        {"type": "array", "items": {"type": "integer", "minimum": 3}, "minItems": 2},
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {"enum": ["bull", "bear"]},
        {"const": 7},
        {"type": ["boolean", "null"]},
        {"$defs": {"a": {"type": "number", "minimum": -1}}, "type": "object",
         "properties": {"x": {"$ref": "#/$defs/a"}}, "required": ["x"]},
    ],
)  # fmt: skip
def test_a_specimen_has_the_shape(schema: dict[str, object]) -> None:
    Draft202012Validator(schema).validate(specimen(schema))


def test_the_server_keeps_its_key_and_its_rules() -> None:
    form = {"type": "json_schema", "strict": True, "name": "t", "schema": SCHEMA}
    good = {"model": "gpt-5", "input": "look", "text": {"format": form}}
    signed = {"authorization": f"Bearer {KEY}"}
    with OpenAiServer() as server, httpx.Client(trust_env=False) as http:
        url = f"{server.url}/responses"
        assert http.post(url, json=good, headers=signed).status_code == 200
        for headers in ({}, {"authorization": "Bearer sk-other"}):
            assert http.post(url, json=good, headers=headers).status_code == 401
        for body, code in (
            (good | {"model": "gpt-9"}, "model_not_found"),
            (good | {"flavour": 1}, "unknown_parameter"),
            (good | {"input": [{"role": "user"}]}, "invalid_type"),
            (good | {"max_output_tokens": 15}, "integer_below_min_value"),
            (good | {"text": {"format": form | {"strict": False}}}, "invalid_value"),
            (good | {"text": {"format": form | {"name": "a b"}}}, "invalid_value"),
            ({"model": "gpt-5"}, "missing_required_parameter"),
        ):
            answer = http.post(url, json=body, headers=signed)
            assert answer.json()["error"]["code"] == code
        assert http.post(url, content=b"{", headers=signed).status_code == 400
        assert http.get(url).status_code == 404
        assert server.requests == 11
        assert server.connections == 12


def test_the_server_follows_a_script_then_a_chooser() -> None:
    form = {"type": "json_schema", "strict": True, "name": "t", "schema": SCHEMA}
    asked = {"model": "gpt-5", "input": "look", "text": {"format": form}}
    signed = {"authorization": f"Bearer {KEY}"}
    with OpenAiServer() as server, httpx.Client(trust_env=False) as http:
        server.script(["unavailable", "rate_limited"])
        server.choose(lambda number, body: "healthy" if number > 3 else "conflict")
        answers = [http.post(f"{server.url}/responses", json=asked, headers=signed) for _ in "1234"]
        assert [a.status_code for a in answers] == [503, 429, 409, 200]
        assert answers[1].headers["retry-after"] == "1"
        with pytest.raises(KeyError):
            server.script(["hiccup"])
        with pytest.raises(KeyError):
            server.behave("hiccup")


def test_no_line_outlives_the_server() -> None:
    form = {"type": "json_schema", "strict": True, "name": "t", "schema": SCHEMA}
    asked = {"model": "gpt-5", "input": "look", "text": {"format": form}}
    with OpenAiServer() as server, httpx.Client(trust_env=False) as http:
        server.behave("stall_after_headers")
        request = http.build_request(
            "POST",
            f"{server.url}/responses",
            json=asked,
            headers={"authorization": f"Bearer {KEY}"},
        )
        answer = http.send(request, stream=True)
        server.__exit__(None, None, None)
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
        with pytest.raises(httpx.ConnectError):
            http.get(server.url)
