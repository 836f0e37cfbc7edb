-- Ends leases of one tag that their holder gives back. Returns how many it held.
-- KEYS: a sorted set of the tag's leases by their end, then the leases; ARGV: the holder
local count = 0
for i = 2, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[1] then
    redis.call('ZREM', KEYS[1], KEYS[i])
    count = count + redis.call('DEL', KEYS[i])
  end
end
return count
