-- Every transition of a host x step, each atomic and each safe to repeat with the same token.
--
-- A step's hash holds, per host:  C|token|boot         claimed
--                                 R|token|boot|time    running: the command may have been sent
--                                 T|status|mark|started|ended|worker     terminal
-- The front is a sorted set of the batch's hosts, scored by the index of their next step.

local function now()
  local time = redis.call('TIME')
  return time[1] .. '.' .. string.format('%06d', time[2])
end

local function split(text)
  local parts = {}
  for part in string.gmatch(text .. '|', '([^|]*)|') do parts[#parts + 1] = part end
  return parts
end

local function publish(run, kind, data)
  redis.call('XADD', run .. ':events', '*', 'k', kind, 'd', data)
end

local function place_host(run, host, score, position)
  if score == '' then
    redis.call('ZREM', run .. ':front', host)
    redis.call('HDEL', run .. ':pos', host)
  else
    redis.call('ZADD', run .. ':front', score, host)
    redis.call('HSET', run .. ':pos', host, position)
  end
end

local function stopped(run)
  local state = redis.call('HMGET', run, 'status', 'cancel')
  return state[1] ~= 'running' or state[2] == '1'
end

local commands = {}

-- run, cursor, step, index, token, boot, prefix, host... -> per host: verdict, position, version of its variables
-- The cursor fences shards of a batch that has been left: the same host may stand at the same index in another play.
function commands.claim(a)
  local run, cursor, step, index, token, boot, prefix = a[2], a[3], a[4], a[5], a[6], a[7], a[8]
  local halt = stopped(run) or redis.call('HGET', run, 'cursor') ~= cursor
    or redis.call('EXISTS', prefix .. 'boot:' .. boot) == 0
  local states = run .. ':step:' .. step
  local reply = {}
  for i = 9, #a do
    local host = a[i]
    local verdict = 'go'
    if halt then
      verdict = 'stop'
    elseif redis.call('ZSCORE', run .. ':front', host) ~= index then
      verdict = 'moved'
    else
      local state = redis.call('HGET', states, host)
      if not state then
        redis.call('HSET', states, host, 'C|' .. token .. '|' .. boot)
      elseif split(state)[2] ~= token then
        verdict = 'taken'
      end
    end
    reply[#reply + 1] = verdict
    reply[#reply + 1] = redis.call('HGET', run .. ':pos', host) or ''
    reply[#reply + 1] = redis.call('HGET', run .. ':vars:' .. host, '#') or '0'
  end
  return reply
end

-- run, step, host, token, boot, prefix, event -> 'go' | 'stop' | 'fenced'
function commands.start(a)
  local run, step, host, token, boot, prefix, event = a[2], a[3], a[4], a[5], a[6], a[7], a[8]
  local states = run .. ':step:' .. step
  local state = redis.call('HGET', states, host)
  local parts = state and split(state) or {}
  if parts[2] ~= token then return 'fenced' end
  if parts[1] == 'R' then return 'go' end
  if parts[1] ~= 'C' then return 'fenced' end
  if stopped(run) then return 'stop' end
  if redis.call('EXISTS', prefix .. 'boot:' .. boot) == 0 then return 'fenced' end
  redis.call('HSET', states, host, 'R|' .. token .. '|' .. boot .. '|' .. now())
  publish(run, 'host_started', event)
  return 'go'
end

-- run, step, host, token, terminal, result, score, position, event, tally, reason, kept, name, value, ... -> 'stored' | 'repeated' | 'fenced'
function commands.finish(a)
  local run, step, host, token, terminal, result = a[2], a[3], a[4], a[5], a[6], a[7]
  local score, position, event, tally, reason, kept = a[8], a[9], a[10], a[11], a[12], a[13]
  local states = run .. ':step:' .. step
  local state = redis.call('HGET', states, host)
  local parts = state and split(state) or {}
  if parts[1] == 'T' then
    return redis.call('HGET', run .. ':tokens:' .. step, host) == token and 'repeated' or 'fenced'
  end
  if parts[2] ~= token then return 'fenced' end
  redis.call('HSET', states, host, terminal)
  redis.call('HSET', run .. ':tokens:' .. step, host, token)
  redis.call('HSET', run .. ':result:' .. step, host, result)
  if #a > 13 then
    for i = 14, #a, 2 do redis.call('HSET', run .. ':vars:' .. host, a[i], a[i + 1]) end
    redis.call('HINCRBY', run .. ':vars:' .. host, '#', 1)
  end
  if kept ~= '' then redis.call('HSET', run .. ':once', step, kept) end
  if reason ~= '' then redis.call('HSET', run .. ':ended', host, reason) end
  if tally ~= '' then redis.call('HINCRBY', run, tally, 1) end
  place_host(run, host, score, position)
  publish(run, 'outcome', event)
  return 'stored'
end

-- run, step, host, prefix, again, terminal, result, score, position, event, reason -> 'alive' | 'pending' | 'lost' | 'none'
-- Settles the claim of a worker whose lease is gone.
function commands.reap(a)
  local run, step, host, prefix, again = a[2], a[3], a[4], a[5], a[6]
  local states = run .. ':step:' .. step
  local state = redis.call('HGET', states, host)
  if not state then return 'none' end
  local parts = split(state)
  if parts[1] == 'T' then return 'none' end
  if redis.call('EXISTS', prefix .. 'boot:' .. parts[3]) == 1 then return 'alive' end
  if parts[1] == 'C' or again == '1' then
    redis.call('HDEL', states, host)
    return 'pending'
  end
  redis.call('HSET', states, host, a[7])
  redis.call('HSET', run .. ':result:' .. step, host, a[8])
  redis.call('HINCRBY', run, 'lost', 1)
  if a[12] ~= '' then redis.call('HSET', run .. ':ended', host, a[12]) end
  place_host(run, host, a[9], a[10])
  publish(run, 'outcome', a[11])
  return 'lost'
end

-- run, expected cursor, new cursor, event... (kind, data pairs) -> 1 | 0
-- Moves the run on, once: whoever comes second finds another cursor.
function commands.move(a)
  local run = a[2]
  if redis.call('HGET', run, 'cursor') ~= a[3] then return 0 end
  redis.call('HSET', run, 'cursor', a[4])
  for i = 5, #a, 2 do publish(run, a[i], a[i + 1]) end
  return 1
end

-- run, expected cursor, new cursor, kind, data, (host, score, position)... -> 1 | 0
-- Enters a batch: the cursor moves and the front is filled in one step.
function commands.enter(a)
  local run = a[2]
  if redis.call('HGET', run, 'cursor') ~= a[3] then return 0 end
  redis.call('HSET', run, 'cursor', a[4])
  redis.call('DEL', run .. ':front', run .. ':pos')
  for i = 7, #a, 3 do place_host(run, a[i], a[i + 1], a[i + 2]) end
  publish(run, a[5], a[6])
  return 1
end

-- run, cursor, (host, score, position, reason)... -> 1 | 0
-- Moves hosts that did nothing themselves: those a run-once step spoke for, those another host's failure stopped.
function commands.place(a)
  local run = a[2]
  if redis.call('HGET', run, 'cursor') ~= a[3] then return 0 end
  for i = 4, #a, 4 do
    place_host(run, a[i], a[i + 1], a[i + 2])
    if a[i + 3] ~= '' then redis.call('HSET', run .. ':ended', a[i], a[i + 3]) end
  end
  return 1
end

-- run, step, host, index, terminal, result, event -> 1 | 0
-- Ends a host that has not sent anything: recorded as cancelled at the step it stood at.
function commands.withdraw(a)
  local run, step, host, index = a[2], a[3], a[4], a[5]
  if redis.call('ZSCORE', run .. ':front', host) ~= index then return 0 end
  local states = run .. ':step:' .. step
  local state = redis.call('HGET', states, host)
  if state and split(state)[1] ~= 'C' then return 0 end
  redis.call('HSET', states, host, a[6])
  redis.call('HSET', run .. ':result:' .. step, host, a[7])
  redis.call('HSET', run .. ':ended', host, 'cancelled')
  redis.call('HINCRBY', run, 'cancelled', 1)
  place_host(run, host, '', '')
  publish(run, 'outcome', a[8])
  return 1
end

-- run, prefix, id, status, exit code, reason, event -> 1 | 0
function commands.close(a)
  local run, prefix, id = a[2], a[3], a[4]
  if redis.call('SISMEMBER', prefix .. 'open', id) == 0 then return 0 end
  redis.call('SREM', prefix .. 'open', id)
  redis.call('HSET', run, 'status', a[5], 'exit_code', a[6], 'reason', a[7], 'finished', now())
  redis.call('DEL', run .. ':front', run .. ':pos')
  publish(run, 'run_finished', a[8])
  return 1
end

return commands[ARGV[1]](ARGV)
