-- Takes the leases of one tag that nobody holds, as long as the tag has room. Returns a bit for each.
-- KEYS: a sorted set of the tag's leases by their end, then the leases
-- ARGV: the holder, life in ms, most leases of the tag
local held, holder, life, most = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', held, '-inf', now)

local room, bits = most - redis.call('ZCARD', held), {}
for i = 2, #KEYS do
  bits[i - 1] = 0
  if room > 0 and redis.call('SET', KEYS[i], holder, 'NX', 'PX', life) then
    redis.call('ZADD', held, now + life, KEYS[i])
    room, bits[i - 1] = room - 1, 1
  end
end
return bits
