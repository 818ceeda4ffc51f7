-- A worker shows that it lives and how far it is; the answer tells it to go on or to stop. One that was cut off until
-- its lease ran out was no danger to its unit: that attempt does not count.
local state = get(job_key(arg.job), 'state')
if not is_current(arg.job, arg.unit, arg.attempt) or unit_state(arg.job, arg.unit) ~= 'rendering' then
  local missed, burnt = get(unit_key(arg.job, arg.unit), 'missed', 'burnt')
  if arg.cut_off and missed == arg.attempt and tonumber(burnt or 0) > 0 then
    redis.call('HDEL', unit_key(arg.job, arg.unit), 'missed')
    redis.call('HINCRBY', unit_key(arg.job, arg.unit), 'burnt', -1)
    event(arg.job, 'attempt forgiven', '', 'attempt ' .. arg.attempt .. ' at ' .. in_words(arg.unit)
      .. ' was cut off from Redis, and does not count')
  end
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
