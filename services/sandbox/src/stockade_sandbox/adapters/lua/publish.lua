-- ARGV: node, incarnation, documents. What is over stays over, as it was first told.
-- Answers {'NOT_MEMBER'}, or {'OK', names of living ones that are over here}.
if not is_member(ARGV[1], ARGV[2]) then return { 'NOT_MEMBER' } end
local refused = { 'OK' }
for i = 3, #ARGV do
  local sandbox = cjson.decode(ARGV[i])
  local here = known(sandbox.name)
  if not here or not over(here) then
    write(ARGV[i])
  elseif not over(sandbox) then
    refused[#refused + 1] = sandbox.name
  end
end
return refused
