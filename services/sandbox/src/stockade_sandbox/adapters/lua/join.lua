-- ARGV: node, incarnation, place, document, whether it is returning, milliseconds of silence, of settling.
-- Answers {'OK'}, or {'TAKEN', host}.
local node, incarnation, place, document = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now = now_ms()
local returning = ARGV[5] == '1'
local text, beat = redis.call('HGET', nodes, node), tonumber(redis.call('ZSCORE', beats, node) or 0)
-- One that left in order has a beat to come, and is not alive. One that is returning was replaced by whoever is.
if text and beat <= now and now - beat < tonumber(ARGV[6]) then
  local other = cjson.decode(text)
  if other.place ~= place or (returning and other.incarnation ~= incarnation) then return { 'TAKEN', other.host } end
end
if returning and not text then redis.call('SET', lately, node, 'PX', ARGV[7]) end
redis.call('HSET', members, node, incarnation)
redis.call('HSET', nodes, node, document)
redis.call('ZADD', beats, now, node)
return { 'OK' }
