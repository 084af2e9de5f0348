"""The gateway's script that finds what segments are about, where a matcher cannot. Pure.

It runs only where a segment is told by a cookie or a parameter of the address, or lists its users
in a file. What it finds is put into headers of ours, which the same matchers look at as other
headers; no system gets them. A list is read once by each worker when it starts, and then a request
costs one look into a table, however many users there are.
"""

from __future__ import annotations

from typing import Any

from changeover.gateway.envoy import key_script
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from changeover.plan.segments import SegmentSpec

Json = dict[str, Any]

OURS = "x-changeover-in-"
"""How the names of headers begin that carry what the script found."""
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"


def header_of(spec: SegmentSpec) -> str:
    """Return the header in which the gateway sees a segment's value, or that it is listed."""
    kind, name = spec.place
    # two places never share a header, whatever signs are in their names
    if spec.listed is not None:
        return f"{OURS}list-{kind}-{name.encode().hex()}-{spec.listed.sha256[:16]}"
    return name if kind == "header" else f"{OURS}{kind}-{name.encode().hex()}"


def headers(plan: Plan) -> list[str]:
    """Return headers of ours that carry values; who sent one, it is removed at the edge."""
    found = (header_of(spec) for spec in _found_by_script(plan))
    return list(dict.fromkeys(found))


def filters(plan: Plan, files: GatewayFiles) -> list[Json]:
    """Return the filter that runs the script; none where no segment needs it."""
    specs = {header_of(spec): spec for spec in _found_by_script(plan)}
    if not specs:
        return []
    listed = dict.fromkeys(spec.listed.sha256 for spec in specs.values() if spec.listed)
    lists = (f"[{_text(each)}] = users_in({_text(str(files.user_list(each)))})" for each in listed)
    of_lists = "\n".join((_LISTS, f"local LISTS = {{{', '.join(lists)}}}")) if listed else ""
    places = ", ".join(_place(header, spec) for header, spec in specs.items())
    source = f"{key_script.PLACES}\n{of_lists}\nlocal WANTED = {{{places}}}\n{_REQUEST}"
    return [{"name": "envoy.filters.http.lua.segments", "typed_config": {
        "@type": _TYPE, "default_source_code": {"inline_string": source}}}]


def _place(header: str, spec: SegmentSpec) -> str:
    kind, name = spec.place
    users = f", LISTS[{_text(spec.listed.sha256)}]" if spec.listed is not None else ""
    finder = "any_listed" if kind == "header" else f"of_{kind}"
    return f"{{{_text(header)}, {finder}, {_text(name)}{users}}}"


def _text(value: str) -> str:
    return key_script.text(value)


def _found_by_script(plan: Plan) -> list[SegmentSpec]:
    return [spec for spec in plan.routing.segments.values()
            if spec.header is None or spec.listed is not None]


_LISTS = """
local function users_in(path)
  local users = {}
  for user in io.lines(path) do users[user] = true end
  return users
end

-- One of a header's values, a listed one if there is any; most requests have only one.
local function any_listed(headers, name, users)
  local whole = headers:get(name) or ""
  if not whole:find("[, \\t]") then return whole end
  for _, value in ipairs(all(headers, name)) do
    value = trimmed(value)
    if users[value] then return value end
  end
  return ""
end
"""

_REQUEST = """
function envoy_on_request(handle)
  local headers = handle:headers()
  for _, wanted in ipairs(WANTED) do
    local users = wanted[4]
    local value = trimmed(wanted[2](headers, wanted[3], users))
    if users then
      if users[value] then headers:replace(wanted[1], "1") end
    elseif value ~= "" and not value:find("[%z\\001-\\031\\127]") then
      headers:replace(wanted[1], value)
    end
  end
end
"""
