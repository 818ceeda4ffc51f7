-- A worker asks for a unit; the answer is a new attempt or the reason why there is nothing to do.
local key, unit = job_key(arg.job), arg.unit
redis.call('HDEL', slot_key(arg.slot), 'deaf')  -- it listens
local state = get(key, 'state')
if not state then return answer({refused = 'no such job'}) end
if is_chunk(unit) then
  local number, chunks = tonumber(unit), tonumber(get(key, 'chunks') or 0)
  if not number or tostring(number) ~= unit or number % 1 ~= 0 or number < 0 or number >= chunks then
    return answer({refused = 'no such chunk'})
  end
end
local function leased()
  local number, redraw, alone = get(unit_key(arg.job, unit), 'attempt', 'redraw', 'alone')
  return {attempt = tonumber(number), redraw = redraw, alone = alone == '1'}
end
local where = unit_state(arg.job, unit)
if ended(state) then
  if where == 'sent' then move_unit(arg.job, unit, 'waiting') end
  return answer({refused = 'job is ' .. state})
end
if where == 'done' or where == 'failed' then return answer({refused = 'unit is ' .. where}) end
if where == 'rendering' then
  local suffix, slot = get(unit_key(arg.job, unit), 'suffix', 'slot')
  -- asked again after a lost answer: it is this worker's already
  if suffix == arg.suffix and slot == arg.slot then return answer(leased()) end
  return answer({refused = 'unit is leased'})
end
local why_not = kept_waiting(arg.job, unit)
  or get(slot_key(arg.slot), 'state') == 'draining' and 'slot is draining'
  or out_of_work(arg.job, arg.slot)
if why_not then
  if where == 'sent' then move_unit(arg.job, unit, 'waiting') end
  redis.call('HDEL', unit_key(arg.job, unit), 'rung')
  return answer({refused = why_not})
end
if where == 'sent' and get(unit_key(arg.job, unit), 'slot') ~= arg.slot then
  return answer({refused = 'unit was sent elsewhere'})
end
if unit == 'stitch' and state ~= 'stitching' then return answer({refused = 'job is ' .. state}) end
if is_chunk(unit) and state ~= 'queued' and state ~= 'rendering' then return answer({refused = 'job is ' .. state}) end

move_unit(arg.job, unit, 'rendering')
local number = redis.call('HINCRBY', unit_key(arg.job, unit), 'attempt', 1)
redis.call('HDEL', unit_key(arg.job, unit), 'rung')
if unit == 'plan' then plan_begun(arg.job) end
redis.call('HSET', unit_key(arg.job, unit), 'suffix', arg.suffix, 'slot', arg.slot, 'started', now, 'percent', 0)
redis.call('ZADD', LEASES, now + arg.lease_ms, pair(arg.job, unit))
if redis.call('EXISTS', slot_key(arg.slot)) == 1 then
  take(arg.slot, arg.job, unit)
  redis.call('HSET', unit_key(arg.job, unit), 'process', get(slot_key(arg.slot), 'process') or '')
end
redis.call('HSETNX', key, 'started', now)
if is_chunk(unit) then began(get(key, 'owner')) end
event(arg.job, 'attempt started', arg.slot, 'attempt ' .. number .. ' at ' .. in_words(unit))
if is_chunk(unit) and state == 'queued' then move_job(arg.job, 'rendering', arg.slot) end
return answer(leased())
