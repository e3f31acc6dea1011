/**
 * What Redis does in one step. Each channel has a hash (its last offset, its epoch, the server run that the epoch began
 * in, the bytes of its history) and, where it has a history, a stream whose ids are `offset-epoch`.
 */
export interface RedisScript {
  readonly text: string;
}

/** A server that was started anew, or another in its place, may have forgotten the last messages: a new epoch. */
const EPOCH = `
local function epochOf(meta, fresh, keeps)
  local run = keeps and string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
  local found = redis.call('HMGET', meta, 'epoch', 'run')
  if found[1] and found[2] == run then return found[1] end
  redis.call('HSET', meta, 'epoch', fresh, 'run', run)
  return fresh
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/**
 * KEYS: hash, stream. ARGV: PUBLISH or SPUBLISH, channel, a fresh epoch, origin, item, and of the history: messages (0:
 * none), age in ms, bytes; how long the hash is kept in ms. → offset, epoch.
 */
export const publishScript: RedisScript = {
  text: `${EPOCH}
local keeps = ARGV[6] ~= '0'
local offset = redis.call('HINCRBY', KEYS[1], 'offset', 1)
if keeps and (offset == 1 or redis.call('EXISTS', KEYS[2]) == 0) then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'bytes', 0)
end
local epoch = epochOf(KEYS[1], ARGV[3], keeps)
if keeps then
  redis.call('XADD', KEYS[2], offset .. '-' .. epoch, 't', string.format('%.0f', now), 'o', ARGV[4], 'i', ARGV[5])
  local bytes = redis.call('HINCRBY', KEYS[1], 'bytes', #ARGV[5])
  while true do
    local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
    if not first then break end
    local fits = redis.call('XLEN', KEYS[2]) <= tonumber(ARGV[6])
      and tonumber(first[2][2]) > now - tonumber(ARGV[7]) and bytes <= tonumber(ARGV[8])
    if fits then break end
    redis.call('XDEL', KEYS[2], first[1])
    bytes = redis.call('HINCRBY', KEYS[1], 'bytes', -#first[2][6])
  end
  redis.call('PEXPIRE', KEYS[2], ARGV[7])
end
redis.call('PEXPIRE', KEYS[1], ARGV[9])
redis.call(ARGV[1], ARGV[2], offset .. ' ' .. epoch .. ' ' .. ARGV[4] .. ' ' .. ARGV[5])
return { offset, epoch }
`,
};

/**
 * KEYS: hash, stream. ARGV: from which offset on, a fresh epoch, age in ms (0: no history), how long the hash is kept in ms.
 * → offset, epoch, entries that are not too old, each id, origin, item.
 */
export const readScript: RedisScript = {
  text: `${EPOCH}
local offset = redis.call('HGET', KEYS[1], 'offset')
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  epoch = epochOf(KEYS[1], ARGV[2], ARGV[3] ~= '0')
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
local entries = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], ARGV[1], '+')) do
  if tonumber(entry[2][2]) > now - tonumber(ARGV[3]) then
    entries[#entries + 1] = { entry[1], entry[2][4], entry[2][6] }
  end
end
return { tonumber(offset or '0'), epoch, entries }
`,
};
