"""What Grafana's dashboards show: rows of panels, each with its queries.

`{M` in a query becomes the selector of the migration that was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

RATE = "[$__rate_interval]"
SHARE, SECONDS, BYTES, NUMBER = "percentunit", "s", "bytes", "short"
PER_SECOND = "reqps"
OF_ROUTE = "route, system"
NOTHING = "–"


class View(StrEnum):
    """How a panel shows its series."""

    STAT = "stat"
    LINES = "lines"
    BARS = "bars"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel.

    Args:
        title: One line.
        text: What it shows, for its tooltip.
        queries: Pairs of a query and the name of its series.
        view: How it is shown.
        unit: Grafana's name of the unit.
        width: Columns of 24; 0: as its view has.
        none: What is shown when there is no series.
        is_name: Whether the series' name is shown, not its value.
        is_from_zero: Whether the axis begins at 0.
    """

    title: str
    text: str
    queries: tuple[tuple[str, str], ...]
    view: View = View.LINES
    unit: str = NUMBER
    width: int = 0
    none: str = NOTHING
    is_name: bool = False
    is_from_zero: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A row of panels under a title."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard; `name` is its file's."""

    name: str
    title: str
    text: str
    rows: tuple[Row, ...]


def rate(name: str, by: str = "system") -> str:
    """Return the query for a counter, or the buckets of a histogram, per second."""
    end = "" if name.endswith("_bucket") else "_total"
    return f"sum by ({by}) (rate(changeover_{name}{end}{{M}}{RATE}))"


def of_requests(name: str) -> str:
    """Return the query for a counter's share of a system's requests."""
    return f"{rate(name)} / {rate('requests')}"


def of_routes(name: str) -> str:
    """Return the query for a counter's share of the requests of each route and system."""
    return f"{rate(name, OF_ROUTE)} / {rate('route_requests', OF_ROUTE)}"


def quantile(share: float) -> str:
    """Return the query for a quantile of durations by system, in seconds."""
    return f"histogram_quantile({share}, {rate('request_duration_seconds_bucket', 'le, system')})"


def now(title: str, query: str, text: str, unit: str = NUMBER, width: int = 0) -> Panel:
    """Return a panel of one number."""
    return Panel(title, text, ((query, title),), View.STAT, unit, width)


def called(title: str, query: str, label: str, text: str) -> Panel:
    """Return a panel of one name, which is a label of the series."""
    return Panel(title, text, ((query, f"{{{{{label}}}}}"),), View.STAT, is_name=True)


def lines(
    title: str, text: str, *queries: tuple[str, str], unit: str = NUMBER, is_from_zero: bool = True
) -> Panel:
    """Return a panel of lines over time."""
    return Panel(title, text, queries, View.LINES, unit, is_from_zero=is_from_zero)


SYSTEM = "{{system}}"
ROUTE = "{{route}} {{system}}"
CHECK = "{{stage}} {{gate}} {{check}}: {{metric}} {{subset}}"
MODE = called("Mode", "changeover_mode{M} == 1", "mode", "How users are sent now.")
STAGE = called("Stage", "changeover_stage_info{M}", "stage", "The stage that the cutover is in.")
PERCENT = now("On the candidate", "changeover_candidate_ratio{M}",
              "Share of users on the candidate.", SHARE)
SOAK = now("Soak left", "changeover_soak_remaining_seconds{M}",
           "Until the gates of the stage are judged.", SECONDS)
IN_SYNC = now("Gateway in sync", "changeover_gateway_in_sync{M}",
              "1: the gateway serves what was decided.")
THROUGHPUT = lines("Requests", "Requests meant for each system.",
                   (rate("requests"), SYSTEM), unit=PER_SECOND)
ERRORS = lines("Requests that a system failed", "Share of the requests meant for it.",
               (of_requests("request_errors"), SYSTEM), unit=SHARE)
P95 = lines("Duration, 95 %", "Duration that 95 % of the requests stay within.",
            (quantile(0.95), SYSTEM), unit=SECONDS)
ROLLOUT = lines("Rollout", "Share of users on the candidate, and of requests that are copied.",
                ("changeover_candidate_ratio{M}", "users on the candidate"),
                ("changeover_shadow_ratio{M}", "requests that are copied"), unit=SHARE)
NEAR = Panel("Triggers: how near to firing", "1 is at the bound, more is beyond.",
             (("changeover_trigger_nearness_ratio{M}", "{{trigger}} ({{action}})"),),
             View.BARS, SHARE)
CHECKS = Panel("Checks of the stage", "1 would pass, 0 undecided, -1 would fail.",
               (("changeover_check_standing{M}", CHECK),), View.TABLE)
SERVICES = lines("Signs of life", "Seconds since a service's last one.",
                 ("changeover_service_age_seconds{M}", "{{service}}"), unit=SECONDS)
NODES = lines("Gateway nodes", "Seconds since each one's last sign of life.",
              ("changeover_gateway_node_age_seconds{M}", "{{node}}"), unit=SECONDS)
NODES_IN_SYNC = Panel("What gateway nodes serve", "1 is the present version, or a later one.",
                      (("changeover_gateway_node_in_sync{M}", "{{node}}"),
                       ("changeover_gateway_node_served_version{M}", "{{node}}: version")),
                      View.TABLE)

OVERVIEW = Board(
    "overview", "overview", "Where the migration stands, at a glance.", (
        Row("Now", (
            MODE, STAGE, PERCENT, SOAK,
            now("Waits for people", "changeover_approvals_waiting{M}",
                "Questions that wait for an answer."),
            now("Waits since", "changeover_approval_age_seconds{M}",
                "For how long people have been asked.", SECONDS),
            called("Cutover", "changeover_cutover{M} == 1", "status", "How it stands."),
            IN_SYNC,
            now("Rollbacks", "changeover_routing_epoch{M}", "So many since the migration began."),
            now("Nobody carries on", "changeover_ended_runs{M}",
                "Pieces of work whose flow run ended before them."),
            now("Stage number", "changeover_stage_number{M}", "Of the plan's stages."),
            now("Stages", "changeover_plan_stages{M}", "Stages of the plan."),
        )),
        Row("Both systems", (ROLLOUT, THROUGHPUT, ERRORS, P95)),
        Row("What may end it", (
            NEAR, SERVICES, CHECKS,
            Panel("Alerts that fire", "Of `alerts.yml`, for this migration.",
                  (('ALERTS{M, alertstate="firing"}', "{{alertname}}"),), View.TABLE),
        )),
    ))

HEALTH = Board(
    "system-health", "system health", "Errors, durations and processes of both systems.", (
        Row("Requests", (
            THROUGHPUT, ERRORS,
            lines("Failed requests by class", "What went wrong.",
                  (rate("request_errors", "system, kind"), "{{system}} {{kind}}"),
                  unit=PER_SECOND),
            lines("Refused by the gateway", "Requests that no system got, by Envoy's reason.",
                  (rate("gateway_refused", "reason"), "{{reason}}"), unit=PER_SECOND),
        )),
        Row("Durations", (
            lines("Duration, 50 %", "Median.", (quantile(0.5), SYSTEM), unit=SECONDS), P95,
            lines("Duration, 99 %", "Duration that 99 % of the requests stay within.",
                  (quantile(0.99), SYSTEM), unit=SECONDS),
        )),
        Row("Processes", (
            lines("Health probes answered", "Share of the last 10 s' probes.",
                  ("changeover_system_up_ratio{M}", SYSTEM), unit=SHARE),
            lines("Memory", "Resident memory of the watched processes.",
                  ("changeover_system_memory_bytes{M}", SYSTEM), unit=BYTES),
            lines("Processors", "Cores that the watched processes use.",
                  ("changeover_system_cpu_cores{M}", SYSTEM)),
            SERVICES,
        )),
        Row("Gateway", (
            lines("Decision to confirmation", "95 % of publications are confirmed within this.",
                  (f"histogram_quantile(0.95, {rate('publish_duration_seconds_bucket', 'le')})",
                   "95 %"), ("changeover_publish_newest_duration_seconds{M}", "newest"),
                  unit=SECONDS),
            lines("In sync", "1: the gateway serves what was decided.",
                  ("changeover_gateway_in_sync{M}", "in sync")),
            lines("Not confirmed", "Decisions that the gateway did not confirm.",
                  ("increase(changeover_publish_failures_total{M}[5m])", "in five minutes")),
            NODES, NODES_IN_SYNC,
            lines("Way back", "What the baseline bears and what arrives, once it is smaller.",
                  ("changeover_way_back_capacity_requests_per_second{M}", "the baseline bears"),
                  ("changeover_way_back_arriving_requests_per_second{M}", "arrive in all"),
                  unit=PER_SECOND),
        )),
    ))

FLAGS = Board(
    "feature-flags", "feature flags", "The rollout, users over the systems, drift, triggers.", (
        Row("Rollout", (
            MODE, PERCENT,
            now("Frozen", "changeover_frozen{M}", "1: nobody is moved to the candidate."),
            now("Paused", "changeover_paused{M}", "1: a person paused the cutover."),
            now("Maintenance", "changeover_maintenance{M}", "1: users get its answer."),
            now("Version", "changeover_routing_version{M}", "Of the routing state."),
            ROLLOUT,
            lines("Segments on the candidate", "1: the segment is moved.",
                  ("changeover_segment_on_candidate{M}", "{{segment}}")),
        )),
        Row("Users, flags and claims", (
            now("Mismatch", "changeover_split_mismatch{M}", "1: no comparison is fair.", width=8),
            now("Flags", "changeover_flags{M}", "Feature flags of the migration.", width=8),
            now("Changed by hand", "changeover_flags_changed{M}",
                "Flags whose value is not the plan's.", width=8),
            lines("Groups of users", "Of 10,000, those that came in this stage.",
                  ("changeover_split_user_groups{M}", SYSTEM)),
            lines("The candidate's share of them", "By the split, and as they came.",
                  ('changeover_split_user_groups{M, system="candidate"} / ignoring (system) '
                   "sum without (system) (changeover_split_user_groups{M})", "came"),
                  ("changeover_split_expected_ratio{M}", "expected"), unit=SHARE),
            lines("Claims", "What became of requests to claim an item.",
                  (rate("claims", "result"), "{{result}}"), unit=PER_SECOND),
            lines("Open items", "Items that are not done.",
                  ("changeover_claims_open{M}", "{{state}}")),
        )),
        Row("Triggers", (
            NEAR,
            lines("How triggers stand", "0 armed, 1 holding, 2 firing.",
                  ("changeover_trigger_standing{M}", "{{trigger}} ({{action}})")),
            lines("Values", "In base units, with the bounds.",
                  ("changeover_trigger_value{M}", "{{trigger}}"),
                  ("changeover_trigger_bound{M}", "{{trigger}} {{bound}}"), is_from_zero=False),
            lines("Evidence of harm", "Logarithm, and what it must reach to fire.",
                  ("changeover_trigger_log_worse{M}", "{{trigger}}"),
                  ("changeover_trigger_log_bar{M}", "{{trigger}} fires at"), is_from_zero=False),
            lines("Error budgets", "How many times as fast as allowed they burn.",
                  ("changeover_trigger_burn{M}", "{{trigger}}")),
            Panel("Firings of 24 hours", "By trigger and what was done.",
                  (("changeover_trigger_firings{M}", "{{trigger}} ({{action}})"),), View.TABLE,
                  width=12),
        )),
    ))

USERS = Board(
    "user-experience", "user experience", "What users meet: delivery, errors, durations.", (
        Row("Delivery and callbacks", (
            lines("Delivered", "Share of reported outcomes with success, of five minutes.",
                  ("1 - changeover_outcome_failure_ratio{M}", SYSTEM), unit=SHARE),
            lines("Outcomes", "Reported by applications.",
                  (rate("outcomes", "system, result"), "{{system}} {{result}}"), unit=PER_SECOND),
            lines("How long they took", "So many percent of five minutes' outcomes.",
                  ("changeover_outcome_duration_seconds{M}", "{{system}} {{percentile}} %"),
                  unit=SECONDS),
            lines("Quality", "Means of the numbers that applications report.",
                  ("changeover_outcome_quality{M}", "{{system}} {{name}}"), is_from_zero=False),
        )),
        Row("Errors", (
            lines("Users who see an error", "Share of requests that end with 5xx or no answer.",
                  (of_requests("user_errors"), SYSTEM), unit=SHARE),
            lines("Error types", "Failed requests by class.",
                  (rate("request_errors", "system, kind"), "{{system}} {{kind}}"),
                  unit=PER_SECOND),
            lines("Answers 4xx", "Share of the requests meant for a system.",
                  (of_requests("client_errors"), SYSTEM), unit=SHARE),
            lines("Redirects and empty answers", "Share of the requests meant for a system.",
                  (of_requests("redirects"), "{{system}} redirects"),
                  (of_requests("empty_answers"), "{{system}} empty"), unit=SHARE),
            lines("Without a key", "Share of the requests meant for a system; no split moves them.",
                  (of_requests("keyless_requests"), SYSTEM), unit=SHARE),
        )),
        Row("Speed and size", (
            lines("Duration, 50 %", "Median.", (quantile(0.5), SYSTEM), unit=SECONDS), P95,
            lines("Size of answers", "Mean size of successful answers to GET.",
                  (f"{rate('answer_bytes')} / {rate('answers')}", SYSTEM), unit=BYTES),
        )),
        Row("Routes", (
            lines("Routes on the candidate", "Share of the users of each route.",
                  ("changeover_route_candidate_ratio{M}", "{{route}}"), unit=SHARE),
            lines("Requests of routes", "Meant for each system.",
                  (rate("route_requests", OF_ROUTE), ROUTE), unit=PER_SECOND),
            lines("Requests of routes that a system failed", "Share of those meant for it.",
                  (of_routes("route_request_errors"), ROUTE), unit=SHARE),
            lines("Users of routes who see an error", "5xx or no answer, share of the requests.",
                  (of_routes("route_user_errors"), ROUTE), unit=SHARE),
            lines("Duration by route, 95 %", "Of the plan's first 50 routes.",
                  ("histogram_quantile(0.95, "
                   f"{rate('route_request_duration_seconds_bucket', f'le, {OF_ROUTE}')})", ROUTE),
                  unit=SECONDS),
        )),
    ))

COMPARISON = Board(
    "comparison", "comparison and verdicts",
    "How alike both systems answer, and what the evidence says.", (
        Row("Comparison", (
            lines("Match and similarity", "Of the answers compared in five minutes.",
                  ("changeover_match_ratio{M}", "match"),
                  ("changeover_similarity_ratio{M}", "similarity"), unit=SHARE),
            lines("Compared", "Comparisons, by result.",
                  (rate("comparisons", "result"), "{{result}}"), unit=PER_SECOND),
            lines("Places that differ", "By what is said of them.",
                  ("changeover_judged_places{M}", "{{judgement}}")),
            lines("Divergences", "At all places together, since the rules were last changed.",
                  ("changeover_divergences{M}", "divergences"),
                  ("changeover_divergent_places{M}", "places")),
            Panel("What became of copied requests", "Compared, or dropped and why.",
                  (("changeover_shadow_requests{M}", "{{outcome}}"),), View.TABLE),
            lines("Processes that compare", "Of shadow services with several: at work, and wanted.",
                  ("changeover_shadow_processes{M}", "{{service}} {{state}}")),
        )),
        Row("Verdicts", (
            CHECKS,
            lines("How checks stand", "1 would pass, 0 undecided, -1 would fail.",
                  ("changeover_check_standing{M}", CHECK), is_from_zero=False),
            lines("Values", "In base units, with the bounds.",
                  ("changeover_check_value{M}", CHECK),
                  ("changeover_check_baseline_value{M}", f"{CHECK} of the baseline"),
                  ("changeover_check_bound{M}", f"{CHECK} {{{{bound}}}}"), is_from_zero=False),
            lines("Evidence of harm", "Logarithm: above its bar harm is shown.",
                  ("changeover_check_log_worse{M}", CHECK), is_from_zero=False),
            lines("Evidence of health", "Logarithm: from 3.0 on harm is excluded.",
                  ("changeover_check_log_better{M}", CHECK), is_from_zero=False),
            lines("Interval of the value, 95 %", "Of the ratio for checks against the baseline.",
                  ("changeover_check_low{M}", f"{CHECK} from"),
                  ("changeover_check_high{M}", f"{CHECK} to"), is_from_zero=False),
            lines("How much longer", "Until an undecided check is decided, 80 % of the time.",
                  ("changeover_check_remaining_seconds{M}", CHECK), unit=SECONDS),
            lines("Samples", "Behind the values.", ("changeover_check_samples{M}", CHECK)),
            lines("Guardrails", "1 nothing seen, 0 too little data, -1 alarm.",
                  ("changeover_guardrail{M}", "{{guardrail}}"), is_from_zero=False),
        )),
    ))

DASHBOARDS = (OVERVIEW, HEALTH, FLAGS, USERS, COMPARISON)
