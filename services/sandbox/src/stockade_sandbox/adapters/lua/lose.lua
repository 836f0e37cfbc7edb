-- ARGV: node, its last beat, its last document, documents of its sandboxes as they have ended.
-- Answers the names of those that this ended: none where it has beaten since.
local node = ARGV[1]
if redis.call('ZSCORE', beats, node) ~= ARGV[2] then return {} end
redis.call('HDEL', members, node)
redis.call('HSET', nodes, node, ARGV[3])
local names = {}
for i = 4, #ARGV do
  local name = cjson.decode(ARGV[i]).name
  local here = known(name)
  if here and here.node == node and not over(here) then
    write(ARGV[i])
    names[#names + 1] = name
  end
end
if redis.call('SCARD', on_node(node)) == 0 then redis.call('ZREM', beats, node) end
return names
