"""Controls of trading: where each is in the code, and the test that shows it.

The runbook's table is compiled from here; a test fails where a place or a test isn't there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Control:
    """`place` is `file:name` below `src/hybridnb`, `test` is `file::name` below `tests`."""

    id: str
    what: str
    place: str
    test: str


_SAFETY, _CHECKS = "execution/safety.py", "execution/test_safety.py"
_OWN = "app/test_controls.py"
_LIVE = "app/test_live_trading.py"

CONTROLS = (
    Control(
        "K1",
        "one action withdraws all, or any subset of, working orders at once",
        "app/session.py:withdraw",
        f"{_OWN}::test_k1_one_action_withdraws_all_or_one_symbols_orders",
    ),
    Control(
        "K2",
        "every order is attributable to policy, model, experiment, decision and operator",
        "app/records.py:Recorder",
        f"{_OWN}::test_k2_every_order_leads_to_policy_model_experiment_and_decision",
    ),
    Control(
        "K3",
        "kill blocks entries and withdraws working ones until deliberately reset",
        "risk.py:marked",
        f"{_OWN}::test_k3_a_latched_switch_cant_be_resumed",
    ),
    Control(
        "P1",
        "price collar",
        f"{_SAFETY}:check",
        f"{_CHECKS}::test_a_price_beyond_the_collar_is_refused",
    ),
    Control(
        "P2",
        "maximum value of an order",
        f"{_SAFETY}:check",
        f"{_CHECKS}::test_an_order_is_worth_at_most_the_limit_of_one_order",
    ),
    Control(
        "P3",
        "maximum volume of an order",
        f"{_SAFETY}:check",
        f"{_CHECKS}::test_an_order_has_at_most_so_many_units",
    ),
    Control(
        "P4",
        "maximum messages a second",
        f"{_SAFETY}:check",
        f"{_CHECKS}::test_a_hundred_messages_a_second_and_no_more",
    ),
    Control(
        "P5",
        "every sent order counts against limits at once",
        f"{_SAFETY}:check",
        f"{_CHECKS}::test_every_sent_order_takes_its_room_at_once",
    ),
    Control(
        "P6",
        "repeated executions disable a symbol until a person enables it",
        "app/broker_desk.py:count",
        "app/test_live_desk.py::TestASymbolThatTradesTooOften"
        "::test_a_restart_and_the_next_session_remember_until_a_person_decides",
    ),
    Control(
        "P7",
        "aggregate exposure and credit thresholds",
        f"{_SAFETY}:check",
        f"{_CHECKS}::test_gross_exposure_with_all_that_was_sent_has_a_threshold",
    ),
    Control(
        "P8",
        "erroneous and duplicate orders are refused",
        f"{_SAFETY}:check",
        f"{_CHECKS}::test_erroneous_numbers_are_refused_whatever_the_leg",
    ),
    Control(
        "P9",
        "restricted list",
        f"{_SAFETY}:Standing",
        f"{_CHECKS}::test_the_control_plane_bars_entries_and_a_halt_decided_exits",
    ),
    Control(
        "P10",
        "limit on the value of unexecuted orders",
        f"{_SAFETY}:check",
        f"{_CHECKS}::test_no_order_that_passes_breaks_a_limit",
    ),
    Control(
        "P11",
        "limits change only through recorded diffs",
        "policy.py:Policy",
        f"{_OWN}::test_p11_a_changed_limit_is_another_policy_and_recorded",
    ),
    Control(
        "M1",
        "every mark is watched and an alert is recorded with it",
        "app/desk.py:Desk",
        f"{_OWN}::test_m1_an_alert_is_recorded_with_the_mark_that_raised_it",
    ),
    Control(
        "M2",
        "executions are recorded when they are heard",
        "app/live_desk.py:LiveDesk",
        f"{_OWN}::test_m2_fills_are_durable_when_they_were_heard",
    ),
    Control(
        "M3",
        "reconciliation against the broker",
        "execution/reconcile.py:differences",
        f"{_LIVE}::test_what_nobody_here_decided_stops_the_next_session_and_is_shown",
    ),
    Control(
        "N1",
        "a crash at any point: one start-up path, reconciled or refusing to trade",
        "app/live.py:trade_live",
        f"{_LIVE}::test_a_session_that_dies_anywhere_goes_on_to_the_same_end",
    ),
    Control(
        "N2",
        "a timeout is no reject",
        "execution/lifecycle.py:advance",
        f"{_OWN}::test_n2_a_timeout_is_in_flight_until_it_is_known",
    ),
    Control(
        "N3",
        "quantity, average price, P&L and ids agree with the broker",
        "execution/reconcile.py:differences",
        f"{_OWN}::test_n3_the_four_invariants_hold_after_sessions_through_a_broker",
    ),
    Control(
        "N4",
        "NaN, infinity and negatives are refused at the border",
        "execution/matching.py:wrong_with",
        "execution/test_paper_conformance.py"
        "::test_what_cant_be_meant_is_refused_whatever_way_it_comes",
    ),
    Control(
        "N5",
        "a ledger that stalls halts trading, nothing is dropped",
        "app/broker_desk.py:BrokerDesk",
        f"{_OWN}::test_n5_a_ledger_that_cant_be_written_stops_before_anything_is_sent",
    ),
    Control(
        "N6",
        "an error while the kill switch is evaluated halts",
        "risk.py:marked",
        f"{_OWN}::test_n6_a_mark_that_cant_be_computed_halts",
    ),
    Control(
        "N7",
        "soft halts need confirmations, the hard halt doesn't",
        "risk.py:marked",
        "test_risk.py::test_a_soft_halt_needs_three_confirmations_in_a_row",
    ),
    Control(
        "T1",
        "tests run in an environment of their own: another home, another ledger, no real account",
        "app/loadtest.py:load_test",
        "app/test_loadtest.py::test_t1_a_test_leaves_the_real_home_as_it_was",
    ),
    Control(
        "T2",
        "the controls are tested yearly, the result is recorded",
        "app/control_tests.py:run_controls",
        "app/test_control_tests.py::test_t2_a_controls_test_is_run_and_its_result_recorded",
    ),
    Control(
        "T3",
        "a self-assessment is written every year",
        "app/reporting.py:self_assessment",
        "app/test_reporting.py::test_t3_the_self_assessment_has_every_control_and_is_kept",
    ),
    Control(
        "T4",
        "stress at twice the highest message count and volume of six months",
        "app/loadtest.py:measured",
        "app/test_loadtest.py::test_t4_twice_the_busiest_load_is_sent_and_held",
    ),
    Control(
        "T5",
        "material changes are recorded, and approved by a person",
        "app/changes.py:approve_change",
        "app/test_changes.py::test_t5_a_changed_limit_is_found_and_waits_for_approval",
    ),
    Control(
        "B1",
        "orderly shutdown and continuity",
        "app/shutdown.py:shut_down",
        "app/test_shutdown.py::test_b1_an_orderly_end_halts_verifies_and_packs",
    ),
)
