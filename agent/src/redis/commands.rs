//! What the commands of Redis do, and which of their arguments are keys.

use redis::{Arg, Cmd};

use crate::store::Access;

/// Where the keys of a command stand among its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    None,
    /// The first argument.
    First,
    /// The first two, both used alike.
    Two,
    /// All arguments.
    All,
    /// All but the last.
    ButLast,
    /// Every second, from the first on.
    Pairs,
    /// As many as the first argument says.
    Counted,
    /// As many as the second argument says: the first is a script.
    Script,
    /// The first is written, the others are read.
    Store,
    /// The first is written, and as many as the second argument says are read.
    StoreCounted,
    /// The first is written, the second read.
    StoreOne,
    /// The first is read, the second written.
    Copy,
    /// The second is written, all that follow are read.
    Operation,
    /// The first half of what follows `STREAMS`.
    Streams,
    /// The second argument.
    Second,
}

/// A command that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    access: Access,
    keys: Keys,
}

/// Arguments without the command's name.
pub(super) fn arguments(command: &Cmd) -> impl Iterator<Item = &[u8]> + Clone {
    command.args_iter().skip(1).map(|arg| match arg {
        Arg::Simple(bytes) => bytes,
        _ => &[],
    })
}

impl Command {
    /// What is known of a command. Some names are given as two words.
    pub(super) fn of(command: &Cmd) -> Option<Self> {
        let Some(Arg::Simple(name)) = command.args_iter().next() else {
            return None;
        };
        let name = name.split(|byte| *byte == b' ').next()?;
        let mut upper = [0; NAME_BYTES_MAX];
        let upper = upper.get_mut(..name.len())?;
        upper.copy_from_slice(name);
        upper.make_ascii_uppercase();
        let row = TABLE
            .iter()
            .find(|(_, _, names)| names.contains(&&*upper))?;
        Some(Self {
            access: row.0,
            keys: row.1,
        })
    }

    /// Calls `found` with each key and how it is used.
    pub(super) fn keys<'c>(self, command: &'c Cmd, mut found: impl FnMut(&'c [u8], Access)) {
        let mut args = arguments(command);
        let access = self.access;
        let mut each = |keys: &mut dyn Iterator<Item = &'c [u8]>, access| {
            keys.for_each(|key| found(key, access));
        };
        match self.keys {
            Keys::None => {}
            Keys::First => each(&mut args.take(1), access),
            Keys::Two => each(&mut args.take(2), access),
            Keys::All => each(&mut args, access),
            Keys::ButLast => {
                let n = args.clone().count().saturating_sub(1);
                each(&mut args.take(n), access);
            }
            Keys::Pairs => each(&mut args.step_by(2), access),
            Keys::Second => each(&mut args.skip(1).take(1), access),
            Keys::Counted => {
                let n = number(args.next());
                each(&mut args.take(n), access);
            }
            Keys::Script => {
                let n = number(args.nth(1));
                each(&mut args.take(n), access);
            }
            Keys::Store => {
                each(&mut args.by_ref().take(1), Access::Write);
                each(&mut args, Access::Read);
            }
            Keys::StoreCounted => {
                each(&mut args.by_ref().take(1), Access::Write);
                let n = number(args.next());
                each(&mut args.take(n), Access::Read);
            }
            Keys::StoreOne => {
                each(&mut args.by_ref().take(1), Access::Write);
                each(&mut args.take(1), Access::Read);
            }
            Keys::Copy => {
                each(&mut args.by_ref().take(1), Access::Read);
                each(&mut args.take(1), Access::Write);
            }
            Keys::Operation => {
                each(&mut args.by_ref().skip(1).take(1), Access::Write);
                each(&mut args, Access::Read);
            }
            Keys::Streams => {
                let streams = |arg: &[u8]| arg.eq_ignore_ascii_case(b"STREAMS");
                let after = args.skip_while(|arg| !streams(arg)).skip(1);
                let n = after.clone().count() / 2;
                each(&mut after.take(n), access);
            }
        }
    }
}

/// A count among the arguments; 0 when it is none.
fn number(arg: Option<&[u8]>) -> usize {
    arg.and_then(|arg| std::str::from_utf8(arg).ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// Longer than all names in the table.
const NAME_BYTES_MAX: usize = 32;

macro_rules! table {
    ($($access:ident $keys:ident: $($name:literal)*;)*) => {
        const TABLE: &[(Access, Keys, &[&[u8]])] = &[
            $((Access::$access, Keys::$keys, &[$($name.as_bytes()),*]),)*
        ];
    };
}

// The most frequent first: names are looked for from the top.
table! {
    Read First: "GET" "HGET" "HGETALL" "HMGET" "TTL" "PTTL" "SMEMBERS" "SISMEMBER" "ZSCORE" "ZRANGE" "LRANGE"
        "GETRANGE" "SUBSTR" "STRLEN" "EXPIRETIME" "PEXPIRETIME" "TYPE" "DUMP" "HKEYS" "HVALS" "HLEN" "HEXISTS"
        "HSTRLEN" "HRANDFIELD" "HSCAN" "HTTL" "HPTTL" "HEXPIRETIME" "HPEXPIRETIME" "LINDEX" "LLEN" "LPOS"
        "SMISMEMBER" "SCARD" "SRANDMEMBER" "SSCAN" "ZREVRANGE" "ZRANGEBYSCORE" "ZREVRANGEBYSCORE" "ZRANGEBYLEX"
        "ZREVRANGEBYLEX" "ZCARD" "ZCOUNT" "ZLEXCOUNT" "ZMSCORE" "ZRANK" "ZREVRANK" "ZSCAN" "ZRANDMEMBER" "GETBIT"
        "BITCOUNT" "BITPOS" "BITFIELD_RO" "XRANGE" "XREVRANGE" "XLEN" "XPENDING" "GEOPOS" "GEODIST" "GEOHASH"
        "GEOSEARCH" "GEORADIUS_RO" "GEORADIUSBYMEMBER_RO" "SORT_RO" "DIGEST" "VSIM" "VCARD" "VDIM" "VEMB" "VGETATTR"
        "VINFO" "VISMEMBER" "VLINKS" "VRANDMEMBER" "VRANGE";
    Write First: "SET" "SETEX" "SETNX" "PSETEX" "INCR" "INCRBY" "DECR" "DECRBY" "HSET" "EXPIRE" "PEXPIRE" "LPUSH"
        "RPUSH" "LPOP" "RPOP" "SADD" "SREM" "ZADD" "ZREM" "XADD" "GETSET" "GETDEL" "GETEX" "APPEND" "SETRANGE"
        "INCRBYFLOAT" "EXPIREAT" "PEXPIREAT" "PERSIST" "RESTORE" "HSETNX" "HMSET" "HDEL" "HINCRBY" "HINCRBYFLOAT"
        "HEXPIRE" "HPEXPIRE" "HEXPIREAT" "HPEXPIREAT" "HPERSIST" "HGETDEL" "HGETEX" "HSETEX" "LPUSHX" "RPUSHX"
        "LSET" "LREM" "LTRIM" "LINSERT" "SPOP" "ZINCRBY" "ZPOPMIN" "ZPOPMAX" "ZREMRANGEBYRANK" "ZREMRANGEBYSCORE"
        "ZREMRANGEBYLEX" "SETBIT" "BITFIELD" "PFADD" "XDEL" "XDELEX" "XTRIM" "XACK" "XACKDEL" "XCLAIM" "XAUTOCLAIM"
        "XSETID" "GEOADD" "SORT" "GEORADIUS" "GEORADIUSBYMEMBER" "MOVE" "DELEX" "VADD" "VREM" "VSETATTR";
    Write All: "DEL" "UNLINK";
    Read All: "MGET" "EXISTS" "TOUCH" "PFCOUNT" "SINTER" "SUNION" "SDIFF" "WATCH";
    Write Pairs: "MSET" "MSETNX";
    Write Script: "EVAL" "EVALSHA" "FCALL";
    Read Script: "EVAL_RO" "EVALSHA_RO" "FCALL_RO";
    Write ButLast: "BLPOP" "BRPOP" "BZPOPMIN" "BZPOPMAX";
    Write Two: "RENAME" "RENAMENX" "SMOVE" "LMOVE" "BLMOVE" "RPOPLPUSH" "BRPOPLPUSH";
    Write Copy: "COPY";
    Write StoreOne: "GEOSEARCHSTORE" "ZRANGESTORE";
    Write Store: "SINTERSTORE" "SUNIONSTORE" "SDIFFSTORE" "PFMERGE";
    Write StoreCounted: "ZINTERSTORE" "ZUNIONSTORE" "ZDIFFSTORE";
    Write Operation: "BITOP";
    Read Counted: "SINTERCARD" "ZINTER" "ZUNION" "ZDIFF" "ZINTERCARD";
    Write Counted: "LMPOP" "ZMPOP";
    Write Script: "BLMPOP" "BZMPOP";
    Read Two: "LCS";
    Read Streams: "XREAD";
    Write Streams: "XREADGROUP";
    Write Second: "XGROUP";
    Read Second: "OBJECT" "XINFO";
    Read None: "PING" "ECHO" "AUTH" "HELLO" "SELECT" "QUIT" "RESET" "MULTI" "EXEC" "DISCARD" "UNWATCH" "CLIENT"
        "COMMAND" "CONFIG" "INFO" "DBSIZE" "TIME" "PUBLISH" "SPUBLISH" "SUBSCRIBE" "UNSUBSCRIBE" "PSUBSCRIBE"
        "PUNSUBSCRIBE" "SSUBSCRIBE" "SUNSUBSCRIBE" "PUBSUB" "SCAN" "KEYS" "RANDOMKEY" "FLUSHDB" "FLUSHALL" "SCRIPT"
        "FUNCTION" "CLUSTER" "READONLY" "READWRITE" "ASKING" "WAIT" "WAITAOF" "MEMORY" "LATENCY" "SLOWLOG" "DEBUG"
        "MONITOR" "ROLE" "REPLICAOF" "SLAVEOF" "SAVE" "BGSAVE" "BGREWRITEAOF" "LASTSAVE" "SHUTDOWN" "SWAPDB" "ACL"
        "MODULE" "LOLWUT" "FAILOVER";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-key +key` of a command as words.
    fn keys(text: &str) -> Option<String> {
        let mut command = Cmd::new();
        text.split(' ').for_each(|word| {
            command.arg(word);
        });
        let mut shown = Vec::new();
        Command::of(&command)?.keys(&command, |key, access| {
            let sign = if access == Access::Read { '-' } else { '+' };
            shown.push(format!("{sign}{}", String::from_utf8_lossy(key)));
        });
        Some(shown.join(" "))
    }

    #[test]
    fn keys_are_found_where_the_command_has_them() {
        for (text, expected) in [
            ("get a", "-a"),
            ("SET a v EX 5", "+a"),
            ("MGET a b c", "-a -b -c"),
            ("MSET a 1 b 2", "+a +b"),
            ("DEL a b", "+a +b"),
            ("BLPOP a b 5", "+a +b"),
            ("EVAL script 2 a b v w", "+a +b"),
            ("EVAL script 0 v", ""),
            ("EVALSHA_RO x 1 a v", "-a"),
            ("RENAME a b", "+a +b"),
            ("COPY a b", "-a +b"),
            ("SUNIONSTORE d a b", "+d -a -b"),
            ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "+d -a -b"),
            ("BITOP AND d a b", "+d -a -b"),
            ("ZRANGESTORE d a 0 -1", "+d -a"),
            ("ZINTER 2 a b WITHSCORES", "-a -b"),
            ("LMPOP 2 a b LEFT", "+a +b"),
            ("BLMPOP 0 2 a b LEFT", "+a +b"),
            ("XREAD COUNT 2 STREAMS a b 0 0", "-a -b"),
            ("XREADGROUP GROUP g c STREAMS a >", "+a"),
            ("XGROUP CREATE a g 0", "+a"),
            ("PING", ""),
            ("PUBLISH channel message", ""),
            ("GET", ""),
            ("EVAL script many a", ""),
        ] {
            assert_eq!(keys(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(keys("JSON.GET a"), None);
        assert_eq!(keys(&"X".repeat(1_000)), None);
        assert!(Command::of(&Cmd::new()).is_none());
    }

    #[test]
    fn each_name_stands_once() {
        let mut names: Vec<&[u8]> = TABLE.iter().flat_map(|row| row.2).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.iter().all(|name| name.len() <= NAME_BYTES_MAX));
    }
}
