-- Open claims are due again after a while; those that have ended meanwhile stay ended.
local open = 'farm:inbox:' .. arg.inbox .. ':open'
for _, token in ipairs(arg.tokens) do redis.call('ZADD', open, 'XX', now + arg.after_ms, token) end
return answer({})
