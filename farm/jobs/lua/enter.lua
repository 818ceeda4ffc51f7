-- A new job, unless its token already names one that is not failed or cancelled. A row of a batch is one job however
-- that ended: of two submits at once the slower must not render anew what failed or was rejected meanwhile.
local token_key = 'farm:token:' .. arg.token
local known = redis.call('GET', token_key)
if known == arg.job then  -- asked again after a lost answer
  return answer({job = known, created = true, ring = is_in_queue(known)})
end
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
  -- of two submits at once each gave its rows numbers: who comes second gets the next behind all
  local jobs = batch_key(batch) .. ':jobs'
  if redis.call('ZCOUNT', jobs, arg.fields.row, arg.fields.row) > 0 then
    local last = redis.call('ZREVRANGE', jobs, 0, 0, 'WITHSCORES')
    redis.call('HSET', job_key(arg.job), 'row', last[2] + 1)
  end
  redis.call('ZADD', jobs, get(job_key(arg.job), 'row'), arg.job)
  count(arg.job, 'planning', 1)
  if arg.fields.held then count(arg.job, 'held', 1) end
end
plan_due(arg.job)
-- Whoever submits rings for the plan, unless others of the owner come first; the sweeper rings for a batch's.
local first = redis.call('ZRANGE', plans_key(plan_line(arg.job)), 0, 0)[1] == arg.job
local ring = first and not batch and has_room(arg.job, arg.plans)
if ring then
  let_into_queue(arg.job, now + arg.ring_ms)
  redis.call('HSET', unit_key(arg.job, 'plan'), 'rung', now)
end
event(arg.job, 'submitted', arg.fields.owner, arg.fields.name)
return answer({job = arg.job, created = true, ring = ring})
