-- Webhooks: what people want to be told of waits in an outbox, once for each receiver, until a sweeper's process sends
-- it. A receiver is where several webhooks go: scheme, host and port, or "farm" for the one of the settings.
-- Joined to the prelude of every script, so that the move that is told of writes it.

local HOOKS, RECEIVERS, FARM_HOOK = 'farm:hooks', 'farm:hooks:to', 'farm:hooks:farm'
local RECEIVER_CLOSED, RECEIVER_FAILURES = 'farm:hooks:closed', 'farm:hooks:failures'
local LONGEST_REASON = 500

local function hook_key(id) return 'farm:hook:' .. id end
local function hook_line_key(receiver) return 'farm:hooks:to:' .. receiver end
local function hooks_ended_key(outcome) return 'farm:hooks:' .. outcome end

-- When the receiver is to be looked at next: when the first in its line is due and it is not closed.
local function look_at_receiver(receiver)
  local due = redis.call('ZRANGE', hook_line_key(receiver), 0, 0, 'WITHSCORES')[2]
  if due then
    local closed = redis.call('HGET', RECEIVER_CLOSED, receiver) or 0
    redis.call('ZADD', RECEIVERS, math.max(tonumber(due), tonumber(closed)), receiver)
  else
    redis.call('ZREM', RECEIVERS, receiver)
    redis.call('HDEL', RECEIVER_CLOSED, receiver)
    redis.call('HDEL', RECEIVER_FAILURES, receiver)
  end
end

local function end_hook(id, outcome, problem)
  local receiver, state, told = get(hook_key(id), 'receiver', 'state', 'event')
  redis.call('ZREM', HOOKS, id)
  redis.call('ZREM', hook_line_key(receiver), id)
  if state ~= 'pending' then redis.call('ZREM', hooks_ended_key(state), id) end
  redis.call('HSET', hook_key(id), 'state', outcome, 'ended', now)
  redis.call('ZADD', hooks_ended_key(outcome), now, id)
  look_at_receiver(receiver)
  if not problem then
    redis.call('HDEL', hook_key(id), 'problem')
    return
  end
  redis.call('HSET', hook_key(id), 'problem', problem)
  local job = cjson.decode(told).job
  if job and redis.call('EXISTS', job_key(job.id)) == 1 then event(job.id, 'webhook given up', '', problem) end
end

local function deliver(id, told, to, url, receiver)
  local delivery = id .. '.' .. to
  redis.call('HSET', hook_key(delivery), 'event', told, 'to', to, 'url', url, 'receiver', receiver,
    'state', 'pending', 'tries', 0)
  redis.call('ZADD', HOOKS, now, delivery)
  redis.call('ZADD', hook_line_key(receiver), now, delivery)
  look_at_receiver(receiver)
end

-- kind: "job" or "batch". facts: what is told of it, its id among them. urls: of the job and of its batch.
local function tell(kind, what, facts, urls)
  local id = facts.id .. '.' .. what .. '.' .. string.format('%.0f', now)
  local told = cjson.encode({id = id, type = kind .. '.' .. what, at = now / 1000, [kind] = facts})
  if urls.batch == urls.job then urls.batch = nil end
  for to, url in pairs(urls) do deliver(id, told, to, url, string.match(url, '^https?://[^/?#]+')) end
  if redis.call('EXISTS', FARM_HOOK) == 1 then deliver(id, told, 'farm', '', 'farm') end
end

local function short(text)
  if #text <= LONGEST_REASON then return text end
  return (string.gsub(string.sub(text, 1, LONGEST_REASON), '[\192-\255]?[\128-\191]*$', ''))  -- no half letter
end

-- What is told of a job: done, failed, cancelled, needs_review.
function tell_job(job, what)
  local name, owner, state, batch, row, result, version, review, code, message, url =
    get(job_key(job), 'name', 'owner', 'state', 'batch', 'row', 'result', 'current', 'needs_review', 'error_code',
      'error_message', 'webhook')
  tell('job', what, {
    id = job, name = name, owner = owner, state = state, batch = batch, row = tonumber(row), result = result,
    version = tonumber(version), needs_review = review == '1',
    error = code and {code = code, message = short(message or '')},
  }, {job = url, batch = batch and get(batch_key(batch), 'webhook')})
end

-- What is told of a batch: done, stopped.
function tell_batch(batch, what)
  local name, owner, state, reason, url = get(batch_key(batch), 'name', 'owner', 'state', 'reason', 'webhook')
  local counts, flat = {}, redis.call('HGETALL', states_key(batch))
  for i = 1, #flat, 2 do counts[flat[i]] = tonumber(flat[i + 1]) end
  tell('batch', what, {id = batch, name = name, owner = owner, state = state, reason = reason, counts = counts},
    {batch = url})
end
