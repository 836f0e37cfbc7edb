-- Undoes a take whose answer came too late to be heard, once, whether it has been executed yet or not.
--
-- KEYS[2]  the take's. ARGV: tunnel (empty: none), how many requests. Answers how many were given back.
local tunnel, count = ARGV[own], tonumber(ARGV[own + 1])
local did = redis.call('GET', KEYS[2])
redis.call('SET', KEYS[2], '', 'PX', TAKES_KEPT)
if not did or did == '' then return answer(0) end
local spent_then, taken, minute = string.match(did, '(%d+):(%d+):(%d+)')
spent_then, taken = tonumber(spent_then), tonumber(taken)
-- What leaked while nothing else was in the bucket is not there to be given back. At least so much else was in it: what
-- was there when this came, without what of that was given back since.
local others = spent_then
for _, before in ipairs(given_back) do
  if before.taken <= taken and before.given >= taken then others = others - before.amount end
end
local leaked = math.max(0, (now - taken) * limits.rate - math.max(0, others))
local returned = math.max(0, count * MINUTE - leaked)
spent = math.max(0, spent - returned)
write('g:' .. KEYS[2], table.concat({ whole(returned), whole(taken), whole(now) }, ':'))
local slot = requests.slots[tonumber(minute)]
if slot then write('r:' .. minute, whole(math.max(0, slot - count))) end
if tunnel ~= '' then gone[#gone + 1] = 't:' .. tunnel end
return answer(count)
