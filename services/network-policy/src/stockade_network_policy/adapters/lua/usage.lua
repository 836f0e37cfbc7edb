-- Answers burst left, requests of the hour, open tunnels, bytes of the hour, tokens on lease, for how long the next
-- request is refused, and now.
local refused = refusal('', 1)
return answer(
  math.max(0, limits.burst - held - ceil_div(spent, MINUTE)), requests.total, open_tunnels, received.total, held,
  refused and refused[2] or 0, now
)
