-- A version that is not the current one is about to be removed: nobody can roll back to it any more.
local key = job_key(arg.job)
local state, current, listed = get(key, 'state', 'current', 'versions')
if not state or not ended(state) or tonumber(current) == arg.version then return answer({ok = false}) end
local left = {}
for _, version in ipairs(cjson.decode(listed or '[]')) do
  if version ~= arg.version then left[#left + 1] = version end
end
if redis.call('DEL', version_key(arg.job, arg.version)) == 1 then
  redis.call('HSET', key, 'versions', cjson.encode(left))
  event(arg.job, 'version removed', arg.who, 'version ' .. arg.version)
end
return answer({ok = true})
