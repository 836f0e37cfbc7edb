-- Undoes a take whose answer came too late to be heard, once, whether it has been executed yet or not.
--
-- KEYS[2]  the take's. ARGV: tunnel (empty: none), how many requests. Answers how many were given back.
local tunnel, count = ARGV[own], tonumber(ARGV[own + 1])
local did = redis.call('GET', KEYS[2])
redis.call('SET', KEYS[2], '', 'PX', TAKES_KEPT)
if not did or did == '' then return answer(0) end
local spent_then, back_then, at_take, minute = string.match(did, '(%d+):(%d+):(%d+):(%d+)')
-- What leaked while nothing else was in the bucket is not there to be given back: never less than was spent by others.
local others = math.max(0, tonumber(spent_then) - (back - tonumber(back_then)))
local leaked = math.max(0, (now - tonumber(at_take)) * limits.rate - others)
local returned = math.max(0, count * MINUTE - leaked)
spent = math.max(0, spent - returned)
write('back', whole(back + returned))
local slot = requests.slots[tonumber(minute)]
if slot then write('r:' .. minute, whole(math.max(0, slot - count))) end
if tunnel ~= '' then gone[#gone + 1] = 't:' .. tunnel end
return answer(count)
