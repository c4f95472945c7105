//! The three Lua scripts. Each decides inside Redis by revision, so that order of arrival never matters: a slow reader
//! cannot put an old answer over a newer one, and a late announcement cannot take a newer one away.

/// Stores `ARGV[2]` at `KEYS[1]` for `ARGV[3]` ms unless something newer than revision `ARGV[1]` is known there.
pub(super) const FILL: &str = r"
local known = redis.call('GET', KEYS[1])
local revision = known and tonumber(string.match(known, '^(%d+) ')) or -1
if revision > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
";

/// Marks every key of `KEYS` as changed at its revision (`ARGV[2..]`) for `ARGV[1]` ms, unless newer is known there.
pub(super) const ANNOUNCE: &str = r"
for i, key in ipairs(KEYS) do
  local known = redis.call('GET', key)
  local revision = known and tonumber(string.match(known, '^(%d+) ')) or -1
  if revision <= tonumber(ARGV[i + 1]) then
    redis.call('SET', key, ARGV[i + 1] .. ' !', 'PX', ARGV[1])
  end
end
return 1
";

/// Stores page `ARGV[2]` at `KEYS[1]` for `ARGV[3]` ms, read at catalogue revision `ARGV[1]`, unless the catalogue is
/// known (`KEYS[2]`) to be newer; begins that mark (for `ARGV[4]` ms) when Redis has lost it.
pub(super) const FILL_PAGE: &str = r"
local known = redis.call('GET', KEYS[2])
local revision = known and tonumber(string.match(known, '^(%d+) ')) or -1
if revision > tonumber(ARGV[1]) then return 0 end
if revision < tonumber(ARGV[1]) then redis.call('SET', KEYS[2], ARGV[1] .. ' !', 'PX', ARGV[4]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
";
