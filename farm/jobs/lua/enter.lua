-- A new job, unless its token already names one that is not failed or cancelled. A row of a batch is one job however
-- that ended: of two submits at once the slower must not render anew what failed or was rejected meanwhile.
local token_key = 'farm:token:' .. arg.token
local known = redis.call('GET', token_key)
if known == arg.job then return answer({job = known, created = true}) end  -- asked again after a lost answer
if known then
  local state = get(job_key(known), 'state')
  local over = state == 'failed' or state == 'cancelled'
  if state and (arg.fields.batch or not over) then return answer({job = known, created = false}) end
end
-- who cancelled the batch has listed its jobs, or is about to
local batch = arg.fields.batch
if batch and get(batch_key(batch), 'state') == 'cancelled' then return answer({refused = 'batch is cancelled'}) end
local fields = {}
for name, value in pairs(arg.fields) do
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
redis.call('HSET', job_key(arg.job), 'state', 'planning', 'submitted', now, unpack(fields))
redis.call('ZADD', 'farm:jobs', now, arg.job)
redis.call('SET', token_key, arg.job)
if arg.fields.edit_of then redis.call('SADD', edits_key(arg.fields.edit_of), arg.job) end
if batch then
  redis.call('ZADD', batch_key(batch) .. ':jobs', arg.fields.row, arg.job)
  count(arg.job, 'planning', 1)
  if arg.fields.held then count(arg.job, 'held', 1) end
end
plan_due(arg.job)
-- Whoever submits rings for the plan, unless others of the owner come first; the sweeper rings for a batch's.
local line, owner = plan_line(arg.job)
local first = redis.call('ZRANGE', plans_key(line), 0, 0)[1] == arg.job
local ring = first and not batch and redis.call('SCARD', in_queue_key(owner)) < arg.plans
if ring then
  let_into_queue(arg.job, now + arg.ring_ms)
  redis.call('HSET', unit_key(arg.job, 'plan'), 'rung', now)
end
event(arg.job, 'submitted', arg.fields.owner, arg.fields.name)
return answer({job = arg.job, created = true, ring = ring})
