-- KEYS[2]  what this take did, kept for give_back; one that was given back before it came counts nothing
-- ARGV     tunnel (empty: none), how many requests. Answers the rule that refuses, or '', and for how long.
local tunnel, count = ARGV[own], tonumber(ARGV[own + 1])
local refused = refusal(tunnel, count)
if refused then return answer(refused[1], refused[2]) end
local did = table.concat({ whole(spent), whole(now), whole(requests.newest) }, ':')
if not redis.call('SET', KEYS[2], did, 'NX', 'PX', TAKES_KEPT) then return answer('given_back', 0) end
spent = spent + count * MINUTE
add(requests, 'r:', count)
open(tunnel)
return answer('', 0)
