-- ARGV: tunnel (empty: none), how many requests. Answers the rule that refuses, or '', and for how long.
local tunnel, count = ARGV[own], tonumber(ARGV[own + 1])
local refused = refusal(tunnel, count)
if refused then return answer(refused[1], refused[2]) end
spent = spent + count * MINUTE
add(requests, 'r:', count)
open(tunnel)
return answer('', 0)
