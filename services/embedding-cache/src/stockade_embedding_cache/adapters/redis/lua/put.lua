-- Stores entries of one tag, and counts them beside. Returns nothing worth reading.
-- KEYS: index, heads, bytes, then a value's key for each entry
-- ARGV: for each entry its key, expiry, life in ms, size, head, value
local index, heads, bytes = KEYS[1], KEYS[2], KEYS[3]
for i = 4, #KEYS do
  local at = (i - 4) * 6
  local key, expiry, life = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local size, head, value = tonumber(ARGV[at + 4]), ARGV[at + 5], ARGV[at + 6]
  local before = redis.call('HGET', heads, key)
  local freed = before and struct.unpack('>I4', before) or 0
  redis.call('SET', KEYS[i], value, 'PX', life)
  redis.call('ZADD', index, expiry, key)
  redis.call('HSET', heads, key, head)
  redis.call('INCRBY', bytes, size - freed)
end
return 0
