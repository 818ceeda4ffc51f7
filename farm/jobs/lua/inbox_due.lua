-- Open claims whose time has come, with a right to work on them for a while.
local inbox = 'farm:inbox:' .. arg.inbox
local due = {}
for _, token in ipairs(redis.call('ZRANGEBYSCORE', inbox .. ':open', '-inf', now, 'LIMIT', 0, arg.most)) do
  redis.call('ZADD', inbox .. ':open', now + arg.lease_ms, token)
  due[#due + 1] = redis.call('HGET', inbox .. ':claims', token)
end
return answer(due)
