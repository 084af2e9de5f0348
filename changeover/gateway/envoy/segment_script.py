"""The gateway's script that finds what segments are about, where a matcher cannot. Pure.

It runs only where a segment is told by a cookie or a parameter of the address, or lists its users
in a file. What it finds is put into headers of ours, which the same matchers look at as other
headers; no system gets them, and the edge takes them off whatever the plan says, so that nobody can
choose for themselves. A list is read once by each worker when it starts, and then a request costs
one look into a table, however many users there are.
"""

from __future__ import annotations

from typing import Any

from changeover.gateway.envoy import key_script
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from changeover.plan.segments import SegmentSpec
from changeover.plan.user_lists import ListedSpec

Json = dict[str, Any]

OURS = "x-changeover-in-"
"""How the names of headers begin that carry what the script found."""
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"


def header_of(spec: SegmentSpec) -> str:
    """Return the header in which the gateway sees a segment's value, or whether it is listed."""
    kind, name = spec.place
    if spec.header is not None and spec.listed is None:
        return name
    # `not` needs a header that is there without a value, too: see `is_always_set`
    how = "list-" if spec.listed is not None else "not-" if spec.is_inverted else ""
    # two places never share a header, whatever signs are in their names
    return f"{OURS}{how}{kind}-{name.encode().hex()}"


def is_always_set(spec: SegmentSpec) -> bool:
    """Whether the script says of each request what it found, even that it found nothing.

    An Envoy that runs on has the script of before. What that does not say must put nobody into a
    segment: neither a list that it does not know, nor a `not` of what it does not look for.
    """
    return spec.listed is not None or (spec.header is None and spec.is_inverted)


def standing(listed: ListedSpec, *, is_listed: bool) -> str:
    """Return what the header says of a user and one list; it may say more, of other lists."""
    return f"{'+' if is_listed else '-'}{listed.sha256[:16]}"


def headers(plan: Plan) -> list[str]:
    """Return headers of ours that carry values, which no system gets."""
    found = (header_of(spec) for spec in _found_by_script(plan))
    return list(dict.fromkeys(found))


def filters(plan: Plan, files: GatewayFiles) -> list[Json]:
    """Return the filter that runs the script; none where no segment needs it."""
    found = _found_by_script(plan)
    if not found:
        return []
    listed = dict.fromkeys(spec.listed.sha256 for spec in found if spec.listed)
    lists = (f"[{_text(each)}] = {{{_text(each[:16])}, users_in("
             f"{_text(str(files.user_list(each)))})}}" for each in listed)
    of_lists = "\n".join((_LISTS, f"local LISTS = {{{', '.join(lists)}}}")) if listed else ""
    places = ", ".join(_place(plan, header) for header in headers(plan))
    source = f"{key_script.PLACES}\n{of_lists}\nlocal WANTED = {{{places}}}\n{_REQUEST}"
    return [{"name": "envoy.filters.http.lua.segments", "typed_config": {
        "@type": _TYPE, "default_source_code": {"inline_string": source}}}]


def _place(plan: Plan, header: str) -> str:
    specs = [spec for spec in _found_by_script(plan) if header_of(spec) == header]
    kind, name = specs[0].place
    listed = dict.fromkeys(spec.listed.sha256 for spec in specs if spec.listed)
    lists = ", ".join(f"LISTS[{_text(each)}]" for each in listed)
    finder = "any_listed" if kind == "header" else f"of_{kind}"
    always = "true" if is_always_set(specs[0]) else "false"
    return (f"{{{_text(header)}, {finder}, {_text(name)}, {always}"
            f"{f', {{{lists}}}' if listed else ''}}}")


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
-- For each list whether the user is on it: "+" or "-", and what the list is told by.
local function standing(headers, finder, name, lists)
  local found = ""
  for _, list in ipairs(lists) do
    local value = trimmed(finder(headers, name, list[2]))
    found = found .. (list[2][value] and "+" or "-") .. list[1]
  end
  return found
end

function envoy_on_request(handle)
  local headers = handle:headers()
  for _, wanted in ipairs(WANTED) do
    local header, finder, name, always, lists = unpack(wanted, 1, 5)
    local value
    if lists then
      value = standing(headers, finder, name, lists)
    else
      value = trimmed(finder(headers, name))
      if value:find("[%z\\001-\\031\\127]") then value = "" end
    end
    if always or value ~= "" then headers:replace(header, value) end
  end
end
"""
