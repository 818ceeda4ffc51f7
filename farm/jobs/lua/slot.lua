-- A slot reports. A new process under an old name means that the old one is dead: what it held is lost at once.
local key = slot_key(arg.slot)
local process, was = get(key, 'process', 'state')
-- Emptied books know a slot again only by all its facts; those of a pulse count only then, they may be old.
if not process and not arg.fields.process then return answer({ok = true}) end
local function show()
  redis.call('ZADD', SLOTS, now, arg.slot)
  if redis.call('HEXISTS', key, 'next') == 0 then redis.call('SADD', FREE, arg.slot) end
  return answer({ok = true})
end
if process and arg.pulse then return show() end
if arg.fields.process and process and process ~= arg.fields.process then
  lose_all(arg.slot, {code = 'worker_died', burn = true, message = 'the process of ' .. arg.slot .. ' died'})
end
if arg.fields.process ~= process and was == 'probing' then stay_out(arg.slot, 'its process died in the probe') end
if arg.fields.process and arg.fields.process ~= process then
  redis.call('HDEL', key, 'proven', 'cut_off', 'cut_off_since')
end
if arg.fields.state == 'loading' then redis.call('HSETNX', key, 'loading_since', now)
elseif arg.fields.state then redis.call('HDEL', key, 'loading_since') end
for name, value in pairs(arg.fields) do redis.call('HSET', key, name, value) end
redis.call('HSETNX', key, 'since', now)
if arg.fields.state == 'ready' then still_out(arg.slot) end
if arg.loaded then redis.call('HINCRBY', key, 'loads', 1) end
return show()
