-- A job that storage has and the books have not comes back as it stood there: all of it, or nothing when it is known.
-- Like a new job it is written and not moved: states that were once reached are not reached again.
local key = job_key(arg.job)
if redis.call('EXISTS', key) == 1 then return answer({restored = false}) end

-- Of jobs with one token only one can be alive, so of two that come back the earlier had failed when the other was
-- submitted: it does not start anew beside it.
local token_key = 'farm:token:' .. arg.fields.token
local twin = redis.call('GET', token_key)
local of_twin, twin_submitted, twin_recovered
if twin then of_twin, twin_submitted, twin_recovered = get(job_key(twin), 'state', 'submitted', 'recovered') end
local alive = of_twin and of_twin ~= 'failed' and of_twin ~= 'cancelled'
local function words(job) return 'the same lesson was submitted as ' .. job end
if alive and arg.state ~= 'cancelled' then
  if twin_recovered and not ended(of_twin) and tonumber(twin_submitted) <= arg.fields.submitted then
    take_back(twin)
    redis.call('ZREM', OUTBOX, 'stitch/' .. twin)
    redis.call('HSET', job_key(twin), 'error_code', 'cancelled', 'error_message', words(arg.job))
    move_job(twin, 'cancelled', arg.who, words(arg.job))
    alive = false
  elseif arg.state ~= 'done' then
    arg.state, arg.detail = 'cancelled', words(twin)
    arg.fields.error_code, arg.fields.error_message, arg.fields.ended = 'cancelled', words(twin), now
  end
end
if not alive and arg.state ~= 'cancelled' then redis.call('SET', token_key, arg.job) end

local fields = {}
for name, value in pairs(arg.fields) do
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
redis.call('HSET', key, 'state', arg.state, 'recovered', now, unpack(fields))
redis.call('ZADD', 'farm:jobs', arg.fields.submitted, arg.job)
if arg.fields.edit_of then redis.call('SADD', edits_key(arg.fields.edit_of), arg.job) end
local batch = arg.fields.batch
if batch then
  redis.call('ZADD', batch_key(batch) .. ':jobs', arg.fields.row, arg.job)
  count(arg.job, arg.state, 1)
end
if arg.fields.held and ended(arg.state) then redis.call('HSET', key, 'held', 0)
elseif arg.fields.held then count(arg.job, 'held', 1) end

-- Units that were tried keep their numbers, so that later attempts get higher ones.
for unit, at in pairs(arg.units) do
  redis.call('HSET', unit_key(arg.job, unit), 'percent', at.state == 'done' and 100 or 0)
  for name, value in pairs(at) do redis.call('HSET', unit_key(arg.job, unit), name, value) end
end
for _, version in ipairs(arg.versions) do
  for name, value in pairs(version) do redis.call('HSET', version_key(arg.job, version.number), name, value) end
end
if arg.current then make_current(arg.job, arg.current) end
for i = 0, (arg.fields.chunks or 0) - 1 do
  if unit_state(arg.job, tostring(i)) ~= 'done' then redis.call('ZADD', waiting_key(arg.job), i, i) end
end

if arg.state == 'planning' then plan_due(arg.job) end
if arg.state == 'stitching' then redis.call('ZADD', OUTBOX, now, 'stitch/' .. arg.job) end
event(arg.job, 'recovered', arg.who, arg.detail)
place_in_line(arg.job)
return answer({restored = true})
