-- Claims of an inbox, each all or nothing and once for ever. A name that an open claim has waits for that one's end.
-- Answers a word for each: new, known, open (known, and not ended), busy (a name is another's), released (may be
-- claimed again: the record goes along). Who says `again` means a claim that ended at that stage. Books that were
-- emptied say busy to all until they know the inbox again; claims that come back then may share a name, as open
-- manifests do.
local inbox = 'farm:inbox:' .. arg.inbox
local words = {}
local knows = arg.restoring or redis.call('HEXISTS', 'farm:inboxes', arg.inbox) == 1
for i, claim in ipairs(arg.claims) do
  local known = redis.call('HGET', inbox .. ':claims', claim.token)
  local stage = known and cjson.decode(known).stage
  local word = 'new'
  if not knows then
    word = 'busy'
  elseif redis.call('ZSCORE', inbox .. ':open', claim.token) then
    word = 'open'
  elseif known and stage ~= claim.again then
    word = stage == 'released' and 'released' or 'known'
  elseif not arg.restoring then
    for _, path in ipairs(claim.paths) do
      if redis.call('HEXISTS', inbox .. ':names', path) == 1 then word = 'busy' end
    end
  end
  if word == 'new' then
    if known then redis.call('HINCRBY', inbox .. ':counts', stage, -1) end
    redis.call('HSET', inbox .. ':claims', claim.token, claim.record)
    redis.call('HINCRBY', inbox .. ':counts', claim.stage, 1)
    if claim.open then
      redis.call('ZADD', inbox .. ':open', now, claim.token)
      for _, path in ipairs(claim.paths) do redis.call('HSETNX', inbox .. ':names', path, claim.token) end
    end
  end
  words[i] = {word, word == 'released' and known or nil}
end
return answer(words)
