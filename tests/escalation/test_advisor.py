from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.canonical import canonical, sha256
from hybridnb.domain import Outcome
from hybridnb.escalation.advisor import (
    CEILINGS,
    CUT,
    LONGEST_TEXT,
    REPLY_TYPES,
    TIMEOUTS,
    PostMortemReply,
    Task,
    advise,
    cited,
    limited,
    prompt,
    question,
)
from hybridnb.escalation.ollama_api import OllamaReasoner
from hybridnb.escalation.ollama_settings import OllamaSettings, most_tokens
from hybridnb.testing.ollama_server import OllamaServer
from hybridnb.testing.reasoners import HOSTILE, ScriptedReasoner, specimen

FACTS = {"symbol": "AAPL", "p_short": 0.81, "p_mid": 0.22}
SENTENCE = {"text": "The day lost -1,234.50.", "fact_ids": ["F1", "F12"]}
REPLIES: Mapping[Task, dict[str, Any]] = {
    Task.EXPLAIN_CONFLICT: {
        "explanation": "The short horizon sees a rebound in a falling market.",
        "scenario": "reversal",
        "action": "reduce",
        "risks": ["The fall goes on."],
    },
    Task.PROPOSE_FEATURES: {
        "disable": ["rsi_14"],
        "add": [{"name": "gap_open", "reason": "Gaps preceded the losses."}],
        "weight_changes": [{"feature": "atr_14", "factor": 1.2, "reason": "It held up."}],
    },
    Task.ANALYSE_ESCALATION: {
        "root_cause": "One name lost 3 % at the opening.",
        "immediate_actions": ["Keep demo mode."],
        "adjustments": [{"setting": "name_core", "direction": "tighten", "reason": "One name."}],
        "monitoring": ["Day loss above 2 %."],
    },
    Task.WRITE_POST_MORTEM: {
        "what_happened": [SENTENCE],
        "root_causes": [],
        "what_worked": [],
        "what_failed": [SENTENCE],
        "recommendations": [],
    },
}


def advice(task: Task, reply: Mapping[str, Any]) -> Any:
    return advise(ScriptedReasoner({task.value: reply}), task, FACTS)


# --- known answers ---


@pytest.mark.parametrize("task", Task)
def test_a_good_reply_is_typed_and_recorded(task: Task) -> None:
    got = advice(task, REPLIES[task])
    assert got.outcome is Outcome.OK
    assert got.reply is not None
    assert got.reply.model_dump(mode="json") == REPLIES[task]
    assert got.answer.reply == REPLIES[task]
    assert got.prompt_sha256 == sha256(prompt(task))
    assert got.schema_sha256 == sha256(question(task, FACTS).schema)


def test_times_and_ceilings_are_the_specification_s() -> None:
    asked = {task: question(task, FACTS) for task in Task}
    assert {task: q.timeout_s for task, q in asked.items()} == {
        Task.EXPLAIN_CONFLICT: 30.0,
        Task.PROPOSE_FEATURES: 30.0,
        Task.ANALYSE_ESCALATION: 30.0,
        Task.WRITE_POST_MORTEM: 180.0,
    }
    assert {task: q.max_tokens for task, q in asked.items()} == CEILINGS
    assert set(TIMEOUTS) == set(CEILINGS) == set(REPLY_TYPES) == set(Task)


@pytest.mark.parametrize("task", Task)
def test_a_prompt_names_every_field_of_its_reply(task: Task) -> None:
    """The model never sees the schema: it only bounds what may be said."""
    text = prompt(task)
    for name, part in REPLY_TYPES[task].model_json_schema()["properties"].items():
        assert f"`{name}`" in text
        for word in part.get("enum", []):
            assert word in text


@pytest.mark.parametrize("task", Task)
def test_schemas_are_strict_all_the_way_down(task: Task) -> None:
    def check(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert node["additionalProperties"] is False
                assert node["required"] == list(node["properties"])
            assert "$ref" not in node
            for part in node.values():
                check(part)
        for part in node if isinstance(node, list) else []:
            check(part)

    check(question(task, FACTS).schema)
    json.dumps(question(task, FACTS).schema)


WRONG: list[tuple[Task, str, Any]] = [
    (Task.EXPLAIN_CONFLICT, "action", "double"),  # more risk isn't on the list
    (Task.EXPLAIN_CONFLICT, "explanation", ""),
    (Task.EXPLAIN_CONFLICT, "explanation", "x" * 601),
    (Task.EXPLAIN_CONFLICT, "explanation", "a\x1b[2Jb"),
    (Task.EXPLAIN_CONFLICT, "explanation", None),
    (Task.EXPLAIN_CONFLICT, "risks", ["r"] * 6),
    (Task.EXPLAIN_CONFLICT, "risks", "r"),
    (Task.PROPOSE_FEATURES, "disable", ["a", "b", "c", "d"]),
    (Task.PROPOSE_FEATURES, "disable", ["../secret"]),
    (Task.PROPOSE_FEATURES, "add", [{"name": "x"}]),
    (Task.PROPOSE_FEATURES, "weight_changes", [{"feature": "x", "factor": 1.6, "reason": "r"}]),
    (Task.PROPOSE_FEATURES, "weight_changes", [{"feature": "x", "factor": "1", "reason": "r"}]),
    (
        Task.ANALYSE_ESCALATION,
        "adjustments",
        [{"setting": "name_core", "direction": "loosen", "reason": "r"}],
    ),
    (Task.WRITE_POST_MORTEM, "what_happened", [{"text": "No evidence.", "fact_ids": []}]),
    (Task.WRITE_POST_MORTEM, "what_happened", [{"text": "A day.", "fact_ids": ["1"]}]),
    (Task.WRITE_POST_MORTEM, "what_happened", [{"text": "A day.", "fact_ids": ["F1"] * 7}]),
    (Task.WRITE_POST_MORTEM, "what_happened", ["A day."]),
    (Task.WRITE_POST_MORTEM, "what_happened", [SENTENCE] * 7),
]


@pytest.mark.parametrize(("task", "key", "value"), WRONG)
def test_a_reply_of_another_shape_is_a_failure(task: Task, key: str, value: Any) -> None:
    got = advice(task, REPLIES[task] | {key: value})
    assert got.outcome is Outcome.WRONG_SHAPE
    assert got.reply is None
    assert got.detail.startswith(key)
    assert len(got.detail) <= 500
    assert got.answer.outcome is Outcome.OK  # the record keeps what came


@pytest.mark.parametrize("task", Task)
def test_unknown_and_missing_keys_are_refused(task: Task) -> None:
    whole = REPLIES[task]
    assert advice(task, whole | {"stay_demo": False}).outcome is Outcome.WRONG_SHAPE
    for key in whole:
        less = {name: value for name, value in whole.items() if name != key}
        assert advice(task, less).outcome is Outcome.WRONG_SHAPE


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.OK])
def test_a_failure_keeps_its_label(outcome: Outcome) -> None:
    got = advise(ScriptedReasoner({"explain_conflict": outcome}), Task.EXPLAIN_CONFLICT, FACTS)
    assert got.outcome is outcome
    assert got.reply is None
    assert got.detail


def test_cited_ids() -> None:
    reply = PostMortemReply.model_validate(REPLIES[Task.WRITE_POST_MORTEM])
    assert cited(reply.what_happened) == {"F1", "F12"}
    assert cited(reply.root_causes) == frozenset()


# --- facts ---


def test_facts_are_canonical_and_cut_visibly() -> None:
    asked = question(
        Task.EXPLAIN_CONFLICT, {"b": float("nan"), "a": "x" * 400, "n": [1, "y" * 301]}
    )
    facts = json.loads(asked.facts)
    assert asked.facts == canonical(facts)
    assert facts["a"] == "x" * (LONGEST_TEXT - len(CUT)) + CUT
    assert len(facts["n"][1]) == LONGEST_TEXT
    assert facts["b"] is None
    assert facts["n"][0] == 1


def test_names_that_become_the_same_are_refused() -> None:
    with pytest.raises(ValueError, match="the same"):
        limited({"k" * 70 + "a": 1, "k" * 70 + "b": 2})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=400),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=60), inner, max_size=4)
        ),
        max_leaves=10,
    )
)
def test_limiting_is_idempotent_and_leaves_short_texts_alone(value: Any) -> None:
    once = limited(value)
    assert limited(once) == once
    assert _longest(once) <= LONGEST_TEXT
    if _longest(value) <= LONGEST_TEXT:
        assert once == value


def _longest(value: Any) -> int:
    if isinstance(value, dict):
        return max(map(_longest, value.values()), default=0)
    if isinstance(value, list):
        return max(map(_longest, value), default=0)
    return len(value) if isinstance(value, str) else 0


@pytest.mark.parametrize("task", Task)
def test_a_page_of_facts_fits_the_context(task: Task) -> None:
    asked = question(task, {"rows": ["f" * 100] * 35})
    assert most_tokens(asked.instructions, asked.facts) + 400 <= 8192 - asked.max_tokens


# --- against a server ---


@pytest.mark.parametrize("task", Task)
def test_over_the_wire_hostile_facts_change_nothing_but_the_facts(task: Task) -> None:
    def say(body: Mapping[str, Any]) -> str:
        return json.dumps(REPLIES[task])

    with OllamaServer(reply=say) as server:
        reasoner = OllamaReasoner(OllamaSettings(host=server.host))
        calm = advise(reasoner, task, {"headline": "Shares were steady."})
        wild = advise(reasoner, task, {"headline": HOSTILE})
        first, second = server.chats
    assert calm.reply == wild.reply is not None
    for body in (first, second):
        body["messages"].pop()
    assert first == second


@pytest.mark.parametrize("task", Task)
def test_any_value_of_the_schema_s_shape_is_read(task: Task) -> None:
    reply = specimen(question(task, FACTS).schema)
    assert advice(task, reply).outcome is Outcome.OK
