-- A batch enters the books, or the one of this owner and name goes on: with what is asked for now.
local batch = redis.call('GET', arg.name_key) or arg.batch
local key = batch_key(batch)
if redis.call('EXISTS', key) == 0 then
  redis.call('SET', arg.name_key, batch)
  redis.call('HSET', key, 'name', arg.name, 'owner', arg.owner, 'submitted', arg.submitted or now, 'state', 'open')
  redis.call('ZADD', 'farm:batches', arg.submitted or now, batch)
end
redis.call('HSET', key, 'max_failures', arg.max_failures, 'rows', arg.rows)
if arg.limit then redis.call('HSET', key, 'limit', arg.limit) else redis.call('HDEL', key, 'limit') end
return answer({batch = batch})
