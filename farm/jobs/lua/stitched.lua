-- The result is published: a new version, the current one; the job is done and its outbox entry gone.
local may = may_finish(arg.job, 'stitch', arg.attempt)
if may ~= 'yes' then return answer({recorded = may == 'done'}) end
close_attempt(arg.job, 'stitch', 'done')
move_unit(arg.job, 'stitch', 'done')
local versions = cjson.decode(get(job_key(arg.job), 'versions') or '[]')
table.insert(versions, arg.version)
redis.call('HSET', job_key(arg.job), 'versions', cjson.encode(versions))
local segments = {}
for i = 0, tonumber(get(job_key(arg.job), 'chunks')) - 1 do
  local accepted, redraw = get(unit_key(arg.job, tostring(i)), 'accepted', 'redraw')
  segments[i + 1] = {attempt = accepted, redraw = redraw}
  prove(arg.job, tostring(i))
end
redis.call('HSET', version_key(arg.job, arg.version), 'at', now, 'result', arg.result, 'digest', arg.digest,
  'review', arg.review, 'segments', cjson.encode(segments))
make_current(arg.job, arg.version)
redis.call('ZREM', OUTBOX, 'stitch/' .. arg.job)
move_job(arg.job, 'done', arg.who, arg.result)
return answer({recorded = true})
