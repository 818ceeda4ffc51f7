-- Slots that are out and due to show whether they are well; one that does not answer is asked again, and one whose probe
-- never ends has failed it. Besides, jobs whose other slots have gone meanwhile get those back that were kept off them.
for _, job in ipairs(redis.call('SMEMBERS', KEPT_OFF)) do
  if ended(get(job_key(job), 'state')) then redis.call('SREM', KEPT_OFF, job) else let_back(job) end
end
local due = {}
for _, slot in ipairs(redis.call('ZRANGE', SLOTS, 0, -1)) do
  local state, ttl = get(slot_key(slot), 'state', 'ttl_ms')
  local at, why, till, cause = get(health_key(slot), 'probe_at', 'why', 'probe_until', 'cause')
  local alive = ttl and redis.call('ZSCORE', SLOTS, slot) + ttl > now
  local waits = cause == 'storage' and storage_is_paused()  -- a probe would only say what is known
  if at and alive and not waits and (state == 'sick' or state == 'out') and tonumber(at) <= now then
    redis.call('HSET', health_key(slot), 'probe_at', now + arg.ring_ms)
    due[#due + 1] = {slot = slot, why = why}
  elseif state == 'probing' and tonumber(till) <= now then
    stay_out(slot, 'nothing was heard of its probe in time')
    still_out(slot)
  end
end
return answer({due = due})
