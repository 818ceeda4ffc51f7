-- The plan is written: the job gets its chunks, all waiting.
local may = may_finish(arg.job, 'plan', arg.attempt)
if may ~= 'yes' then return answer({recorded = may == 'done'}) end
close_attempt(arg.job, 'plan', 'done')
move_unit(arg.job, 'plan', 'done')
redis.call('HSET', job_key(arg.job), 'frames25', arg.frames25, 'chunks', arg.chunks, 'done', 0)
if arg.rendered > 0 then redis.call('HSET', job_key(arg.job), 'rendered', arg.rendered) end
for i = 0, arg.chunks - 1 do redis.call('ZADD', waiting_key(arg.job), i, i) end
local chunks = arg.chunks .. (arg.chunks == 1 and ' chunk, ' or ' chunks, ') .. arg.frames25 .. ' frames'
move_job(arg.job, 'queued', arg.who, chunks .. (arg.remark ~= '' and ', ' .. arg.remark or ''))
return answer({recorded = true})
