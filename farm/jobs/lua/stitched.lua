-- The result is published: the job is done and its outbox entry gone.
if not is_current(arg.job, 'stitch', arg.attempt) then return answer({recorded = false}) end
local state = unit_state(arg.job, 'stitch')
if state == 'done' then return answer({recorded = true}) end
if state ~= 'rendering' or ended(get(job_key(arg.job), 'state')) then return answer({recorded = false}) end
close_attempt(arg.job, 'stitch', 'done')
move_unit(arg.job, 'stitch', 'done')
local versions = cjson.decode(get(job_key(arg.job), 'versions') or '[]')
table.insert(versions, arg.version)
redis.call('HSET', job_key(arg.job), 'versions', cjson.encode(versions), 'result', arg.result, 'digest', arg.digest)
redis.call('ZREM', OUTBOX, 'stitch/' .. arg.job)
move_job(arg.job, 'done', arg.who, arg.result)
return answer({recorded = true})
