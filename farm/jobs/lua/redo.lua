-- Finished chunks wait once more, each to be drawn anew. People ask for it when the job is done; the stitch in hand
-- does when it finds something broken, and ends with it.
local key = job_key(arg.job)

local function asked_before()
  for _, redo in ipairs(arg.redos) do
    local number, redraw = get(unit_key(arg.job, tostring(redo.chunk)), 'redo', 'redraw')
    if tonumber(number) ~= redo.number or redraw ~= redo.redraw then return false end
  end
  return true
end

if asked_before() then return answer({recorded = true}) end  -- asked again after a lost answer
if arg.attempt then
  local may = may_finish(arg.job, 'stitch', arg.attempt)
  if may ~= 'yes' then return answer({recorded = false}) end
  close_attempt(arg.job, 'stitch', 'refused', arg.why)
else
  local state = get(key, 'state')
  if not state then return answer({refused = 'no such job'}) end
  if state ~= 'done' then return answer({refused = 'job is ' .. state}) end
  if get(key, 'cleaned') then
    return answer({refused = 'its segments were removed after their time; a submit with another token renders it anew'})
  end
  redis.call('HDEL', unit_key(arg.job, 'stitch'), 'burnt', 'outages')
  redis.call('HSET', key, 'paused', 0)
  forgive(arg.job)
end
for _, redo in ipairs(arg.redos) do
  local unit = tostring(redo.chunk)
  if arg.attempt then doubt(arg.job, unit, arg.why) end
  move_unit(arg.job, unit, 'waiting')
  redis.call('HSET', unit_key(arg.job, unit), 'redo', redo.number, 'left', redo.left, 'redraw', redo.redraw, 'percent', 0)
  redis.call('HDEL', unit_key(arg.job, unit), 'burnt', 'alone', 'outages')
end
redis.call('HINCRBY', key, 'done', -#arg.redos)
redis.call('HSET', unit_key(arg.job, 'stitch'), 'percent', 0)
redis.call('HDEL', unit_key(arg.job, 'stitch'), 'rung')
redis.call('HDEL', key, 'ended')
redis.call('ZREM', OUTBOX, 'stitch/' .. arg.job)
move_unit(arg.job, 'stitch', 'waiting')
event(arg.job, 'redo', arg.who, arg.why)
move_job(arg.job, 'queued', arg.who)
return answer({recorded = true})
