"""The gateway's script that finds a user's key where it is not simply a header. Pure.

Envoy runs it (Lua) for each request of a plan whose key is a cookie, a parameter, a claim or one of
several places. It does what `domain.user_keys` does, and hashes what it found as `domain.routing`
does. What it leaves behind: the bucket in a header of ours, which the routes look at, and beside it
for the log the bucket and the key's hash. The key itself, perhaps a session, is written nowhere.
"""

from __future__ import annotations

from changeover.plan.routing import IssueSpec, KeySpec, RoutingSpec

NOTES = "changeover"
"""Namespace of what the script notes of a request."""
USER, BUCKET = "who:user", "who:bucket"
"""Its notes for the log: hash of the key, and bucket."""


def script(routing: RoutingSpec, header: str) -> str:
    """Return the script for a plan's key.

    Args:
        routing: Where keys are found, and what users without one get.
        header: The header that gets the bucket; whoever sent it, it is replaced.
    """
    sources = ", ".join(_source(each) for each in routing.sources)
    return "\n".join((
        f"local SOURCES = {{{sources}}}",
        f"local HEADER, SALT = {text(header)}, {text(routing.salt or '')}",
        f"local SPLITS = {_truth(routing.keyless == 'split')}",
        f"local ISSUES = {_truth(routing.issue is not None)}",
        _HASH, PLACES, _REQUEST,
        *(() if routing.issue is None else (_answer(routing.issue),)),
    ))


def _source(source: KeySpec) -> str:
    kind, name = source.place
    return f"{{{text(kind)}, {text(name)}}}"


def text(value: str) -> str:
    """Return a text as one of Lua, by its bytes: a path may have any letters."""
    return '"' + "".join(f"\\{byte:03d}" for byte in value.encode()) + '"'


def _truth(value: object) -> str:
    return "true" if value else "false"


def _answer(issue: IssueSpec) -> str:
    attributes = f"; Path=/; Max-Age={int(issue.lifetime.total_seconds())}; HttpOnly"
    attributes += f"; SameSite={issue.same_site.capitalize()}"
    if issue.domain is not None:
        attributes += f"; Domain={issue.domain}"
    # browsers take SameSite=None from https only
    secure = True if issue.same_site == "none" else issue.secure
    known = "nil" if secure is None else _truth(secure)
    return (f"local COOKIE, ATTRIBUTES = {text(issue.cookie)}, {text(attributes)}\n"
            f"local SECURE = {known}\n{_ANSWER}")


_HASH = """
local ffi, bit = require("ffi"), require("bit")
local rol, bxor, rshift = bit.rol, bit.bxor, bit.rshift
local P1, P2, P3 = 0x9E3779B185EBCA87ULL, 0xC2B2AE3D27D4EB4FULL, 0x165667B19E3779F9ULL
local P4, P5 = 0x85EBCA77C2B2AE63ULL, 0x27D4EB2F165667C5ULL

local function mix(sum, lane) return rol(sum + lane * P2, 31) * P1 end
local function merge(sum, lane) return bxor(sum, mix(0ULL, lane)) * P1 + P4 end

local function digest(text, seed)
  local size, at, bytes = #text, 0, ffi.cast("const uint8_t*", text)
  local sum
  if size >= 32 then
    local a, b, c, d = seed + P1 + P2, seed + P2, seed, seed - P1
    repeat
      local lanes = ffi.cast("const uint64_t*", bytes + at)
      a, b, c, d = mix(a, lanes[0]), mix(b, lanes[1]), mix(c, lanes[2]), mix(d, lanes[3])
      at = at + 32
    until at > size - 32
    sum = rol(a, 1) + rol(b, 7) + rol(c, 12) + rol(d, 18)
    sum = merge(merge(merge(merge(sum, a), b), c), d)
  else
    sum = seed + P5
  end
  sum = sum + size
  while at + 8 <= size do
    sum = rol(bxor(sum, mix(0ULL, ffi.cast("const uint64_t*", bytes + at)[0])), 27) * P1 + P4
    at = at + 8
  end
  if at + 4 <= size then
    sum = rol(bxor(sum, ffi.cast("const uint32_t*", bytes + at)[0] * P1), 23) * P2 + P3
    at = at + 4
  end
  while at < size do
    sum = rol(bxor(sum, bytes[at] * P5), 11) * P1
    at = at + 1
  end
  sum = bxor(sum, rshift(sum, 33)) * P2
  sum = bxor(sum, rshift(sum, 29)) * P3
  return bxor(sum, rshift(sum, 32))
end
"""

PLACES = """
-- by steps, not by a pattern: `.-` before blanks takes hours of a long row of them
local BLANK = {[9] = true, [32] = true}
local function trimmed(text)
  local first, last = 1, #text
  while BLANK[text:byte(first)] do first = first + 1 end
  while last >= first and BLANK[text:byte(last)] do last = last - 1 end
  return text:sub(first, last)
end

local function decoded(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(pair)
    return string.char(tonumber(pair, 16))
  end))
end

local function all(headers, name)
  local found = {}
  for number = 0, headers:getNumValues(name) - 1 do
    found[#found + 1] = headers:getAtIndex(name, number)
  end
  return found
end

local function of_cookie(headers, name)
  for _, header in ipairs(all(headers, "cookie")) do
    -- most cookies are others': to find none costs one look
    for part in (header:find(name, 1, true) and header or ""):gmatch("[^;]+") do
      local known, value = part:match("^([^=]*)=(.*)$")
      if known and trimmed(known) == name then
        value = trimmed(value)
        return value:match('^"(.*)"$') or value
      end
    end
  end
  return ""
end

local function of_query(headers, name)
  local query = (headers:get(":path") or ""):match("^[^?]*%?([^#]*)") or ""
  for pair in query:gmatch("[^&]+") do
    local known, value = pair:match("^([^=]*)=?(.*)$")
    if decoded(known) == name then return decoded(value) end
  end
  return ""
end

local SIGNS = {}
for number = 1, 64 do
  SIGNS[("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):sub(number, number)]
    = number - 1
end

local function unpacked(text)
  local left = #text % 4
  if left == 1 then return "" end
  local bytes, sum, bits = {}, 0, 0
  for sign in text:gmatch(".") do
    sum, bits = sum * 64 + SIGNS[sign], bits + 6
    if bits >= 8 then
      bits = bits - 8
      local size = 2 ^ bits
      bytes[#bytes + 1] = string.char(math.floor(sum / size))
      sum = sum % size
    end
  end
  return table.concat(bytes)
end

local function end_of_text(text, at)
  while at <= #text and text:sub(at, at) ~= '"' do
    at = at + (text:sub(at, at) == "\\\\" and 2 or 1)
  end
  return math.min(at, #text + 1)
end

local function value_of(text, at)
  at = text:match("^[ \\t\\n\\r]*()", at)
  if text:sub(at, at) == '"' then
    local value = text:sub(at + 1, end_of_text(text, at + 1) - 1)
    return value:find("\\\\", 1, true) and "" or value
  end
  local number, digits, after = text:match("^(%-?(%d+))()", at)
  if not number or #digits > 30 then return "" end
  return text:sub(after, after):find("[.eE]") and "" or number
end

local function member(text, name)
  local depth, at, last = 0, 1, nil
  while at <= #text do
    local sign = text:sub(at, at)
    if sign == '"' then
      local stop = end_of_text(text, at + 1)
      last, at = text:sub(at + 1, stop - 1), stop
    elseif sign == "{" or sign == "[" then
      depth = depth + 1
    elseif sign == "}" or sign == "]" then
      depth = depth - 1
    elseif sign == ":" and depth == 1 and last == name then
      return value_of(text, at + 1)
    end
    at = at + 1
  end
  return ""
end

local function of_claim(headers, name)
  local token = trimmed(headers:getAtIndex("authorization", 0) or "")
  local scheme, payload = token:match("^(%a+) +[^. ]*%.([%w_-]+)%.[^. ]*$")
  if not scheme or scheme:lower() ~= "bearer" or #payload > 16384 then return "" end
  return member(unpacked(payload), name)
end

local FINDERS = {cookie = of_cookie, query = of_query, bearer_claim = of_claim}

-- The values of the first place that has a key; one empty value makes all of them none.
local function key_of(headers)
  for _, source in ipairs(SOURCES) do
    local kind, name = source[1], source[2]
    local values = kind == "header" and all(headers, name) or {FINDERS[kind](headers, name)}
    local is_key = #values > 0
    for number, value in ipairs(values) do
      values[number] = trimmed(value)
      is_key = is_key and values[number] ~= ""
    end
    if is_key then return values end
  end
end
"""

_REQUEST = """
local function hashed(values)
  if SALT ~= "" then return digest(SALT .. values[1], 0ULL) end
  table.sort(values)
  local sum = 0ULL
  for _, value in ipairs(values) do sum = digest(value, sum) end
  return sum
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local notes = handle:streamInfo():dynamicMetadata()
  local values = key_of(headers)
  local sum
  if values then
    sum = hashed(values)
  elseif ISSUES then
    -- drawn from the request's own id and the moment: nobody can guess another user's
    local id = bit.tohex(digest((headers:get("x-request-id") or "") .. handle:timestampString(
      EnvoyTimestampResolution.MICROSECOND), P3))
    values = {id}
    notes:set("changeover", "issued", id)
    if headers:get("x-forwarded-proto") == "https" then notes:set("changeover", "https", "yes") end
    sum = hashed(values)
  elseif SPLITS then
    sum = digest(headers:get("x-request-id") or "", P3)
  end
  if not sum then return end
  local bucket = tostring(tonumber(sum % 10000ULL))
  headers:replace(HEADER, bucket)
  -- both in one: each note costs as much as the whole hash
  notes:set("changeover", "who", {bucket = bucket, user = values and bit.tohex(sum)})
end
"""

_ANSWER = """
local function is_kept_for_others(headers)
  local rule = (headers:get("cache-control") or ""):lower()
  if rule:find("private", 1, true) or rule:find("no%-store") or rule:find("no%-cache") then
    return false
  end
  local is_fresh = rule:find("max%-age=%s*\\"?0*[1-9]") or rule:find("s-maxage", 1, true)
  return rule:find("public", 1, true) or is_fresh or (rule == "" and headers:get("expires"))
end

function envoy_on_response(handle)
  local info = handle:streamInfo()
  local notes = info:dynamicMetadata():get("changeover")
  local id = notes and notes["issued"]
  if not id or is_kept_for_others(handle:headers()) then return end
  local secure = SECURE
  if secure == nil then secure = notes["https"] == "yes" end
  local attributes = ATTRIBUTES .. (secure and "; Secure" or "")
  handle:headers():add("set-cookie", COOKIE .. "=" .. id .. attributes)
end
"""
