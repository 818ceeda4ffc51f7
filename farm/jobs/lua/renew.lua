-- A worker shows that it lives and how far it is; the answer tells it to go on or to stop.
local state = get(job_key(arg.job), 'state')
if not is_current(arg.job, arg.unit, arg.attempt) or unit_state(arg.job, arg.unit) ~= 'rendering' then
  return answer({verdict = 'lost'})
end
if ended(state) then return answer({verdict = state}) end
redis.call('HSET', unit_key(arg.job, arg.unit), 'percent', arg.percent)
redis.call('ZADD', LEASES, now + arg.lease_ms, pair(arg.job, arg.unit))
if get(slot_key(get(unit_key(arg.job, arg.unit), 'slot')), 'state') == 'draining' then
  return answer({verdict = 'draining'})
end
local why_not = is_chunk(arg.unit) and kept_waiting(arg.job, arg.unit)
-- what a stopped batch has begun goes on
if why_not and why_not ~= 'batch is stopped' then return answer({verdict = 'paused'}) end
return answer({verdict = 'go on'})
