/**
 * What Redis does in one step for nodes and their sessions. A node has one life after another: each ends when it is
 * judged lost. `alive` holds the last sign of each life, `leases` who tells of a lost life, for as long as that one lives,
 * `sessions:LIFE` what it keeps, and, with an empty name, the number of the last write; `lost:LIFE` says that it was
 * judged lost, and holds that number from then on.
 */
import type { RedisScript } from './redis-scripts.js';

/**
 * A sign of life. KEYS: alive, leases, own sessions, own mark of being lost. ARGV: own life, how long a node may be silent
 * in ms, behind how long a silence of its own it may not look for lost ones in ms (0: it may not), how long sessions are kept in ms, how long the mark is in ms, what keys begin
 * with, … the lost lives that are being told of here. → whether this life is lost, whether it was known, the number of its
 * last write, the others that live, the lost lives that are now this one’s to tell of.
 */
export const beatScript: RedisScript = {
  text: `
local own, base = ARGV[1], ARGV[6]
local last = redis.call('GET', KEYS[4])
if last then return { 1, 1, last, {}, {} } end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit = now - tonumber(ARGV[2])
local before = redis.call('ZSCORE', KEYS[1], own)
redis.call('ZADD', KEYS[1], string.format('%.0f', now), own)
redis.call('PEXPIRE', KEYS[3], ARGV[4])
local living, isLiving = {}, { [own] = true }
for _, life in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', limit), '+inf')) do
  if life ~= own then living[#living + 1] = life end
  isLiving[life] = true
end
local isTold = {}
for i = 7, #ARGV do
  isTold[ARGV[i]] = true
  redis.call('PEXPIRE', base .. 'sessions:' .. ARGV[i], ARGV[4])
end
local mine = {}
-- Who was silent for long itself may be the first that is heard again of all.
if before and now - tonumber(before) < tonumber(ARGV[3]) then
  for _, life in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', limit))) do
    local sessions = base .. 'sessions:' .. life
    redis.call('ZREM', KEYS[1], life)
    redis.call('SET', base .. 'lost:' .. life, redis.call('HGET', sessions, '') or '0', 'PX', ARGV[5])
    redis.call('HDEL', sessions, '')
    redis.call('PEXPIRE', sessions, ARGV[4])
    redis.call('HSET', KEYS[2], life, '')
  end
  local leases = redis.call('HGETALL', KEYS[2])
  for i = 1, #leases, 2 do
    local life, teller = leases[i], leases[i + 1]
    if not isLiving[teller] or (teller == own and not isTold[life]) then
      redis.call('HSET', KEYS[2], life, own)
      mine[#mine + 1] = life
    end
  end
end
return { 0, before and 1 or 0, redis.call('HGET', KEYS[3], '') or '0', living, mine }
`,
};

/**
 * Keeps sessions. KEYS: own sessions, own mark of being lost. ARGV: number of this write, how long they are kept in ms, how
 * many there are, … each id and record, … ids of those that are no more. → 0: none of it, as this life is lost.
 */
export const keepScript: RedisScript = {
  text: `
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local behind = 4 + 2 * tonumber(ARGV[3])
redis.call('HSET', KEYS[1], '', ARGV[1], unpack(ARGV, 4, behind - 1))
if behind <= #ARGV then redis.call('HDEL', KEYS[1], unpack(ARGV, behind)) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`,
};

/**
 * A goodbye: with it all leases end. KEYS: alive, own sessions, own mark of being lost. ARGV: own life.
 */
export const leaveScript: RedisScript = {
  text: `
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('DEL', KEYS[2]) end
`,
};

/** A lost life has been told of. KEYS: leases, its sessions. ARGV: its name, own life. → 0: another has it by now. */
export const doneScript: RedisScript = {
  text: `
local teller = redis.call('HGET', KEYS[1], ARGV[1])
if teller and teller ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
`,
};
