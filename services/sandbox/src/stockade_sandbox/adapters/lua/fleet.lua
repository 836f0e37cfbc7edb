-- What every script of the fleet begins with. All keys bear one hash tag; KEYS[1] is the hash of members, by which a
-- cluster finds the server. A sandbox's document says everything that its places in the other keys hang on.
local prefix = 'stockade:{fleet}:'
local members, nodes, beats, orders = prefix .. 'members', prefix .. 'nodes', prefix .. 'beats', prefix .. 'orders'
local documents, listing, ended, lately = prefix .. 'sandboxes', prefix .. 'listing', prefix .. 'ended', prefix .. 'reset'

local function of_agent(agent) return prefix .. 'agent:' .. agent end
local function of_owner(owner) return prefix .. 'owner:' .. owner end
local function on_node(node) return prefix .. 'node:' .. node end

-- Milliseconds of Redis' own clock.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function is_member(node, incarnation) return redis.call('HGET', members, node) == incarnation end

local function known(name)
  local text = redis.call('HGET', documents, name)
  return text and cjson.decode(text), text
end

local function over(sandbox) return sandbox.ended_at ~= 0 end

-- Writes a sandbox as it is now, and counts it, or no longer.
local function write(text)
  local sandbox = cjson.decode(text)
  redis.call('HSET', documents, sandbox.name, text)
  redis.call('ZADD', listing, 0, sandbox.listing_key)
  redis.call('ZADD', of_agent(sandbox.agent), 0, sandbox.listing_key)
  if over(sandbox) then
    redis.call('SREM', of_owner(sandbox.owner), sandbox.name)
    redis.call('SREM', on_node(sandbox.node), sandbox.name)
    redis.call('ZADD', ended, sandbox.ended_at, sandbox.name)
  else
    redis.call('SADD', of_owner(sandbox.owner), sandbox.name)
    redis.call('SADD', on_node(sandbox.node), sandbox.name)
  end
end
