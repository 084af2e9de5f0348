"""`rollback.sh`: everyone back to the baseline with nothing but a shell and the files beside it.

Written before the first user moves. It needs no Prefect, no database and no Python packages: it
puts routes in place that Envoy watches, exactly as break glass does (`gateway.publish`), and leaves
the same journal, so that the observer carries it into the store as soon as both are there again.
"""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from changeover.domain.routing import RoutingState
from changeover.errors import EnvironmentProblem
from changeover.gateway.envoy import streams
from changeover.gateway.envoy.config import render_routes, with_version
from changeover.gateway.files import GatewayFiles
from changeover.machine.files import write_atomically
from changeover.plan.model import Plan
from changeover.plan.procedures import LeverSpec
from changeover.procedures import curling

SCRIPT, ROUTES, LISTENERS = "rollback.sh", "routes.template.json", "listeners.template.json"
FILES = (ROUTES, LISTENERS, SCRIPT)
"""What belongs together, in one folder."""
_MARK = "@VERSION@"

_HEAD = """\
#!/bin/sh
# Everyone of migration {migration} back to the baseline, at once.
#
#   sh rollback.sh "why"            move the traffic
#   sh rollback.sh "why" --levers   and pull the levers that restore the old system
#
# Needs a shell, sed, date and mv; levers that are POSTs need curl. Safe to run again. Exit code 0:
# done and confirmed, 1: done but the gateway did not confirm, 2: not done. No lever is waited for
# longer than the plan says, and all of what comes before the traffic no longer than `undo_within`.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 2
gateway=${{CHANGEOVER_GATEWAY:-{gateway}}}
socket=${{CHANGEOVER_ADMIN_SOCKET:-{socket}}}
reason=$(printf '%s' "${{1:-rollback.sh}}" | LC_ALL=C tr -cd 'A-Za-z0-9 .,:;_()%-')

if [ ! -f "$here/{routes}" ] || [ ! -d "$gateway" ]; then
    echo "not done because $here/{routes} or $gateway is missing" >&2
    exit 2
fi

# Levers run where Changeover runs, with its Python, and are ended when their time is over.
workdir={workdir}
python={python}; [ -x "$python" ] || python=python3
deadline=''
failed=0
lever() {{
    name=$1; patience=$2; shift 2
    if [ -n "$deadline" ]; then
        left=$((deadline - $(date +%s)))
        [ "$left" -ge "$patience" ] || patience=$left
        [ "$patience" -ge 1 ] || patience=1
    fi
    echo "lever $name"
    (cd -- "$workdir" 2>/dev/null; exec "$@") > "$gateway/.lever.$$" 2>&1 < /dev/null & pulled=$!
    (sleep "$patience"; kill -9 "$pulled") > /dev/null 2>&1 & watchdog=$!
    wait "$pulled" 2>/dev/null; code=$?
    kill "$watchdog" 2>/dev/null
    sed 's/^/    /' "$gateway/.lever.$$" >&2
    rm -f "$gateway/.lever.$$" 2>/dev/null
    [ "$code" = 0 ] && return
    failed=1
    echo "    FAILED with $code (137: it took longer than $patience s)" >&2
}}
"""

_WELL = """
# 0. Whether the baseline is well. 1: it is not, 2: nobody knows.
well() {{
    if command -v curl > /dev/null 2>&1; then
        {curl} || return 1
{python}    else
        return 2
    fi
}}
if [ -f "$gateway/{retired}" ] && ! well; then
    echo "not done because the baseline was retired and is not well: users stay where they are" >&2
    echo "start it, or remove $gateway/{retired} to send users there all the same" >&2
    exit 2
fi
"""

# Python's own client knows HTTP/1.1 and the system's authorities only.
_WELL_BY_PYTHON = """    elif command -v python3 > /dev/null 2>&1; then
        python3 -I -c 'import sys, urllib.request as u
u.build_opener(u.ProxyHandler({{}})).open(sys.argv[1], timeout={timeout})' {health} \\
            2>/dev/null || return 1
"""

_BASELINE = """
# One that was taken out of use is brought back first.
well; found=$?
if [ "$found" != 0 ]; then
    deadline=$(($(date +%s) + {seconds}))
{levers}
    well; found=$?
    while [ "$found" = 1 ] && [ "$(date +%s)" -lt "$deadline" ]; do sleep 1; well; found=$?; done
    case $found in
        1) echo "THE BASELINE DOES NOT ANSWER: start it by hand, now" >&2;;
        2) echo "LOOK WHETHER THE BASELINE ANSWERS: without curl and python3 nobody does" >&2;;
    esac
    deadline=''
fi

"""

_BODY = """\
# 1. The next version of what is served; a journal that is there already stays as it is. Only that
# of a gateway node that was cut off does not: its users would come back with the database.
journal=$gateway/break-glass.json
is_new=yes
if [ -f "$journal" ]; then
    epoch=$(sed -n 's/.*"epoch": *\\([0-9]*\\).*/\\1/p' "$journal")
    version=$(sed -n 's/.*"version": *\\([0-9]*\\).*/\\1/p' "$journal")
    is_new=$(sed -n 's/.*"lost": *true.*/yes/p' "$journal")
    [ "$is_new" != yes ] || version=$((version + 1))
else
    present=$(sed -n 's/.*"version_info": *"\\([0-9]*\\)[.]\\([0-9]*\\)".*/\\1 \\2/p' \\
        "$gateway/routes.json" 2>/dev/null)
    epoch=$((${present%% *}0 / 10 + 1))
    version=$((${present##* }0 / 10 + 1))
fi
if [ "$is_new" = yes ]; then
    printf '{"epoch": %s, "version": %s, "reason": "%s", "actor": "rollback.sh", "at": "%s"}' \\
        "$epoch" "$version" "$reason" "$(date -u +%Y-%m-%dT%H:%M:%S+00:00)" \\
        > "$gateway/.journal.$$" && mv "$gateway/.journal.$$" "$journal" || exit 2
fi

# 2. Envoy watches the file: a rename beside it is taken at once, whole.
sed "s/@VERSION@/$epoch.$version/g" "$here/ROUTES" > "$gateway/.routes.$$" \\
    && mv "$gateway/.routes.$$" "$gateway/routes.json" || exit 2
echo "everyone is sent to the baseline (version $epoch.$version) because $reason"

# Long connections of the candidate (websockets, event streams) are ended by Envoy itself, GRACE
# seconds after this. Without it they stay there until somebody ends the candidate.
listeners=$gateway/SAFE
[ -f "$listeners" ] || listeners=$here/LISTENERS
if [ -f "$listeners" ]; then
    sed -e "s/@GENERATION@/${epoch}_$version/g" -e "s/ENDED_AT/$(date +%s)/g" "$listeners" \
        > "$gateway/.listeners.$$" && mv "$gateway/.listeners.$$" "$gateway/listeners.json" \
        || echo "LONG CONNECTIONS STAY at the candidate until it is ended" >&2
fi

# 3. Ask Envoy what it serves, with whatever this machine has.
served() {
    if command -v curl > /dev/null 2>&1; then
        curl -s -m 2 --noproxy '*' --unix-socket "$socket" \\
            "http://envoy/stats?filter=version_text" 2>/dev/null
    elif command -v python3 > /dev/null 2>&1; then
        python3 -I -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(2); s.connect(sys.argv[1])
s.sendall(b"GET /stats?filter=version_text"
          b" HTTP/1.1\\r\\nHost: envoy\\r\\nConnection: close\\r\\n\\r\\n")
while data := s.recv(65536):
    sys.stdout.write(data.decode("utf-8", "replace"))' "$socket" 2>/dev/null
    fi
}
confirmed=no
wanted="rds.changeover.version_text: \\"$epoch.$version\\""
for _ in 1 2 3 4 5 6 7 8 9 10; do
    case $(served) in *"$wanted"*) confirmed=yes; break;; esac
    sleep 0.3 2>/dev/null || sleep 1
done
if [ "$confirmed" = yes ]; then
    echo "confirmed: the gateway serves version $epoch.$version"
else
    echo "NOT CONFIRMED: the gateway did not say so; it serves it as soon as it runs" >&2
fi
"""

_TAIL = """\
if [ "${2:-}" = --levers ]; then
    failed=0
LEVERS
    [ "$failed" = 0 ] || { echo "a lever failed: a person must do it" >&2; exit 1; }
fi
[ "$confirmed" = yes ]
"""


def write_rollback_script(
    plan: Plan, files: GatewayFiles, folder: Path, *, undo: Sequence[str] = ()
) -> Path:
    """Write `rollback.sh` and its routes into a folder and return the script's path.

    Args:
        plan: The migration's plan.
        files: Where its gateway's files are.
        folder: Where the script is written.
        undo: Levers that undo what hooks of stages did, newest first; before those that restore.

    Raises:
        EnvironmentProblem: The folder cannot be written.
    """
    safe = render_routes(plan, RoutingState(plan.migration))
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # the routes first: the script does nothing without them
        write_atomically(folder / ROUTES, json.dumps(with_version(safe, _MARK)))
        write_atomically(folder / LISTENERS, json.dumps(streams.template(plan, files)))
        write_atomically(folder / SCRIPT, script(plan, files, undo), mode=0o700)
    except OSError as error:
        raise EnvironmentProblem(
            f"{SCRIPT} cannot be written: {error.strerror}", where=str(folder),
            next_step="Make the folder writable; no user has been moved",
        ) from error
    return folder / SCRIPT


def script(plan: Plan, files: GatewayFiles, undo: Sequence[str] = ()) -> str:
    """Return the text of the script for a plan whose gateway has these files."""
    head = _HEAD.format(
        migration=plan.migration, gateway=shlex.quote(str(files.root)), routes=ROUTES,
        socket=shlex.quote(str(files.admin_socket)), workdir=shlex.quote(str(Path.cwd())),
        python=shlex.quote(sys.executable),
    )
    body = _well(plan, files) + _bring_back(plan) + _body(plan, files)
    return head + body + _TAIL.replace(
        "LEVERS", _pulls(plan, [*undo, *plan.rollback.restore]))


def _body(plan: Plan, files: GatewayFiles) -> str:
    return (_BODY.replace("ROUTES", ROUTES).replace("LISTENERS", LISTENERS)
            # those of the plan that the gateway serves now
            .replace("SAFE", files.safe_listeners.name)
            .replace("GRACE", f"{plan.rollback.grace.total_seconds():g}")
            .replace("ENDED_AT", str(streams.ENDED_AT)))


def _well(plan: Plan, files: GatewayFiles) -> str:
    baseline = plan.systems.baseline
    timeout = _seconds(baseline.health_timeout)
    python = ""
    if baseline.is_plain:
        health = shlex.quote(curling.address(baseline, baseline.health))
        python = _WELL_BY_PYTHON.format(health=health, timeout=timeout)
    return _WELL.format(
        curl=curling.health(baseline, timeout), python=python, retired=files.retired.name)


def _bring_back(plan: Plan) -> str:
    spec = plan.cutover.disable_baseline
    if spec is None:
        return ""
    return _BASELINE.format(
        levers=_pulls(plan, spec.undo), seconds=math.ceil(spec.undo_within.total_seconds()))


def _pulls(plan: Plan, names: list[str]) -> str:
    return "\n".join(_pull(plan, name) for name in names) or "    :"


def _pull(plan: Plan, name: str) -> str:
    lever = plan.levers[name]
    program, *arguments = lever.command or _post(plan, lever)
    # the program's own Python where it is there, else the machine's: see the head
    called = '"$python"' if program == "python" else shlex.quote(program)
    # rounded up: a lever gets at least the time that the plan says
    patience = max(1, math.ceil(lever.timeout.total_seconds()))
    return f"    lever {shlex.quote(name)} {patience} {called} {shlex.join(arguments)}".rstrip()


def _post(plan: Plan, lever: LeverSpec) -> list[str]:
    return curling.post(
        plan.system(lever.of or "candidate"), lever.post or "", json.dumps(lever.body or {}),
        max(0.1, lever.timeout.total_seconds()))


def _seconds(span: timedelta) -> str:
    """Return seconds as curl takes them; 0 would mean for ever."""
    return f"{max(0.1, span.total_seconds()):.1f}"
