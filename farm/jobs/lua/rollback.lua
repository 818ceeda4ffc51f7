-- An older version becomes the current one again; what was to be drawn for a newer one is given up.
local key, version = job_key(arg.job), version_key(arg.job, arg.version)
local state = get(key, 'state')
if not state then return answer({refused = 'no such job'}) end
if not ended(state) then return answer({refused = 'job is ' .. state}) end
if redis.call('EXISTS', version) == 0 then return answer({refused = 'it has no version ' .. arg.version}) end
local last = tonumber(get(unit_key(arg.job, 'stitch'), 'attempt'))
if last == arg.number and tonumber(get(key, 'current')) == arg.version then
  return answer({ok = true})  -- asked again after a lost answer
end
if last >= arg.number then
  return answer({refused = 'it has moved on meanwhile'})
end

local function settle(unit)
  if unit_state(arg.job, unit) == 'rendering' then
    end_attempt(arg.job, unit, {outcome = 'lost', message = 'job was rolled back', burn = false})
  end
  if unit_state(arg.job, unit) == 'failed' then move_unit(arg.job, unit, 'waiting') end
  if unit_state(arg.job, unit) ~= 'done' then move_unit(arg.job, unit, 'done') end
  redis.call('HSET', unit_key(arg.job, unit), 'percent', 100)
  redis.call('HDEL', unit_key(arg.job, unit), 'burnt', 'alone', 'outages', 'rung')
end

local segments = cjson.decode(get(version, 'segments'))
for i, segment in ipairs(segments) do
  local unit = tostring(i - 1)
  settle(unit)
  redis.call('HSET', unit_key(arg.job, unit), 'accepted', segment.attempt)
  if segment.redraw then redis.call('HSET', unit_key(arg.job, unit), 'redraw', segment.redraw)
  else redis.call('HDEL', unit_key(arg.job, unit), 'redraw') end
end
settle('stitch')
redis.call('HSET', unit_key(arg.job, 'stitch'), 'attempt', arg.number, 'suffix', '')
redis.call('ZREM', OUTBOX, 'stitch/' .. arg.job)
redis.call('HDEL', key, 'error_code', 'error_message')
redis.call('HSET', key, 'done', #segments)
make_current(arg.job, arg.version)
event(arg.job, 'rolled back', arg.who, 'version ' .. arg.version)
if state == 'done' then tell_job(arg.job, 'done') else move_job(arg.job, 'done', arg.who) end
return answer({ok = true})
