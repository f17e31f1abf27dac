-- Every transition of a host x step and of a run, each atomic and each safe to repeat with the same token.
--
-- A step's hash holds, per host:  C|token|boot              claimed
--                                 R|token|boot|time|guard   running: the command may have been sent
--                                 T|status|mark|started|ended|worker     terminal
-- The front is a sorted set of the batch's hosts, scored by the index of their next step.
-- A host's stand ("play|position", or "play|>" once it has gone on from there) tells where `resume` takes it up.

local clock

local function now()
  if not clock then
    local time = redis.call('TIME')
    clock = time[1] .. '.' .. string.format('%06d', time[2])
  end
  return clock
end

local function split(text)
  local parts = {}
  for part in string.gmatch(text .. '|', '([^|]*)|') do parts[#parts + 1] = part end
  return parts
end

-- ------------------------------------------------------------------ what many transitions share
-- A script carries out one transition, or many that came together (`many`). What they read of a run is read once, and
-- what they write of hosts is written at the end: a command for each key, an entry of the stream for many events.

local MOST = 2000  -- arguments that unpack can take are limited

local hashes = {}  -- key -> field -> value that is to be written
local fronts = {}  -- key -> host -> score
local events = {}  -- in their order: {run, kind, data...}

local function put(key, field, value)
  hashes[key] = hashes[key] or {}
  hashes[key][field] = value
end

local function get(key, field)
  local value = hashes[key] and hashes[key][field]
  if value then return value end
  return redis.call('HGET', key, field)
end

local function drop(key, field)
  if hashes[key] then hashes[key][field] = nil end
  redis.call('HDEL', key, field)
end

local failure  -- the first write that was refused; the others are tried all the same

local function write(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then failure = failure or answer end
end

local function write_pairs(command, key, flat)
  for i = 1, #flat, MOST do write(command, key, unpack(flat, i, math.min(i + MOST - 1, #flat))) end
end

local function write_events()
  for _, entry in ipairs(events) do
    local data = entry[3]
    if #entry > 3 then data = '[' .. table.concat(entry, ',', 3) .. ']' end
    write('XADD', entry[1] .. ':events', '*', 'k', entry[2], 'd', data)
  end
  events = {}
end

local function write_all()
  for key, fields in pairs(hashes) do
    local flat = {}
    for field, value in pairs(fields) do
      flat[#flat + 1] = field
      flat[#flat + 1] = value
    end
    write_pairs('HSET', key, flat)
  end
  for key, scores in pairs(fronts) do
    local flat = {}
    for host, score in pairs(scores) do
      flat[#flat + 1] = score
      flat[#flat + 1] = host
    end
    write_pairs('ZADD', key, flat)
  end
  write_events()
end

-- Events of one kind that follow each other stand in one entry, as a list.
local function publish(run, kind, data)
  local last = events[#events]
  if last and last[1] == run and last[2] == kind then
    last[#last + 1] = data
  else
    events[#events + 1] = {run, kind, data}
  end
end

local runs = {}  -- run -> what was read of it

local function state_of(run)
  local known = runs[run]
  if not known then
    local state = redis.call('HMGET', run, 'status', 'cancel', 'halt', 'cancels', 'locking', 'seq')
    known = {status = state[1], cancel = state[2], halt = state[3], cancels = state[4], locking = state[5], seq = state[6]}
    runs[run] = known
  end
  return known
end

local known_keys = {}

local function exists(key)
  if known_keys[key] == nil then known_keys[key] = redis.call('EXISTS', key) == 1 end
  return known_keys[key]
end

local open_runs = {}

local function is_open(prefix, id)
  if open_runs[id] == nil then open_runs[id] = redis.call('SISMEMBER', prefix .. 'open', id) == 1 end
  return open_runs[id]
end

local function notice(run, text)
  publish(run, 'notice', cjson.encode({text = text, level = 'warning'}))
end

-- ------------------------------------------------------------------ locks
-- A host's lock is a sorted set of run ids by their tickets: the first holds it, the others wait.

-- The run that holds the host, having dropped runs that have ended meanwhile.
local function holder(prefix, host)
  local key = prefix .. 'lock:' .. host
  while true do
    local first = redis.call('ZRANGE', key, 0, 0)[1]
    if not first or is_open(prefix, first) then return first end
    redis.call('ZREM', key, first)
  end
end

local function run_id(prefix, run) return string.sub(run, #prefix + 5) end

-- Whether the run may work on the host: it holds it, or takes no locks.
local function holds(prefix, run, host)
  return state_of(run).locking ~= '1' or holder(prefix, host) == run_id(prefix, run)
end

local function release(prefix, run, host)
  if redis.call('SREM', run .. ':locks', host) == 0 then return end
  local id = run_id(prefix, run)
  local held = holder(prefix, host) == id
  redis.call('ZREM', prefix .. 'lock:' .. host, id)
  local heir = holder(prefix, host)
  if not heir then redis.call('SREM', prefix .. 'locks', host)
  elseif held then redis.call('RPUSH', prefix .. 'bell', heir) end
end

-- ------------------------------------------------------------------ budgets
-- A slot is a member of a set whose size is limited; a running host x step holds its slots until it ends.

local function take_slots(run, slot, budgets)
  for i = 1, #budgets, 2 do
    local key, limit = budgets[i], tonumber(budgets[i + 1])
    if redis.call('SISMEMBER', key, run .. slot) == 0 and redis.call('SCARD', key) >= limit then return false end
  end
  local names = {}
  for i = 1, #budgets, 2 do
    redis.call('SADD', budgets[i], run .. slot)
    names[#names + 1] = budgets[i]
  end
  if #names > 0 then
    redis.call('HSET', run .. ':slots', slot, cjson.encode(names))
    known_keys[run .. ':slots'] = true
  end
  return true
end

local function free_slots(run, slot)
  local names = exists(run .. ':slots') and redis.call('HGET', run .. ':slots', slot)
  if not names then return end
  for _, name in ipairs(cjson.decode(names)) do redis.call('SREM', name, run .. slot) end
  redis.call('HDEL', run .. ':slots', slot)
end

-- ------------------------------------------------------------------ where runs and hosts stand

-- Whether the run is open and stands at that cursor. No two cursors of a run are alike, so what was sent from
-- anywhere else, however long ago, finds another one.
local function stands_at(run, cursor)
  local state = redis.call('HMGET', run, 'cursor', 'status')
  return state[1] == cursor and (state[2] == 'running' or state[2] == 'submitted')
end

local function walk_anew(run)
  redis.call('HSET', run, 'cursor', 'new/' .. redis.call('HINCRBY', run, 'walk', 1))
end

-- Remembers where a host stood when it went wrong for the first time.
local function stand(run, host)
  local known = redis.call('HGET', run .. ':stood', host)
  if known and string.sub(known, -2) ~= '|>' then return end
  local play = string.match(redis.call('HGET', run, 'cursor') or '', '^(%d+)%.')
  local position = get(run .. ':pos', host)
  if play and position then redis.call('HSET', run .. ':stood', host, play .. '|' .. position) end
end

local function place_host(run, host, score, position)
  local front = run .. ':front'
  fronts[front] = fronts[front] or {}
  if score == '' then
    fronts[front][host] = nil
    redis.call('ZREM', front, host)
    drop(run .. ':pos', host)
  else
    fronts[front][host] = score
    put(run .. ':pos', host, position)
  end
end

-- Too many hosts failed, or could not be reached, over the whole run: nothing new is begun.
local function check_budget(prefix, run, reason)
  local limit = tonumber(redis.call('HGET', run, 'max_' .. reason) or '')
  if not limit or redis.call('HEXISTS', run, 'halt') == 1 then return end
  local bad = 0
  for _, why in ipairs(redis.call('HVALS', run .. ':ended')) do
    if why == reason then bad = bad + 1 end
  end
  if bad <= limit then return end
  local text = bad .. ' hosts ' .. reason .. ', more than the run allows (' .. limit .. ')'
  redis.call('HSET', run, 'halt', text)
  runs[run] = nil
  notice(run, text .. ': nothing more is sent')
  redis.call('RPUSH', prefix .. 'bell', run_id(prefix, run))
end

local function move_host(prefix, run, host, score, position, reason, bad)
  if bad == '1' or reason ~= '' then stand(run, host) end
  if reason ~= '' then
    redis.call('HSET', run .. ':ended', host, reason)
    check_budget(prefix, run, reason)
  end
  place_host(run, host, score, position)
  if score == '' and reason ~= '' then release(prefix, run, host) end
end

local function stopped(run, step, host)
  local state = state_of(run)
  if state.status ~= 'running' or state.cancel == '1' or state.halt then return true end
  if not state.cancels or not host then return false end
  local key = run .. ':cancels'
  return redis.call('SISMEMBER', key, 'h|' .. host) == 1 or redis.call('SISMEMBER', key, 's|' .. step) == 1
    or redis.call('SISMEMBER', key, 'x|' .. step .. '|' .. host) == 1
end

-- A ledger that knows less than a worker was told has gone back in time: what it says must not be acted on.
local function behind(run, known)
  return tonumber(state_of(run).seq or '0') < tonumber(known)
end

local function settle(prefix, run, step, host, terminal, result, event)
  put(run .. ':step:' .. step, host, terminal)
  put(run .. ':result:' .. step, host, result)
  free_slots(run, step .. '|' .. host)
  publish(run, 'outcome', event)
end

local commands = {}

-- run, cursor, step, index, token, boot, prefix, known, host...
--   -> per host: verdict, position, version of its variables, attempt
-- The cursor fences shards of a batch that has been left: the same host may stand at the same index in another play.
function commands.claim(a)
  local run, cursor, step, index, token, boot, prefix = a[2], a[3], a[4], a[5], a[6], a[7], a[8]
  local halt = stopped(run) or redis.call('HGET', run, 'cursor') ~= cursor
    or not exists(prefix .. 'boot:' .. boot) or behind(run, a[9])
  local partial = state_of(run).cancels
  local states = run .. ':step:' .. step
  local hosts = {unpack(a, 10)}
  local before = redis.call('HMGET', states, unpack(hosts))
  local scores = redis.call('ZMSCORE', run .. ':front', unpack(hosts))
  local positions = redis.call('HMGET', run .. ':pos', unpack(hosts))
  local attempted = exists(run .. ':attempts')
  local reply = {}
  for i, host in ipairs(hosts) do
    local verdict = 'go'
    if halt or (partial and stopped(run, step, host)) then
      verdict = 'stop'
    elseif scores[i] ~= index then
      verdict = 'moved'
    elseif not holds(prefix, run, host) then
      verdict = 'locked'
    elseif not before[i] then
      put(states, host, 'C|' .. token .. '|' .. boot)
    elseif split(before[i])[2] ~= token then
      verdict = 'taken'
    end
    reply[#reply + 1] = verdict
    reply[#reply + 1] = positions[i] or ''
    reply[#reply + 1] = redis.call('HGET', run .. ':vars:' .. host, '#') or '0'
    reply[#reply + 1] = attempted and redis.call('HGET', run .. ':attempts', step .. '|' .. host) or '0'
  end
  return reply
end

-- run, step, host, token, boot, prefix, known, guard ('' | 'g'), event, (set, limit)...
--   -> {'go' | 'stop' | 'fenced' | 'full', sequence number}
function commands.start(a)
  local run, step, host, token, boot, prefix, guard = a[2], a[3], a[4], a[5], a[6], a[7], a[9]
  local states = run .. ':step:' .. step
  local state = get(states, host)
  local parts = state and split(state) or {}
  if parts[2] ~= token then return {'fenced', '0'} end
  if parts[1] == 'R' then return {'go', redis.call('HGET', run, 'seq') or '0'} end
  if parts[1] ~= 'C' then return {'fenced', '0'} end
  if stopped(run, step, host) or behind(run, a[8]) or not holds(prefix, run, host) then return {'stop', '0'} end
  if not exists(prefix .. 'boot:' .. boot) then return {'fenced', '0'} end
  local budgets = {}
  for i = 11, #a do budgets[#budgets + 1] = a[i] end
  if not take_slots(run, step .. '|' .. host, budgets) then return {'full', '0'} end
  put(states, host, 'R|' .. token .. '|' .. boot .. '|' .. now() .. '|' .. guard)
  if guard ~= '' then redis.call('SADD', run .. ':guarded', step .. '|' .. host) end
  publish(run, 'host_started', a[10])
  return {'go', tostring(redis.call('HINCRBY', run, 'seq', 1))}
end

-- What a finish writes besides the state: result, variables, the one host that a run-once step ran for.
local function record(a)
  local run, step, host = a[2], a[3], a[4]
  put(run .. ':result:' .. step, host, a[7])
  if a[15] ~= '' then redis.call('RPUSH', run .. ':additions', a[15]) end
  local given = {}
  for i = 16, #a, 2 do
    local name, owner = string.match(a[i], '^([^@]*)@(.*)$')
    local key = run .. ':vars:' .. (owner or host)
    redis.call('HSET', key, name or a[i], a[i + 1])
    given[key] = true
    if owner then redis.call('SADD', run .. ':given', owner) end
  end
  for key in pairs(given) do redis.call('HINCRBY', key, '#', 1) end
  if a[13] ~= '' then redis.call('HSET', run .. ':once', step, a[13]) end
end

-- run, step, host, token, terminal, result, score, position, event, bad, reason, kept, prefix, additions,
--   (name or name@host, value)...
--   -> {'stored' | 'repeated' | 'late' | 'fenced', sequence number}
-- 'late': the claim was settled as lost meanwhile; what really came of it is kept beside that, for `resume`.
function commands.finish(a)
  local run, step, host, token, terminal = a[2], a[3], a[4], a[5], a[6]
  local states = run .. ':step:' .. step
  local state = get(states, host)
  local parts = state and split(state) or {}
  if parts[1] == 'T' then
    if get(run .. ':tokens:' .. step, host) ~= token then return {'fenced', '0'} end
    local status = split(terminal)[2]
    if parts[2] ~= 'lost' or status == 'lost' then return {'repeated', '0'} end
    if redis.call('HSETNX', run .. ':late', step .. '|' .. host, cmsgpack.pack(a)) == 1 then
      put(run .. ':result:' .. step, host, a[7])
      local left = redis.call('PTTL', run)
      if left > 0 then redis.call('PEXPIRE', run .. ':late', left) end
      notice(run, host .. ': late news of a step that was lost: it ended as ' .. status)
    end
    return {'late', '0'}
  end
  if parts[2] ~= token then return {'fenced', '0'} end
  put(states, host, terminal)
  put(run .. ':tokens:' .. step, host, token)
  record(a)
  free_slots(run, step .. '|' .. host)
  publish(run, 'outcome', a[10])
  move_host(a[14], run, host, a[8], a[9], a[12], a[11])
  return {'stored', tostring(redis.call('HINCRBY', run, 'seq', 1))}
end

-- run, step, host, token -> 1 | 0
-- Gives a claim back that sent nothing: its worker is told to stop.
function commands.hand_back(a)
  local states = a[2] .. ':step:' .. a[3]
  local state = redis.call('HGET', states, a[4])
  local parts = state and split(state) or {}
  if parts[1] ~= 'C' or parts[2] ~= a[5] then return 0 end
  redis.call('HDEL', states, a[4])
  return 1
end

-- run, step, host, prefix, again, terminal, result, score, position, event, reason -> 'alive' | 'pending' | 'lost' | 'none'
-- Settles the claim of a worker whose lease is gone. What the host itself guards is asked of the host again.
function commands.reap(a)
  local run, step, host, prefix, again = a[2], a[3], a[4], a[5], a[6]
  local states = run .. ':step:' .. step
  local state = redis.call('HGET', states, host)
  if not state then return 'none' end
  local parts = split(state)
  if parts[1] == 'T' then return 'none' end
  if redis.call('EXISTS', prefix .. 'boot:' .. parts[3]) == 1 then return 'alive' end
  if parts[1] == 'C' or parts[5] == 'g' or again == '1' then
    redis.call('HDEL', states, host)
    if parts[1] == 'R' and parts[5] ~= 'g' then redis.call('HINCRBY', run .. ':attempts', step .. '|' .. host, 1) end
    free_slots(run, step .. '|' .. host)
    return 'pending'
  end
  settle(prefix, run, step, host, a[7], a[8], a[11])
  redis.call('HSET', run .. ':tokens:' .. step, host, parts[2])
  move_host(prefix, run, host, a[9], a[10], a[12], '1')
  return 'lost'
end

-- run, event, (field, value)... -> 1 | 0
-- A run that was submitted goes on from here.
function commands.begin(a)
  local run = a[2]
  if redis.call('HGET', run, 'status') ~= 'submitted' then return 0 end
  redis.call('HSET', run, 'status', 'running', 'started', now(), unpack(a, 4))
  publish(run, 'run_started', a[3])
  return 1
end

-- run, expected cursor, new cursor, event... (kind, data pairs) -> 1 | 0
-- Moves the run on, once: whoever comes second finds another cursor.
function commands.move(a)
  local run = a[2]
  if not stands_at(run, a[3]) then return 0 end
  redis.call('HSET', run, 'cursor', a[4])
  for i = 5, #a, 2 do publish(run, a[i], a[i + 1]) end
  return 1
end

-- run, expected cursor, new cursor, batch, kind, data, (host, score, position)... -> 1 | 0
-- Enters a batch: the cursor moves and the front is filled in one step. `batch` counts the plan's batches from 0:
-- what was reached once is entered again only by hosts that stood in it.
function commands.enter(a)
  local run = a[2]
  if not stands_at(run, a[3]) then return 0 end
  redis.call('HSET', run, 'cursor', a[4], 'entered', (#a - 7) / 3)
  if tonumber(a[5]) > tonumber(redis.call('HGET', run, 'reached') or '-1') then
    redis.call('HSET', run, 'reached', a[5])
  end
  redis.call('DEL', run .. ':front', run .. ':pos')
  local play = string.match(a[4], '^(%d+)%.')
  for i = 8, #a, 3 do
    place_host(run, a[i], a[i + 1], a[i + 2])
    if redis.call('HEXISTS', run .. ':stood', a[i]) == 1 then
      redis.call('HSET', run .. ':stood', a[i], play .. '|>')
    end
  end
  publish(run, a[6], a[7])
  return 1
end

-- run, cursor, lap, plan, outline, reached, event, (host, stand)... -> 1 | 0
-- Who a late play is for is decided once: the plan that says so takes the place of the one of that lap. Batches that
-- come in before the one that was reached are for hosts that stand in them.
function commands.decide(a)
  local run = a[2]
  if not stands_at(run, a[3]) or (redis.call('HGET', run, 'lap') or '0') ~= a[4] then return 0 end
  redis.call('SET', run .. ':plan', a[5])
  redis.call('HSET', run, 'outline', a[6], 'reached', a[7])
  redis.call('HINCRBY', run, 'lap', 1)
  for i = 9, #a, 2 do redis.call('HSETNX', run .. ':stood', a[i], a[i + 1]) end
  if a[8] ~= '' then publish(run, 'notice', a[8]) end
  return 1
end

-- run, cursor, prefix, (host, score, position, reason, bad)... -> 1 | 0
-- Moves hosts that did nothing themselves: those a run-once step spoke for, those another host's failure stopped.
-- Who has left the front meanwhile is not brought back.
function commands.place(a)
  local run = a[2]
  if not stands_at(run, a[3]) then return 0 end
  for i = 5, #a, 5 do
    if redis.call('ZSCORE', run .. ':front', a[i]) then
      move_host(a[4], run, a[i], a[i + 1], a[i + 2], a[i + 3], a[i + 4])
    end
  end
  return 1
end

-- run, step, host, index, prefix, terminal, result, event, reason -> 1 | 0
-- Ends a host that has not sent anything, at the step it stood at.
function commands.withdraw(a)
  local run, step, host, index, prefix = a[2], a[3], a[4], a[5], a[6]
  if redis.call('ZSCORE', run .. ':front', host) ~= index then return 0 end
  local state = redis.call('HGET', run .. ':step:' .. step, host)
  if state and split(state)[1] ~= 'C' then return 0 end
  settle(prefix, run, step, host, a[7], a[8], a[9])
  move_host(prefix, run, host, '', '', a[10], '1')
  return 1
end

-- run, prefix, cursor, host... -> those of the hosts that the run does not hold; all of them when it has moved on
function commands.held(a)
  local run, prefix = a[2], a[3]
  local id = run_id(prefix, run)
  local ours = stands_at(run, a[4])
  local held = {}
  for i = 5, #a do
    if not ours or holder(prefix, a[i]) ~= id then held[#held + 1] = a[i] end
  end
  return held
end

-- run, prefix, cursor, host... -> hosts that another run holds
-- Takes or waits for the hosts' locks, all under one ticket: runs wait for each other in one order, never in a ring.
-- A run that has moved on meanwhile gets nothing: a place from an earlier walk would be a ticket of its own.
function commands.lock(a)
  local run, prefix = a[2], a[3]
  local id = run_id(prefix, run)
  local ticket
  local held, taken = {}, {}
  local ours = stands_at(run, a[4])
  for i = 5, #a do
    local host = a[i]
    local key = prefix .. 'lock:' .. host
    local first = ours and holder(prefix, host)
    if ours and first ~= id and not (first and redis.call('ZSCORE', key, id)) then
      ticket = ticket or redis.call('INCR', prefix .. 'tickets')
      redis.call('ZADD', key, ticket, id)
      taken[#taken + 1] = host
      first = first or id
    end
    if first ~= id then held[#held + 1] = host end
  end
  write_pairs('SADD', run .. ':locks', taken)
  write_pairs('SADD', prefix .. 'locks', taken)
  return held
end

-- run, prefix, cursor, host... -> 1 | 0
function commands.release(a)
  if not stands_at(a[2], a[4]) then return 0 end
  for i = 5, #a do release(a[3], a[2], a[i]) end
  return 1
end

-- prefix, host, by, reason -> run that held it | ''
-- Takes a host from the run that holds it, whatever that run is doing; the next in line is woken.
function commands.unlock(a)
  local prefix, host = a[2], a[3]
  local id = holder(prefix, host)
  if not id then return '' end
  local run = prefix .. 'run:' .. id
  release(prefix, run, host)
  local record = {host = host, run = id, by = a[4], reason = a[5], at = tonumber(now())}
  redis.call('LPUSH', prefix .. 'unlocks', cjson.encode(record))
  redis.call('LTRIM', prefix .. 'unlocks', 0, 999)
  notice(run, host .. ' was unlocked by ' .. a[4] .. ': ' .. a[5])
  return id
end

local function end_run(prefix, run, id, status, code, reason, event)
  for _, host in ipairs(redis.call('SMEMBERS', run .. ':locks')) do release(prefix, run, host) end
  redis.call('SREM', prefix .. 'open', id)
  redis.call('HSET', run, 'status', status, 'exit_code', code, 'reason', reason, 'finished', now())
  redis.call('DEL', run .. ':front', run .. ':pos', run .. ':locks', run .. ':waiting')
  publish(run, 'run_finished', event)
end

-- Whether a run waited for a time of its own, which it does no longer.
local function leave_plan(run, prefix, id)
  redis.call('ZREM', prefix .. 'planned', id)
  return redis.call('HGET', run, 'status') == 'scheduled'
end

-- run, prefix, id, exit code, reason, event -> 1 | 0
-- The time of a run has come: it is submitted, once. Too late, and it ends as failed.
function commands.launch(a)
  local run, prefix, id = a[2], a[3], a[4]
  if not leave_plan(run, prefix, id) then return 0 end
  local times = redis.call('HMGET', run, 'due', 'start_deadline')
  if tonumber(now()) > tonumber(times[1]) + tonumber(times[2] or '1e11') then
    end_run(prefix, run, id, 'failed', a[5], a[6], a[7])
    return 0
  end
  redis.call('HSET', run, 'status', 'submitted')
  redis.call('ZADD', prefix .. 'runs', now(), id)
  redis.call('SADD', prefix .. 'open', id)
  redis.call('RPUSH', prefix .. 'bell', id)
  return 1
end

-- run, prefix, id, exit code, reason, event -> 1 | 0
-- A run that waits for its time is cancelled.
function commands.call_off(a)
  if not leave_plan(a[2], a[3], a[4]) then return 0 end
  end_run(a[3], a[2], a[4], 'cancelled', a[5], a[6], a[7])
  return 1
end

-- run, prefix, id, cursor, status, exit code, reason, event -> 1 | 0
-- Ends the run, once, and only as long as no host has anything left to do.
function commands.close(a)
  local run, prefix, id = a[2], a[3], a[4]
  if redis.call('SISMEMBER', prefix .. 'open', id) == 0 or not stands_at(run, a[5]) then return 0 end
  if redis.call('ZCARD', run .. ':front') > 0 then return 0 end
  end_run(prefix, run, id, a[6], a[7], a[8], a[9])
  return 1
end

-- run, prefix, id, cursor, known, exit code, reason, event, (step, host, index, terminal, result, event)... -> 1 | 0
-- The ledger has gone back in time: nobody can tell what the hosts in the front were sent. They are lost where they
-- stand, and the run waits for an operator. Refused unless the whole front stands as it is told.
function commands.hold(a)
  local run, prefix = a[2], a[3]
  if not stands_at(run, a[5]) or not behind(run, a[6]) then return 0 end
  if redis.call('ZCARD', run .. ':front') ~= (#a - 9) / 6 then return 0 end
  for i = 10, #a, 6 do
    if redis.call('ZSCORE', run .. ':front', a[i + 1]) ~= a[i + 2] then return 0 end
  end
  redis.call('HSET', run, 'seq', a[6])
  for i = 10, #a, 6 do
    local parts = split(redis.call('HGET', run .. ':step:' .. a[i], a[i + 1]) or '')
    if parts[1] ~= 'T' then
      settle(prefix, run, a[i], a[i + 1], a[i + 3], a[i + 4], a[i + 5])
      if parts[2] then redis.call('HSET', run .. ':tokens:' .. a[i], a[i + 1], parts[2]) end
    end
    move_host(prefix, run, a[i + 1], '', '', 'lost', '1')
  end
  end_run(prefix, run, a[4], 'held', a[7], a[8], a[9])
  return 1
end

-- run, kind of state ('T' terminal), hosts' new stands and the steps to be forgotten; shared by resume and parking.
local function readmit(run, a, first)
  local i = first
  while i <= #a do
    local host, stood, count = a[i], a[i + 1], tonumber(a[i + 2])
    redis.call('HDEL', run .. ':ended', host)
    redis.call('HSET', run .. ':stood', host, stood)
    for j = i + 3, i + 2 + count * 2, 2 do
      local step, again = a[j], a[j + 1]
      redis.call('HDEL', run .. ':step:' .. step, host)
      redis.call('HDEL', run .. ':tokens:' .. step, host)
      redis.call('HDEL', run .. ':late', step .. '|' .. host)
      if again == '1' then redis.call('HINCRBY', run .. ':attempts', step .. '|' .. host, 1) end
    end
    i = i + 3 + count * 2
  end
end

-- run, prefix, id, finished (as it was read), event, plan, outline, files, (digest, content)...,
--   left, host..., back, host..., (host, stand, count, (step, again)...)... -> 1 | 0
-- Opens a run that has ended once more, for those hosts; with another plan unless that is ''. Hosts that are left
-- take no part, those that are back do again.
function commands.reopen(a)
  local run, prefix, id = a[2], a[3], a[4]
  local state = redis.call('HMGET', run, 'status', 'finished')
  if redis.call('SISMEMBER', prefix .. 'open', id) == 1 or not state[1] or state[2] ~= a[5] then return 0 end
  -- Whoever takes it up again watches over it: how long it went on counts no longer.
  redis.call('HSET', run, 'status', 'running')
  redis.call('HINCRBY', run, 'lap', 1)
  walk_anew(run)
  redis.call('HDEL', run, 'cancel', 'cancels', 'cancelled_by', 'halt', 'break', 'finished', 'exit_code', 'reason',
    'parked_until', 'retry_at', 'retries', 'max_runtime')
  redis.call('DEL', run .. ':cancels', run .. ':front', run .. ':pos', run .. ':waiting')
  if a[7] ~= '' then
    redis.call('SET', run .. ':plan', a[7])
    redis.call('HSET', run, 'outline', a[8])
  end
  local i = 10
  for _ = 1, tonumber(a[9]) do
    redis.call('HSET', run .. ':files', a[i], a[i + 1])
    i = i + 2
  end
  local left = i + tonumber(a[i])
  for j = i + 1, left do redis.call('HSET', run .. ':ended', a[j], 'left') end
  local back = left + 1 + tonumber(a[left + 1])
  for j = left + 2, back do redis.call('HDEL', run .. ':ended', a[j]) end
  readmit(run, a, back + 1)
  redis.call('SADD', prefix .. 'open', id)
  if redis.call('EXISTS', run .. ':notify') == 1 then redis.call('ZADD', prefix .. 'notify', now(), id) end
  publish(run, 'notice', a[6])
  redis.call('RPUSH', prefix .. 'bell', id)
  return 1
end

-- run, expected cursor, (host, stand, count, (step, again)...)... -> 1 | 0
-- Lets parked hosts in again: the run walks its batches once more, for them alone.
function commands.unpark(a)
  local run = a[2]
  if not stands_at(run, a[3]) then return 0 end
  redis.call('HINCRBY', run, 'retries', 1)
  walk_anew(run)
  readmit(run, a, 4)
  return 1
end

-- run, step, host, stand at that step ('' when it stands elsewhere), stand at the end of the play -> 1 | 0
-- Puts the late news of a lost step in the place of `lost`; a host that stood there and came through stands after it.
function commands.adopt(a)
  local run, step, host = a[2], a[3], a[4]
  local kept = redis.call('HGET', run .. ':late', step .. '|' .. host)
  if not kept then return 0 end
  local late = cmsgpack.unpack(kept)
  redis.call('HSET', run .. ':step:' .. step, host, late[6])
  record(late)
  redis.call('HDEL', run .. ':late', step .. '|' .. host)
  redis.call('SREM', run .. ':guarded', step .. '|' .. host)
  publish(run, 'outcome', late[10])
  if late[11] == '0' and redis.call('HGET', run .. ':stood', host) == a[5] then
    local onward = late[9] ~= '' and string.match(a[5], '^%d+|') .. late[9] or a[6]
    redis.call('HSET', run .. ':stood', host, onward)
  end
  return 1
end

-- (count, transition)... -> the answer of each, or its error
function commands.many(a)
  local replies = {}
  local i, last = 2, #a
  while i <= last do
    local count = tonumber(a[i])
    local answered, reply = pcall(commands[a[i + 1]], {unpack(a, i + 1, i + count)})
    if not answered and type(reply) ~= 'table' then reply = {err = tostring(reply)} end
    replies[#replies + 1] = reply
    i = i + count + 1
  end
  return replies
end

-- ------------------------------------------------------------------ many that are alike
-- Starts, or outcomes, of one step that differ in their hosts alone. Either all of them stand as they should, and then
-- a command or two does for all; or nothing is written and the answer is `mixed`: each is to be carried out by itself.

-- run, step, token, boot, prefix, known, guard, events (a list), host... -> {'go', sequence number} | 'mixed'
function commands.starts(a)
  local run, step, token, boot, prefix, guard = a[2], a[3], a[4], a[5], a[6], a[8]
  if stopped(run) or state_of(run).cancels or behind(run, a[7]) or not exists(prefix .. 'boot:' .. boot) then
    return 'mixed'
  end
  local states = run .. ':step:' .. step
  local claimed, running = 'C|' .. token .. '|' .. boot, 'R|' .. token .. '|' .. boot .. '|' .. now() .. '|' .. guard
  local flat = {}
  for i, state in ipairs(redis.call('HMGET', states, unpack(a, 10))) do
    local host = a[i + 9]
    if state ~= claimed or not holds(prefix, run, host) then return 'mixed' end
    flat[2 * i - 1], flat[2 * i] = host, running
  end
  redis.call('HSET', states, unpack(flat))
  if guard ~= '' then
    for i = 10, #a do redis.call('SADD', run .. ':guarded', step .. '|' .. a[i]) end
  end
  publish(run, 'host_started', a[9])
  return {'go', tostring(redis.call('HINCRBY', run, 'seq', #a - 9))}
end

-- run, step, token, score, position, events (a list), (host, terminal, result)...
--   -> {'stored', sequence number} | 'mixed'
-- Good outcomes after which every host goes to the same place, and which gave nobody a variable.
function commands.finishes(a)
  local run, step, token, score = a[2], a[3], a[4], a[5]
  if exists(run .. ':slots') then return 'mixed' end
  local hosts, terminals, results, tokens, places = {}, {}, {}, {}, {}
  for i = 8, #a, 3 do
    local n, host = #hosts + 1, a[i]
    hosts[n] = host
    terminals[2 * n - 1], terminals[2 * n] = host, a[i + 1]
    results[2 * n - 1], results[2 * n] = host, a[i + 2]
    tokens[2 * n - 1], tokens[2 * n] = host, token
    places[2 * n - 1], places[2 * n] = score, host
  end
  local states = run .. ':step:' .. step
  local claimed, running = 'C|' .. token .. '|', 'R|' .. token .. '|'
  for _, state in ipairs(redis.call('HMGET', states, unpack(hosts))) do
    local beginning = state and string.sub(state, 1, #running)
    if beginning ~= running and beginning ~= claimed then return 'mixed' end
  end
  -- The states come last: as long as they are not written, whoever repeats this writes all of it.
  redis.call('HSET', run .. ':result:' .. step, unpack(results))
  redis.call('HSET', run .. ':tokens:' .. step, unpack(tokens))
  if score == '' then
    redis.call('ZREM', run .. ':front', unpack(hosts))
    redis.call('HDEL', run .. ':pos', unpack(hosts))
  else
    redis.call('ZADD', run .. ':front', unpack(places))
    for i, host in ipairs(hosts) do places[2 * i - 1], places[2 * i] = host, a[6] end
    redis.call('HSET', run .. ':pos', unpack(places))
  end
  redis.call('HSET', states, unpack(terminals))
  publish(run, 'outcome', a[7])
  return {'stored', tostring(redis.call('HINCRBY', run, 'seq', #hosts))}
end

local reply = commands[ARGV[1]](ARGV)
write_all()
return failure or reply
