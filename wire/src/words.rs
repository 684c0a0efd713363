//! The fixed words of the format: classes, owners, and what stands in key parts.

/// The name under which the collector weighs itself.
pub const COLLECTOR_SERVICE: &str = "weighbridge-collector";

/// The owner of what a process's `main` does beside its requests: it starts, waits and ends it.
pub const MAIN_OWNER: &str = "main";

/// The name under which everything is booked that no longer fits a bounded table.
pub const OTHER: &str = "__other__";

/// What kind of work CPU time was. The innermost wins; inside `store` everything is `store`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Application code.
    Handler = 0,
    /// Serialisation of a message.
    Encode = 1,
    /// Deserialisation of a message.
    Decode = 2,
    /// Parsing, framing, TLS.
    Protocol = 3,
    /// Socket calls.
    Io = 4,
    /// Database client.
    Store = 5,
}

/// All classes, in the order of their columns.
pub const ALL_CLASSES: [Class; 6] = [
    Class::Handler,
    Class::Encode,
    Class::Decode,
    Class::Protocol,
    Class::Io,
    Class::Store,
];

impl Class {
    /// The CPU column of this class.
    #[must_use]
    pub fn column(self) -> u32 {
        crate::column::CPU_HANDLER_NS + 4 * u32::from(self as u8)
    }

    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Protocol => "protocol",
            Self::Io => "io",
            Self::Store => "store",
        }
    }
}

/// To whom CPU is booked when it is not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnerKind {
    /// Accepts, handshakes and idle keep-alive of served connections.
    Connection,
    /// Connections of a client that pools them.
    Pool,
    /// A client's own driver task or thread.
    Driver,
    /// Work that no request asked for.
    Background,
    /// The scheduler; on stable Tokio also tasks that nothing wrapped.
    Runtime,
    /// The agent itself.
    Agent,
    /// What no account explains. Signed.
    Unattributed,
}

impl OwnerKind {
    /// The word on the wire and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Pool => "pool",
            Self::Driver => "driver",
            Self::Background => "background",
            Self::Runtime => "runtime",
            Self::Agent => "agent",
            Self::Unattributed => "unattributed",
        }
    }

    /// The kind for a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Connection,
            Self::Pool,
            Self::Driver,
            Self::Background,
            Self::Runtime,
            Self::Agent,
            Self::Unattributed,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
    }
}

/// Words for the side of an edge.
pub mod side {
    /// The side that sends the request or publishes.
    pub const CALLER: &str = "caller";
    /// The side that answers or consumes.
    pub const CALLEE: &str = "callee";
}

/// Words for how an edge is used.
pub mod mode {
    /// The caller waits for the answer.
    pub const SYNC: &str = "sync";
    /// The caller does not wait.
    pub const ASYNC: &str = "async";
}

/// Words for the direction of a message on an edge.
pub mod direction {
    /// From caller to callee.
    pub const REQUEST: &str = "request";
    /// From callee to caller.
    pub const RESPONSE: &str = "response";
}

/// Words for how an operation uses an entity.
pub mod access {
    /// The entity is read.
    pub const READ: &str = "read";
    /// The entity is written.
    pub const WRITE: &str = "write";
}

/// Words for what a distribution covers.
pub mod scope {
    /// All requests of the operation.
    pub const ALL: &str = "all";
    /// Only those at which a chain of requests began.
    pub const ROOT: &str = "root";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_columns_follow_the_registry() {
        for (class, column) in ALL_CLASSES.into_iter().zip([
            crate::column::CPU_HANDLER_NS,
            crate::column::CPU_ENCODE_NS,
            crate::column::CPU_DECODE_NS,
            crate::column::CPU_PROTOCOL_NS,
            crate::column::CPU_IO_NS,
            crate::column::CPU_STORE_NS,
        ]) {
            assert_eq!(class.column(), column, "{}", class.as_str());
        }
    }

    #[test]
    fn owner_words_read_back() {
        for word in [
            "connection",
            "pool",
            "driver",
            "background",
            "runtime",
            "agent",
            "unattributed",
        ] {
            assert_eq!(OwnerKind::parse(word).map(OwnerKind::as_str), Some(word));
        }
        assert_eq!(OwnerKind::parse("Pool"), None);
    }
}
