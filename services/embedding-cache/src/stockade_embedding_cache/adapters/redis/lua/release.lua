-- Ends leases that their holder gives back. Returns how many it held.
-- KEYS: leases; ARGV: the holder
local count = 0
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then
    count = count + redis.call('DEL', key)
  end
end
return count
