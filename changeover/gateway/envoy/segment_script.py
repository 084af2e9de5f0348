"""The gateway's script that finds cookies and parameters which segments are about. Pure.

It runs only where a segment is told by a cookie or a parameter of the address. What it finds is
put into headers of ours, which the same matchers look at as other headers; no system gets them.
"""

from __future__ import annotations

from typing import Any

from changeover.gateway.envoy import key_script
from changeover.plan.model import Plan
from changeover.plan.segments import SegmentSpec

Json = dict[str, Any]

OURS = "x-changeover-in-"
"""How the names of headers begin that carry what the script found."""
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"


def header_of(spec: SegmentSpec) -> str:
    """Return the header in which the gateway sees a segment's value."""
    kind, name = spec.place
    # two places never share a header, whatever signs are in their names
    return name if kind == "header" else f"{OURS}{kind}-{name.encode().hex()}"


def headers(plan: Plan) -> list[str]:
    """Return headers of ours that carry values; who sent one, it is removed at the edge."""
    found = (header_of(spec) for spec in _found_by_script(plan))
    return list(dict.fromkeys(found))


def filters(plan: Plan) -> list[Json]:
    """Return the filter that runs the script; none where no segment needs it."""
    specs = {header_of(spec): spec for spec in _found_by_script(plan)}
    if not specs:
        return []
    places = ", ".join(
        f"{{{key_script.text(header)}, of_{spec.place[0]}, {key_script.text(spec.place[1])}}}"
        for header, spec in specs.items())
    source = f"{key_script.PLACES}\nlocal WANTED = {{{places}}}\n{_REQUEST}"
    return [{"name": "envoy.filters.http.lua.segments", "typed_config": {
        "@type": _TYPE, "default_source_code": {"inline_string": source}}}]


def _found_by_script(plan: Plan) -> list[SegmentSpec]:
    return [spec for spec in plan.routing.segments.values() if spec.header is None]


_REQUEST = """
function envoy_on_request(handle)
  local headers = handle:headers()
  for _, wanted in ipairs(WANTED) do
    local value = trimmed(wanted[2](headers, wanted[3]))
    if value ~= "" and not value:find("[%z\\001-\\031\\127]") then
      headers:replace(wanted[1], value)
    end
  end
end
"""
