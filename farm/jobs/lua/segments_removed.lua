-- A done job's segments are about to be removed: from now on nothing of it can be rendered again.
local key = job_key(arg.job)
local state, at, cleaned = get(key, 'state', 'ended', 'cleaned')
if state ~= 'done' or tonumber(at) > arg.before then return answer({ok = false}) end
if not cleaned then
  redis.call('HSET', key, 'cleaned', now)
  event(arg.job, 'segments removed', arg.who)
end
return answer({ok = true})
