-- ARGV: lease, tokens, lifetime in microseconds. Answers how many tokens are held, the rule that refuses, for how long.
local lease, tokens, lifetime = ARGV[own], tonumber(ARGV[own + 1]), tonumber(ARGV[own + 2])
local refused = refusal('', 1)
if refused then return answer(0, refused[1], refused[2]) end
local granted = math.min(tokens, limits.burst - held - ceil_div(spent, MINUTE), limits.hour - held - requests.total)
leases[lease] = { expire = now + lifetime, tickets = string.rep('0', granted) }
held = held + granted
write_lease(lease)
longest = math.max(longest, lifetime)
return answer(granted, '', 0)
