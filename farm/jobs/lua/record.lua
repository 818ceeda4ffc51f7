-- A chunk is done, if this attempt is still the current one; the last chunk makes the stitch due, once.
local may = may_finish(arg.job, arg.unit, arg.attempt)
if may ~= 'yes' then return answer({recorded = may == 'done'}) end
-- A segment that was taken from another job cost no slot time: its attempt is not counted as work that was done.
local taken = arg.taken ~= '' and arg.taken or nil
close_attempt(arg.job, arg.unit, taken and 'taken' or 'done', nil, taken)
move_unit(arg.job, arg.unit, 'done')
redis.call('HSET', unit_key(arg.job, arg.unit), 'percent', 100, 'accepted', arg.attempt)
local before = get(unit_key(arg.job, arg.unit), 'taken')
if taken then redis.call('HSET', unit_key(arg.job, arg.unit), 'taken', taken)
else redis.call('HDEL', unit_key(arg.job, arg.unit), 'taken') end
local more = (taken and 1 or 0) - (before and 1 or 0)
if more ~= 0 then
  redis.call('HINCRBY', job_key(arg.job), 'taken', more)
  count(arg.job, 'taken', more)
end
event(arg.job, 'chunk done', arg.who,
  in_words(arg.unit) .. ', attempt ' .. arg.attempt .. (taken and ', taken from ' .. taken or ''))
local done = redis.call('HINCRBY', job_key(arg.job), 'done', 1)
if done == tonumber(get(job_key(arg.job), 'chunks')) then
  redis.call('ZADD', OUTBOX, now + arg.ring_ms, 'stitch/' .. arg.job)
  redis.call('HSET', unit_key(arg.job, 'stitch'), 'rung', now)
  move_job(arg.job, 'stitching', arg.who)
  return answer({recorded = true, stitch_due = true})
end
return answer({recorded = true})
