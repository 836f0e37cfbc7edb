-- ARGV: tunnel (empty: none). Answers the rule that refuses, or '', and for how long.
local tunnel = ARGV[own]
local refused = refusal(tunnel)
if refused then return answer(refused[1], refused[2]) end
spent = spent + MINUTE
add(requests, 'r:', 1)
open(tunnel)
return answer('', 0)
