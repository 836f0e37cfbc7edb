-- ARGV: node, incarnation, document, the order that it has carried out, milliseconds of silence.
-- Answers {'NOT_MEMBER'}, or {'OK', order, how many sandboxes live on it, then each silent node and its last beat}.
local node, done = ARGV[1], ARGV[4]
if not is_member(node, ARGV[2]) then return { 'NOT_MEMBER' } end
local now = now_ms()
redis.call('HSET', nodes, node, ARGV[3])
redis.call('ZADD', beats, now, node)
local order = redis.call('HGET', orders, node)
if order and cjson.decode(order).id == done then
  redis.call('HDEL', orders, node)
  order = false
end
local silent = redis.call('ZRANGEBYSCORE', beats, '-inf', now - tonumber(ARGV[5]), 'WITHSCORES', 'LIMIT', 0, 100)
return { 'OK', order or '', redis.call('SCARD', on_node(node)), unpack(silent) }
