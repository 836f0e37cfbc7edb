-- ARGV: node, incarnation, place, document, whether it is returning, milliseconds of silence, of settling.
-- Answers {'OK'}, or {'TAKEN', host}.
local node, incarnation, place, document = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now = now_ms()
local text, beat = redis.call('HGET', nodes, node), redis.call('ZSCORE', beats, node)
if text and beat and now - tonumber(beat) < tonumber(ARGV[6]) then
  local other = cjson.decode(text)
  if other.place ~= place then return { 'TAKEN', other.host } end
end
if ARGV[5] == '1' and not text then redis.call('SET', lately, node, 'PX', ARGV[7]) end
redis.call('HSET', members, node, incarnation)
redis.call('HSET', nodes, node, document)
redis.call('ZADD', beats, now, node)
return { 'OK' }
