-- ARGV: node, incarnation, document, quota, key of the request or '', its digest, seconds that it is remembered, the
-- sandbox that is given up for it or '', that one's last document.
-- Answers {'OK'}, {'NOT_MEMBER'}, {'SETTLING'}, {'REUSED'}, {'QUOTA'}, or {'MADE', document}.
local request, digest, instead_of = ARGV[5], ARGV[6], ARGV[8]
local sandbox = cjson.decode(ARGV[3])
if not is_member(ARGV[1], ARGV[2]) then return { 'NOT_MEMBER' } end
if redis.call('EXISTS', lately) == 1 then return { 'SETTLING' } end
if request ~= '' then
  request = prefix .. request
  local seen, name = unpack(redis.call('HMGET', request, 'digest', 'sandbox'))
  if seen and seen ~= digest then return { 'REUSED' } end
  local made, text = known(name or '')
  if made and made.name == instead_of and made.state == 'STARTING' then
    write(ARGV[9])
  elseif made and made.reason ~= 'START_FAILED' then
    return { 'MADE', text }
  end
end
if redis.call('SCARD', of_owner(sandbox.owner)) >= tonumber(ARGV[4]) then return { 'QUOTA' } end
write(ARGV[3])
if request ~= '' then
  redis.call('HSET', request, 'digest', digest, 'sandbox', sandbox.name)
  redis.call('EXPIRE', request, ARGV[7])
end
return { 'OK' }
