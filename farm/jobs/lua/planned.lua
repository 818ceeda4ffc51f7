-- The plan is written: the job gets its chunks, all waiting.
if not is_current(arg.job, 'plan', arg.attempt) then return answer({recorded = false}) end
local state = unit_state(arg.job, 'plan')
if state == 'done' then return answer({recorded = true}) end
if state ~= 'rendering' or ended(get(job_key(arg.job), 'state')) then return answer({recorded = false}) end
close_attempt(arg.job, 'plan', 'done')
move_unit(arg.job, 'plan', 'done')
redis.call('HSET', job_key(arg.job), 'frames25', arg.frames25, 'chunks', arg.chunks, 'done', 0)
for i = 0, arg.chunks - 1 do redis.call('ZADD', waiting_key(arg.job), i, i) end
redis.call('ZREM', OUTBOX, 'plan/' .. arg.job)
move_job(arg.job, 'queued', arg.who, arg.chunks .. ' chunks, ' .. arg.frames25 .. ' frames')
return answer({recorded = true})
