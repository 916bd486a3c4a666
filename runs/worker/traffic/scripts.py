"""What all workers count together, as scripts: each is carried out in Redis as one, by Redis' own clock.

Windows are hashes from the number of a part of the window to what was added in it, as in `runs.worker.traffic.window`.
Everything expires by itself.
"""

from runs.worker.traffic.window import PARTS

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# `sum` gives the window's total and its parts; those that left it are dropped. `room` gives the milliseconds until
# the total is below `allowed`.
_WINDOW = f"""
local function part_of(width) return math.floor(now / width) end

local function sum(key, width)
    local total, parts, fields = 0, {{}}, redis.call('HGETALL', key)
    for i = 1, #fields, 2 do
        local part, amount = tonumber(fields[i]), tonumber(fields[i + 1])
        if part < part_of(width) - {PARTS} then
            redis.call('HDEL', key, fields[i])
        else
            total = total + amount
            parts[#parts + 1] = {{part, amount}}
        end
    end
    return total, parts
end

local function add(key, width, amount)
    redis.call('HINCRBY', key, part_of(width), amount)
    redis.call('PEXPIRE', key, math.ceil(width * {PARTS + 2}))
end

local function room(key, width, allowed)
    local left, parts = sum(key, width)
    if left < allowed then return 0 end
    table.sort(parts, function(a, b) return a[1] < b[1] end)
    for _, part in ipairs(parts) do
        left = left - part[2]
        if left < allowed then return math.ceil((part[1] + {PARTS + 1}) * width - now) end
    end
    return 0
end
"""

# KEYS: four of each name: its slots, calls, tokens, and those that wait. ARGV: the call's id, who waits for it, the
# milliseconds of a slot and of a window, for how long one that waits is remembered; then of each name the slots, calls
# and tokens allowed, 0 for any number.
# Gives {1, 0, 0}: the call is let in, under all its names; or {0, milliseconds until there may be room (0: not known),
# milliseconds in which all that wait may be served, if a call takes a second}: then nothing is taken.
ENTER = f"""
{_NOW}{_WINDOW}
local call, waiter = ARGV[1], ARGV[2]
local slot_ms, width, waiting_ms = tonumber(ARGV[3]), tonumber(ARGV[4]) / {PARTS}, tonumber(ARGV[5])
local refused, wait, spread = false, 0, 0

local function each(act)
    for i = 1, #KEYS / 4 do
        local k, a = (i - 1) * 4, 5 + (i - 1) * 3
        act(KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4],
            tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3]))
    end
end

each(function(slots, calls, tokens, waiting, max_slots, max_calls, max_tokens)
    local pace = 0
    redis.call('ZREMRANGEBYSCORE', slots, '-inf', now)
    if max_slots > 0 and redis.call('ZCARD', slots) >= max_slots then pace = 1000 / max_slots end
    local calls_in = max_calls > 0 and room(calls, width, max_calls) or 0
    if calls_in > 0 then pace = math.max(pace, width * {PARTS} / max_calls) end
    local tokens_in = max_tokens > 0 and room(tokens, width, max_tokens) or 0
    if tokens_in > 0 then pace = math.max(pace, width) end
    if pace > 0 then
        refused = true
        redis.call('ZREMRANGEBYSCORE', waiting, '-inf', now)
        redis.call('ZADD', waiting, now + waiting_ms, waiter)
        redis.call('PEXPIRE', waiting, waiting_ms)
        wait = math.max(wait, calls_in, tokens_in)
        spread = math.max(spread, pace * redis.call('ZCARD', waiting))
    end
end)
if refused then return {{0, math.ceil(wait), math.ceil(spread)}} end

each(function(slots, calls, tokens, waiting, max_slots, max_calls)
    redis.call('ZREM', waiting, waiter)
    redis.call('ZADD', slots, now + slot_ms, call)
    redis.call('PEXPIRE', slots, slot_ms * 2)
    if max_calls > 0 then add(calls, width, 1) end
end)
return {{1, 0, 0}}
"""

# KEYS: three of each name: its slots, tokens, and those that wait. ARGV: the call's id, who waited for it, the tokens
# that it took, the milliseconds of a window.
LEAVE = f"""
{_NOW}{_WINDOW}
for i = 1, #KEYS, 3 do
    redis.call('ZREM', KEYS[i], ARGV[1])
    redis.call('ZREM', KEYS[i + 2], ARGV[2])
    if tonumber(ARGV[3]) > 0 then add(KEYS[i + 1], tonumber(ARGV[4]) / {PARTS}, ARGV[3]) end
end
return {{}}
"""

# KEYS: the slots of a name. ARGV: the milliseconds of a slot, and the calls that go on. One that an empty Redis has
# forgotten gets its slot back.
KEEP = f"""
{_NOW}
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1] * 2)
return {{}}
"""

# A circuit is a hash: calls and failures by the part of the window; once it is open, `open` says until when, and
# `probe` and `probe_until` whose the one call is that may try.
# KEYS: the circuit's calls, its failures, its state, and the list of open ones. ARGV: how many calls ended well and
# how many failed since the last report; what became of a probe (`well`, `failed` or nothing); the milliseconds of the
# window; how many calls it takes to judge; for how many milliseconds it is open, and is remembered; its name in the
# list. Gives {1, milliseconds until it may be tried} where it is open, else {0, 0}.
REPORT = f"""
{_NOW}{_WINDOW}
local calls, failures, state, list = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local well, failed, probe = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local width, least, open_ms, keep_ms = tonumber(ARGV[4]) / {PARTS}, tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]

local function open()
    redis.call('HSET', state, 'open', now + open_ms)
    redis.call('HDEL', state, 'probe', 'probe_until')
    redis.call('PEXPIRE', state, keep_ms)
    redis.call('ZREMRANGEBYSCORE', list, '-inf', now)
    redis.call('ZADD', list, now + keep_ms, ARGV[8])
    redis.call('PEXPIRE', list, keep_ms)
    return {{1, open_ms}}
end

local until_ = tonumber(redis.call('HGET', state, 'open'))
if until_ then
    if probe == 'failed' then return open() end
    if probe ~= 'well' then return {{1, math.max(0, until_ - now)}} end
    redis.call('DEL', calls, failures, state)
    redis.call('ZREM', list, ARGV[8])
    return {{0, 0}}
end
if well + failed > 0 then add(calls, width, well + failed) end
if failed == 0 then return {{0, 0}} end
add(failures, width, failed)
local made, bad = sum(calls, width), sum(failures, width)
if made >= least and bad * 2 >= made then return open() end
return {{0, 0}}
"""

# KEYS: the circuit's state. ARGV: the id of the call that would be a probe, for how many milliseconds no other is let
# through then, and after how many milliseconds the others should ask again.
# Gives {0, 0}: closed; {1, milliseconds until it may be tried}; {2, 0}: this call is the probe.
ASK = f"""
{_NOW}
local until_ = tonumber(redis.call('HGET', KEYS[1], 'open'))
if not until_ then return {{0, 0}} end
if now < until_ then return {{1, until_ - now}} end
local probing = tonumber(redis.call('HGET', KEYS[1], 'probe_until'))
if probing and now < probing then return {{1, math.min(probing - now, tonumber(ARGV[3]))}} end
redis.call('HSET', KEYS[1], 'probe', ARGV[1], 'probe_until', now + ARGV[2])
return {{2, 0}}
"""

# KEYS: the circuit's state. ARGV: the id of the probe that was given up.
GIVE_UP_PROBE = """
if redis.call('HGET', KEYS[1], 'probe') == ARGV[1] then redis.call('HDEL', KEYS[1], 'probe', 'probe_until') end
return {}
"""
