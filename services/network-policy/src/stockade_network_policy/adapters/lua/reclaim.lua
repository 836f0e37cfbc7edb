-- ARGV: lease. Answers how many unused tokens went back.
local name = ARGV[own]
if not leases[name] then return answer(0) end
local returned = end_lease(name)
held = held - returned
return answer(returned)
