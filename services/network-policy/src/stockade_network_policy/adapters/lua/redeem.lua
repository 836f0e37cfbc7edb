-- ARGV: lease, ticket, tunnel (empty: none). Answers the rule that refuses, or '', and for how long.
local name, ticket, tunnel = ARGV[own], tonumber(ARGV[own + 1]), ARGV[own + 2]
local lease = leases[name]
if not lease or string.sub(lease.tickets, ticket + 1, ticket + 1) ~= '0' then return answer('lease', 0) end
local refused = beside_requests(tunnel)
if refused then return answer(refused[1], refused[2]) end
lease.tickets = string.sub(lease.tickets, 1, ticket) .. '1' .. string.sub(lease.tickets, ticket + 2)
write_lease(name)
use(1)
open(tunnel)
return answer('', 0)
