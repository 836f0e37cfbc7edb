-- ARGV: lease, 1 to count what is unused as spent. Answers how many tokens that was.
local name, spend = ARGV[own], ARGV[own + 1] == '1'
if not leases[name] then return answer(0) end
local left = end_lease(name)
if spend then use(left) else held = held - left end
return answer(left)
