-- A new job, unless its token already names one that is not failed or cancelled.
local token_key = 'farm:token:' .. arg.token
local known = redis.call('GET', token_key)
if known == arg.job then return answer({job = known, created = true}) end  -- asked again after a lost answer
if known then
  local state = get(job_key(known), 'state')
  if state and state ~= 'failed' and state ~= 'cancelled' then return answer({job = known, created = false}) end
end
local fields = {}
for name, value in pairs(arg.fields) do
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
redis.call('HSET', job_key(arg.job), 'state', 'planning', 'submitted', now, unpack(fields))
redis.call('ZADD', 'farm:jobs', now, arg.job)
redis.call('SET', token_key, arg.job)
redis.call('ZADD', OUTBOX, now + arg.ring_ms, 'plan/' .. arg.job)
redis.call('HSET', unit_key(arg.job, 'plan'), 'rung', now)
event(arg.job, 'submitted', arg.fields.owner, arg.fields.name)
return answer({job = arg.job, created = true})
