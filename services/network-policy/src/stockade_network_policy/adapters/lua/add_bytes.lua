-- ARGV: bytes. Answers 1 when the hour's are used up.
add(received, 'b:', tonumber(ARGV[own]))
return answer(limits.bytes > 0 and received.total >= limits.bytes and 1 or 0)
