-- The result is published: the job is done and its outbox entry gone.
local may = may_finish(arg.job, 'stitch', arg.attempt)
if may ~= 'yes' then return answer({recorded = may == 'done'}) end
close_attempt(arg.job, 'stitch', 'done')
move_unit(arg.job, 'stitch', 'done')
local versions = cjson.decode(get(job_key(arg.job), 'versions') or '[]')
table.insert(versions, arg.version)
redis.call('HSET', job_key(arg.job), 'versions', cjson.encode(versions), 'result', arg.result, 'digest', arg.digest)
redis.call('ZREM', OUTBOX, 'stitch/' .. arg.job)
move_job(arg.job, 'done', arg.who, arg.result)
return answer({recorded = true})
