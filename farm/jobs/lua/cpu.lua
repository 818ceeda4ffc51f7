-- A cpu worker shows that it lives.
redis.call('ZADD', 'farm:cpus', now, arg.worker)
redis.call('ZREMRANGEBYSCORE', 'farm:cpus', '-inf', now - 86400000)
return answer({ok = true})
