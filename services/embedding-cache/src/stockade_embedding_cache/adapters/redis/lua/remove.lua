-- Removes entries of one tag, and no longer counts them. Returns how many there were, and their bytes.
-- KEYS: index, heads, bytes
-- ARGV: prefix of the values' keys, then which: 'these' and keys, 'expired' and the time and a most, 'soonest' and a most
local index, heads, bytes = KEYS[1], KEYS[2], KEYS[3]
local prefix, which = ARGV[1], ARGV[2]

local keys = {}
if which == 'these' then
  for i = 3, #ARGV do keys[#keys + 1] = ARGV[i] end
elseif which == 'expired' then
  keys = redis.call('ZRANGEBYSCORE', index, '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])
else
  keys = redis.call('ZRANGE', index, 0, ARGV[3] - 1)
end

local count, freed = 0, 0
for _, key in ipairs(keys) do
  local head = redis.call('HGET', heads, key)
  if head then
    count = count + 1
    freed = freed + struct.unpack('>I4', head)
    redis.call('DEL', prefix .. key)
    redis.call('ZREM', index, key)
    redis.call('HDEL', heads, key)
  end
end
if freed > 0 and redis.call('DECRBY', bytes, freed) == 0 then redis.call('DEL', bytes) end
return {count, freed}
