-- Jobs are held until somebody lets them go, or let go. Answers how many that changed.
local changed = 0
local to = arg.held and '1' or '0'
for _, job in ipairs(arg.jobs) do
  local key = job_key(job)
  local state, held = get(key, 'state', 'held')
  if state and not ended(state) and (held or '0') ~= to then
    redis.call('HSET', key, 'held', to)
    count(job, 'held', arg.held and 1 or -1)
    if arg.held then
      take_back(job)
      plan_not_due(job)
    end
    if not arg.held and state == 'planning' then plan_due(job) end
    place_in_line(job)
    event(job, arg.held and 'held' or 'released', arg.who)
    changed = changed + 1
  end
end
return answer({changed = changed})
