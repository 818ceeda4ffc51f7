-- Nothing is begun while storage fails; the sweeper tries it now and then, and says how that went.
if not storage_is_paused() then return answer({due = false}) end
if arg.what == 'due' then
  if tonumber(get(STORAGE_PAUSED, 'until')) > now then return answer({due = false}) end
  redis.call('HSET', STORAGE_PAUSED, 'until', now + arg.check_ms)
  return answer({due = true})
elseif arg.what == 'fails' then
  local checks = redis.call('HINCRBY', STORAGE_PAUSED, 'checks', 1)
  redis.call('HSET', STORAGE_PAUSED, 'reason', arg.why,
    'until', now + math.min(arg.check_ms * 2 ^ (checks - 1), arg.longest_ms))
  return answer({ok = true})
end
local checks = tonumber(get(STORAGE_PAUSED, 'checks'))
redis.call('DEL', STORAGE_PAUSED, STORAGE_FAILING)
redis.call('SET', STORAGE_WORKED, now)
-- Where the first try works, something smaller is wrong with it: what failed waits its time, which grows.
if checks == 0 then return answer({ok = true}) end
-- What was put off because of it need not wait any longer.
for _, member in ipairs(redis.call('ZRANGE', LATER, 0, -1)) do
  local job, chunk = split(member)
  redis.call('ZADD', LATER, now, member)
  redis.call('HDEL', unit_key(job, chunk), 'outages')
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', OUTBOX, now, '+inf', 'LIMIT', 0, 1000)) do
  local unit, job = split(member)
  if redis.call('HDEL', unit_key(job, unit), 'outages') == 1 then redis.call('ZADD', OUTBOX, now, member) end
end
return answer({ok = true})
