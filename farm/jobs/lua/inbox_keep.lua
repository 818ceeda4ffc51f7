-- Where an open claim has got to; with its end its names are free again. Whoever says so was not killed by it.
local inbox = 'farm:inbox:' .. arg.inbox
if not redis.call('ZSCORE', inbox .. ':open', arg.token) then return answer({kept = false}) end
local known = cjson.decode(redis.call('HGET', inbox .. ':claims', arg.token))
local before = known.stage
if before ~= arg.stage then
  redis.call('HINCRBY', inbox .. ':counts', before, -1)
  redis.call('HINCRBY', inbox .. ':counts', arg.stage, 1)
end
redis.call('HSET', inbox .. ':claims', arg.token, arg.record)
redis.call('HDEL', inbox .. ':starts', arg.token)
if arg.open then
  redis.call('ZADD', inbox .. ':open', now + arg.after_ms, arg.token)
  -- a manifest's files are known only once it was read
  for _, path in ipairs(arg.paths) do redis.call('HSETNX', inbox .. ':names', path, arg.token) end
else
  redis.call('ZREM', inbox .. ':open', arg.token)
  local function free(path)
    if redis.call('HGET', inbox .. ':names', path) == arg.token then redis.call('HDEL', inbox .. ':names', path) end
  end
  for _, path in ipairs(arg.paths) do free(path) end
  -- of two watchers that had it in hand each may have found other files
  for _, file in ipairs(known.files) do free(file.path) end
end
return answer({kept = true})
