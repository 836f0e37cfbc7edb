-- ARGV: seconds since the epoch, how many at most. Removes sandboxes that ended before that.
for _, name in ipairs(redis.call('ZRANGEBYSCORE', ended, '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local sandbox = known(name)
  if sandbox then
    redis.call('ZREM', listing, sandbox.listing_key)
    redis.call('ZREM', of_agent(sandbox.agent), sandbox.listing_key)
    redis.call('HDEL', documents, name)
  end
  redis.call('ZREM', ended, name)
end
return {}
