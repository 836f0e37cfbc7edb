-- ARGV: node, incarnation, milliseconds until it is back; 0: for good. Answers {'OK'}, or {'NOT_MEMBER'}.
local node, patience = ARGV[1], tonumber(ARGV[3])
if not is_member(node, ARGV[2]) then return { 'NOT_MEMBER' } end
if patience > 0 then
  redis.call('ZADD', beats, now_ms() + patience, node)
else
  redis.call('ZREM', beats, node)
  redis.call('HDEL', members, node)
  redis.call('HDEL', nodes, node)
  redis.call('HDEL', orders, node)
end
return { 'OK' }
