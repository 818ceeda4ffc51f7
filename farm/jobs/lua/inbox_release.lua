-- A claim that failed may be claimed again.
local inbox = 'farm:inbox:' .. arg.inbox
local known = redis.call('HGET', inbox .. ':claims', arg.token)
local stage = known and cjson.decode(known).stage
if stage ~= 'failed' and stage ~= 'released' then return answer({released = false}) end
redis.call('HINCRBY', inbox .. ':counts', stage, -1)
redis.call('HINCRBY', inbox .. ':counts', 'released', 1)
redis.call('HSET', inbox .. ':claims', arg.token, arg.record)
return answer({released = true})
