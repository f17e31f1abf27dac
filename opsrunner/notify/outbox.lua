-- The outbox: notifications that are to be sent, each atomic and each safe to repeat.
--
-- A notification is a hash; `outbox` scores those that wait by when they are due, `notifications` all by when they were
-- made, `outbox:sending` tells which worker process has which in hand.

local function now()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1000000
end

local commands = {}

-- prefix, id, kept (seconds), (field, value)... -> 1 | 0
-- There is one notification of an id, however often it is made.
function commands.post(a)
  local prefix, id = a[2], a[3]
  local key = prefix .. 'notification:' .. id
  if redis.call('EXISTS', key) == 1 then return 0 end
  local at = now()
  redis.call('HSET', key, 'state', 'waiting', 'attempts', '0', 'created', string.format('%.6f', at), unpack(a, 5))
  redis.call('ZADD', prefix .. 'notifications', at, id)
  redis.call('ZADD', prefix .. 'outbox', at, id)
  redis.call('ZREMRANGEBYSCORE', prefix .. 'notifications', '-inf', at - a[4])
  return 1
end

-- prefix, boot, worker, lease (seconds), count, token -> ids
-- Takes what is due. What a process has in hand that is dead, or that has held it for too long, is due again.
function commands.take(a)
  local prefix, boot, token = a[2], a[3], a[7]
  local outbox, sending = prefix .. 'outbox', prefix .. 'outbox:sending'
  local at = now()
  local held = redis.call('HGETALL', sending)
  for i = 1, #held, 2 do
    if redis.call('EXISTS', prefix .. 'boot:' .. held[i + 1]) == 0 then
      redis.call('HDEL', sending, held[i])
      if redis.call('ZSCORE', outbox, held[i]) then redis.call('ZADD', outbox, at, held[i]) end
    end
  end
  local taken = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', outbox, '-inf', at, 'LIMIT', 0, a[6])) do
    local key = prefix .. 'notification:' .. id
    if redis.call('EXISTS', key) == 0 then
      redis.call('ZREM', outbox, id)
      redis.call('HDEL', sending, id)
    else
      redis.call('ZADD', outbox, at + a[5], id)
      redis.call('HSET', sending, id, boot)
      redis.call('HSET', key, 'state', 'sending', 'worker', a[4], 'token', token)
      redis.call('HINCRBY', key, 'attempts', 1)
      taken[#taken + 1] = id
    end
  end
  return taken
end

-- prefix, id, token, state, note, wait (seconds), kept (seconds) -> 1 | 0
-- What came of it; only from whoever took it last. One that is over keeps what may be shown of it.
function commands.settle(a)
  local prefix, id, state = a[2], a[3], a[5]
  local key = prefix .. 'notification:' .. id
  if redis.call('HGET', key, 'token') ~= a[4] then return 0 end
  local at = now()
  redis.call('HDEL', prefix .. 'outbox:sending', id)
  redis.call('HDEL', key, 'token')
  redis.call('HSET', key, 'state', state, 'note', a[6], 'settled', string.format('%.6f', at))
  if state == 'waiting' then
    redis.call('ZADD', prefix .. 'outbox', at + a[7], id)
  else
    redis.call('ZREM', prefix .. 'outbox', id)
    -- What was given up can be sent again as long as it is listed.
    if state == 'delivered' then redis.call('HDEL', key, 'sealed') end
    redis.call('EXPIRE', key, a[8])
  end
  return 1
end

-- prefix, id, (field, value)... -> 1 | 0
-- What waits or was given up is due at once, and its tries and its age count anew.
function commands.retry(a)
  local prefix, id = a[2], a[3]
  local key = prefix .. 'notification:' .. id
  local state = redis.call('HGET', key, 'state')
  if state ~= 'waiting' and state ~= 'failed' then return 0 end
  local at = now()
  redis.call('HSET', key, 'state', 'waiting', 'attempts', '0', 'since', string.format('%.6f', at), unpack(a, 4))
  redis.call('PERSIST', key)
  redis.call('ZADD', prefix .. 'outbox', at, id)
  return 1
end

-- prefix, run, finished -> 1 | 0
-- A run that has ended, and whose end is told, is watched no more; one that was resumed meanwhile is.
function commands.leave(a)
  if (redis.call('HGET', a[2] .. 'run:' .. a[3], 'finished') or '') ~= a[4] then return 0 end
  return redis.call('ZREM', a[2] .. 'notify', a[3])
end

return commands[ARGV[1]](ARGV)
