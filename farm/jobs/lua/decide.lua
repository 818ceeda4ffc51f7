-- What people decide about a job: cancel, pause, resume, priority, retry.
local key = job_key(arg.job)
local state = get(key, 'state')
if not state then return answer({refused = 'no such job'}) end

local function retry()
  redis.call('HDEL', key, 'error_code', 'error_message', 'ended')
  forgive(arg.job)
  local units = {'plan', 'stitch'}
  for i = 0, tonumber(get(key, 'chunks') or 0) - 1 do units[#units + 1] = tostring(i) end
  for _, unit in ipairs(units) do
    local where = unit_state(arg.job, unit)
    if where == 'rendering' then end_attempt(arg.job, unit, {outcome = 'lost', message = 'job was retried', burn = false}) end
    if where == 'failed' then move_unit(arg.job, unit, 'waiting') end
    if where ~= 'done' then redis.call('HDEL', unit_key(arg.job, unit), 'burnt', 'alone', 'outages', 'rung') end
  end
  local to = 'planning'
  if unit_state(arg.job, 'plan') == 'done' then
    to = get(key, 'done') == get(key, 'chunks') and 'stitching' or 'queued'
  end
  if to == 'planning' then plan_due(arg.job) end
  if to == 'stitching' then redis.call('ZADD', OUTBOX, now, 'stitch/' .. arg.job) end
  move_job(arg.job, to, arg.who, 'retried')
  redis.call('HSET', key, 'retry_call', arg.call)
  redis.call('SET', 'farm:token:' .. get(key, 'token'), arg.job)
end

if arg.what == 'cancel' then
  if state == 'cancelled' then return answer({ok = true}) end
  if ended(state) then return answer({refused = 'job is ' .. state}) end
  take_back(arg.job)
  redis.call('ZREM', OUTBOX, 'stitch/' .. arg.job)
  redis.call('HSET', key, 'error_code', 'cancelled', 'error_message', 'cancelled by ' .. arg.who)
  move_job(arg.job, 'cancelled', arg.who)
elseif arg.what == 'retry' then
  if get(key, 'retry_call') == arg.call then return answer({ok = true}) end  -- asked again after a lost answer
  if state ~= 'failed' and state ~= 'cancelled' then return answer({refused = 'job is ' .. state}) end
  local other = redis.call('GET', 'farm:token:' .. get(key, 'token'))
  local state_of_other = other and other ~= arg.job and get(job_key(other), 'state')
  if state_of_other and state_of_other ~= 'failed' and state_of_other ~= 'cancelled' then
    return answer({refused = 'it was submitted again as ' .. other})
  end
  retry()
else
  if ended(state) then return answer({refused = 'job is ' .. state}) end
  if arg.what == 'priority' then
    stand_in_line(arg.job, 0)
    redis.call('HSET', key, 'priority', arg.value)
    if state == 'planning' and unit_state(arg.job, 'plan') == 'waiting' then
      plan_not_due(arg.job)
      plan_due(arg.job)
    end
  else
    local was = get(key, 'paused')
    redis.call('HSET', key, 'paused', arg.what == 'pause' and '1' or '0')
    if arg.what == 'pause' then plan_not_due(arg.job)
    elseif was == '1' and state == 'planning' then plan_due(arg.job) end
  end
  take_back(arg.job)
  place_in_line(arg.job)
  event(arg.job, arg.what, arg.who, arg.value and tostring(arg.value) or '')
end
return answer({ok = true})
