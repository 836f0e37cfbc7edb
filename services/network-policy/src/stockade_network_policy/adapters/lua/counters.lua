-- What has been counted of one agent, as domain/limits.py has it, line by line; both pass one suite of tests.
--
-- KEYS[1]  the agent's hash: spent, at, held, r:<minute> requests, b:<minute> bytes, t:<tunnel> its end,
--          l:<lease> its end and one digit a ticket (1: used), g:<take> how much of it was given back, when it was
--          taken and when given back
-- ARGV     now in microseconds (a test's clock; empty: Redis TIME), requests_per_minute, requests_per_hour, burst_size,
--          max_tunnels, bytes_per_hour, tunnel lifetime in microseconds; what follows is the operation's own
--
-- This is the beginning of each script; the operation's file follows, and ends with `return answer(...)`.

local MINUTE, SLOTS = 60000000, 61
local TAKES_KEPT = 30000 -- milliseconds in which a take can be given back
local TUNNEL_RETRY, LONGEST_TUNNEL = 1000000, 24 * 60 * MINUTE

local key, own = KEYS[1], 8
local limits = {
  rate = tonumber(ARGV[2]), hour = tonumber(ARGV[3]), burst = tonumber(ARGV[4]),
  tunnels = tonumber(ARGV[5]), bytes = tonumber(ARGV[6]), lifetime = tonumber(ARGV[7]),
}
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local this_minute = math.floor(now / MINUTE)

local function whole(number) return string.format('%.0f', number) end
local function ceil_div(a, b)
  local rest = math.fmod(a, b)
  return rest > 0 and (a - rest) / b + 1 or (a - rest) / b
end

local spent, at, held = 0, 0, 0
local requests, received = { total = 0, slots = {}, newest = this_minute }, { total = 0, slots = {}, newest = this_minute }
local tunnels, leases, open_tunnels, given_back = {}, {}, 0, {}
local set, gone, longest = {}, {}, 0

local function write(field, value)
  set[#set + 1] = field
  set[#set + 1] = value
end

local function read_slot(window, field, minute, amount)
  if minute <= this_minute - SLOTS then
    gone[#gone + 1] = field
    return
  end
  window.slots[minute] = amount
  window.total = window.total + amount
  window.newest = math.max(window.newest, minute)
end

local function add(window, prefix, amount)
  local minute = window.newest
  window.slots[minute] = (window.slots[minute] or 0) + amount
  window.total = window.total + amount
  write(prefix .. whole(minute), whole(window.slots[minute]))
end

-- how long until `excess` of what was counted has left the window
local function wait(window, excess)
  for minute = this_minute - SLOTS + 1, window.newest do
    excess = excess - (window.slots[minute] or 0)
    if window.slots[minute] and excess <= 0 then
      return math.max(0, (minute + SLOTS) * MINUTE - now)
    end
  end
  return SLOTS * MINUTE
end

-- turns held tokens into spent ones
local function use(tokens)
  held, spent = held - tokens, spent + tokens * MINUTE
  if tokens > 0 then add(requests, 'r:', tokens) end
end

local function unused(tickets) return select(2, string.gsub(tickets, '0', '')) end

local function end_lease(name)
  local left = unused(leases[name].tickets)
  leases[name] = nil
  gone[#gone + 1] = 'l:' .. name
  return left
end

local function read_all()
  local flat, dead = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do
    local field, value = flat[i], flat[i + 1]
    local kind, name = string.sub(field, 1, 2), string.sub(field, 3)
    if field == 'spent' then spent = tonumber(value)
    elseif field == 'at' then at = tonumber(value)
    elseif field == 'held' then held = tonumber(value)
    elseif kind == 'r:' then read_slot(requests, field, tonumber(name), tonumber(value))
    elseif kind == 'b:' then read_slot(received, field, tonumber(name), tonumber(value))
    elseif kind == 't:' then
      if tonumber(value) <= now then gone[#gone + 1] = field
      else tunnels[name], open_tunnels = tonumber(value), open_tunnels + 1 end
      longest = math.max(longest, tonumber(value) - now)
    elseif kind == 'g:' then
      local amount, taken, given = string.match(value, '(%d+):(%d+):(%d+)')
      if tonumber(given) <= now - TAKES_KEPT * 1000 then gone[#gone + 1] = field
      else given_back[#given_back + 1] = { amount = tonumber(amount), taken = tonumber(taken), given = tonumber(given) } end
    elseif kind == 'l:' then
      local colon = string.find(value, ':', 1, true)
      leases[name] = { expire = tonumber(string.sub(value, 1, colon - 1)), tickets = string.sub(value, colon + 1) }
      if leases[name].expire <= now then dead[#dead + 1] = name end
    end
  end
  if now > at then spent, at = math.max(0, spent - (now - at) * limits.rate), now end
  for _, name in ipairs(dead) do use(end_lease(name)) end
end

local function write_lease(name) write('l:' .. name, whole(leases[name].expire) .. ':' .. leases[name].tickets) end

local function open(tunnel)
  if tunnel == '' then return end
  local lifetime = limits.lifetime > 0 and limits.lifetime or LONGEST_TUNNEL
  write('t:' .. tunnel, whole(now + lifetime))
  longest = math.max(longest, lifetime)
end

local function beside_requests(tunnel)
  if limits.bytes > 0 and received.total >= limits.bytes then
    return { 'bytes_per_hour', wait(received, received.total - limits.bytes + 1) }
  end
  if tunnel ~= '' and limits.tunnels > 0 and open_tunnels >= limits.tunnels then
    return { 'max_tunnels', TUNNEL_RETRY }
  end
end

-- the limit that refuses `count` requests the longest, or nil
local function refusal(tunnel, count)
  local found
  local function offer(rule, retry)
    if not found or retry > found[2] then found = { rule, retry } end
  end
  local excess = spent + (held + count - limits.burst) * MINUTE
  if excess > 0 then offer('requests_per_minute', ceil_div(excess, limits.rate)) end
  excess = requests.total + held + count - limits.hour
  if excess > 0 then offer('requests_per_hour', wait(requests, excess)) end
  local other = beside_requests(tunnel)
  if other then offer(other[1], other[2]) end
  return found
end

-- writes what changed and answers with numbers as text, since Redis cuts numbers to 32 bits of a double's truth
local function answer(...)
  write('spent', whole(spent))
  write('at', whole(at))
  write('held', whole(held))
  redis.call('HSET', key, unpack(set))
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  redis.call('PEXPIRE', key, whole((SLOTS * MINUTE + longest) / 1000))
  local told = { ... }
  for i, value in ipairs(told) do told[i] = type(value) == 'number' and whole(value) or value end
  return told
end

read_all()
